/* The relay: what committed transactions left in the outbox goes to the Redis Stream `hub:events`,
 * at least once, an order's events in the order of their versions. Any number of relays, in any
 * number of processes. While Redis is down the rows wait. */
#pragma once
#include "db.h"
#include "redis.h"

struct relay {
    struct db *db;
    struct redis *redis;
    bool cache; /* the orders go to status_cache.h as well */
    struct metric *published;
};

void relay_init(struct relay *r, struct db *db, struct redis *redis, bool cache);
/* Publish a batch; `relay` is the struct. True when there may be more. Blocks; see jobs.h. */
bool relay_publish(void *relay);

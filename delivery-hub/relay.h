/* The relay: what committed transactions left in the outbox goes to the Redis Stream `hub:events`,
 * at least once, an order's events in the order of their versions. Any number of relays, in any
 * number of processes. While Redis is down the rows wait. */
#pragma once
#include "db.h"
#include "redis.h"
#include <stdatomic.h>

struct relay {
    struct db *db;
    struct redis *redis;
    bool cache; /* the orders go to status_cache.h as well */
    struct metric *published;
    atomic_int_fast64_t lag_us; /* age of the oldest row that waits */
};

void relay_init(struct relay *r, struct db *db, struct redis *redis, bool cache);
/* Publish a batch; `relay` is the struct. True when there may be more. Blocks. Any thread. */
bool relay_publish(void *relay);
/* The same as a job (jobs.h), which also keeps hub_outbox_lag_seconds. */
bool relay_job(void *relay);

/* Whether the near cache can be trusted, and what tells it of changes.
 *
 * A thread of its own subscribes to CACHE_CHANNEL and keeps the near cache on only while that
 * subscription is confirmed. After every (re)connection it first replays all pending rows. Every
 * second it replays those that are older than one: their writer has died or cannot reach Redis. */
#pragma once
#include "cache.h"
#include "near.h"

struct invalidation;

struct invalidation_options {
    const char *redis_url;
    struct redis *redis;
    struct db *db;
    struct cache *cache;
    struct near *near;
    bool use_near; /* false: it stays switched off */
};

/* UNPROCESSABLE with the reason as redis_new. Main thread. */
enum status invalidation_new(const struct invalidation_options *options, struct invalidation **out,
                             struct strbuf *why);
void invalidation_free(struct invalidation *v); /* NULL is fine */

/* These were committed: drop them here, in Redis and, by its message, in the other processes. What
 * does not get through is replayed later. Worker threads only. */
void invalidation_publish(struct invalidation *v, const struct changes *list);

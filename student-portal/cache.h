/* Bodies of GET /me/attendance in Redis, shared by all processes. Each carries the generation of
 * the snapshot it was read in; whoever uses one compares that with the student's row. So a lost
 * invalidation, or a Redis rolled back to yesterday, costs a miss and never a wrong answer.
 *
 * A lease on a key is taken with the miss, so that one process fills it and the others wait.
 * Worker threads only. */
#pragma once
#include "changes.h"
#include "redis.h"

enum {
    CACHE_TTL_S = 300, /* at most; each entry lives up to a tenth shorter, at random */
    CACHE_LEASE_MS = 2000,
    CACHE_KEYS_MAX = 64, /* in one call */
};
#define CACHE_CHANNEL "portal:changed" /* ids of students, a blank between them */

struct cache;
struct cache *cache_new(struct redis *redis);
void cache_free(struct cache *c); /* NULL is fine */

struct cached {
    int64_t student;
    /* What a fetch found: a body, a lease for us, or somebody else's lease. */
    enum { CACHED_BODY, CACHED_LEASE, CACHED_BUSY } found;
    int64_t gen, ttl_ms;
    struct strbuf body;
    bool stored;
};

/* One trip to Redis for up to CACHE_KEYS_MAX keys. UNAVAILABLE. Bodies are appended. */
enum status cache_fetch(struct cache *c, struct cached *const *keys, size_t n);
/* Store the bodies that are not empty and whose generation is not below the one that Redis knows,
 * only on a connection of `epoch`, and give our leases back. Sets `stored`. */
void cache_store(struct cache *c, uint64_t epoch, struct cached *const *keys, size_t n);
/* Let no body below these generations stand, and say so on CACHE_CHANNEL. UNAVAILABLE. */
enum status cache_advance(struct cache *c, const struct changes *list);

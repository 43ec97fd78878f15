/* Students' pages for many at once: from Redis where it has them, else from the database by one
 * query, and into both caches. Worker threads, and others that may block. */
#pragma once
#include "cache.h"
#include "near.h"

struct fills; /* what a fill works with */

struct fills_options {
    struct redis *redis;
    struct db *db;
    struct cache *cache;
    struct near *near;
    bool use_cache; /* false: neither Redis nor the near cache */
};
struct fills *fills_new(const struct fills_options *options);
void fills_free(struct fills *f); /* NULL is fine */

struct fill {
    int64_t student;
    /* OK with an entry, whose reference is the caller's; NOT_FOUND: no such user; CONTENDED:
     * another process fills it just now, ask again; UNAVAILABLE, OVERLOADED. */
    enum status st;
    struct near_entry *entry;
    const char *how; /* the value of a Cache-Status header (RFC 9211), static */
};
/* Up to CACHE_KEYS_MAX, no student twice. Reads begin after the call: they show every change that
 * was committed before. */
void fills_run(struct fills *f, struct fill *fills, size_t n);
/* For those who were answered without a fill. */
const char *fills_near_hit(struct fills *f);

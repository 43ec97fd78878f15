/* What /me/attendance answers, kept in Redis, and right as well as fast.
 *
 * The generation is users.attendance_gen: it is advanced in the transaction of every change to
 * what a student sees. An entry carries the generation it was read under, in one snapshot with the
 * rows. Redis keeps the highest generation seen of a key: a fill below it is not stored, so a
 * slow fill cannot bury a newer mark, and an invalidation leaves the new generation behind without
 * a body. A caller names the generation it knows from the database, and gets nothing older: so a
 * lost invalidation or a Redis rolled back to yesterday costs a miss, never a wrong answer.
 *
 * One look-up per student at a time in this process: the others wait for it and share its outcome.
 * Worker threads only. */
#pragma once
#include "redis.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stdint.h>

enum { CACHE_TTL_S = 300 }; /* at most; each entry lives up to a tenth shorter, at random */

struct cache;

/* Append the body from the database, and the generation of the same snapshot. */
typedef enum status cache_load(void *ctx, int64_t student, struct strbuf *body, int64_t *gen);

/* Off: every cache_get loads. Invalidations are sent all the same: others may have theirs on. */
struct cache *cache_new(struct redis *redis, bool on, cache_load *load, void *ctx);
void cache_free(struct cache *c); /* NULL is fine */

/* Append the body, of generation `floor` or later. `how` gets the value of a Cache-Status header
 * (RFC 9211), static. What `load` returns; TIMEOUT when the look-up of another took too long. */
enum status cache_get(struct cache *c, int64_t student, int64_t floor, struct strbuf *body,
                      const char **how);
/* A change of generation `gen` was committed. */
void cache_invalidate(struct cache *c, int64_t student, int64_t gen);

/* The far cache: orders' JSON in Redis, shared by all processes, for 30 s after they were last
 * heard of. Who puts does so with a version, and an older one never overwrites a newer one: Redis
 * compares and writes in one script. Worker threads and jobs only. */
#pragma once
#include "redis.h"
#include "snapshot.h"

/* `json` is the order at that version. Failures are those of redis_command. */
enum status status_cache_put(struct redis *r, int64_t order, int64_t version, const char *json,
                             size_t len);
/* NOT_FOUND when Redis has none. *out is the caller's reference. */
enum status status_cache_get(struct redis *r, int64_t order, struct snapshot **out);

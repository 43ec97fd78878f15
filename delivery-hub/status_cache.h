/* The far cache: orders' JSON in Redis, shared by all processes, for 30 s after they were last
 * heard of. Who puts does so with a version, and an older one never overwrites a newer one: Redis
 * compares and writes in one script. Worker threads and jobs only. */
#pragma once
#include "redis.h"
#include "snapshot.h"

/* For scripts: put(key, version, json), of the key "hub:order:" and the order's id. A hash {v:
 * version, b: bytes}, so that it need not read JSON. With empty `json` the version alone is noted:
 * there is a newer one, and it is not to be answered from here. A key of another type gives way. */
#define STATUS_CACHE_PUT                                                                           \
    "local function put(key, version, json)\n"                                                     \
    "if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end\n"                    \
    "local had = tonumber(redis.call('HGET', key, 'v')) or 0\n"                                    \
    "if had > tonumber(version) then return 0 end\n"                                               \
    "redis.call('HSET', key, 'v', version, 'b', json)\n"                                           \
    "redis.call('PEXPIRE', key, 30000)\n"                                                          \
    "return 1\nend\n"

/* `json` is the order at that version. Failures are those of redis_command. */
enum status status_cache_put(struct redis *r, int64_t order, int64_t version, const char *json,
                             size_t len);
/* NOT_FOUND when Redis has none. *out is the caller's reference. */
enum status status_cache_get(struct redis *r, int64_t order, struct snapshot **out);

#include "status_cache.h"

#define KEY "hub:order:%lld"

static const char put_script[] = STATUS_CACHE_PUT "return put(KEYS[1], ARGV[1], ARGV[2])";

enum status status_cache_put(struct redis *r, int64_t order, int64_t version, const char *json,
                             size_t len)
{
    return redis_command(r, NULL, "EVAL %s 1 " KEY " %lld %b", put_script, (long long)order,
                         (long long)version, json, len);
}

enum status status_cache_get(struct redis *r, int64_t order, struct snapshot **out)
{
    struct redis_reply *reply;
    size_t len;
    *out = NULL;
    enum status st = redis_command(r, &reply, "HGET " KEY " b", (long long)order);
    const char *json = redis_str(reply, &len);
    if (!st && json)
        *out = snapshot_parse(json, len);
    redis_reply_free(reply);
    return st || *out ? st : STATUS_NOT_FOUND;
}

/* Inside of the Redis client: where the server is, and a new connection to it. */
#pragma once
#include "redis.h"
#include "url.h"

struct redisContext;

struct redis_address {
    char host[256];
    uint16_t port;
    char user[128], password[512]; /* "" for none */
    unsigned database;
    unsigned timeout_ms;
};

/* As redis_new says. */
enum status redis_address_parse(const struct redis_options *options, struct redis_address *out,
                                struct strbuf *why);
/* Connect, authenticate, select, PING; blocks at most the time-out for each. NULL with the reason
 * in `why` unless the server answered all of it as it should. */
struct redisContext *redis_dial(const struct redis_address *address, struct strbuf *why);

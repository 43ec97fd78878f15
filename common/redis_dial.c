#include "redis_dial.h"
#include "secret.h"
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 500, PORT = 6379, DATABASE_MAX = 65535 };

/* "" or "/" is database 0. */
static bool parse_database(const char *path, unsigned *out)
{
    *out = 0;
    for (const char *c = path + (*path == '/'); *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        *out = *out * 10 + (unsigned)(*c - '0');
        if (*out > DATABASE_MAX)
            return false;
    }
    return true;
}

static const char *read_url(const struct url *url, struct redis_address *out)
{
    if (strcmp(url->scheme, "rediss") == 0)
        return "rediss: no TLS here (hiredis does not check the server's name); use a tunnel";
    if (strcmp(url->scheme, "redis") != 0)
        return "a Redis URL begins with redis://";
    if (!url->host[0])
        return "the Redis URL has no host";
    if (!parse_database(url->path, &out->database))
        return "the Redis URL's database is no number";
    if (url->user[0] && !url->password[0])
        return "the Redis URL has a user but no password (redis://:password@host for no user)";
    if (url->param_count)
        return "the Redis URL has parameters";
    memcpy(out->host, url->host, sizeof(out->host));
    memcpy(out->user, url->user, sizeof(out->user));
    memcpy(out->password, url->password, sizeof(out->password));
    out->port = url->port ? url->port : PORT;
    return NULL;
}

enum status redis_address_parse(const struct redis_options *options, struct redis_address *out,
                                struct strbuf *why)
{
    struct url url;
    *out = (struct redis_address){0};
    enum status st = url_parse(options->url, &url, why);
    const char *wrong = st == STATUS_OK ? read_url(&url, out) : NULL;
    secret_wipe(&url, sizeof(url));
    out->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    if (!wrong)
        return st;
    strbuf_addstr(why, wrong);
    return STATUS_UNPROCESSABLE;
}

/* Send a command and want a status for an answer ("+OK", "+PONG"). Frees `command`. */
static bool ask(redisContext *c, const char *what, char *command, int len, struct strbuf *why)
{
    redisReply *reply = NULL;
    if (len >= 0 && redisAppendFormattedCommand(c, command, (size_t)len) == REDIS_OK)
        redisGetReply(c, (void **)&reply);
    if (len >= 0) {
        secret_wipe(command, (size_t)len);
        redisFreeCommand(command);
    }
    bool good = reply && reply->type == REDIS_REPLY_STATUS;
    if (!good)
        strbuf_addf(why, "%s: %s", what,
                    reply && reply->type == REDIS_REPLY_ERROR ? reply->str
                    : c->err                                  ? c->errstr
                                                              : "not Redis");
    freeReplyObject(reply);
    return good;
}

static bool greet(redisContext *c, const struct redis_address *a, struct strbuf *why)
{
    char *command = NULL;
    int len;
    if (a->password[0]) {
        len = a->user[0] ? redisFormatCommand(&command, "AUTH %s %s", a->user, a->password)
                         : redisFormatCommand(&command, "AUTH %s", a->password);
        if (!ask(c, "AUTH", command, len, why))
            return false;
    }
    if (a->database) {
        len = redisFormatCommand(&command, "SELECT %u", a->database);
        if (!ask(c, "SELECT", command, len, why))
            return false;
    }
    len = redisFormatCommand(&command, "PING");
    return ask(c, "PING", command, len, why);
}

struct redisContext *redis_dial(const struct redis_address *a, struct strbuf *why)
{
    struct timeval timeout = {a->timeout_ms / 1000, (a->timeout_ms % 1000) * 1000L};
    redisContext *c = redisConnectWithTimeout(a->host, a->port, timeout);
    if (c && !c->err && redisSetTimeout(c, timeout) == REDIS_OK && greet(c, a, why))
        return c;
    if (why->len == 0)
        strbuf_addf(why, "connect: %s", c ? c->errstr : "out of memory");
    redisFree(c);
    return NULL;
}

#include "redis.h"
#include "log.h"
#include "pool.h"
#include "redis_dial.h"
#include "secret.h"
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 8, RETRY_MS = 500, WATCH_MS = 1000 };

struct redis {
    struct redis_address address;
    struct pool *pool;
};

/* --- connections ----------------------------------------------------------------------------- */

static void *dial(void *ctx, struct strbuf *why)
{
    return redis_dial(&((struct redis *)ctx)->address, why);
}

static bool check(void *conn, struct strbuf *why)
{
    redisContext *c = conn;
    redisReply *reply = redisCommand(c, "PING");
    bool well = reply && reply->type == REDIS_REPLY_STATUS;
    if (!well)
        strbuf_addf(why, "PING: %s", reply && reply->str ? reply->str : c->errstr);
    freeReplyObject(reply);
    return well;
}

static int descriptor(void *conn)
{
    return ((redisContext *)conn)->fd;
}

static void hang_up(void *conn)
{
    redisFree(conn);
}

static const struct pool_ops ops = {"redis", dial, dial, check, descriptor, hang_up};

enum status redis_new(const struct redis_options *options, struct redis **out, struct strbuf *why)
{
    struct redis *r = xcalloc(1, sizeof(*r));
    *out = NULL;
    enum status st = redis_address_parse(options, &r->address, why);
    if (st != STATUS_OK) {
        free(r);
        return st;
    }
    r->pool = pool_new(&ops, r,
                       &(struct pool_options){
                           .connections_max = options->connections_max ? options->connections_max
                                                                       : CONNECTIONS_MAX,
                           .wait_ms = r->address.timeout_ms,
                           .retry_ms = RETRY_MS,
                           .watch_ms = WATCH_MS,
                           /* So that a command whose fate is unknown always ends its epoch. */
                           .broken_opens_circuit = true,
                       });
    *out = r;
    return STATUS_OK;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    pool_free(r->pool);
    secret_wipe(&r->address, sizeof(r->address));
    free(r);
}

bool redis_health(void *redis, struct strbuf *why)
{
    return pool_health(((struct redis *)redis)->pool, why);
}

uint64_t redis_epoch(const struct redis *r)
{
    return pool_epoch(r->pool);
}

/* --- commands -------------------------------------------------------------------------------- */

/* Error replies that say "not now" rather than "not so", and whether another connection (the
 * address may lead to another server by now) could fare better. */
static const struct refusal {
    const char *code; /* the reply's first word */
    bool reconnect;
} refusals[] = {
    {"LOADING", false},   {"BUSY", false},        {"OOM", false},
    {"MISCONF", false},   {"NOREPLICAS", false},  {"TRYAGAIN", false},
    {"MASTERDOWN", true}, {"CLUSTERDOWN", false}, {"READONLY", true},
};

static const struct refusal *find_refusal(const char *error)
{
    size_t len = strcspn(error, " ");
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strlen(refusals[i].code) == len && memcmp(refusals[i].code, error, len) == 0)
            return &refusals[i];
    return NULL;
}

/* Run the formatted command. *broken: the connection cannot be used any more. */
static enum status run(redisContext *c, const char *command, size_t len, redisReply **out,
                       const char **broken)
{
    redisReply *reply = NULL;
    if (redisAppendFormattedCommand(c, command, len) != REDIS_OK ||
        redisGetReply(c, (void **)&reply) != REDIS_OK) {
        *broken = c->errstr;
        return STATUS_UNAVAILABLE;
    }
    if (reply->type != REDIS_REPLY_ERROR) {
        *out = reply;
        return STATUS_OK;
    }
    const struct refusal *refusal = find_refusal(reply->str);
    log_error("redis_refused", F("error", reply->str));
    freeReplyObject(reply);
    if (!refusal)
        return STATUS_INTERNAL;
    *broken = refusal->reconnect ? refusal->code : NULL;
    return STATUS_UNAVAILABLE;
}

/* On a connection of the pool, of that epoch unless it is 0. Frees `command`. */
static enum status run_on_pool(struct redis *r, uint64_t wanted, struct redis_reply **out,
                               char *command, int len)
{
    void *conn;
    uint64_t epoch;
    redisReply *reply = NULL;
    const char *broken = NULL;
    enum status st = pool_take(r->pool, &conn, &epoch);
    if (st == STATUS_OK) {
        st = wanted && wanted != epoch ? STATUS_UNAVAILABLE
                                       : run(conn, command, (size_t)len, &reply, &broken);
        pool_give(r->pool, conn, epoch, broken);
    }
    redisFreeCommand(command);
    if (out)
        *out = (struct redis_reply *)reply;
    else
        freeReplyObject(reply);
    return st;
}

enum status redis_command(struct redis *r, struct redis_reply **out, const char *fmt, ...)
{
    char *command = NULL;
    va_list ap;
    va_start(ap, fmt);
    int len = redisvFormatCommand(&command, fmt, ap);
    va_end(ap);
    if (out)
        *out = NULL;
    if (len < 0) {
        log_error("redis_bad_format", F("format", fmt));
        return STATUS_INTERNAL;
    }
    return run_on_pool(r, 0, out, command, len);
}

enum status redis_command_argv(struct redis *r, uint64_t epoch, struct redis_reply **out, int argc,
                               const char **argv, const size_t *lengths)
{
    char *command = NULL;
    int len = (int)redisFormatCommandArgv(&command, argc, argv, lengths);
    if (out)
        *out = NULL;
    return len < 0 ? STATUS_INTERNAL : run_on_pool(r, epoch, out, command, len);
}

/* --- replies --------------------------------------------------------------------------------- */

static const redisReply *inside(const struct redis_reply *reply)
{
    return (const redisReply *)reply;
}

void redis_reply_free(struct redis_reply *reply)
{
    freeReplyObject(reply);
}

bool redis_is_nil(const struct redis_reply *reply)
{
    return !reply || inside(reply)->type == REDIS_REPLY_NIL;
}

int64_t redis_int(const struct redis_reply *reply)
{
    return reply && inside(reply)->type == REDIS_REPLY_INTEGER ? inside(reply)->integer : 0;
}

const char *redis_str(const struct redis_reply *reply, size_t *len)
{
    const redisReply *r = inside(reply);
    bool text = r && (r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS);
    if (len)
        *len = text ? r->len : 0;
    return text ? r->str : NULL;
}

size_t redis_count(const struct redis_reply *reply)
{
    return reply && inside(reply)->type == REDIS_REPLY_ARRAY ? inside(reply)->elements : 0;
}

const struct redis_reply *redis_at(const struct redis_reply *reply, size_t i)
{
    return i < redis_count(reply) ? (const struct redis_reply *)inside(reply)->element[i] : NULL;
}

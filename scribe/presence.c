#include "presence.h"
#include "redis.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 16384 };

struct presence {
    struct redis *redis;
    struct workers *worker; /* one thread: EVAL blocks */
    struct mailbox *mailbox;
};

struct errand {
    struct presence *presence;
    struct presence_query *query;
};

/* By Redis' own clock, since those of the servers may differ. */
static const char script[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local here, limit, ttl, names = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]\n"
    "redis.call('ZREMRANGEBYSCORE', here, '-inf', now)\n"
    "for i = 4, #ARGV do\n"
    "  if limit > 0 and not redis.call('ZSCORE', here, ARGV[i])\n"
    "      and redis.call('ZCARD', here) >= limit then\n"
    "    return {1, redis.call('ZCARD', here), {}}\n"
    "  end\n"
    "  redis.call('ZADD', here, now + ttl, ARGV[i])\n"
    "end\n"
    "redis.call('PEXPIRE', here, ttl)\n"
    "return {0, redis.call('ZCARD', here), redis.call('ZRANGE', here, 0, names - 1)}\n";

struct presence_query *presence_query_new(const char *room,
                                          void (*answer)(void *ctx, struct mail *m))
{
    struct presence_query *q = xcalloc(1, sizeof(*q));
    q->mail.open = answer;
    snprintf(q->room, sizeof(q->room), "%s", room);
    return q;
}

void presence_query_free(struct presence_query *q)
{
    free(q->users);
    free(q);
}

static void take_answer(struct presence_query *q, const struct redis_reply *reply)
{
    const struct redis_reply *names = redis_at(reply, 2);
    q->full = redis_int(redis_at(reply, 0)) != 0;
    q->count = (size_t)redis_int(redis_at(reply, 1));
    q->user_count = redis_count(names);
    free(q->users);
    q->users = xcalloc(q->user_count + 1, sizeof(q->users[0]));
    for (size_t i = 0; i < q->user_count; i++)
        snprintf(q->users[i], sizeof(q->users[i]), "%s", redis_str(redis_at(names, i), NULL));
}

/* EVAL script 1 key limit ttl names user ... */
static enum status evaluate(struct redis *redis, const struct presence_query *q,
                            struct redis_reply **reply)
{
    char key[32 + NAME_MAX_LEN], limit[24], ttl[24], names[24];
    const char *const fixed[] = {"EVAL", script, "1", key, limit, ttl, names};
    size_t fixed_count = sizeof(fixed) / sizeof(fixed[0]), argc = fixed_count + q->user_count;
    const char **argv = xcalloc(argc, sizeof(argv[0]));
    size_t *lengths = xcalloc(argc, sizeof(lengths[0]));
    snprintf(key, sizeof(key), "scribe:here:%s", q->room);
    snprintf(limit, sizeof(limit), "%zu", q->limit);
    snprintf(ttl, sizeof(ttl), "%d", PRESENCE_TTL_MS);
    snprintf(names, sizeof(names), "%d", PRESENCE_NAMES);
    for (size_t i = 0; i < argc; i++) {
        argv[i] = i < fixed_count ? fixed[i] : q->users[i - fixed_count];
        lengths[i] = strlen(argv[i]);
    }
    enum status status = redis_command_argv(redis, 0, reply, (int)argc, argv, lengths);
    free(argv);
    free(lengths);
    return status;
}

static void run(void *arg)
{
    struct errand *errand = arg;
    struct presence_query *q = errand->query;
    struct redis_reply *reply = NULL;
    q->status = evaluate(errand->presence->redis, q, &reply);
    if (q->status == STATUS_OK)
        take_answer(q, reply);
    redis_reply_free(reply);
    mailbox_put(errand->presence->mailbox, &q->mail);
    free(errand);
}

enum status presence_new(const char *url, struct mailbox *mailbox, struct presence **out,
                         struct strbuf *why)
{
    *out = NULL;
    if (*url == '\0')
        return STATUS_OK;
    struct presence *p = xcalloc(1, sizeof(*p));
    const struct redis_options options = {.url = url, .connections_max = 1};
    enum status status = redis_new(&options, &p->redis, why);
    if (status != STATUS_OK) {
        free(p);
        return status;
    }
    p->mailbox = mailbox;
    p->worker = workers_new("presence", 1, QUEUE_MAX);
    *out = p;
    return STATUS_OK;
}

void presence_free(struct presence *p)
{
    if (!p)
        return;
    workers_free(p->worker);
    redis_free(p->redis);
    free(p);
}

void presence_ask(struct presence *p, struct mailbox *mailbox, struct presence_query *q)
{
    struct errand *errand = NULL;
    enum status status = STATUS_UNAVAILABLE;
    if (p) {
        errand = xmalloc(sizeof(*errand));
        *errand = (struct errand){p, q};
        status = workers_submit(p->worker, run, errand);
    }
    if (status == STATUS_OK)
        return; /* the query is the worker's, and may be gone */
    free(errand);
    q->status = status;
    mailbox_put(mailbox, &q->mail);
}

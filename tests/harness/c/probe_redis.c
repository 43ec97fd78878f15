/* Drives common/redis. usage: probe_redis URL [connections=N] [timeout_ms=N] */
#include "probe.h"
#include "redis.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct redis_options options;
    struct redis *redis;
    struct redis_subscriber *subscriber;
    json_t *blow; /* the command of a hammer */
    pthread_mutex_t lock;
    json_t *events; /* since they were asked for */
};

static json_t *json_of(const struct redis_reply *reply)
{
    size_t len;
    const char *text = redis_str(reply, &len);
    if (text)
        return probe_bytes(text, len);
    if (redis_is_nil(reply))
        return json_null();
    if (redis_count(reply) == 0)
        return json_integer(redis_int(reply));
    json_t *list = json_array();
    for (size_t i = 0; i < redis_count(reply); i++)
        json_array_append_new(list, json_of(redis_at(reply, i)));
    return list;
}

/* Run args[first] and on, one to six words. */
static enum status command(struct session *s, json_t *args, size_t first, struct redis_reply **out)
{
    static const char all[] = "%b %b %b %b %b %b";
    const char *w[6] = {0};
    size_t n[6] = {0}, count = json_array_size(args) - first;
    for (size_t i = 0; i < count && i < 6; i++) {
        w[i] = json_string_value(json_array_get(args, i + first));
        n[i] = json_string_length(json_array_get(args, i + first));
    }
    return redis_command(s->redis, out, &all[sizeof(all) - 3 * count], w[0], n[0], w[1], n[1], w[2],
                         n[2], w[3], n[3], w[4], n[4], w[5], n[5]);
}

/* ["command", word...] */
static json_t *run_command(void *ctx, json_t *args)
{
    struct redis_reply *reply;
    enum status st = command(ctx, args, 1, &reply);
    json_t *answer = json_pack("{s:s, s:o}", "status", status_slug(st), "reply", json_of(reply));
    redis_reply_free(reply);
    return answer;
}

/* A format that hiredis refuses. */
static json_t *run_misuse(void *ctx, json_t *args)
{
    struct session *s = ctx;
    (void)args;
    return probe_status(redis_command(s->redis, NULL, "GET %y", 1));
}

static json_t *run_health(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct strbuf why = STRBUF_INIT;
    (void)args;
    bool well = redis_health(s->redis, &why);
    json_t *answer = json_pack("{s:b, s:s, s:I}", "well", well, "why", strbuf_cstr(&why), "epoch",
                               (json_int_t)redis_epoch(s->redis));
    strbuf_release(&why);
    return answer;
}

static enum status strike(void *ctx)
{
    struct session *s = ctx;
    return command(s, s->blow, 3, NULL);
}

/* ["hammer", threads, ms, word...] */
static json_t *run_hammer(void *ctx, json_t *args)
{
    struct session *s = ctx;
    s->blow = args;
    return probe_hammer((size_t)json_integer_value(json_array_get(args, 1)),
                        json_integer_value(json_array_get(args, 2)), strike, ctx);
}

/* --- subscriber ------------------------------------------------------------------------------ */

static void note(struct session *s, json_t *event)
{
    pthread_mutex_lock(&s->lock);
    json_array_append_new(s->events, event);
    pthread_mutex_unlock(&s->lock);
}

static void on_message(void *ctx, const char *channel, const char *bytes, size_t len)
{
    note(ctx, json_pack("[s, s, o]", "message", channel, probe_bytes(bytes, len)));
}

static void on_state(void *ctx, bool up)
{
    note(ctx, json_pack("[s]", up ? "up" : "down"));
}

static void on_subscribed(void *ctx, const char *channel)
{
    note(ctx, json_pack("[s, s]", "subscribed", channel));
}

static json_t *run_listen(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct strbuf why = STRBUF_INIT;
    struct redis_subscriber_events events = {on_message, on_state, on_subscribed, s};
    (void)args;
    enum status st = redis_subscriber_new(&s->options, &events, &s->subscriber, &why);
    strbuf_release(&why);
    return probe_status(st);
}

/* ["subscribe", channel...] and ["unsubscribe", channel...] */
static json_t *run_subscribe(void *ctx, json_t *args)
{
    struct session *s = ctx;
    bool subscribe = strcmp(json_string_value(json_array_get(args, 0)), "subscribe") == 0;
    for (size_t i = 1; i < json_array_size(args); i++) {
        const char *channel = json_string_value(json_array_get(args, i));
        if (subscribe)
            redis_subscribe(s->subscriber, channel);
        else
            redis_unsubscribe(s->subscriber, channel);
    }
    return probe_status(STATUS_OK);
}

/* The events since the last ["events"], and whether the subscriber is up. */
static json_t *run_events(void *ctx, json_t *args)
{
    struct session *s = ctx;
    (void)args;
    pthread_mutex_lock(&s->lock);
    json_t *events = s->events;
    s->events = json_array();
    pthread_mutex_unlock(&s->lock);
    return json_pack("{s:o, s:b}", "events", events, "up", redis_subscriber_up(s->subscriber));
}

/* A thread's turn at adding and dropping channels. */
static enum status toggle(void *ctx)
{
    struct session *s = ctx;
    char name[32];
    snprintf(name, sizeof(name), "toggle-%d", rand() % 50);
    if (rand() % 2)
        redis_subscribe(s->subscriber, name);
    else
        redis_unsubscribe(s->subscriber, name);
    return STATUS_OK;
}

/* ["toggle", threads, ms] */
static json_t *run_toggle(void *ctx, json_t *args)
{
    return probe_hammer((size_t)json_integer_value(json_array_get(args, 1)),
                        json_integer_value(json_array_get(args, 2)), toggle, ctx);
}

static json_t *run_deafen(void *ctx, json_t *args)
{
    struct session *s = ctx;
    (void)args;
    redis_subscriber_free(s->subscriber);
    s->subscriber = NULL;
    return probe_status(STATUS_OK);
}

static const struct probe_command commands[] = {
    {"command", run_command},     {"misuse", run_misuse},         {"health", run_health},
    {"hammer", run_hammer},       {"listen", run_listen},         {"deafen", run_deafen},
    {"subscribe", run_subscribe}, {"unsubscribe", run_subscribe}, {"events", run_events},
    {"toggle", run_toggle},
};

int main(int argc, char **argv)
{
    struct session s = {.events = json_array(), .lock = PTHREAD_MUTEX_INITIALIZER};
    struct strbuf why = STRBUF_INIT;
    signal(SIGPIPE, SIG_IGN);
    s.options = (struct redis_options){
        .url = argv[1],
        .connections_max = probe_number(argc, argv, "connections"),
        .timeout_ms = probe_number(argc, argv, "timeout_ms"),
    };
    enum status st = redis_new(&s.options, &s.redis, &why);
    probe_answer(json_pack("{s:s, s:s}", "status", status_slug(st), "why", strbuf_cstr(&why)));
    strbuf_release(&why);
    if (st == STATUS_OK)
        probe_serve(commands, sizeof(commands) / sizeof(commands[0]), &s);
    redis_subscriber_free(s.subscriber);
    redis_free(s.redis);
    json_decref(s.events);
    return 0;
}

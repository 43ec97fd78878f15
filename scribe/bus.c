#include "bus.h"
#include "log.h"
#include "metrics.h"
#include "protocol.h"
#include "redis.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 4096 };
#define PREFIX "scribe:room:"

struct bus {
    struct bus_events events;
    struct redis *redis;
    struct redis_subscriber *subscriber;
    struct workers *publisher; /* one thread: PUBLISH blocks */
    struct metric *lost;
};

struct publication {
    struct bus *bus;
    char channel[sizeof(PREFIX) + NAME_MAX_LEN];
    size_t len;
    char bytes[]; /* seq, blank, JSON */
};

static void channel_of(char out[sizeof(PREFIX) + NAME_MAX_LEN], const char *room)
{
    snprintf(out, sizeof(PREFIX) + NAME_MAX_LEN, PREFIX "%s", room);
}

static void on_message(void *ctx, const char *channel, const char *bytes, size_t len)
{
    struct bus *bus = ctx;
    char *blank;
    long long seq = strtoll(bytes, &blank, 10);
    if (seq < 1 || *blank != ' ') {
        log_warn("bus_message_unreadable", F("channel", channel));
        return;
    }
    const char *json = blank + 1;
    bus->events.message(bus->events.ctx, channel + strlen(PREFIX), seq, json,
                        len - (size_t)(json - bytes));
}

static void on_state(void *ctx, bool up)
{
    struct bus *bus = ctx;
    bus->events.up(bus->events.ctx, up);
}

static void on_subscribed(void *ctx, const char *channel)
{
    struct bus *bus = ctx;
    bus->events.subscribed(bus->events.ctx, channel + strlen(PREFIX));
}

enum status bus_new(const char *url, const struct bus_events *events, struct bus **out,
                    struct strbuf *why)
{
    *out = NULL;
    if (*url == '\0')
        return STATUS_OK;
    struct bus *bus = xcalloc(1, sizeof(*bus));
    bus->events = *events;
    bus->lost = metric_counter("scribe_bus_lost_total", "", "Messages that were not published.");
    const struct redis_options options = {.url = url, .connections_max = 1};
    const struct redis_subscriber_events hooks = {on_message, on_state, on_subscribed, bus};
    enum status status = redis_new(&options, &bus->redis, why);
    if (status == STATUS_OK)
        status = redis_subscriber_new(&options, &hooks, &bus->subscriber, why);
    if (status != STATUS_OK) {
        redis_free(bus->redis);
        free(bus);
        return status;
    }
    bus->publisher = workers_new("bus", 1, QUEUE_MAX);
    *out = bus;
    return STATUS_OK;
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    workers_free(bus->publisher);
    redis_subscriber_free(bus->subscriber);
    redis_free(bus->redis);
    free(bus);
}

static void publish(void *arg)
{
    struct publication *p = arg;
    if (redis_command(p->bus->redis, NULL, "PUBLISH %s %b", p->channel, p->bytes, p->len) !=
        STATUS_OK)
        metric_add(p->bus->lost, 1);
    free(p);
}

void bus_publish(struct bus *bus, const char *room, int64_t seq, const char *json, size_t len)
{
    if (!bus)
        return;
    char number[24];
    size_t number_len = (size_t)snprintf(number, sizeof(number), "%lld ", (long long)seq);
    struct publication *p = xmalloc(sizeof(*p) + number_len + len);
    p->bus = bus;
    channel_of(p->channel, room);
    p->len = number_len + len;
    memcpy(p->bytes, number, number_len);
    memcpy(p->bytes + number_len, json, len);
    if (workers_submit(bus->publisher, publish, p) == STATUS_OK)
        return;
    metric_add(bus->lost, 1);
    free(p);
}

void bus_subscribe(struct bus *bus, const char *room)
{
    char channel[sizeof(PREFIX) + NAME_MAX_LEN];
    channel_of(channel, room);
    if (bus)
        redis_subscribe(bus->subscriber, channel);
}

void bus_unsubscribe(struct bus *bus, const char *room)
{
    char channel[sizeof(PREFIX) + NAME_MAX_LEN];
    channel_of(channel, room);
    if (bus)
        redis_unsubscribe(bus->subscriber, channel);
}

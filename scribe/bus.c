#include "bus.h"
#include "log.h"
#include "metrics.h"
#include "protocol.h"
#include "redis.h"
#include "secret.h"
#include "workers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 4096, PREFIX_LEN = 12, CHANNEL_SIZE = PREFIX_LEN + NAME_MAX_LEN + 1 };

/* A payload is the letter, the number, a blank, the bytes. */
static const struct {
    char letter;
    const char *prefix; /* of the channel */
    bool from_others;   /* the number says which server it is from */
} kinds[BUS_KINDS] = {
    [BUS_MESSAGE] = {'m', "scribe:room:", false},
    [BUS_MEMBERS] = {'v', "scribe:room:", false},
    [BUS_TYPING] = {'t', "scribe:room:", true},
    [BUS_USER] = {'u', "scribe:user:", true},
};

struct bus {
    struct bus_events events;
    int64_t self; /* random: which server this is */
    struct redis *redis;
    struct redis_subscriber *subscriber;
    struct workers *publisher; /* one thread: PUBLISH blocks */
    struct metric *lost;
};

struct publication {
    struct bus *bus;
    char channel[CHANNEL_SIZE];
    size_t len;
    char bytes[];
};

static void channel_of(char out[CHANNEL_SIZE], enum bus_kind kind, const char *name)
{
    snprintf(out, CHANNEL_SIZE, "%s%s", kinds[kind].prefix, name);
}

static bool read_event(const char *channel, const char *bytes, size_t len, struct bus_event *e)
{
    char *blank;
    size_t kind = 0;
    while (kind < BUS_KINDS && (len == 0 || kinds[kind].letter != bytes[0] ||
                                strncmp(channel, kinds[kind].prefix, PREFIX_LEN) != 0))
        kind++;
    if (kind == BUS_KINDS)
        return false;
    long long number = strtoll(bytes + 1, &blank, 10);
    if (number < 1 || *blank != ' ')
        return false;
    *e = (struct bus_event){(enum bus_kind)kind, channel + PREFIX_LEN, number, blank + 1,
                            len - (size_t)(blank + 1 - bytes)};
    return true;
}

static void on_message(void *ctx, const char *channel, const char *bytes, size_t len)
{
    struct bus *bus = ctx;
    struct bus_event e;
    if (!read_event(channel, bytes, len, &e))
        log_warn("bus_message_unreadable", F("channel", channel));
    else if (!kinds[e.kind].from_others || e.number != bus->self)
        bus->events.event(bus->events.ctx, &e);
}

static void on_state(void *ctx, bool up)
{
    struct bus *bus = ctx;
    bus->events.up(bus->events.ctx, up);
}

static void on_subscribed(void *ctx, const char *channel)
{
    struct bus *bus = ctx;
    if (strncmp(channel, kinds[BUS_MESSAGE].prefix, PREFIX_LEN) == 0)
        bus->events.subscribed(bus->events.ctx, channel + PREFIX_LEN);
}

enum status bus_new(const char *url, const struct bus_events *events, struct bus **out,
                    struct strbuf *why)
{
    *out = NULL;
    if (*url == '\0')
        return STATUS_OK;
    struct bus *bus = xcalloc(1, sizeof(*bus));
    bus->events = *events;
    secret_random(&bus->self, sizeof(bus->self));
    bus->self = (bus->self & (SEQ_MAX - 1)) | 1;
    bus->lost = metric_counter("scribe_bus_lost_total", "", "Events that were not published.");
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

void bus_publish(struct bus *bus, const struct bus_event *e)
{
    if (!bus)
        return;
    char head[32];
    long long number = kinds[e->kind].from_others ? bus->self : e->number;
    size_t head_len =
        (size_t)snprintf(head, sizeof(head), "%c%lld ", kinds[e->kind].letter, number);
    struct publication *p = xmalloc(sizeof(*p) + head_len + e->len);
    p->bus = bus;
    channel_of(p->channel, e->kind, e->name);
    p->len = head_len + e->len;
    memcpy(p->bytes, head, head_len);
    if (e->len > 0)
        memcpy(p->bytes + head_len, e->bytes, e->len);
    if (workers_submit(bus->publisher, publish, p) == STATUS_OK)
        return;
    metric_add(bus->lost, 1);
    free(p);
}

void bus_subscribe(struct bus *bus, enum bus_kind kind, const char *name)
{
    char channel[CHANNEL_SIZE];
    channel_of(channel, kind, name);
    if (bus)
        redis_subscribe(bus->subscriber, channel);
}

void bus_unsubscribe(struct bus *bus, enum bus_kind kind, const char *name)
{
    char channel[CHANNEL_SIZE];
    channel_of(channel, kind, name);
    if (bus)
        redis_unsubscribe(bus->subscriber, channel);
}

#include "chat_internal.h"
#include "clock.h"
#include "json.h"
#include "secret.h"
#include <stdlib.h>

enum { CLOSING_MS = 2000, GAUGES_MS = 1000 };

/* --- time ----------------------------------------------------------------------------------- */

static void say_goodbye(struct chat *c, struct session *s)
{
    uint16_t random;
    secret_random(&random, sizeof(random));
    /* Spread, so that the servers that stay can take everybody in. */
    json_int_t after_ms = 200 + random % (1000 + (int)c->session_count);
    session_reply(s, frame_json("{s:s s:s s:I}", "type", "goodbye", "reason", "draining",
                                "reconnect_after_ms", after_ms));
    session_end(s, CLOSE_GOING_AWAY, "draining");
}

static void check(struct chat *c, struct session *s, int64_t now, void (*overdue)(struct session *))
{
    if (s->close_code) {
        if (now - s->closing_ms > CLOSING_MS)
            overdue(s);
    } else if (s->count > 0 && now - s->took_ms > c->options.slow_ms)
        session_abandon(s, CLOSE_POLICY, "slow_consumer");
    else if (!s->user[0] && now - s->opened_ms > c->options.hello_ms)
        session_end(s, CLOSE_POLICY, "hello_timeout");
    else if (s->user[0] && clock_unix_ms() / 1000 >= s->expires_s)
        session_end(s, CLOSE_POLICY, "token_expired");
    else if (c->draining && s->pending == 0)
        say_goodbye(c, s);
}

static void set_gauges(struct chat *c, int64_t now)
{
    size_t bytes = 0;
    if (now < c->gauges_at)
        return;
    for (const struct session *s = c->sessions; s; s = s->next)
        bytes += s->bytes;
    metric_set(c->metrics.queue_bytes, (int64_t)bytes);
    metric_set(c->metrics.connections, (int64_t)c->session_count);
    metric_set(c->metrics.rooms, (int64_t)rooms_count(c->rooms));
    metric_set(c->metrics.behind, (int64_t)rooms_behind(c->rooms));
    metric_add(c->metrics.deliveries,
               (int64_t)rooms_deliveries(c->rooms) - metric_value(c->metrics.deliveries));
    c->gauges_at = now + GAUGES_MS;
}

void chat_tick(struct chat *c, void (*overdue)(struct session *s))
{
    int64_t now = clock_mono_ms();
    chat_wake(c);
    for (struct session *s = c->sessions, *next; s; s = next) {
        next = s->next;
        check(c, s, now, overdue);
    }
    rooms_pull(c->rooms);
    chat_poll_heads(c, now);
    chat_presence_tick(c, now);
    set_gauges(c, now);
}

void chat_wake(struct chat *c)
{
    mailbox_open(&c->mailbox, c);
}

void chat_set_wake(struct chat *c, void (*wake)(void *ctx), void *ctx)
{
    mailbox_set_wake(&c->mailbox, wake, ctx);
}

void chat_drain(struct chat *c)
{
    c->draining = true;
}

/* --- sessions ------------------------------------------------------------------------------- */

struct session *chat_open(struct chat *c, void *transport, void (*wake)(struct session *s))
{
    struct session *s = session_new(c->options.queue_bytes, transport, wake);
    s->next = c->sessions;
    if (s->next)
        s->next->prev = s;
    c->sessions = s;
    c->session_count++;
    return s;
}

void chat_close(struct chat *c, struct session *s)
{
    while (s->members)
        room_leave(c->rooms, s->members);
    users_drop(c->users, s);
    *(s->prev ? &s->prev->next : &c->sessions) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    c->session_count--;
    s->transport = NULL;
    session_abandon(s, CLOSE_GOING_AWAY, "gone");
    session_unref(s);
}

void chat_drained(struct chat *c, struct session *s)
{
    session_pull(c->rooms, s);
}

bool chat_writing(const struct chat *c)
{
    return history_writing(c->history);
}

size_t chat_sessions(const struct chat *c)
{
    return c->session_count;
}

bool chat_health(void *chat, struct strbuf *why)
{
    const struct chat *c = chat;
    return history_health(c->history, why);
}

/* --- begin and end -------------------------------------------------------------------------- */

static void add_metrics(struct chat *c)
{
    const struct {
        struct metric **into;
        struct metric *(*add)(const char *, const char *, const char *);
        const char *name, *help;
    } all[] = {
        {&c->metrics.connections, metric_gauge, "scribe_connections", "Open WebSockets."},
        {&c->metrics.rooms, metric_gauge, "scribe_rooms", "Rooms with members on this server."},
        {&c->metrics.queue_bytes, metric_gauge, "scribe_queue_bytes", "Bytes in all queues."},
        {&c->metrics.behind, metric_gauge, "scribe_members_behind",
         "Members that owe messages which are in history."},
        {&c->metrics.bus_up, metric_gauge, "scribe_bus_up", "1: Redis brings messages."},
        {&c->metrics.acks, metric_counter, "scribe_acks_total", "Messages acknowledged."},
        {&c->metrics.nacks, metric_counter, "scribe_nacks_total", "Messages refused."},
        {&c->metrics.messages, metric_counter, "scribe_messages_total", "New messages stored."},
        {&c->metrics.deliveries, metric_counter, "scribe_deliveries_total",
         "Messages queued for members."},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        *all[i].into = all[i].add(all[i].name, "", all[i].help);
}

enum status chat_new(const struct chat_options *options, struct chat **out, struct strbuf *why)
{
    struct chat *c = xcalloc(1, sizeof(*c));
    c->options = *options;
    c->poll_ms = POLL_FAST_MS;
    mailbox_init(&c->mailbox);
    add_metrics(c);
    struct room_events room_events = chat_room_events;
    struct user_events user_events = chat_user_events;
    struct bus_events bus_events = chat_bus_events;
    room_events.ctx = user_events.ctx = bus_events.ctx = c;
    c->rooms = rooms_new(&room_events);
    c->users = users_new(&user_events);
    enum status status = history_worker_new(options->history_url, options->history_queue,
                                            &c->mailbox, &c->history, why);
    if (status == STATUS_OK)
        status = bus_new(options->redis_url, &bus_events, &c->bus, why);
    if (status == STATUS_OK)
        status = presence_new(options->redis_url, &c->mailbox, &c->presence, why);
    if (status != STATUS_OK) {
        chat_free(c);
        return status;
    }
    *out = c;
    return STATUS_OK;
}

bool chat_free(struct chat *c)
{
    if (!history_worker_free(c->history))
        return false;
    chat_wake(c); /* what was stored last is still published */
    chat_ask_claims(c);
    presence_free(c->presence);
    bus_free(c->bus);
    chat_wake(c);
    rooms_free(c->rooms);
    users_free(c->users);
    mailbox_destroy(&c->mailbox);
    free(c);
    return true;
}

#include "chat.h"
#include "bus.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "metrics.h"
#include "room.h"
#include "secret.h"
#include "token.h"
#include <stdlib.h>
#include <string.h>

enum {
    ROOMS_MAX = 100,  /* of a session */
    PENDING_MAX = 64, /* requests of a session that are with the history */
    POLL_MS = 2000,
    POLL_FAST_MS = 200, /* while the bus is down, and messages come */
    POLL_SLOW_MS = 1000,
    SLOW_MS = 30000,
    CLOSING_MS = 2000,
    GAUGES_MS = 1000,
};
enum { CLOSE_GOING_AWAY = 1001, CLOSE_POLICY = 1008 };

struct chat {
    struct chat_options options;
    struct mailbox mailbox;
    struct history_worker *history;
    struct bus *bus;
    struct rooms *rooms;
    struct session *sessions;
    size_t session_count;
    bool draining;

    bool bus_up, poll_again, poll_found;
    size_t polls; /* under way */
    int64_t poll_ms, poll_at, gauges_at;

    struct {
        struct metric *connections, *rooms, *queue_bytes, *behind, *bus_up, *acks, *nacks,
            *messages;
    } metrics;
};

/* --- replies -------------------------------------------------------------------------------- */

/* A failed send is a nack when its client can tell which one it was, all else an error. */
static void refuse(struct session *s, const struct request *r, enum status status,
                   const char *detail)
{
    bool nack = r->type == REQUEST_SEND && r->id;
    bool retryable = status_http(status) == 503 || status == STATUS_RATE_LIMITED;
    session_reply(s,
                  frame_json("{s:s s:s s:s s:b s:s* s:s* s:s*}", "type", nack ? "nack" : "error",
                             "error", status_slug(status), "detail", detail, "retryable", retryable,
                             "re", request_name(r->type), "room", r->room, "id", r->id));
}

/* Hand a session's request to the history. False: it was refused, and so told. */
static bool ask(struct chat *c, struct session *s, const struct request *r, struct job *job)
{
    enum status status = c->draining                 ? STATUS_UNAVAILABLE
                         : s->pending >= PENDING_MAX ? STATUS_RATE_LIMITED
                                                     : history_submit(c->history, job);
    if (status == STATUS_OK) {
        job->owner = session_ref(s);
        s->pending++;
        return true;
    }
    if (job->kind == JOB_APPEND)
        metric_add(c->metrics.nacks, 1);
    refuse(s, r, status, c->draining ? "the server is going away" : status_title(status));
    job_free(job);
    return false;
}

static void answered(struct job *job)
{
    struct session *s = job->owner;
    s->pending--;
    session_unref(s);
    job_free(job);
}

/* --- hello ---------------------------------------------------------------------------------- */

static void on_hello(struct chat *c, struct session *s, const struct request *r)
{
    struct token_claims claims;
    const char *key = c->options.token_key;
    if (token_verify((const uint8_t *)key, strlen(key), r->token, strlen(r->token),
                     clock_unix_ms() / 1000, &claims) != STATUS_OK ||
        !name_valid(claims.sub, NAME_MAX_LEN)) {
        refuse(s, r, STATUS_UNAUTHENTICATED, "the token is not valid or has expired");
        session_end(s, CLOSE_POLICY, "unauthenticated");
        return;
    }
    if (s->user[0] && strcmp(s->user, claims.sub) != 0) {
        refuse(s, r, STATUS_FORBIDDEN, "the token is another user's");
        return;
    }
    memcpy(s->user, claims.sub, strlen(claims.sub) + 1);
    s->expires_s = claims.exp;
    session_reply(s,
                  frame_json("{s:s s:s s:s s:I s:{s:i s:i s:i s:i}}", "type", "welcome", "user",
                             s->user, "server", c->options.server, "heartbeat_s",
                             (json_int_t)c->options.heartbeat_s, "limits", "frame_bytes", FRAME_MAX,
                             "text_bytes", TEXT_MAX, "page", PAGE_MAX, "rooms", ROOMS_MAX));
}

/* --- join and leave ------------------------------------------------------------------------- */

static const char *join_refusal(const struct session *s, const struct job *job, int64_t after,
                                enum status *status)
{
    *status = job->status;
    if (job->status != STATUS_OK)
        return status_title(job->status);
    *status = STATUS_CONFLICT;
    if (room_member(s, job->room))
        return "already in this room";
    if (s->member_count >= ROOMS_MAX)
        return "in too many rooms";
    *status = STATUS_UNPROCESSABLE;
    return after > job->head ? "after is above the room's head" : NULL;
}

static void joined(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct session *s = job->owner;
    struct room *room = room_find(c->rooms, job->room);
    const struct request r = {.type = REQUEST_JOIN, .room = job->room};
    int64_t newcomer = job->head > NEWCOMER_PAGE ? job->head - NEWCOMER_PAGE : 0;
    int64_t after = job->after >= 0 ? job->after : newcomer;
    enum status status;
    const char *refusal = join_refusal(s, job, after, &status);
    if (refusal)
        refuse(s, &r, status, refusal);
    else if (s->transport) {
        session_reply(s,
                      frame_json("{s:s s:s s:I s:I s:I}", "type", "joined", "room", job->room,
                                 "head", (json_int_t)job->head, "marker", (json_int_t)job->marker,
                                 "unread", (json_int_t)(job->head - job->marker)));
        room_join(c->rooms, room, s, after + 1);
        room_advance(c->rooms, room, job->head);
    }
    room_drop(c->rooms, room);
    answered(job);
}

static void on_join(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = job_new(JOB_JOIN, r->room, joined);
    memcpy(job->user, s->user, sizeof(job->user));
    job->after = r->after;
    if (ask(c, s, r, job))
        room_hold(c->rooms, r->room);
}

/* The session's membership; NULL: it has none, and was told. */
static struct member *require_member(struct session *s, const struct request *r)
{
    struct member *m = room_member(s, r->room);
    if (!m)
        refuse(s, r, STATUS_FORBIDDEN, "join the room first");
    return m;
}

static void on_leave(struct chat *c, struct session *s, const struct request *r)
{
    struct member *m = require_member(s, r);
    if (!m)
        return;
    room_leave(c->rooms, m);
    session_reply(s, frame_json("{s:s s:s}", "type", "left", "room", r->room));
}

/* --- send ----------------------------------------------------------------------------------- */

/* It is in history: now, and not before, others may see it. */
static void spread(struct chat *c, const struct job *job)
{
    int64_t seq = job->entry.message.seq;
    struct room *room = room_find(c->rooms, job->room);
    if (job->entry.duplicate) {
        if (room)
            room_advance(c->rooms, room, seq);
        return;
    }
    size_t len;
    const char *text = frame_text(job->frames[0], &len);
    if (room)
        room_deliver(c->rooms, room, seq, job->frames[0]);
    bus_publish(c->bus, job->room, seq, text, len);
    metric_add(c->metrics.messages, 1);
}

static void appended(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    const struct request r = {.type = REQUEST_SEND, .room = job->room, .id = job->client_id};
    if (job->status == STATUS_OK) {
        session_reply(job->owner,
                      frame_plain("{\"type\":\"ack\",\"room\":\"%s\",\"id\":\"%s\",\"seq\":%lld}",
                                  job->room, job->client_id, (long long)job->entry.message.seq));
        spread(c, job);
        metric_add(c->metrics.acks, 1);
    } else {
        refuse(job->owner, &r, job->status, status_title(job->status));
        metric_add(c->metrics.nacks, 1);
    }
    answered(job);
}

static void on_send(struct chat *c, struct session *s, const struct request *r)
{
    if (!require_member(s, r))
        return;
    struct job *job = job_new(JOB_APPEND, r->room, appended);
    memcpy(job->user, s->user, sizeof(job->user));
    memcpy(job->client_id, r->id, strlen(r->id) + 1);
    job->text = xstrdup(r->text);
    ask(c, s, r, job);
}

/* --- history -------------------------------------------------------------------------------- */

static void history_read(void *ctx, struct mail *m)
{
    (void)ctx;
    struct job *job = (struct job *)m;
    const struct request r = {.type = REQUEST_HISTORY, .room = job->room};
    if (job->status != STATUS_OK) {
        refuse(job->owner, &r, job->status, status_title(job->status));
        answered(job);
        return;
    }
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "{\"type\":\"history\",\"room\":\"%s\",\"messages\":[", job->room);
    for (size_t i = 0; i < job->frame_count; i++) {
        size_t len;
        const char *message = frame_text(job->frames[i], &len);
        strbuf_addstr(&text, i > 0 ? "," : "");
        strbuf_add(&text, message, len);
    }
    strbuf_addstr(&text, "]}");
    session_reply(job->owner, frame_new(text.bytes, text.len));
    strbuf_release(&text);
    answered(job);
}

static void on_history(struct chat *c, struct session *s, const struct request *r)
{
    if (!require_member(s, r))
        return;
    if (r->after >= 0 && r->before >= 0) {
        refuse(s, r, STATUS_UNPROCESSABLE, "after or before, not both");
        return;
    }
    struct job *job = job_new(JOB_PAGE, r->room, history_read);
    job->after = r->after;
    job->before = r->before < 0 ? SEQ_MAX : r->before;
    job->limit = r->limit < 0 ? NEWCOMER_PAGE : r->limit;
    ask(c, s, r, job);
}

static void pulled(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct room *room = room_find(c->rooms, job->room);
    int64_t from = job->after + 1;
    size_t n = job->first_seq == from ? job->frame_count : 0;
    if (room)
        room_page(c->rooms, room, from, job->frames, n);
    job_free(job);
}

static bool pull(void *ctx, const char *room, int64_t from)
{
    struct chat *c = ctx;
    struct job *job = job_new(JOB_PAGE, room, pulled);
    job->after = from - 1;
    job->before = SEQ_MAX;
    job->limit = PAGE_MAX;
    bool asked = history_submit(c->history, job) == STATUS_OK;
    if (!asked)
        job_free(job);
    return asked;
}

/* --- read markers --------------------------------------------------------------------------- */

static void marked(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct session *s = job->owner;
    const struct member *member = room_member(s, job->room);
    const struct request r = {.type = REQUEST_READ, .room = job->room};
    if (job->status != STATUS_OK)
        refuse(s, &r, job->status, status_title(job->status));
    else if (member) {
        room_advance(c->rooms, member->room, job->marker); /* of another device, further ahead */
        session_reply(s, frame_json("{s:s s:s s:I s:I}", "type", "read", "room", job->room,
                                    "marker", (json_int_t)job->marker, "unread",
                                    (json_int_t)(member->room->head - job->marker)));
    }
    answered(job);
}

static void on_read(struct chat *c, struct session *s, const struct request *r)
{
    const struct member *m = require_member(s, r);
    if (!m)
        return;
    if (r->seq > m->room->head) {
        refuse(s, r, STATUS_UNPROCESSABLE, "seq is above the room's head");
        return;
    }
    struct job *job = job_new(JOB_MARK, r->room, marked);
    memcpy(job->user, s->user, sizeof(job->user));
    job->seq = r->seq;
    ask(c, s, r, job);
}

/* --- requests ------------------------------------------------------------------------------- */

static void on_ping(struct chat *c, struct session *s, const struct request *r)
{
    (void)c;
    session_reply(s, frame_json("{s:s s:s*}", "type", "pong", "id", r->id));
}

static void (*const handlers[REQUEST_TYPES])(struct chat *, struct session *,
                                             const struct request *) = {
    [REQUEST_HELLO] = on_hello,     [REQUEST_JOIN] = on_join, [REQUEST_LEAVE] = on_leave,
    [REQUEST_SEND] = on_send,       [REQUEST_READ] = on_read, [REQUEST_PING] = on_ping,
    [REQUEST_HISTORY] = on_history,
};

void chat_receive(struct chat *c, struct session *s, const char *bytes, size_t len)
{
    if (s->close_code)
        return;
    struct request r;
    struct strbuf why = STRBUF_INIT;
    enum status status = request_parse(bytes, len, &r, &why);
    if (!s->user[0] && (status != STATUS_OK || r.type != REQUEST_HELLO)) {
        refuse(s, &r, STATUS_UNAUTHENTICATED, "the first message must be hello");
        session_end(s, CLOSE_POLICY, "unauthenticated");
    } else if (status != STATUS_OK)
        refuse(s, &r, status, strbuf_cstr(&why));
    else
        handlers[r.type](c, s, &r);
    request_release(&r);
    strbuf_release(&why);
}

/* --- the bus -------------------------------------------------------------------------------- */

struct bus_mail {
    struct mail mail;
    struct chat *chat;
    char room[NAME_MAX_LEN + 1];
    int64_t seq;
    struct frame *frame;
    bool up;
};

static struct bus_mail *bus_mail_new(const char *room, void (*open)(void *, struct mail *))
{
    struct bus_mail *m = xcalloc(1, sizeof(*m));
    m->mail.open = open;
    strncpy(m->room, room, NAME_MAX_LEN);
    return m;
}

static void poll_now(struct chat *c)
{
    c->poll_at = 0;
    c->poll_again = c->polls > 0;
}

static void bus_brought(void *ctx, struct mail *mail)
{
    struct chat *c = ctx;
    struct bus_mail *m = (struct bus_mail *)mail;
    struct room *room = room_find(c->rooms, m->room);
    if (room && m->seq > room->head)
        room_deliver(c->rooms, room, m->seq, m->frame);
    frame_unref(m->frame);
    free(m);
}

static void bus_changed(void *ctx, struct mail *mail)
{
    struct chat *c = ctx;
    struct bus_mail *m = (struct bus_mail *)mail;
    c->bus_up = m->up;
    c->poll_ms = POLL_FAST_MS;
    metric_set(c->metrics.bus_up, m->up);
    poll_now(c);
    free(m);
}

static void bus_subscribed(void *ctx, struct mail *mail)
{
    poll_now(ctx); /* what came before the subscription was not brought */
    free(mail);
}

static void on_bus_message(void *ctx, const char *room, int64_t seq, const char *json, size_t len)
{
    struct chat *c = ctx;
    struct bus_mail *m = bus_mail_new(room, bus_brought);
    m->seq = seq;
    m->frame = frame_new(json, len);
    mailbox_put(&c->mailbox, &m->mail);
}

static void on_bus_up(void *ctx, bool up)
{
    struct chat *c = ctx;
    if (up)
        log_info("bus_up", F("bus", "redis"));
    else
        log_warn("bus_down", F("bus", "redis"));
    struct bus_mail *m = bus_mail_new("", bus_changed);
    m->up = up;
    mailbox_put(&c->mailbox, &m->mail);
}

static void on_bus_subscribed(void *ctx, const char *room)
{
    struct chat *c = ctx;
    mailbox_put(&c->mailbox, &bus_mail_new(room, bus_subscribed)->mail);
}

static void room_opened(void *ctx, const char *room)
{
    struct chat *c = ctx;
    bus_subscribe(c->bus, room);
}

static void room_closed(void *ctx, const char *room)
{
    struct chat *c = ctx;
    bus_unsubscribe(c->bus, room);
}

/* --- polling the heads ---------------------------------------------------------------------- */

static void polled(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    for (size_t i = 0; job->status == STATUS_OK && i < job->head_count; i++) {
        struct room *room = room_find(c->rooms, job->heads[i].room);
        if (!room || job->heads[i].head <= room->head)
            continue;
        c->poll_found = true;
        room_advance(c->rooms, room, job->heads[i].head);
    }
    c->polls--;
    job_free(job);
    if (c->polls > 0)
        return;
    int64_t slower = 2 * c->poll_ms < POLL_SLOW_MS ? 2 * c->poll_ms : POLL_SLOW_MS;
    c->poll_ms = c->poll_found ? POLL_FAST_MS : slower;
    c->poll_at = c->poll_again ? 0 : clock_mono_ms() + (c->bus_up ? POLL_MS : c->poll_ms);
    c->poll_found = c->poll_again = false;
}

static void submit_poll(struct chat *c, struct job *job)
{
    if (history_submit(c->history, job) == STATUS_OK)
        c->polls++;
    else
        job_free(job);
}

struct gather {
    struct chat *chat;
    struct job *job;
};

static void gather_head(struct room *r, void *ctx)
{
    struct gather *g = ctx;
    if (r->count == 0)
        return;
    if (!g->job) {
        g->job = job_new(JOB_HEADS, "", polled);
        g->job->heads = xcalloc(HEADS_PER_JOB, sizeof(struct room_head));
    }
    struct room_head *head = &g->job->heads[g->job->head_count++];
    memcpy(head->room, r->name, sizeof(head->room));
    head->head = r->head;
    if (g->job->head_count == HEADS_PER_JOB) {
        submit_poll(g->chat, g->job);
        g->job = NULL;
    }
}

static void poll_heads(struct chat *c, int64_t now)
{
    if (c->polls > 0 || now < c->poll_at)
        return;
    struct gather g = {.chat = c};
    rooms_each(c->rooms, gather_head, &g);
    if (g.job)
        submit_poll(c, g.job);
}

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
    } else if (s->count > 0 && now - s->took_ms > SLOW_MS)
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
    poll_heads(c, now);
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
    const struct room_events room_events = {pull, room_opened, room_closed, c};
    const struct bus_events bus_events = {on_bus_message, on_bus_up, on_bus_subscribed, c};
    c->rooms = rooms_new(&room_events);
    enum status status = history_worker_new(options->history_url, options->history_queue,
                                            &c->mailbox, &c->history, why);
    if (status == STATUS_OK)
        status = bus_new(options->redis_url, &bus_events, &c->bus, why);
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
    bus_free(c->bus);
    chat_wake(c);
    rooms_free(c->rooms);
    mailbox_destroy(&c->mailbox);
    free(c);
    return true;
}

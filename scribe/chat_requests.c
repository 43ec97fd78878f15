#include "chat_internal.h"
#include "clock.h"
#include "json.h"
#include "token.h"
#include <string.h>

/* --- replies -------------------------------------------------------------------------------- */

void chat_refuse(struct session *s, const struct request *r, enum status status, const char *detail)
{
    bool nack = r->type == REQUEST_SEND && r->id;
    bool retryable = status_http(status) == 503 || status == STATUS_RATE_LIMITED ||
                     status == STATUS_STORAGE_FULL;
    session_reply(s,
                  frame_json("{s:s s:s s:s s:b s:s* s:s* s:s*}", "type", nack ? "nack" : "error",
                             "error", status_slug(status), "detail", detail, "retryable", retryable,
                             "re", request_name(r->type), "room", r->room, "id", r->id));
}

struct job *chat_job(enum job_kind kind, const struct session *s, const struct request *r,
                     void (*answer)(void *ctx, struct mail *m))
{
    struct job *job = job_new(kind, r->room ? r->room : "", answer);
    memcpy(job->user, s->user, sizeof(job->user));
    return job;
}

bool chat_ask(struct chat *c, struct session *s, const struct request *r, struct job *job)
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
    chat_refuse(s, r, status, c->draining ? "the server is going away" : status_title(status));
    job_free(job);
    return false;
}

void chat_answered(struct job *job)
{
    struct session *s = job->owner;
    s->pending--;
    session_unref(s);
    job_free(job);
}

void chat_tell_user(struct chat *c, const char *user, const struct session *except, struct frame *f)
{
    size_t len;
    const char *text = frame_text(f, &len);
    for (struct session *s = users_find(c->users, user); s; s = s->next_of_user)
        if (s != except)
            session_offer(s, f);
    bus_publish(c->bus, &(struct bus_event){BUS_USER, user, 1, text, len});
    frame_unref(f);
}

/* --- hello ---------------------------------------------------------------------------------- */

static bool admit_user(struct chat *c, struct session *s, const struct request *r, const char *user)
{
    memcpy(s->user, user, strlen(user) + 1);
    if (users_add(c->users, s, c->options.user_connections))
        return true;
    chat_refuse(s, r, STATUS_CONFLICT, "too many connections of this user");
    session_end(s, CLOSE_POLICY, "too_many_connections");
    return false;
}

static void on_hello(struct chat *c, struct session *s, const struct request *r)
{
    struct token_claims claims;
    const char *key = c->options.token_key;
    if (token_verify((const uint8_t *)key, strlen(key), r->token, strlen(r->token),
                     clock_unix_ms() / 1000, &claims) != STATUS_OK ||
        !name_valid(claims.sub, NAME_MAX_LEN)) {
        chat_refuse(s, r, STATUS_UNAUTHENTICATED, "the token is not valid or has expired");
        session_end(s, CLOSE_POLICY, "unauthenticated");
        return;
    }
    if (s->user[0] && strcmp(s->user, claims.sub) != 0) {
        chat_refuse(s, r, STATUS_FORBIDDEN, "the token is another user's");
        return;
    }
    if (!s->user[0] && !admit_user(c, s, r, claims.sub))
        return;
    s->expires_s = claims.exp;
    session_reply(s, frame_json("{s:s s:s s:s s:I s:{s:i s:i s:i s:i s:i s:I}}", "type", "welcome",
                                "user", s->user, "server", c->options.server, "heartbeat_s",
                                (json_int_t)c->options.heartbeat_s, "limits", "frame_bytes",
                                FRAME_MAX, "text_bytes", TEXT_MAX, "page", PAGE_MAX, "rooms",
                                ROOMS_MAX, "room_users", (int)c->options.room_limit, "rate",
                                (json_int_t)c->options.rate));
}

/* --- leave ---------------------------------------------------------------------------------- */

struct member *chat_require_member(struct session *s, const struct request *r)
{
    struct member *m = room_member(s, r->room);
    if (!m)
        chat_refuse(s, r, STATUS_FORBIDDEN, "join the room first");
    return m;
}

static void on_leave(struct chat *c, struct session *s, const struct request *r)
{
    struct member *m = chat_require_member(s, r);
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
    bus_publish(c->bus, &(struct bus_event){BUS_MESSAGE, job->room, seq, text, len});
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
        chat_refuse(job->owner, &r, job->status, status_title(job->status));
        metric_add(c->metrics.nacks, 1);
    }
    chat_answered(job);
}

static void on_send(struct chat *c, struct session *s, const struct request *r)
{
    if (!chat_require_member(s, r))
        return;
    struct job *job = chat_job(JOB_APPEND, s, r, appended);
    memcpy(job->client_id, r->id, strlen(r->id) + 1);
    job->text = xstrdup(r->text);
    chat_ask(c, s, r, job);
}

/* --- history -------------------------------------------------------------------------------- */

static void history_read(void *ctx, struct mail *m)
{
    (void)ctx;
    struct job *job = (struct job *)m;
    const struct request r = {.type = REQUEST_HISTORY, .room = job->room};
    if (job->status != STATUS_OK) {
        chat_refuse(job->owner, &r, job->status, status_title(job->status));
        chat_answered(job);
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
    chat_answered(job);
}

static void on_history(struct chat *c, struct session *s, const struct request *r)
{
    if (!chat_require_member(s, r))
        return;
    if (r->after >= 0 && r->before >= 0) {
        chat_refuse(s, r, STATUS_UNPROCESSABLE, "after or before, not both");
        return;
    }
    struct job *job = chat_job(JOB_PAGE, s, r, history_read);
    job->after = r->after;
    job->before = r->before < 0 ? SEQ_MAX : r->before;
    job->limit = r->limit < 0 ? NEWCOMER_PAGE : r->limit;
    chat_ask(c, s, r, job);
}

/* --- read markers --------------------------------------------------------------------------- */

static void marked(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct session *s = job->owner;
    struct room *room = room_find(c->rooms, job->room); /* perhaps left meanwhile */
    const struct request r = {.type = REQUEST_READ, .room = job->room};
    if (job->status != STATUS_OK)
        chat_refuse(s, &r, job->status, status_title(job->status));
    else {
        int64_t marker = job->membership.marker; /* another device may be further ahead */
        if (room)
            room_advance(c->rooms, room, marker);
        int64_t head = room ? room->head : job->membership.head;
        int64_t unread = head > marker ? head - marker : 0;
        struct frame *f = frame_json("{s:s s:s s:I s:I}", "type", "read", "room", job->room,
                                     "marker", (json_int_t)marker, "unread", (json_int_t)unread);
        session_reply(s, frame_ref(f));
        chat_tell_user(c, s->user, s, f);
    }
    chat_answered(job);
}

static void on_read(struct chat *c, struct session *s, const struct request *r)
{
    const struct member *m = chat_require_member(s, r);
    if (!m)
        return;
    if (r->seq > m->room->head) {
        chat_refuse(s, r, STATUS_UNPROCESSABLE, "seq is above the room's head");
        return;
    }
    struct job *job = chat_job(JOB_MARK, s, r, marked);
    job->seq = r->seq;
    job->membership.head = m->room->head;
    chat_ask(c, s, r, job);
}

/* --- requests ------------------------------------------------------------------------------- */

static void on_ping(struct chat *c, struct session *s, const struct request *r)
{
    (void)c;
    session_reply(s, frame_json("{s:s s:s*}", "type", "pong", "id", r->id));
}

static request_handler *const handlers[REQUEST_TYPES] = {
    [REQUEST_HELLO] = on_hello,         [REQUEST_CREATE] = chat_create,
    [REQUEST_INVITE] = chat_invite,     [REQUEST_REMOVE] = chat_remove,
    [REQUEST_JOIN] = chat_join,         [REQUEST_LEAVE] = on_leave,
    [REQUEST_SEND] = on_send,           [REQUEST_HISTORY] = on_history,
    [REQUEST_READ] = on_read,           [REQUEST_ROOMS] = chat_rooms,
    [REQUEST_PRESENCE] = chat_presence, [REQUEST_TYPING] = chat_typing,
    [REQUEST_PING] = on_ping,
};

/* A token bucket, kept as the time up to which the messages so far have used the rate up. */
static bool within_rate(const struct chat *c, struct session *s)
{
    int64_t now = clock_mono_us(), cost = 1000000 / c->options.rate;
    int64_t paid = s->paid_us > now ? s->paid_us : now;
    if (paid - now > (2 * c->options.rate - 1) * cost)
        return false;
    s->paid_us = paid + cost;
    return true;
}

void chat_receive(struct chat *c, struct session *s, const char *bytes, size_t len)
{
    if (s->close_code)
        return;
    struct request r;
    struct strbuf why = STRBUF_INIT;
    enum status status = request_parse(bytes, len, &r, &why);
    if (!s->user[0] && (status != STATUS_OK || r.type != REQUEST_HELLO)) {
        chat_refuse(s, &r, STATUS_UNAUTHENTICATED, "the first message must be hello");
        session_end(s, CLOSE_POLICY, "unauthenticated");
    } else if (!within_rate(c, s))
        chat_refuse(s, &r, STATUS_RATE_LIMITED, "too many messages");
    else if (status != STATUS_OK)
        chat_refuse(s, &r, status, strbuf_cstr(&why));
    else
        handlers[r.type](c, s, &r);
    request_release(&r);
    strbuf_release(&why);
}

#include "chat_internal.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>

/* --- create, invite, remove ----------------------------------------------------------------- */

static const char *denial(enum status status)
{
    return status == STATUS_CONFLICT    ? "the name is taken"
           : status == STATUS_NOT_FOUND ? "no such room"
           : status == STATUS_FORBIDDEN ? "not allowed in this room"
                                        : status_title(status);
}

static void created(void *ctx, struct mail *m)
{
    (void)ctx;
    struct job *job = (struct job *)m;
    const struct request r = {.type = REQUEST_CREATE, .room = job->room};
    if (job->status == STATUS_OK)
        session_reply(job->owner, frame_json("{s:s s:s s:b}", "type", "created", "room", job->room,
                                             "private", job->private));
    else
        chat_refuse(job->owner, &r, job->status, denial(job->status));
    chat_answered(job);
}

void chat_create(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = chat_job(JOB_CREATE, s, r, created);
    job->private = r->private;
    chat_ask(c, s, r, job);
}

/* The answer to the asker, and what the other servers are to know. */
static void changed(struct chat *c, struct job *job, enum request_type type, const char *told)
{
    const struct request r = {.type = type, .room = job->room};
    if (job->status != STATUS_OK) {
        chat_refuse(job->owner, &r, job->status, denial(job->status));
        return;
    }
    int64_t version = job->membership.version;
    struct room *room = room_find(c->rooms, job->room);
    struct frame *f = frame_json("{s:s s:s s:s s:s}", "type", told, "room", job->room, "user",
                                 job->other, "by", job->user);
    session_reply(job->owner, frame_ref(f));
    if (type == REQUEST_INVITE)
        chat_tell_user(c, job->other, job->owner, frame_ref(f));
    frame_unref(f);
    if (room)
        chat_members_changed(c, room, version);
    bus_publish(c->bus, &(struct bus_event){BUS_MEMBERS, job->room, version, NULL, 0});
}

static void invited(void *ctx, struct mail *m)
{
    changed(ctx, (struct job *)m, REQUEST_INVITE, "invited");
    chat_answered((struct job *)m);
}

static void removed(void *ctx, struct mail *m)
{
    changed(ctx, (struct job *)m, REQUEST_REMOVE, "removed");
    chat_answered((struct job *)m);
}

void chat_invite(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = chat_job(JOB_INVITE, s, r, invited);
    memcpy(job->other, r->user, strlen(r->user) + 1);
    chat_ask(c, s, r, job);
}

void chat_remove(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = chat_job(JOB_REMOVE, s, r, removed);
    memcpy(job->other, r->user, strlen(r->user) + 1);
    chat_ask(c, s, r, job);
}

/* --- who is still a member ------------------------------------------------------------------ */

/* End the membership of one session of this user; false: there is none. */
static bool expel_one(struct chat *c, struct room *room, const char *user)
{
    for (size_t i = 0; i < room->count; i++) {
        struct session *s = room->members[i]->session;
        if (strcmp(s->user, user) != 0)
            continue;
        room_leave(c->rooms, room->members[i]);
        session_reply(
            s, frame_json("{s:s s:s s:s}", "type", "removed", "room", room->name, "user", user));
        return true;
    }
    return false;
}

static void members_checked(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct room *room = room_find(c->rooms, job->room);
    if (room && room->checking != 0) {
        room_hold(c->rooms, room->name);
        for (size_t i = 0; job->status == STATUS_OK && i < job->user_count; i++)
            while (!job->are[i] && expel_one(c, room, job->users[i]))
                ;
        if (job->status == STATUS_OK && room->checking > room->version)
            room->version = room->checking;
        room->checking = 0;
        room_drop(c->rooms, room);
    }
    job_free(job);
}

void chat_members_changed(struct chat *c, struct room *r, int64_t version)
{
    if (version <= r->version || r->checking != 0 || r->count == 0)
        return;
    struct job *job = job_new(JOB_MEMBERS, r->name, members_checked);
    job->users = xcalloc(r->count, sizeof(job->users[0]));
    job->user_count = r->count;
    for (size_t i = 0; i < r->count; i++)
        memcpy(job->users[i], r->members[i]->session->user, sizeof(job->users[0]));
    if (history_submit(c->history, job) == STATUS_OK)
        r->checking = version;
    else
        job_free(job); /* the next poll brings the version again */
}

/* --- join ----------------------------------------------------------------------------------- */

static const char *join_refusal(const struct session *s, const struct job *job, int64_t after,
                                enum status *status)
{
    *status = job->status;
    if (job->status != STATUS_OK)
        return denial(job->status);
    *status = STATUS_CONFLICT;
    if (room_member(s, job->room))
        return "already in this room";
    if (s->member_count >= ROOMS_MAX)
        return "in too many rooms";
    *status = STATUS_UNPROCESSABLE;
    return after > job->membership.head ? "after is above the room's head" : NULL;
}

static int64_t first_after(const struct job *job)
{
    int64_t head = job->membership.head;
    int64_t newcomer = head > NEWCOMER_PAGE ? head - NEWCOMER_PAGE : 0;
    return job->after >= 0 ? job->after : newcomer;
}

/* The version that this member was checked with may be older than the others', or than the one
 * that they are being checked for: then all are checked again. */
static void take_version(struct room *room, int64_t version)
{
    if (room->count == 0 || version < room->version)
        room->version = version;
    if (version < room->checking)
        room->checking = -1;
}

static void enter(struct chat *c, struct session *s, struct room *room, const struct job *job)
{
    const struct membership *m = &job->membership;
    session_reply(s,
                  frame_json("{s:s s:s s:b s:I s:I s:I s:I}", "type", "joined", "room", job->room,
                             "private", m->private, "head", (json_int_t)m->head, "marker",
                             (json_int_t)m->marker, "unread", (json_int_t)(m->head - m->marker),
                             "new_from", (json_int_t)m->marker + 1));
    take_version(room, m->version);
    room_join(c->rooms, room, s, first_after(job) + 1);
    room_advance(c->rooms, room, m->head);
    chat_came(room, s);
}

static void join_answered(struct chat *c, struct job *job)
{
    room_drop(c->rooms, room_find(c->rooms, job->room));
    chat_answered(job);
}

static void claimed(void *ctx, struct mail *mail)
{
    struct chat *c = ctx;
    struct presence_query *q = (struct presence_query *)mail;
    struct job *job = q->owner;
    struct session *s = job->owner;
    struct room *room = room_find(c->rooms, job->room);
    const struct request r = {.type = REQUEST_JOIN, .room = job->room};
    bool full = (q->status == STATUS_OK && q->full) || chat_room_full(c, room, s->user);
    enum status status;
    const char *refusal = join_refusal(s, job, first_after(job), &status);
    if (refusal)
        chat_refuse(s, &r, status, refusal);
    else if (full)
        chat_refuse(s, &r, STATUS_CONFLICT, "the room is full");
    else if (s->transport)
        enter(c, s, room, job);
    presence_query_free(q);
    join_answered(c, job);
}

static void joined(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct session *s = job->owner;
    const struct request r = {.type = REQUEST_JOIN, .room = job->room};
    enum status status;
    const char *refusal = join_refusal(s, job, first_after(job), &status);
    if (!refusal && s->transport) {
        chat_claim(c, job->room, s->user, job, claimed);
        return;
    }
    if (refusal)
        chat_refuse(s, &r, status, refusal);
    join_answered(c, job);
}

void chat_join(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = chat_job(JOB_JOIN, s, r, joined);
    job->after = r->after;
    if (chat_ask(c, s, r, job))
        room_hold(c->rooms, r->room);
}

/* --- the user's rooms ----------------------------------------------------------------------- */

static void add_room(struct strbuf *out, const struct membership *m)
{
    bool waits = m->marker < 0; /* invited; the marker comes with the first join */
    long long head = m->head, marker = waits ? m->head : m->marker;
    head = head < marker ? marker : head;
    strbuf_addf(out,
                "{\"room\":\"%s\",\"private\":%s,\"invited\":%s,\"head\":%lld,\"marker\":%lld,"
                "\"unread\":%lld,\"new_from\":%lld}",
                m->room, m->private ? "true" : "false", waits ? "true" : "false", head, marker,
                head - marker, marker + 1);
}

static void rooms_read(void *ctx, struct mail *m)
{
    (void)ctx;
    struct job *job = (struct job *)m;
    const struct request r = {.type = REQUEST_ROOMS};
    struct strbuf text = STRBUF_INIT;
    strbuf_addstr(&text, "{\"type\":\"rooms\",\"rooms\":[");
    for (size_t i = 0; i < job->room_count; i++) {
        strbuf_addstr(&text, i > 0 ? "," : "");
        add_room(&text, &job->rooms[i]);
    }
    strbuf_addf(&text, "],\"more\":%s}", job->room_count == ROOMS_PER_JOB ? "true" : "false");
    if (job->status == STATUS_OK)
        session_reply(job->owner, frame_new(text.bytes, text.len));
    else
        chat_refuse(job->owner, &r, job->status, status_title(job->status));
    strbuf_release(&text);
    chat_answered(job);
}

void chat_rooms(struct chat *c, struct session *s, const struct request *r)
{
    struct job *job = chat_job(JOB_ROOMS, s, r, rooms_read);
    memcpy(job->other, job->room, sizeof(job->other));
    chat_ask(c, s, r, job);
}

/* What the files of the chat share; nobody else includes it. Loop thread only.
 *
 * chat.c: sessions and time. chat_requests.c: what each request does. chat_rooms.c: rooms and who
 * may be in them. chat_presence.c: who is here and who types. chat_catchup.c: what comes from the
 * other servers, and what is asked for because it may not have come. */
#pragma once
#include "bus.h"
#include "chat.h"
#include "metrics.h"
#include "presence.h"
#include "room.h"
#include "users.h"

enum {
    ROOMS_MAX = 100,  /* of a session */
    PENDING_MAX = 64, /* requests of a session that are with the history */
    POLL_FAST_MS = 200,
};
enum { CLOSE_GOING_AWAY = 1001, CLOSE_POLICY = 1008 };

struct chat {
    struct chat_options options;
    struct mailbox mailbox;
    struct history_worker *history;
    struct bus *bus;
    struct presence *presence;
    struct rooms *rooms;
    struct users *users;
    struct session *sessions;
    size_t session_count;
    bool draining;

    bool bus_up, bus_lost, poll_again, poll_found; /* bus_lost: it was up before */
    struct mail *claims; /* that wait until the servers have said again who is here */
    int64_t claim_at;
    size_t polls; /* under way */
    int64_t poll_ms, poll_at, gauges_at;

    struct {
        struct metric *connections, *rooms, *queue_bytes, *behind, *bus_up, *acks, *nacks,
            *messages, *deliveries;
    } metrics;
};

/* --- replies: chat_requests.c --------------------------------------------------------------- */

/* A failed send is a nack when its client can tell which one it was, all else an error. */
void chat_refuse(struct session *s, const struct request *r, enum status status,
                 const char *detail);
/* A job for a session's request, of its user. */
struct job *chat_job(enum job_kind kind, const struct session *s, const struct request *r,
                     void (*answer)(void *ctx, struct mail *m));
/* Hand it to the history; it is the session's until chat_answered. False: it was refused, and so
 * told. */
bool chat_ask(struct chat *c, struct session *s, const struct request *r, struct job *job);
void chat_answered(struct job *job);
/* The session's membership; NULL: it has none, and was told. */
struct member *chat_require_member(struct session *s, const struct request *r);
/* To every connection of a user on every server, but for `except` (or NULL). Takes the frame. */
void chat_tell_user(struct chat *c, const char *user, const struct session *except,
                    struct frame *f);

/* --- requests ------------------------------------------------------------------------------- */

typedef void request_handler(struct chat *c, struct session *s, const struct request *r);
request_handler chat_create, chat_invite, chat_remove, chat_join, chat_rooms; /* chat_rooms.c */
request_handler chat_presence, chat_typing;                                   /* chat_presence.c */

/* --- membership: chat_rooms.c --------------------------------------------------------------- */

/* The room's membership has this version now: should it be new, see who is still a member. */
void chat_members_changed(struct chat *c, struct room *r, int64_t version);

/* --- presence: chat_presence.c -------------------------------------------------------------- */

/* May this user be in the room beside those who are? `done` gets the query, with `owner` in it;
 * not OK: ask chat_room_full. */
void chat_claim(struct chat *c, const char *room, const char *user, void *owner,
                void (*done)(void *ctx, struct mail *m));
/* Redis is back, and has perhaps forgotten all: say who is here, and let claims wait until every
 * server will have said so. */
void chat_announce(struct chat *c);
void chat_ask_claims(struct chat *c); /* those that wait, at once */
/* Are SCRIBE_ROOM_LIMIT users here on this server, and this one not among them? */
bool chat_room_full(struct chat *c, const struct room *r, const char *user);
/* Somebody came: members are told soon, and this one at once what the others know. */
void chat_came(struct room *r, struct session *s);
void chat_types(struct room *r, const char *user);
void chat_presence_tick(struct chat *c, int64_t now);

/* --- other servers: chat_catchup.c ---------------------------------------------------------- */

extern const struct room_events chat_room_events; /* without their ctx, as the next two */
extern const struct user_events chat_user_events;
extern const struct bus_events chat_bus_events;
void chat_poll_heads(struct chat *c, int64_t now);

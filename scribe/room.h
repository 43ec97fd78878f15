/* Rooms: who of this server's sessions is in which, and delivery strictly by seq.
 *
 * A member holds one number, the next seq that it owes. A message that is this one is queued, if
 * the session's queue has room, and the number goes up by one. In every other case (a gap, a
 * resume, a slow reader, a message missed by the bus) the member is behind: it pulls pages from
 * history whenever its queue is empty, and what a page brings is delivered by the same rule.
 * Members behind at the same place share one page.
 *
 * Knows neither stores nor sockets. Loop thread only. */
#pragma once
#include "frame.h"
#include "protocol.h"
#include "session.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rooms;

enum { TYPISTS = 8 };

/* What is known of a room and stored nowhere; chat_presence.c. */
struct here {
    int64_t beat_at, typing_at; /* monotonic ms: the next time to ask, to tell */
    bool asked;
    struct frame *told; /* who is here, as members know it */
    char typing[TYPISTS][NAME_MAX_LEN + 1];
    size_t typist_count;
};

struct room {
    struct room *next_in_bucket;
    char name[NAME_MAX_LEN + 1];
    int64_t head;  /* the highest seq known to be in history */
    unsigned held; /* joins under way */
    struct member **members;
    size_t count, size;
    int64_t *pulls; /* pages asked for, each by the first seq it brings */
    size_t pull_count, pull_size;
    int64_t version, checking; /* of its membership; chat_rooms.c */
    struct here here;
};

struct member {
    struct room *room;
    struct session *session;
    size_t index; /* in room->members */
    int64_t next;
    int64_t typed_ms;
    struct member *next_in_session;
};

struct room_events {
    /* Read a page that begins at seq `from`; room_page must follow. False: not now. */
    bool (*pull)(void *ctx, const char *room, int64_t from);
    void (*opened)(void *ctx, const char *room); /* a first member may come: subscribe */
    void (*closed)(void *ctx, const char *room);
    void *ctx;
};

struct rooms *rooms_new(const struct room_events *events);
void rooms_free(struct rooms *rooms);
size_t rooms_count(const struct rooms *rooms);
uint64_t rooms_deliveries(const struct rooms *rooms); /* messages queued, since the start */
size_t rooms_behind(const struct rooms *rooms);       /* members that owe messages known to exist */
void rooms_each(struct rooms *rooms, void (*visit)(struct room *r, void *ctx), void *ctx);

struct room *room_find(struct rooms *rooms, const char *name); /* NULL: nobody of ours is in it */
/* Find or open, and keep it open until room_drop. */
struct room *room_hold(struct rooms *rooms, const char *name);
void room_drop(struct rooms *rooms, struct room *r);

struct member *room_member(const struct session *s, const char *name);
/* From now on `s` gets every message from seq `next` on. */
void room_join(struct rooms *rooms, struct room *r, struct session *s, int64_t next);
void room_leave(struct rooms *rooms, struct member *m);

/* A message is in history. Takes no reference. */
void room_deliver(struct rooms *rooms, struct room *r, int64_t seq, struct frame *f);
/* Something that is stored nowhere, for each member that is up to date and has room for it. */
void room_tell(struct room *r, struct frame *f);
/* History goes up to `head`: whoever owes up to it is behind. */
void room_advance(struct rooms *rooms, struct room *r, int64_t head);
/* The page asked for from seq `from` on: `n` frames of consecutive seqs, 0 when it failed. */
void room_page(struct rooms *rooms, struct room *r, int64_t from, struct frame **frames, size_t n);
/* Pull for every member that is behind and idle: after a session's queue was emptied, and now and
 * then for all, since a page may have failed. */
void session_pull(struct rooms *rooms, struct session *s);
void rooms_pull(struct rooms *rooms);

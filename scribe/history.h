/* The history: where messages, rooms, members and read markers last. One small interface, a driver
 * for each store, chosen by the URL's scheme.
 *
 * The store keeps two promises that everything rests on: no two messages of a room have the same
 * seq, and no two of a room and sender have the same client id. sequence.c makes gapless
 * sequences of them. All calls block; a connection belongs to one thread. Statuses: OK;
 * UNAVAILABLE (nothing was done); OUTCOME_UNKNOWN (writes: perhaps it was done, perhaps it still
 * will be); CONTENDED (another writer held the lock too long). */
#pragma once
#include "protocol.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct history; /* a connection */

struct page_query {
    const char *room;
    int64_t after, before; /* exclusive; after < 0: the last ones below `before`, newest first */
    int64_t limit;
};
/* Strings live until it returns. False: enough. */
typedef bool history_row(void *ctx, const struct message *m);

struct room_head {
    char room[NAME_MAX_LEN + 1];
    int64_t head;
    int64_t version; /* of its membership */
};
/* A member's view of a room. */
struct membership {
    char room[NAME_MAX_LEN + 1];
    bool private;
    int64_t head, marker; /* marker -1: invited, and not joined yet */
    int64_t version;
};
/* What somebody does to somebody's membership. */
struct member_change {
    const char *room, *by, *user;
};

struct history_driver {
    const char *scheme;
    /* Does a write that fails undo all it did? */
    bool atomic;

    /* UNPROCESSABLE with the reason in `why` for a URL that cannot be used; a store that is down
     * is no error. Main thread. */
    enum status (*store_new)(const char *url, void **store, struct strbuf *why);
    void (*store_free)(void *store);
    /* A connection, its schema in place. */
    enum status (*open)(void *store, struct history **out, struct strbuf *why);
    void (*close)(struct history *h);
    enum status (*ping)(struct history *h);

    /* Run work(ctx), which uses the four below: in one transaction where the store has them. */
    enum status (*write)(struct history *h, enum status (*work)(void *ctx), void *ctx);
    /* The room's highest seq, 0 when it has none. */
    enum status (*head)(struct history *h, const char *room, int64_t *head);
    /* The seq of the durable message of this room, sender and client id; 0: there is none. */
    enum status (*find)(struct history *h, const struct message *m, int64_t *seq);
    /* Store in this order, stopping at the first that fails. DUPLICATE when that one met a unique
     * key: *done were stored before it. */
    enum status (*insert)(struct history *h, struct message *const *batch, size_t n, size_t *done);
    /* Move the sender's marker from seq - 1 to seq, for each message in this order. */
    enum status (*mark_own)(struct history *h, struct message *const *batch, size_t n);

    enum status (*page)(struct history *h, const struct page_query *q, history_row *row, void *ctx);
    /* Raise each head and each version to the room's, when that is higher. */
    enum status (*heads)(struct history *h, struct room_head *rooms, size_t n);
    /* Move the marker forward to `seq`, never back; *marker is where it stands then. NOT_FOUND: no
     * member. */
    enum status (*mark)(struct history *h, const char *room, const char *user, int64_t seq,
                        int64_t *marker);

    /* A new room of this owner, who is its first member. CONFLICT: the name is taken. */
    enum status (*create)(struct history *h, const char *room, const char *owner, bool private);
    /* Become a member, or come again; a room that is unknown is created, public. The first join
     * sets the marker to the head. NOT_FOUND: private, and not invited. FORBIDDEN: removed. */
    enum status (*join)(struct history *h, const char *room, const char *user,
                        struct membership *out);
    /* Each raises the version. Members invite: NOT_FOUND for others where the room is private or
     * unknown, else FORBIDDEN. Its owner removes others, anybody themself: a removed user comes
     * back by invitation only, who left by themself freely when the room is public. */
    enum status (*invite)(struct history *h, const struct member_change *c, int64_t *version);
    enum status (*remove)(struct history *h, const struct member_change *c, int64_t *version);
    /* Which of `n` users are members. */
    enum status (*members)(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                           size_t n, bool *are);
    /* The rooms that the user is in, by name, those behind `after` ("": all), *n at most. */
    enum status (*rooms)(struct history *h, const char *user, const char *after,
                         struct membership *out, size_t *n);
};

extern const struct history_driver history_mongo, history_sqlite;

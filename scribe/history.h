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
/* How far a member has read. */
struct read_mark {
    const char *room, *user;
    int64_t seq; /* in: up to here; out: where the marker stands then */
    bool known;  /* out: is there such a member */
};
/* A room, and one user's place in it. */
struct place {
    bool exists, private, owns;
    bool known, removed;     /* the user was invited or joined; and then removed */
    int64_t version, marker; /* marker as above */
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

    /* Run work(ctx), which uses what is below: in one transaction where the store has them. */
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

    /* What membership.c makes its rules of. A place that is not there is no error. */
    enum status (*place)(struct history *h, const char *room, const char *user, struct place *out);
    /* The room's highest seq that is durable. */
    enum status (*durable_head)(struct history *h, const char *room, int64_t *head);
    /* DUPLICATE: there is one of this name. */
    enum status (*add_room)(struct history *h, const char *room, const char *owner, bool private);
    /* A member, removed no more; a marker that is there goes forward to `seq`, never back. */
    enum status (*put_member)(struct history *h, const char *room, const char *user, int64_t seq);
    /* Move markers forward, never back. */
    enum status (*marks)(struct history *h, struct read_mark *marks, size_t n);
    enum status (*drop_member)(struct history *h, const char *room, const char *user);
    /* Removed, also who is no member. */
    enum status (*ban_member)(struct history *h, const char *room, const char *user);
    enum status (*raise_version)(struct history *h, const char *room, int64_t *version);

    /* Which of `n` users are members. */
    enum status (*members)(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                           size_t n, bool *are);
    /* The rooms that the user is in, by name, those behind `after` ("": all), *n at most. */
    enum status (*rooms)(struct history *h, const char *user, const char *after,
                         struct membership *out, size_t *n);
};

extern const struct history_driver history_mongo, history_sqlite;

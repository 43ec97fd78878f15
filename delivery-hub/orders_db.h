/* Orders in MySQL or MariaDB. Every call runs on a connection of the caller's, inside the
 * caller's transaction when there is one; worker threads only. Failures are those of db.h.
 *
 * The order of locks: the idempotency key, then, in accept and next only, the partner's row, then
 * the order. Every other transition locks no partner, and whoever takes a batch of orders skips
 * what is locked; a barrier comes last. So two transactions never wait for each other in a ring. */
#pragma once
#include "db.h"
#include "orders.h"

enum orders_read { READ_COMMITTED, READ_LOCKED };

/* READ_LOCKED is SELECT ... FOR UPDATE: it waits for who holds the row, at most the lock wait
 * time, and then sees what they committed. NOT_FOUND when there is no such order. */
enum status orders_load(struct db_conn *c, int64_t id, enum orders_read how, struct order *out);
/* Lock the oldest pending order that nobody else has locked. NOT_FOUND when there is none. */
enum status orders_load_oldest(struct db_conn *c, struct order *out);
/* Lock up to `limit` assigned orders whose lease is over and which nobody else has locked. */
enum status orders_load_lapsed(struct db_conn *c, struct order *out, size_t limit, size_t *n);
/* A new pending order of `o`'s customer, addresses, note and fee; fills in the rest, and leaves
 * its outbox row. */
enum status orders_insert(struct db_conn *c, struct order *o);
/* Write what order_move changed, if the row is still at the version before, and the event's
 * outbox row. CONTENDED when somebody was faster: nothing was written, run the transaction
 * again. */
enum status orders_save(struct db_conn *c, const struct order *o, const char *event,
                        const char *actor);
/* The same whatever the row's version is by now: for the naive strategy (assign.c) alone. Version
 * and fence count from what is there, and come back in `o`. */
enum status orders_overwrite(struct db_conn *c, struct order *o, const char *event,
                             const char *actor);

/* Take the partner's turn: hold their row until the transaction ends. */
enum status partner_lock(struct db_conn *c, const char *partner);
/* How many orders the partner holds now. */
enum status partner_held(struct db_conn *c, const char *partner, int64_t *held);

/* InnoDB shows a commit to others before it is on disk. When a transaction that called this has
 * committed, a crash takes back nothing of what could be read before the call. For who acts on what
 * another transaction did as if it were acknowledged: a replay, the relay. */
enum status barrier_pass(struct db_conn *c);

/* Of a version that was read: does its event still wait? If not, the relay has passed the barrier
 * since it was committed, and no crash of the database takes it back. */
enum status orders_waiting(struct db_conn *c, int64_t id, int64_t version, bool *waiting);

enum { ORDERS_PAGE_MAX = 100 };

struct orders_query {
    const struct actor *who;        /* sees nothing but what order_visible allows */
    const char *partner;            /* of this one only, for a dispatcher; or NULL */
    const enum order_state *status; /* or NULL for any */
    int64_t after;                  /* ids below this one; INT64_MAX for the first page */
    size_t limit;                   /* 1..ORDERS_PAGE_MAX */
};
/* The newest first, into out[limit]; `more` when there is a further page. */
enum status orders_list(struct db_conn *c, const struct orders_query *q, struct order *out,
                        size_t *n, bool *more);

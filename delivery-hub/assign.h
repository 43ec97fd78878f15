/* Who wins an order: the one decision this service exists for. */
#pragma once
#include "db.h"
#include "orders.h"

enum assign_strategy { ASSIGN_FOR_UPDATE, ASSIGN_OPTIMISTIC, ASSIGN_NAIVE };

struct assignment {
    enum assign_strategy strategy;
    int64_t order; /* of assign alone */
    const char *partner;
    int64_t capacity; /* most orders a partner may hold */
    int64_t lease_s;  /* time to pick it up, in seconds */
};

/* Give the order to the partner, inside the caller's transaction (db_transaction); it is theirs
 * once that committed. However many partners ask at once, in however many processes, one gets OK
 * (but by ASSIGN_NAIVE).
 * OK          `o` is the order as assigned: a new version, a new fence; its outbox row is written
 * CONFLICT    `o` was read after its commit: not pending any more; or pending, and the partner
 *             holds as many as they may
 * NOT_FOUND   no such order
 * OVERLOADED  the lock wait ran out, and the order is still pending: nobody won, try again
 * CONTENDED   run the transaction again (db_transaction does) */
enum status assign(struct db_conn *c, const struct assignment *a, struct order *o);
/* The same for the oldest pending order that nobody else is at; by locks, whatever the strategy.
 * NOT_FOUND   there is none
 * CONFLICT    the partner holds as many as they may; `o` is not filled */
enum status assign_next(struct db_conn *c, const struct assignment *a, struct order *o);

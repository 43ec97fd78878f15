/* What becomes of an order besides being won: pickup, deliver, release, cancel. */
#pragma once
#include "db.h"
#include "orders.h"

struct advance {
    int64_t order;
    enum order_action action; /* not ACCEPT: that is assign.h */
    struct actor who;
    int64_t fence; /* of a holder's action; 0: none was given */
};

/* Do it inside the caller's transaction (db_transaction). It locks the order alone, no partner:
 * only an accept makes somebody hold more. The failures of order_move, for which `o` is the order
 * as it is; NOT_FOUND; OVERLOADED when the lock did not come; CONTENDED, to run again. */
enum status advance(struct db_conn *c, const struct advance *a, struct order *o);

#include "lease.h"
#include "orders_db.h"

/* Small: what is locked stays locked until the batch is committed. */
enum { BATCH = 20 };

struct batch {
    struct order orders[BATCH];
    size_t n;
};

/* The orders alone, no partner: nobody comes to hold more by it. */
static enum status expire_batch(struct db_conn *c, void *ctx)
{
    /* No person can be called so. */
    static const struct actor reaper = {":lease", REAPER};
    struct batch *b = ctx;
    enum status st = orders_load_lapsed(c, b->orders, BATCH, &b->n);
    for (size_t i = 0; !st && i < b->n; i++) {
        struct order *o = &b->orders[i];
        st = order_move(o, EXPIRE, &reaper, 0);
        if (!st)
            st = orders_save(c, o, order_event(EXPIRE), reaper.id);
    }
    return st;
}

bool lease_reap(void *ctx)
{
    const struct reaper *r = ctx;
    struct batch b;
    if (db_transaction(r->db, expire_batch, &b) || b.n == 0)
        return false;
    job_wake(r->relay);
    return b.n == BATCH;
}

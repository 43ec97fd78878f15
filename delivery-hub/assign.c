#include "assign.h"
#include "orders_db.h"

static enum status take(const struct assignment *a, struct order *o)
{
    const struct actor who = {a->partner, PARTNER};
    enum status st = order_move(o, ACCEPT, &who, 0);
    if (!st)
        order_lease(o, a->lease_s);
    return st;
}

/* --- the three strategies: how an order is read, and on what condition it is written -----------
 */

/* SELECT ... FOR UPDATE, then UPDATE. Whoever is second to the row waits for the first one's
 * commit, reads what it made of the order, and finds it taken. */
static enum status for_update(struct db_conn *c, const struct assignment *a, struct order *o)
{
    enum status st = orders_load(c, a->order, READ_LOCKED, o);
    if (!st)
        st = take(a, o);
    return st ? st : orders_save(c, o, order_event(ACCEPT), a->partner);
}

/* SELECT, then UPDATE ... WHERE id = ? AND version = ? (compare and set). Two may read pending;
 * whoever is second to write waits for the first one's commit, and finds another version. The row
 * is found by its primary key: a condition on the status would lock entries of an index that the
 * update itself moves. */
static enum status optimistic(struct db_conn *c, const struct assignment *a, struct order *o)
{
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (!st)
        st = take(a, o);
    return st ? st : orders_save(c, o, order_event(ACCEPT), a->partner);
}

/* SELECT, then UPDATE ... WHERE id = ?. The bug that everybody has: two read pending, and both
 * write assigned. Here to be measured and to be caught. */
static enum status naive(struct db_conn *c, const struct assignment *a, struct order *o)
{
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (!st)
        st = take(a, o);
    return st ? st : orders_overwrite(c, o, order_event(ACCEPT), a->partner);
}

static enum status (*const strategies[])(struct db_conn *c, const struct assignment *a,
                                         struct order *o) = {
    [ASSIGN_FOR_UPDATE] = for_update,
    [ASSIGN_OPTIMISTIC] = optimistic,
    [ASSIGN_NAIVE] = naive,
};

/* --- what they share ---------------------------------------------------------------------------
 */

/* Two accepts of one partner must not both count below the capacity: the lock makes them take
 * turns, and the count comes after it. */
static enum status take_turn(struct db_conn *c, const struct assignment *a)
{
    int64_t held = 0;
    enum status st = partner_lock(c, a->partner);
    if (!st)
        st = partner_held(c, a->partner, &held);
    if (st)
        return st;
    return held < a->capacity ? STATUS_OK : STATUS_CONFLICT;
}

/* A lock did not come in time, or another version was there: what that means for the order, only
 * what is committed says. After a deadlock the server has rolled back, and this is CONTENDED. */
static enum status read_again(struct db_conn *c, const struct assignment *a, struct order *o)
{
    bool waited = db_lock_timeout(c);
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (st)
        return st;
    if (o->state != ORDER_PENDING)
        return STATUS_CONFLICT;
    return waited ? STATUS_OVERLOADED : STATUS_CONTENDED;
}

enum status assign(struct db_conn *c, const struct assignment *a, struct order *o)
{
    /* Most of those who ask for a taken order are told so here, without a lock. */
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (st)
        return st;
    if (o->state != ORDER_PENDING)
        return STATUS_CONFLICT;

    st = take_turn(c, a); /* first the partner, then the order */
    if (!st)
        st = strategies[a->strategy](c, a, o);
    return st == STATUS_CONTENDED ? read_again(c, a, o) : st;
}

enum status assign_next(struct db_conn *c, const struct assignment *a, struct order *o)
{
    enum status st = take_turn(c, a); /* first the partner, then the order */
    if (!st)
        st = orders_load_oldest(c, o);
    if (!st)
        st = take(a, o);
    if (!st)
        st = orders_save(c, o, order_event(ACCEPT), a->partner);
    return st == STATUS_CONTENDED && db_lock_timeout(c) ? STATUS_OVERLOADED : st;
}

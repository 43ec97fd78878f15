#include "assign.h"
#include "orders_db.h"

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

/* SELECT ... FOR UPDATE: whoever is second to the row waits for the first one's commit, reads
 * what it made of the order, and finds it taken. */
static enum status assign_for_update(struct db_conn *c, const struct assignment *a, struct order *o)
{
    const struct actor who = {a->partner, PARTNER};
    enum status st = take_turn(c, a);
    if (!st)
        st = orders_load(c, a->order, READ_LOCKED, o);
    if (!st)
        st = order_move(o, ACCEPT, &who, 0);
    if (!st)
        st = orders_save(c, o, order_event(ACCEPT), a->partner);
    return st;
}

/* The wait for a lock ran out, which says nothing about the order: read what is committed. */
static enum status read_again(struct db_conn *c, const struct assignment *a, struct order *o)
{
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (st)
        return st;
    return o->state == ORDER_PENDING ? STATUS_OVERLOADED : STATUS_CONFLICT;
}

enum status assign(struct db_conn *c, const struct assignment *a, struct order *o)
{
    /* Most of those who ask for a taken order are told so here, without a lock. */
    enum status st = orders_load(c, a->order, READ_COMMITTED, o);
    if (st)
        return st;
    if (o->state != ORDER_PENDING)
        return STATUS_CONFLICT;

    st = assign_for_update(c, a, o);
    return st == STATUS_CONTENDED && db_lock_timeout(c) ? read_again(c, a, o) : st;
}

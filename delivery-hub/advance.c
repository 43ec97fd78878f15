#include "advance.h"
#include "orders_db.h"

enum status advance(struct db_conn *c, const struct advance *a, struct order *o)
{
    enum status st = orders_load(c, a->order, READ_LOCKED, o);
    if (st == STATUS_CONTENDED && db_lock_timeout(c))
        return STATUS_OVERLOADED;
    if (!st)
        st = order_move(o, a->action, &a->who, a->fence);
    if (!st)
        st = orders_save(c, o, order_event(a->action), a->who.id);
    return st;
}

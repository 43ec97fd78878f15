#include "orders_db.h"
#include "order_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* SYSDATE, not NOW: NOW is the time at which the statement began, which for FOR UPDATE is before
 * the wait for the lock, so that a later transition could carry an earlier time. */
#define SELECT_ORDER                                                                               \
    "SELECT id, status, version, fence, customer, partner, pickup, dropoff, note, fee_cents, "     \
    "created_at, updated_at, lease_until, SYSDATE(3) FROM orders "

static void copy_text(const struct db_rows *rows, unsigned i, char *out, size_t size)
{
    const char *text = db_text(rows, i, NULL);
    snprintf(out, size, "%s", text ? text : "");
}

/* "2026-01-31 09:00:00.123", in UTC, to RFC 3339. */
static void copy_time(const struct db_rows *rows, unsigned i, char out[RFC3339_SIZE])
{
    const char *text = db_text(rows, i, NULL);
    snprintf(out, RFC3339_SIZE, "%.23sZ", text ? text : "");
    out[10] = 'T';
}

/* And back: the stores take the T, but not the Z. */
static struct sql_value sql_time(const char rfc3339[RFC3339_SIZE])
{
    if (!rfc3339[0])
        return SQL_NULL;
    return (struct sql_value){SQL_TYPE_TEXT, 0, rfc3339, RFC3339_SIZE - sizeof("Z")};
}

static enum status read_order(const struct db_rows *rows, struct order *out)
{
    *out = (struct order){
        .id = db_i64(rows, 0),
        .version = db_i64(rows, 2),
        .fence = db_i64(rows, 3),
        .fee_cents = db_i64(rows, 9),
    };
    copy_text(rows, 4, out->customer, sizeof(out->customer));
    copy_text(rows, 5, out->partner, sizeof(out->partner));
    copy_text(rows, 6, out->pickup, sizeof(out->pickup));
    copy_text(rows, 7, out->dropoff, sizeof(out->dropoff));
    copy_text(rows, 8, out->note, sizeof(out->note));
    copy_time(rows, 10, out->created_at);
    copy_time(rows, 11, out->updated_at);
    if (!db_is_null(rows, 12))
        copy_time(rows, 12, out->lease_until);
    copy_time(rows, 13, out->read_at);
    /* A state that only a newer version of this program knows. */
    return order_state_parse(db_text(rows, 1, NULL), &out->state) ? STATUS_INTERNAL : STATUS_OK;
}

static enum status load_one(struct db_conn *c, const char *sql, const struct sql_value *values,
                            size_t n, struct order *out)
{
    struct db_rows *rows;
    enum status st = db_query(c, sql, values, n, &rows);
    if (st)
        return st;
    st = db_next(rows) ? read_order(rows, out) : STATUS_NOT_FOUND;
    db_rows_free(rows);
    return st;
}

enum status orders_load(struct db_conn *c, int64_t id, enum orders_read how, struct order *out)
{
    static const char *const sql[] = {
        [READ_COMMITTED] = SELECT_ORDER "WHERE id = ?",
        [READ_LOCKED] = SELECT_ORDER "WHERE id = ? FOR UPDATE",
    };
    return load_one(c, sql[how], SQL(SQL_I64(id)), out);
}

enum status orders_load_oldest(struct db_conn *c, struct order *out)
{
    return load_one(c,
                    SELECT_ORDER "FORCE INDEX (by_status) WHERE status = 'pending' "
                                 "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
                    SQL_NONE, out);
}

enum status orders_load_lapsed(struct db_conn *c, struct order *out, size_t limit, size_t *n)
{
    struct db_rows *rows;
    /* NOW, since SYSDATE could use no index; who is to expire is asked of the rows themselves. */
    enum status st = db_query(c,
                              SELECT_ORDER "FORCE INDEX (by_lease) WHERE lease_until <= NOW(3) "
                                           "ORDER BY lease_until LIMIT ? FOR UPDATE SKIP LOCKED",
                              SQL(SQL_I64((int64_t)limit)), &rows);
    for (*n = 0; !st && *n < limit && db_next(rows); ++*n)
        st = read_order(rows, &out[*n]);
    db_rows_free(rows);
    return st;
}

static enum status add_event(struct db_conn *c, const struct order *o, const char *event,
                             const char *actor)
{
    struct strbuf body = STRBUF_INIT;
    order_write(o, &body);
    enum status st = db_exec(c,
                             "INSERT INTO outbox (order_id, version, event, actor, body, "
                             "created_at) VALUES (?, ?, ?, ?, ?, ?)",
                             SQL(SQL_I64(o->id), SQL_I64(o->version), SQL_TEXT(event),
                                 SQL_TEXT(actor), SQL_TEXT(body.bytes), sql_time(o->updated_at)),
                             NULL);
    strbuf_release(&body);
    return st;
}

enum status orders_insert(struct db_conn *c, struct order *o)
{
    enum status st = db_exec(c,
                             "INSERT INTO orders (status, version, fence, customer, pickup, "
                             "dropoff, note, fee_cents, created_at, updated_at) "
                             "VALUES ('pending', 1, 0, ?, ?, ?, ?, ?, NOW(3), NOW(3))",
                             SQL(SQL_TEXT(o->customer), SQL_TEXT(o->pickup), SQL_TEXT(o->dropoff),
                                 SQL_TEXT(o->note), SQL_I64(o->fee_cents)),
                             NULL);
    if (!st)
        st = orders_load(c, (int64_t)db_insert_id(c), READ_COMMITTED, o);
    if (!st)
        st = add_event(c, o, "created", o->customer);
    return st;
}

enum status orders_save(struct db_conn *c, const struct order *o, const char *event,
                        const char *actor)
{
    uint64_t changed;
    enum status st = db_exec(
        c,
        "UPDATE orders SET status = ?, version = ?, fence = ?, partner = ?, lease_until = ?, "
        "updated_at = ? WHERE id = ? AND version = ?",
        SQL(SQL_TEXT(order_state_name(o->state)), SQL_I64(o->version), SQL_I64(o->fence),
            SQL_TEXT(o->partner[0] ? o->partner : NULL), sql_time(o->lease_until),
            sql_time(o->updated_at), SQL_I64(o->id), SQL_I64(o->version - 1)),
        &changed);
    if (st)
        return st;
    return changed ? add_event(c, o, event, actor) : STATUS_CONTENDED;
}

enum status orders_overwrite(struct db_conn *c, struct order *o, const char *event,
                             const char *actor)
{
    enum status st = db_exec(
        c,
        "UPDATE orders SET status = ?, version = version + 1, fence = fence + 1, partner = ?, "
        "lease_until = ?, updated_at = ? WHERE id = ?",
        SQL(SQL_TEXT(order_state_name(o->state)), SQL_TEXT(o->partner), sql_time(o->lease_until),
            sql_time(o->updated_at), SQL_I64(o->id)),
        NULL);
    if (!st)
        st = orders_load(c, o->id, READ_COMMITTED, o);
    return st ? st : add_event(c, o, event, actor);
}

enum status partner_lock(struct db_conn *c, const char *partner)
{
    struct db_rows *rows;
    enum status st = db_query(c, "SELECT id FROM partners WHERE id = ? FOR UPDATE",
                              SQL(SQL_TEXT(partner)), &rows);
    if (st)
        return st;
    bool found = db_next(rows);
    db_rows_free(rows);
    if (found)
        return STATUS_OK;
    /* Their first accept. Whoever comes second to the same key waits here for the first. */
    return db_exec(c, "INSERT INTO partners (id) VALUES (?) ON DUPLICATE KEY UPDATE id = id",
                   SQL(SQL_TEXT(partner)), NULL);
}

enum status partner_held(struct db_conn *c, const char *partner, int64_t *held)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT COUNT(*) FROM orders FORCE INDEX (by_partner_status) "
                              "WHERE partner = ? AND status IN ('assigned', 'picked_up')",
                              SQL(SQL_TEXT(partner)), &rows);
    if (st)
        return st;
    db_next(rows);
    *held = db_i64(rows, 0);
    db_rows_free(rows);
    return STATUS_OK;
}

enum status barrier_pass(struct db_conn *c)
{
    return db_exec(c, "UPDATE barrier SET passed = passed + 1 WHERE id = CONNECTION_ID() % 16",
                   SQL_NONE, NULL);
}

enum status orders_waiting(struct db_conn *c, int64_t id, int64_t version, bool *waiting)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT id FROM outbox FORCE INDEX (by_order) WHERE order_id = ? AND "
                              "version = ? AND published_at IS NULL",
                              SQL(SQL_I64(id), SQL_I64(version)), &rows);
    *waiting = db_next(rows);
    db_rows_free(rows);
    return st;
}

/* --- lists: each statement walks one index backwards from a key, and stops at its limit --------
 */

/* The index is forced since the optimizer likes a reference to the first column better than a
 * range over both: it then walks every entry above the key before the first row of the page. */
#define PAGE(index, where)                                                                         \
    SELECT_ORDER "FORCE INDEX (" index ") WHERE " where "id < ? ORDER BY id DESC LIMIT ?"

/* What a partner is shown of all states is two walks, in one statement: so it is what was committed
 * at one moment, and an order that is taken or given back meanwhile is in one of them. */
enum whose { ALL, OF_CUSTOMER, OF_PARTNER, SHOWN_TO_PARTNER };

static const char *const page_sql[][2] = {
    [ALL] = {PAGE("PRIMARY", ""), PAGE("by_status", "status = ? AND ")},
    [OF_CUSTOMER] = {PAGE("by_customer", "customer = ? AND "),
                     PAGE("by_customer_status", "customer = ? AND status = ? AND ")},
    [OF_PARTNER] = {PAGE("by_partner", "partner = ? AND "),
                    PAGE("by_partner_status", "partner = ? AND status = ? AND ")},
    [SHOWN_TO_PARTNER] = {"(" PAGE("by_partner", "partner = ? AND ") ") UNION ALL (" PAGE(
                              "by_status", "status = 'pending' AND ") ")",
                          NULL},
};

/* The index that has these orders together. */
static enum whose whose_orders(const struct orders_query *q)
{
    if (q->who->role == PARTNER && !q->status)
        return SHOWN_TO_PARTNER;
    if (q->who->role == PARTNER && *q->status == ORDER_PENDING)
        return ALL;
    if (q->who->role == PARTNER || q->partner)
        return OF_PARTNER;
    return q->who->role == CUSTOMER ? OF_CUSTOMER : ALL;
}

static enum status query_page(struct db_conn *c, const struct orders_query *q, struct db_rows **out)
{
    enum whose whose = whose_orders(q);
    struct sql_value values[6];
    size_t n = 0;
    if (whose != ALL)
        values[n++] = SQL_TEXT(q->partner ? q->partner : q->who->id);
    if (q->status)
        values[n++] = SQL_TEXT(order_state_name(*q->status));
    for (int walks = whose == SHOWN_TO_PARTNER ? 2 : 1; walks > 0; walks--) {
        values[n++] = SQL_I64(q->after);
        values[n++] = SQL_I64((int64_t)q->limit + 1); /* one more tells whether there are more */
    }
    return db_query(c, page_sql[whose][q->status != NULL], values, n, out);
}

static int newest_first(const void *a, const void *b)
{
    int64_t id_a = ((const struct order *)a)->id, id_b = ((const struct order *)b)->id;
    return (id_a < id_b) - (id_a > id_b);
}

enum status orders_list(struct db_conn *c, const struct orders_query *q, struct order *out,
                        size_t *n, bool *more)
{
    struct db_rows *rows;
    size_t room = 2 * (q->limit + 1), found = 0;
    enum status st = query_page(c, q, &rows);
    if (st)
        return st;
    struct order *orders = xcalloc(room, sizeof(*orders));
    while (!st && found < room && db_next(rows))
        st = read_order(rows, &orders[found++]);
    db_rows_free(rows);
    qsort(orders, found, sizeof(*orders), newest_first);
    *more = found > q->limit;
    *n = *more ? q->limit : found;
    memcpy(out, orders, *n * sizeof(*orders));
    free(orders);
    return st;
}

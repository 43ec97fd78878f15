#include "history.h"
#include "orders_db.h"
#include "request.h"
#include <inttypes.h>
#include <stdio.h>

enum { PAGE_DEFAULT = 50, PAGE_MAX = 100 };

static struct db *db;

/* The outbox has a row a transition, published or not, and keeps it. */
static const char history_sql[] =
    "SELECT id, version, event, actor, created_at FROM outbox FORCE INDEX (by_order) "
    "WHERE order_id = ? AND version > ? ORDER BY version LIMIT ?";

static json_t *event_json(const struct db_rows *rows)
{
    char id[24], at[RFC3339_SIZE];
    snprintf(id, sizeof(id), "%" PRId64, db_i64(rows, 0));
    snprintf(at, sizeof(at), "%.10sT%.12sZ", db_text(rows, 4, NULL), db_text(rows, 4, NULL) + 11);
    return json_pack("{s:s, s:I, s:s, s:s, s:s}", "event_id", id, "version",
                     (json_int_t)db_i64(rows, 1), "event", db_text(rows, 2, NULL), "actor",
                     db_text(rows, 3, NULL), "at", at);
}

static enum status reply_events(struct http_request *req, struct db_rows *rows, int64_t limit)
{
    json_t *events = json_array();
    int64_t last = 0;
    bool more;
    while ((more = db_next(rows)) && json_array_size(events) < (size_t)limit) {
        json_array_append_new(events, event_json(rows));
        last = db_i64(rows, 1);
    }
    if (more) {
        char link[128];
        snprintf(link, sizeof(link),
                 "</orders/%s/history?limit=%" PRId64 "&after=%" PRId64 ">; rel=\"next\"",
                 http_param(req, "order"), limit, last);
        http_set_header(req, "Link", link);
    }
    return http_reply_json(req, 200, json_pack("{s:o}", "events", events));
}

/* First the events, then whether who asks may see the order that they belong to: so nobody reads
 * more than what they were shown at that moment. */
static enum status load(const struct actor *who, int64_t order, int64_t after, int64_t limit,
                        struct db_rows **rows)
{
    struct db_conn *c;
    struct order o;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    /* One more tells whether there are more. */
    st = db_query(c, history_sql, SQL(SQL_I64(order), SQL_I64(after), SQL_I64(limit + 1)), rows);
    if (!st)
        st = orders_load(c, order, READ_COMMITTED, &o);
    if (!st && !order_visible(&o, who))
        st = STATUS_NOT_FOUND;
    db_release(c);
    return st;
}

enum status get_history(struct http_request *req)
{
    static const char *const known[] = {"limit", "after", NULL};
    int64_t order = 0, limit = 0, after = 0;
    const struct actor who = request_actor(req);
    struct db_rows *rows = NULL;
    enum status st = request_order(req, &order);
    if (!st)
        st = http_query_only(req, known);
    if (!st)
        st = http_query_int(req, "limit", 1, PAGE_MAX, PAGE_DEFAULT, &limit);
    if (!st)
        st = http_query_int(req, "after", 0, INT64_MAX, 0, &after);
    if (st)
        return st;
    st = load(&who, order, after, limit, &rows);
    st = st ? store_failed(req, st) : reply_events(req, rows, limit);
    db_rows_free(rows);
    return st;
}

void history_init(struct db *database)
{
    db = database;
}

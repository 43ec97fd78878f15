#include "stats.h"
#include "clock.h"
#include "request.h"
#include <pthread.h>

enum { KEPT_MS = 1000 };

static struct status_sources sources;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER; /* one counts, others wait for it */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;     /* of the two below */
static struct strbuf kept = STRBUF_INIT;
static int64_t kept_until_ms;

/* One number by a query of one row. */
static enum status count(struct db_conn *c, const char *sql, const struct sql_value *values,
                         size_t n, int64_t *out)
{
    struct db_rows *rows;
    enum status st = db_query(c, sql, values, n, &rows);
    *out = db_next(rows) ? db_i64(rows, 0) : 0;
    db_rows_free(rows);
    return st;
}

static enum status count_states(struct db_conn *c, json_t *orders)
{
    enum status st = STATUS_OK;
    for (unsigned s = 0; !st && s < ORDER_STATE_COUNT; s++) {
        int64_t n;
        const char *name = order_state_name((enum order_state)s);
        st = count(c,
                   "SELECT COUNT(*) FROM (SELECT 1 FROM orders FORCE INDEX (by_status) "
                   "WHERE status = ? LIMIT ?) AS some",
                   SQL(SQL_TEXT(name), SQL_I64(STATS_COUNTED_TO)), &n);
        json_object_set_new(orders, name, json_integer(n));
    }
    return st;
}

static enum status count_all(struct db *db, struct strbuf *out)
{
    struct db_conn *c;
    int64_t waiting = 0, oldest_s = 0;
    char now[RFC3339_SIZE];
    enum status st = db ? db_acquire(db, &c) : STATUS_UNAVAILABLE;
    if (st)
        return st;
    json_t *orders = json_object();
    st = count_states(c, orders);
    if (!st)
        st = count(c,
                   "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT ?) "
                   "AS some",
                   SQL(SQL_I64(STATS_COUNTED_TO)), &waiting);
    if (!st)
        st = count(c,
                   "SELECT TIMESTAMPDIFF(SECOND, created_at, NOW(3)) FROM orders "
                   "FORCE INDEX (by_status) WHERE status = 'pending' ORDER BY id LIMIT 1",
                   SQL_NONE, &oldest_s);
    db_release(c);
    rfc3339_format(clock_unix_ms(), now);
    json_t *all = json_pack("{s:o, s:i, s:I, s:I, s:s}", "orders", orders, "counted_to",
                            (int)STATS_COUNTED_TO, "oldest_pending_s", (json_int_t)oldest_s,
                            "unpublished", (json_int_t)waiting, "at", now);
    strbuf_reset(out);
    json_write(out, all);
    json_decref(all);
    return st;
}

static bool reply_kept(struct http_request *req)
{
    pthread_mutex_lock(&lock);
    bool fresh = clock_mono_ms() < kept_until_ms;
    if (fresh)
        http_reply(req, 200, "application/json", kept.bytes, kept.len);
    pthread_mutex_unlock(&lock);
    return fresh;
}

static void keep(struct strbuf *counted)
{
    pthread_mutex_lock(&lock);
    strbuf_release(&kept);
    kept = *counted;
    kept_until_ms = clock_mono_ms() + KEPT_MS;
    pthread_mutex_unlock(&lock);
}

enum status get_stats(struct http_request *req)
{
    struct strbuf counted = STRBUF_INIT;
    enum status st = STATUS_OK;
    if (reply_kept(req))
        return STATUS_OK;
    if (!http_on_pool(req))
        return STATUS_NEEDS_POOL;
    pthread_mutex_lock(&counting);
    if (reply_kept(req))
        goto out;
    st = count_all(sources.replica, &counted);
    if (st)
        st = count_all(sources.primary, &counted);
    if (st) {
        strbuf_release(&counted);
        store_failed(req, st);
        goto out;
    }
    http_reply(req, 200, "application/json", counted.bytes, counted.len);
    keep(&counted);
out:
    pthread_mutex_unlock(&counting);
    return st;
}

void stats_init(const struct status_sources *from)
{
    sources = *from;
}

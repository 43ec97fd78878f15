#include "relay.h"
#include "metrics.h"
#include "orders_db.h"
#include "status_cache.h"
#include <string.h>
#include <time.h>

/* Room for a consumer that was away; the approximate trim is the cheap one. */
#define STREAM "hub:events"
#define STREAM_MAX "100000"
/* After a batch: what comes meanwhile shares the next one's two commits with it. */
enum { BATCH = 100, PAUSE_MS = 10 };

enum { FIXED = 5, COLUMNS = 5, FIELDS = COLUMNS + 1 };

struct batch {
    struct relay *relay;
    int64_t ids[BATCH]; /* what is to be published */
    size_t n;
    const char *argv[FIXED + BATCH * FIELDS]; /* the command, of texts in the claim's rows */
    size_t lengths[FIXED + BATCH * FIELDS], argc;
};

/* An order's oldest unpublished row alone may be published, so that no relay overtakes another one
 * which still holds an earlier row. Here most others are left out. The index is forced since
 * statistics from before an outage of Redis make the backlog look small enough to scan for every
 * row. */
static const char claim_sql[] =
    "SELECT id, order_id, version, event, body FROM outbox o WHERE published_at IS NULL AND NOT "
    "EXISTS (SELECT 1 FROM outbox e FORCE INDEX (by_order) WHERE e.order_id = o.order_id AND "
    "e.version < o.version AND e.published_at IS NULL) ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED";

/* And here it is decided, by a statement that begins after the row is locked. The subquery above
 * sees what was committed when its statement began, the locking read what is committed now: so it
 * may meet a row whose predecessor came in between, and is locked by another relay. `newest`: no
 * later version was committed yet. */
static enum status find_place(struct db_conn *c, const struct db_rows *row, bool *oldest,
                              bool *newest)
{
    struct db_rows *found;
    enum status st = db_query(
        c,
        "SELECT MAX(version), (SELECT id FROM outbox FORCE INDEX (by_order) WHERE order_id = ? AND "
        "version < ? AND published_at IS NULL LIMIT 1) FROM outbox FORCE INDEX (by_order) "
        "WHERE order_id = ?",
        SQL(SQL_I64(db_i64(row, 1)), SQL_I64(db_i64(row, 2)), SQL_I64(db_i64(row, 1))), &found);
    if (st)
        return st;
    db_next(found);
    *newest = db_i64(found, 0) == db_i64(row, 2);
    *oldest = db_is_null(found, 1);
    db_rows_free(found);
    return STATUS_OK;
}

/* One round trip, and one fsync where Redis is told to be durable, for the whole batch. An order's
 * cache entry is there before its event; of what an outage kept waiting, both say that it is old.
 */
static const char publish_script[] = STATUS_CACHE_PUT
    "for i = 2, #ARGV, 6 do\n"
    "local id, order, version, event, body, newest = unpack(ARGV, i, i + 5)\n"
    "if ARGV[1] == '1' then put('hub:order:' .. order, version, newest == '1' and body or '') end\n"
    "redis.call('XADD', KEYS[1], 'MAXLEN', '~', " STREAM_MAX ", '*', 'event_id', id, 'order', "
    "order, 'version', version, 'event', event, 'newest', newest, 'body', body)\n"
    "end\n"
    "return 1";

static void add(struct batch *b, const char *bytes, size_t len)
{
    b->argv[b->argc] = bytes;
    b->lengths[b->argc++] = len;
}

static enum status collect(struct db_conn *c, struct batch *b, struct db_rows *rows)
{
    const char *fixed[FIXED] = {"EVAL", publish_script, "1", STREAM, b->relay->cache ? "1" : "0"};
    enum status st = STATUS_OK;
    bool oldest, newest;
    for (int i = 0; i < FIXED; i++)
        add(b, fixed[i], strlen(fixed[i]));
    while (b->n < BATCH && db_next(rows) && !(st = find_place(c, rows, &oldest, &newest))) {
        if (!oldest)
            continue;
        for (unsigned i = 0; i < COLUMNS; i++) {
            size_t len;
            const char *text = db_text(rows, i, &len);
            add(b, text, len);
        }
        add(b, newest ? "1" : "0", 1);
        b->ids[b->n++] = db_i64(rows, 0);
    }
    return st;
}

static enum status pass(struct db_conn *c, void *unused)
{
    (void)unused;
    return barrier_pass(c);
}

/* First the barrier, on a connection of its own since the rows are to stay locked: nobody may hear
 * of what a crash of the database can still take back. Its number would be given to another event.
 */
static enum status publish(const struct batch *b)
{
    enum status st = db_transaction(b->relay->db, pass, NULL);
    return st ? st
              : redis_command_argv(b->relay->redis, 0, NULL, (int)b->argc, (const char **)b->argv,
                                   b->lengths);
}

/* The rows stay locked until Redis answered and they are marked. Whatever fails between leaves
 * them unmarked: published again, and dropped by consumers as event ids they know. */
static enum status publish_batch(struct db_conn *c, void *ctx)
{
    struct batch *b = ctx;
    struct db_rows *rows;
    b->n = b->argc = 0;
    enum status st = db_query(c, claim_sql, SQL(SQL_I64(BATCH)), &rows);
    if (!st)
        st = collect(c, b, rows);
    if (!st && b->n)
        st = publish(b);
    db_rows_free(rows);
    for (size_t i = 0; !st && i < b->n; i++)
        st = db_exec(c, "UPDATE outbox SET published_at = NOW(3) WHERE id = ?",
                     SQL(SQL_I64(b->ids[i])), NULL);
    return st;
}

static double read_lag(void *relay)
{
    return (double)atomic_load(&((struct relay *)relay)->lag_us) / 1e6;
}

void relay_init(struct relay *r, struct db *db, struct redis *redis, bool cache)
{
    metric_gauge_read("hub_outbox_lag_seconds", "", "Age of the oldest event not yet published.",
                      read_lag, r);
    *r = (struct relay){
        .db = db,
        .redis = redis,
        .cache = cache,
        .published = metric_counter("hub_events_published_total", "", "Outbox rows published"),
    };
}

/* While it is not, nothing is claimed, and no barrier taken, for nothing. */
static bool redis_is_up(struct redis *redis)
{
    struct strbuf why = STRBUF_INIT;
    bool up = redis_health(redis, &why);
    strbuf_release(&why);
    return up;
}

bool relay_publish(void *relay)
{
    struct batch b = {.relay = relay};
    if (!redis_is_up(b.relay->redis) || db_transaction(b.relay->db, publish_batch, &b))
        return false;
    metric_add(b.relay->published, (int64_t)b.n);
    return b.n > 0;
}

static const char lag_sql[] =
    "SELECT GREATEST(0, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(3))) FROM outbox "
    "FORCE INDEX (unpublished) WHERE published_at IS NULL ORDER BY id LIMIT 1";

static void measure_lag(struct relay *r)
{
    struct db_conn *c;
    struct db_rows *rows = NULL;
    if (db_acquire(r->db, &c))
        return;
    if (db_query(c, lag_sql, SQL_NONE, &rows) == STATUS_OK)
        atomic_store(&r->lag_us, db_next(rows) ? db_i64(rows, 0) : 0);
    db_rows_free(rows);
    db_release(c);
}

bool relay_job(void *relay)
{
    bool more = relay_publish(relay);
    measure_lag(relay);
    if (more)
        nanosleep(&(struct timespec){0, PAUSE_MS * 1000000L}, NULL);
    return more;
}

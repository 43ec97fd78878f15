#include "relay.h"
#include "metrics.h"
#include "status_cache.h"
#include <string.h>

/* Room for a consumer that was away; the approximate trim is the cheap one. */
#define STREAM "hub:events"
#define STREAM_MAX "100000"
enum { BATCH = 100 };

struct batch {
    struct redis *redis;
    bool cache;
    size_t published;
};

/* Only the oldest unpublished row of each order, so that no relay can overtake another one which
 * still holds that order's earlier row. A stale answer of the subquery shows a row as unpublished
 * that no longer is: this row then waits for the next round. The index is forced since statistics
 * from before an outage of Redis make the backlog look small enough to scan for every row. */
static const char claim_sql[] =
    "SELECT id, order_id, version, event, body FROM outbox o WHERE published_at IS NULL AND NOT "
    "EXISTS (SELECT 1 FROM outbox e "
    "FORCE INDEX (by_order) WHERE e.order_id = o.order_id AND e.version < o.version AND "
    "e.published_at IS NULL) ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED";

/* One round trip, and one fsync where Redis is told to be durable, for the whole batch: row by row
 * two relays together carried a hundred events a second. An order's cache entry is there before
 * its event. */
static const char publish_script[] =
    STATUS_CACHE_PUT "for i = 2, #ARGV, 5 do\n"
                     "local id, order, version, event, body = unpack(ARGV, i, i + 4)\n"
                     "if ARGV[1] == '1' then put('hub:order:' .. order, version, body) end\n"
                     "redis.call('XADD', KEYS[1], 'MAXLEN', '~', " STREAM_MAX ", '*', 'event_id', "
                     "id, 'order', order, 'version', version, 'event', event, 'body', body)\n"
                     "end\n"
                     "return 1";

enum { FIXED = 5, COLUMNS = 5 };

static enum status publish_rows(const struct batch *b, struct db_rows *rows, int64_t ids[BATCH],
                                size_t *n)
{
    const char *argv[FIXED + BATCH * COLUMNS] = {"EVAL", publish_script, "1", STREAM,
                                                 b->cache ? "1" : "0"};
    size_t lengths[FIXED + BATCH * COLUMNS], argc = 0;
    for (; argc < FIXED; argc++)
        lengths[argc] = strlen(argv[argc]);
    for (*n = 0; *n < BATCH && db_next(rows); ++*n) {
        for (unsigned i = 0; i < COLUMNS; i++, argc++)
            argv[argc] = db_text(rows, i, &lengths[argc]);
        ids[*n] = db_i64(rows, 0);
    }
    return *n ? redis_command_argv(b->redis, 0, NULL, (int)argc, argv, lengths) : STATUS_OK;
}

/* The rows stay locked until Redis answered and they are marked. Whatever fails between leaves
 * them unmarked: published again, and dropped by consumers as event ids they know. */
static enum status publish_batch(struct db_conn *c, void *ctx)
{
    struct batch *b = ctx;
    struct db_rows *rows;
    int64_t ids[BATCH];
    size_t n;
    b->published = 0;
    enum status st = db_query(c, claim_sql, SQL(SQL_I64(BATCH)), &rows);
    if (st)
        return st;
    st = publish_rows(b, rows, ids, &n);
    db_rows_free(rows);
    for (; !st && b->published < n; b->published++)
        st = db_exec(c, "UPDATE outbox SET published_at = NOW(3) WHERE id = ?",
                     SQL(SQL_I64(ids[b->published])), NULL);
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

bool relay_publish(void *relay)
{
    const struct relay *r = relay;
    struct batch b = {.redis = r->redis, .cache = r->cache};
    if (db_transaction(r->db, publish_batch, &b))
        return false;
    metric_add(r->published, (int64_t)b.published);
    return b.published > 0;
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
    return more;
}

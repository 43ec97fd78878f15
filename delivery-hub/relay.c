#include "relay.h"
#include "metrics.h"
#include "status_cache.h"

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
    "EXISTS (SELECT 1 FROM outbox e FORCE INDEX (by_order) WHERE e.order_id = o.order_id AND "
    "e.version < o.version AND e.published_at IS NULL) ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED";

/* The cache first: whoever hears of the event finds the order there. */
static enum status publish_row(const struct batch *b, const struct db_rows *rows)
{
    size_t len;
    int64_t order = db_i64(rows, 1), version = db_i64(rows, 2);
    const char *body = db_text(rows, 4, &len);
    enum status st = b->cache ? status_cache_put(b->redis, order, version, body, len) : STATUS_OK;
    if (st)
        return st;
    return redis_command(b->redis, NULL,
                         "XADD " STREAM " MAXLEN ~ " STREAM_MAX
                         " * event_id %lld order %lld version %lld event %s body %b",
                         (long long)db_i64(rows, 0), (long long)order, (long long)version,
                         db_text(rows, 3, NULL), body, len);
}

/* The rows stay locked until Redis answered and they are marked. Whatever fails between leaves
 * them unmarked: published again, and dropped by consumers as an event id they know. */
static enum status publish_batch(struct db_conn *c, void *ctx)
{
    struct batch *b = ctx;
    struct db_rows *rows;
    enum status taken = STATUS_OK; /* by Redis */
    b->published = 0;
    enum status st = db_query(c, claim_sql, SQL(SQL_I64(BATCH)), &rows);
    while (!st && db_next(rows)) {
        taken = publish_row(b, rows);
        if (taken)
            break;
        st = db_exec(c, "UPDATE outbox SET published_at = NOW(3) WHERE id = ?",
                     SQL(SQL_I64(db_i64(rows, 0))), NULL);
        b->published++;
    }
    db_rows_free(rows);
    if (!st && b->published == 0)
        return taken; /* nothing to commit */
    return st;
}

void relay_init(struct relay *r, struct db *db, struct redis *redis, bool cache)
{
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

#include "status_read.h"
#include "clock.h"
#include "metrics.h"
#include "orders_db.h"
#include "status_cache.h"

typedef enum status source(const struct status_sources *s, int64_t order, struct snapshot **out);

static struct metric *from_map;

/* `waiting` (or NULL): a crash of the database may still take this version back. */
static enum status from_db(struct db *db, int64_t order, struct snapshot **out, bool *waiting)
{
    struct db_conn *c;
    struct order o;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = orders_load(c, order, READ_COMMITTED, &o);
    if (!st && waiting)
        st = orders_waiting(c, order, o.version, waiting);
    db_release(c);
    if (!st)
        *out = snapshot_of(&o);
    return st;
}

static enum status from_cache(const struct status_sources *s, int64_t order, struct snapshot **out)
{
    return s->cache ? status_cache_get(s->cache, order, out) : STATUS_NOT_FOUND;
}

/* What it says is kept in the map, for a second, but not in Redis: it may be old by any time. */
static enum status from_replica(const struct status_sources *s, int64_t order,
                                struct snapshot **out)
{
    return s->replica ? from_db(s->replica, order, out, NULL) : STATUS_NOT_FOUND;
}

static enum status from_primary(const struct status_sources *s, int64_t order,
                                struct snapshot **out)
{
    bool waiting = false;
    enum status st = from_db(s->primary, order, out, s->cache ? &waiting : NULL);
    if (!st && s->cache && !waiting)
        status_cache_put(s->cache, order, (*out)->version, (*out)->json, (*out)->len);
    return st;
}

static struct copy {
    const char *label;
    source *read;
    struct metric *answered;
} sources[] = {
    {"from=\"cache\"", from_cache, NULL},
    {"from=\"replica\"", from_replica, NULL},
    {"from=\"primary\"", from_primary, NULL},
};
enum { SOURCES = sizeof(sources) / sizeof(sources[0]) };

static struct metric *answers(const char *label)
{
    return metric_counter("hub_reads_total", label, "Orders read, by where the answer was.");
}

void status_read_init(void)
{
    from_map = answers("from=\"map\"");
    for (size_t i = 0; i < SOURCES; i++)
        sources[i].answered = answers(sources[i].label);
}

struct snapshot *status_read_near(const struct status_sources *s, const struct status_query *q)
{
    bool fresh;
    struct snapshot *shown = status_map_get(s->map, q->order, clock_mono_ms(), &fresh);
    if (fresh && shown->version >= q->least && snapshot_visible(shown, &q->who)) {
        metric_add(from_map, 1);
        return shown;
    }
    snapshot_unref(shown);
    return NULL;
}

/* The version asked for, or the one that the map has, though it may be too old to show. */
static int64_t least_version(const struct status_sources *s, const struct status_query *q)
{
    bool fresh;
    struct snapshot *known = status_map_get(s->map, q->order, clock_mono_ms(), &fresh);
    int64_t least = known && known->version > q->least ? known->version : q->least;
    snapshot_unref(known);
    return least;
}

enum status status_read_far(const struct status_sources *s, const struct status_query *q,
                            struct snapshot **out)
{
    enum status st = STATUS_NOT_FOUND;
    int64_t least = least_version(s, q);
    for (size_t i = 0; i < SOURCES; i++) {
        bool last = i == SOURCES - 1;
        int64_t asked_ms = clock_mono_ms();
        struct snapshot *shown = NULL;
        st = sources[i].read(s, q->order, &shown);
        if (!st && !snapshot_visible(shown, &q->who))
            st = STATUS_NOT_FOUND;
        if (!st && (last || shown->version >= least)) {
            status_map_put(s->map, shown, asked_ms);
            metric_add(sources[i].answered, 1);
            *out = shown;
            return STATUS_OK;
        }
        snapshot_unref(shown);
    }
    return st;
}

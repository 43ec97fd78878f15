#include "fill.h"
#include "attendance_db.h"
#include "clock.h"
#include "metrics.h"
#include "page.h"
#include "users_db.h"
#include <stdlib.h>

/* Where an answer came from, each counted. */
enum source { NEAR_HIT, REDIS_HIT, STORED, NOT_STORED, BYPASS, REDIS_DOWN, SOURCES };
static const struct {
    const char *how, *label;
} sources[SOURCES] = {
    [NEAR_HIT] = {"student-portal; hit; detail=near", "result=\"near\""},
    [REDIS_HIT] = {"student-portal; hit; detail=redis", "result=\"redis\""},
    [STORED] = {"student-portal; fwd=miss; stored", "result=\"miss\""},
    [NOT_STORED] = {"student-portal; fwd=miss", "result=\"miss\""},
    [BYPASS] = {"student-portal; fwd=bypass", "result=\"bypass\""},
    [REDIS_DOWN] = {"student-portal; fwd=bypass; detail=redis-down", "result=\"bypass\""},
};

struct fills {
    struct fills_options o;
    struct metric *counters[SOURCES], *students, *queries;
};

struct fills *fills_new(const struct fills_options *options)
{
    struct fills *f = xcalloc(1, sizeof(*f));
    f->o = *options;
    for (size_t i = 0; i < SOURCES; i++)
        f->counters[i] =
            metric_counter("portal_cache_requests_total", sources[i].label,
                           "Look-ups of a student's attendance by where the answer came from");
    f->students = metric_counter("portal_fill_students_total", "", "Students looked up.");
    f->queries = metric_counter("portal_fill_queries_total", "", "Queries that this took.");
    return f;
}

void fills_free(struct fills *f)
{
    free(f);
}

static const char *note(struct fills *f, enum source source)
{
    metric_add(f->counters[source], 1);
    return sources[source].how;
}

const char *fills_near_hit(struct fills *f)
{
    return note(f, NEAR_HIT);
}

/* One call's work. The three arrays go together. */
struct work {
    struct fills *f;
    struct fill *fills;
    size_t n;
    struct cached cached[CACHE_KEYS_MAX];
    uint64_t stamps[CACHE_KEYS_MAX];
    uint64_t epoch;
    bool redis_up;
};

/* --- from Redis ------------------------------------------------------------------------------- */

static void fetch(struct work *w)
{
    struct cached *keys[CACHE_KEYS_MAX];
    for (size_t i = 0; i < w->n; i++) {
        w->cached[i] = (struct cached){.student = w->fills[i].student, .found = CACHED_LEASE};
        keys[i] = &w->cached[i];
    }
    w->redis_up = w->f->o.use_cache && !cache_fetch(w->f->o.cache, keys, w->n);
    for (size_t i = 0; i < w->n && w->redis_up; i++)
        if (w->cached[i].found == CACHED_BUSY)
            w->fills[i].st = STATUS_CONTENDED;
}

static struct fill *find(struct work *w, int64_t student, size_t *i)
{
    for (*i = 0; *i < w->n; (*i)++)
        if (w->fills[*i].student == student)
            return &w->fills[*i];
    return NULL;
}

/* The student's row says which generation is the least that may be shown. */
static void use_cached(void *ctx, const struct user *user)
{
    struct work *w = ctx;
    size_t i;
    struct fill *fill = find(w, user->id, &i);
    const struct cached *cached = &w->cached[i];
    if (!fill || cached->gen < user->attendance_gen)
        return;
    fill->entry = near_entry_new(user, cached->body.bytes, cached->body.len);
    if (cached->ttl_ms < NEAR_TTL_MS)
        fill->entry->expires_ms = clock_mono_ms() + cached->ttl_ms;
    fill->how = note(w->f, REDIS_HIT);
}

static enum status check_cached(struct work *w)
{
    int64_t ids[CACHE_KEYS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->cached[i].found == CACHED_BODY)
            ids[n++] = w->cached[i].student;
    if (n == 0)
        return STATUS_OK;
    metric_add(w->f->queries, 1);
    return users_get_many(w->f->o.db, ids, n, use_cached, w);
}

/* --- from the database ------------------------------------------------------------------------ */

static void use_page(void *ctx, const struct attendance_page *page)
{
    struct work *w = ctx;
    size_t i;
    struct fill *fill = find(w, page->user.id, &i);
    if (!fill)
        return;
    struct cached *cached = &w->cached[i];
    strbuf_reset(&cached->body);
    page_write(&cached->body, page);
    cached->gen = page->user.attendance_gen;
    fill->entry = near_entry_new(&page->user, cached->body.bytes, cached->body.len);
    fill->st = STATUS_OK;
}

/* The places of those that are without an entry, and that nobody else fills. */
static size_t find_missing(struct work *w, size_t missing[CACHE_KEYS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (w->fills[i].entry || w->fills[i].st == STATUS_CONTENDED)
            continue;
        w->fills[i].st = STATUS_NOT_FOUND; /* until its row comes */
        missing[n++] = i;
    }
    return n;
}

static enum status load(struct work *w, const size_t *missing, size_t n)
{
    int64_t ids[CACHE_KEYS_MAX];
    for (size_t i = 0; i < n; i++)
        ids[i] = w->fills[missing[i]].student;
    if (n == 0)
        return STATUS_OK;
    metric_add(w->f->queries, 1);
    return attendance_load(w->f->o.db, ids, n, use_page, w);
}

/* Also where the load failed: it gives the leases back. */
static void store(struct work *w, const size_t *missing, size_t n, enum status loaded)
{
    struct cached *keys[CACHE_KEYS_MAX];
    for (size_t i = 0; i < n; i++) {
        keys[i] = &w->cached[missing[i]];
        if (loaded || w->fills[missing[i]].st)
            strbuf_reset(&keys[i]->body);
    }
    if (n && w->redis_up)
        cache_store(w->f->o.cache, w->epoch, keys, n);
    for (size_t i = 0; i < n; i++) {
        struct fill *fill = &w->fills[missing[i]];
        if (loaded)
            fill->st = loaded;
        else if (!fill->st)
            fill->how = note(w->f, !w->f->o.use_cache ? BYPASS
                                   : !w->redis_up     ? REDIS_DOWN
                                   : keys[i]->stored  ? STORED
                                                      : NOT_STORED);
    }
}

void fills_run(struct fills *f, struct fill *fills, size_t n)
{
    struct work w = {.f = f, .fills = fills, .n = n, .epoch = redis_epoch(f->o.redis)};
    size_t missing[CACHE_KEYS_MAX];
    for (size_t i = 0; i < n; i++) {
        w.stamps[i] = near_stamp(f->o.near, fills[i].student);
        fills[i] = (struct fill){.student = fills[i].student};
    }
    metric_add(f->students, (int64_t)n);
    fetch(&w);
    enum status st = check_cached(&w);
    size_t count = find_missing(&w, missing);
    if (!st)
        st = load(&w, missing, count);
    store(&w, missing, count, st);
    bool reconnected = redis_epoch(f->o.redis) != w.epoch;
    for (size_t i = 0; i < n; i++) {
        if (fills[i].entry && !reconnected)
            near_put(f->o.near, fills[i].entry, w.stamps[i]);
        strbuf_release(&w.cached[i].body);
    }
}

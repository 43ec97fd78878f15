#include "warm.h"
#include "attendance_db.h"
#include "clock.h"
#include "metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BEGIN_MS = 500 };

struct warm {
    struct db *db;
    struct fills *fills;
    struct near *near;
    int64_t minutes;
    struct metric *warmed;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping; /* under the lock */
};

/* Those that are not in memory. */
static size_t choose(struct warm *w, const int64_t *ids, size_t n, struct fill *fills)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct near_entry *e = near_get(w->near, ids[i]);
        if (!e)
            fills[count++] = (struct fill){.student = ids[i]};
        near_entry_unref(e);
    }
    return count;
}

static void fill(struct warm *w, const int64_t *ids, size_t n)
{
    struct fill fills[USERS_MAX];
    size_t count = choose(w, ids, n, fills);
    if (count == 0)
        return;
    fills_run(w->fills, fills, count);
    for (size_t i = 0; i < count; i++)
        near_entry_unref(fills[i].entry);
    metric_add(w->warmed, (int64_t)count);
}

static bool is_stopping(struct warm *w)
{
    pthread_mutex_lock(&w->lock);
    bool stopping = w->stopping;
    pthread_mutex_unlock(&w->lock);
    return stopping;
}

static void fill_all(struct warm *w)
{
    int64_t ids[USERS_MAX], after = 0;
    size_t n;
    while (!is_stopping(w) && !students_soon(w->db, w->minutes, after, ids, &n) && n > 0) {
        fill(w, ids, n);
        after = ids[n - 1];
    }
}

static void *run(void *arg)
{
    struct warm *w = arg;
    for (int64_t pause = BEGIN_MS;; pause = WARM_PERIOD_MS) {
        int64_t deadline = clock_mono_ms() + pause;
        pthread_mutex_lock(&w->lock);
        while (!w->stopping && clock_cond_wait(&w->stop, &w->lock, deadline))
            ;
        bool stopping = w->stopping;
        pthread_mutex_unlock(&w->lock);
        if (stopping)
            return NULL;
        if (near_is_on(w->near))
            fill_all(w);
    }
}

struct warm *warm_new(struct db *db, struct fills *fills, struct near *near, int64_t minutes)
{
    if (minutes == 0)
        return NULL;
    struct warm *w = xcalloc(1, sizeof(*w));
    *w = (struct warm){.db = db, .fills = fills, .near = near, .minutes = minutes};
    clock_cond_init(&w->stop);
    pthread_mutex_init(&w->lock, NULL);
    w->warmed =
        metric_counter("portal_warmed_total", "", "Pages loaded before they were asked for.");
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        fputs("level=error event=no_warm_thread\n", stderr);
        abort(); /* at start only */
    }
    pthread_setname_np(w->thread, "warm");
    return w;
}

void warm_free(struct warm *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->stop);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

#include "invalidation.h"
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { PERIOD_MS = 1000, RETRY_MS = 50 };

struct invalidation {
    struct invalidation_options o;
    struct redis_subscriber *subscriber;
    struct metric *sweeps, *replayed, *near_on;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows, and of switching the near cache on */
    pthread_cond_t wake;
    bool stopping, woken;
    bool lost;      /* the subscription was, since the near cache was last to be switched on */
    uint64_t epoch; /* of Redis, when it was last switched on */
};

/* --- what the subscription says --------------------------------------------------------------- */

static void on_message(void *ctx, const char *channel, const char *bytes, size_t len)
{
    struct invalidation *v = ctx;
    const char *s = bytes, *stop = bytes + len;
    (void)channel;
    while (s < stop) {
        char *end;
        int64_t student = strtoll(s, &end, 10); /* hiredis ends its strings with NUL */
        if (end == s)
            return;
        near_drop(v->o.near, student);
        s = end + (*end == ' ');
    }
}

static void set_near(struct invalidation *v, bool on)
{
    if (near_is_on(v->o.near) == on)
        return;
    near_switch(v->o.near, on);
    metric_set(v->near_on, on);
    log_info(on ? "near_cache_on" : "near_cache_off");
}

static void on_state(void *ctx, bool up)
{
    struct invalidation *v = ctx;
    pthread_mutex_lock(&v->lock);
    if (!up) {
        v->lost = true;
        set_near(v, false);
    }
    v->woken = true;
    pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
}

/* --- replay ------------------------------------------------------------------------------------
 */

static void drop_near(struct invalidation *v, const struct changes *list)
{
    for (size_t i = 0; i < list->n; i++)
        near_drop(v->o.near, list->at[i].student);
}

void invalidation_publish(struct invalidation *v, const struct changes *list)
{
    drop_near(v, list);
    if (list->n == 0)
        return;
    if (cache_advance(v->o.cache, list) || changes_done(v->o.db, list))
        log_warn("invalidation_pending", F("students", list->n));
}

/* Do what the writers of these rows did not come to do. */
static enum status replay(struct invalidation *v, int64_t age_ms)
{
    struct changes list = CHANGES_INIT;
    enum status st;
    do {
        metric_add(v->sweeps, 1);
        changes_reset(&list);
        st = changes_pending(v->o.db, age_ms, &list);
        drop_near(v, &list);
        if (!st && list.n)
            st = cache_advance(v->o.cache, &list);
        if (!st && list.n)
            st = changes_done(v->o.db, &list);
        if (!st)
            metric_add(v->replayed, (int64_t)list.n);
    } while (!st && list.n);
    changes_release(&list);
    return st;
}

/* --- the thread --------------------------------------------------------------------------------
 */

static bool redis_is_up(const struct invalidation *v)
{
    struct strbuf why = STRBUF_INIT;
    bool up = redis_health(v->o.redis, &why) && redis_subscriber_up(v->subscriber);
    strbuf_release(&why);
    return up;
}

/* Switch the near cache on, once nothing pending is left. */
static void begin_trust(struct invalidation *v, uint64_t epoch)
{
    pthread_mutex_lock(&v->lock);
    v->lost = false;
    set_near(v, false);
    pthread_mutex_unlock(&v->lock);
    bool replayed = redis_is_up(v) && !replay(v, 0);
    pthread_mutex_lock(&v->lock);
    if (replayed && !v->lost && redis_epoch(v->o.redis) == epoch) {
        v->epoch = epoch;
        set_near(v, v->o.use_near);
    } else {
        v->lost = true;
    }
    pthread_mutex_unlock(&v->lock);
}

/* True when nothing was lost since the near cache was switched on. */
static bool is_trusted(struct invalidation *v, uint64_t epoch)
{
    pthread_mutex_lock(&v->lock);
    bool good = !v->lost && v->epoch == epoch;
    pthread_mutex_unlock(&v->lock);
    return good;
}

static void end_trust(struct invalidation *v)
{
    pthread_mutex_lock(&v->lock);
    v->lost = true;
    set_near(v, false);
    pthread_mutex_unlock(&v->lock);
}

/* One look at everything; the time until the next. */
static int64_t look(struct invalidation *v)
{
    uint64_t epoch = redis_epoch(v->o.redis);
    if (!redis_is_up(v))
        end_trust(v);
    else if (is_trusted(v, epoch))
        replay(v, PERIOD_MS);
    else
        begin_trust(v, epoch);
    return is_trusted(v, epoch) ? PERIOD_MS : RETRY_MS;
}

static void wait_ms(struct invalidation *v, int64_t ms)
{
    int64_t deadline = clock_mono_ms() + ms;
    while (!v->woken && !v->stopping && clock_cond_wait(&v->wake, &v->lock, deadline))
        ;
    v->woken = false;
}

static void *run(void *arg)
{
    struct invalidation *v = arg;
    pthread_mutex_lock(&v->lock);
    while (!v->stopping) {
        pthread_mutex_unlock(&v->lock);
        int64_t pause = look(v);
        pthread_mutex_lock(&v->lock);
        wait_ms(v, pause);
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

/* --- begin and end -----------------------------------------------------------------------------
 */

static void init(struct invalidation *v, const struct invalidation_options *options)
{
    v->o = *options;
    clock_cond_init(&v->wake);
    pthread_mutex_init(&v->lock, NULL);
    v->sweeps = metric_counter("portal_sweeps_total", "", "Looks for pending invalidations.");
    v->replayed = metric_counter("portal_invalidations_replayed_total", "",
                                 "Changes told to the caches by another than their writer.");
    v->near_on = metric_gauge("portal_near_cache_on", "", "1 while every invalidation arrives.");
}

enum status invalidation_new(const struct invalidation_options *options, struct invalidation **out,
                             struct strbuf *why)
{
    struct invalidation *v = xcalloc(1, sizeof(*v));
    init(v, options);
    const struct redis_options redis = {.url = options->redis_url};
    const struct redis_subscriber_events events = {
        .message = on_message, .state = on_state, .ctx = v};
    enum status st = redis_subscriber_new(&redis, &events, &v->subscriber, why);
    if (st) {
        free(v);
        return st;
    }
    redis_subscribe(v->subscriber, CACHE_CHANNEL);
    if (pthread_create(&v->thread, NULL, run, v) != 0) {
        fputs("level=error event=no_invalidation_thread\n", stderr);
        abort(); /* at start only */
    }
    pthread_setname_np(v->thread, "invalidation");
    *out = v;
    return STATUS_OK;
}

void invalidation_free(struct invalidation *v)
{
    if (!v)
        return;
    pthread_mutex_lock(&v->lock);
    v->stopping = true;
    pthread_cond_signal(&v->wake);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    redis_subscriber_free(v->subscriber);
    pthread_cond_destroy(&v->wake);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

#include "pool.h"
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool {
    const struct pool_ops *ops;
    void *ctx;
    struct pool_options options;
    pthread_mutex_t lock;
    pthread_cond_t freed; /* a connection, or the place for one, or the circuit opened */
    pthread_cond_t wake;  /* the keeper has something to do */
    bool closed, woken, stopping;
    char reason[256]; /* why the circuit is open */
    _Atomic uint64_t epoch;
    size_t open_count; /* connections that exist or are being dialled, but for the keeper's */
    size_t idle_count;
    void **idle; /* a stack: the warmest first */
    struct metric *up, *open, *busy, *failures;
    pthread_t keeper;
};

/* --- under the lock -------------------------------------------------------------------------- */

static void wake_keeper(struct pool *p)
{
    p->woken = true;
    pthread_cond_signal(&p->wake);
}

static void close_one(struct pool *p, void *conn)
{
    p->ops->close(conn);
    p->open_count--;
    metric_add(p->open, -1);
    pthread_cond_signal(&p->freed);
}

/* Say why the store is down, once a reason. */
static void note_reason(struct pool *p, const char *reason)
{
    if (strncmp(p->reason, reason, sizeof(p->reason) - 1) == 0)
        return;
    snprintf(p->reason, sizeof(p->reason), "%s", reason);
    log_warn("store_down", F("store", p->ops->store), F("reason", p->reason));
}

static void open_circuit(struct pool *p, const char *reason)
{
    note_reason(p, reason);
    if (!p->closed)
        return;
    p->closed = false;
    metric_add(p->up, -1);
    metric_add(p->failures, 1);
    while (p->idle_count > 0)
        close_one(p, p->idle[--p->idle_count]);
    pthread_cond_broadcast(&p->freed);
    wake_keeper(p);
}

static void close_circuit(struct pool *p)
{
    p->closed = true;
    p->reason[0] = '\0';
    metric_add(p->up, 1);
    uint64_t epoch = atomic_fetch_add(&p->epoch, 1) + 1;
    log_info("store_up", F("store", p->ops->store), F("epoch", epoch));
}

static void keeper_wait(struct pool *p, unsigned ms)
{
    int64_t deadline = clock_mono_ms() + ms;
    while (!p->woken && !p->stopping && clock_cond_wait(&p->wake, &p->lock, deadline))
        ;
    p->woken = false;
}

/* --- the keeper ------------------------------------------------------------------------------ */

/* Dial anew; true when that closed the circuit. Takes and leaves the lock held. */
static void *keeper_dial(struct pool *p, struct strbuf *why)
{
    pthread_mutex_unlock(&p->lock);
    void *link = p->ops->dial_keeper(p->ctx, why);
    pthread_mutex_lock(&p->lock);
    if (link)
        close_circuit(p);
    else
        note_reason(p, strbuf_cstr(why));
    return link;
}

static void keeper_check(struct pool *p, void *link, struct strbuf *why)
{
    pthread_mutex_unlock(&p->lock);
    bool well = p->ops->check(link, why);
    pthread_mutex_lock(&p->lock);
    if (!well)
        open_circuit(p, strbuf_cstr(why));
}

static void *keep(void *arg)
{
    struct pool *p = arg;
    void *link = NULL;
    struct strbuf why = STRBUF_INIT;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        strbuf_reset(&why);
        if (p->closed) {
            keeper_check(p, link, &why);
        } else {
            if (link)
                p->ops->close(link);
            link = keeper_dial(p, &why);
        }
        keeper_wait(p, p->closed ? p->options.watch_ms : p->options.retry_ms);
    }
    pthread_mutex_unlock(&p->lock);
    if (link)
        p->ops->close(link);
    strbuf_release(&why);
    return NULL;
}

/* --- connections ----------------------------------------------------------------------------- */

/* An idle connection has nothing to say: a byte is a farewell, and so is an end of file. */
static bool is_dead(const struct pool *p, void *conn)
{
    struct pollfd fd = {.fd = p->ops->fd(conn), .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

/* An idle connection that lives, or NULL. Under the lock. */
static void *take_idle(struct pool *p)
{
    while (p->idle_count > 0) {
        void *conn = p->idle[--p->idle_count];
        if (!is_dead(p, conn))
            return conn;
        close_one(p, conn);
        wake_keeper(p);
    }
    return NULL;
}

/* A connection, or the right to dial one (*conn is NULL then). Under the lock. */
static enum status take_place(struct pool *p, void **conn)
{
    int64_t deadline = clock_mono_ms() + p->options.wait_ms;
    for (;;) {
        if (!p->closed)
            return STATUS_UNAVAILABLE;
        *conn = take_idle(p);
        if (*conn)
            return STATUS_OK;
        if (p->open_count < p->options.connections_max) {
            p->open_count++;
            metric_add(p->open, 1);
            return STATUS_OK;
        }
        if (!clock_cond_wait(&p->freed, &p->lock, deadline))
            return STATUS_OVERLOADED;
    }
}

/* A new connection for the place taken. NULL gives the place back. */
static void *dial(struct pool *p, uint64_t epoch)
{
    struct strbuf why = STRBUF_INIT;
    void *conn = p->ops->dial(p->ctx, &why);
    if (!conn) {
        pthread_mutex_lock(&p->lock);
        p->open_count--;
        metric_add(p->open, -1);
        pthread_cond_signal(&p->freed);
        if (p->options.broken_opens_circuit && epoch == p->epoch)
            open_circuit(p, strbuf_cstr(&why));
        else
            wake_keeper(p);
        pthread_mutex_unlock(&p->lock);
        log_warn("store_dial_failed", F("store", p->ops->store), F("reason", strbuf_cstr(&why)));
    }
    strbuf_release(&why);
    return conn;
}

enum status pool_take(struct pool *p, void **conn, uint64_t *epoch)
{
    *conn = NULL;
    pthread_mutex_lock(&p->lock);
    enum status st = take_place(p, conn);
    *epoch = p->epoch;
    pthread_mutex_unlock(&p->lock);
    if (st == STATUS_OK && !*conn) {
        *conn = dial(p, *epoch);
        st = *conn ? STATUS_OK : STATUS_UNAVAILABLE;
    }
    if (st == STATUS_OK)
        metric_add(p->busy, 1);
    return st;
}

void pool_give(struct pool *p, void *conn, uint64_t epoch, const char *broken)
{
    metric_add(p->busy, -1);
    pthread_mutex_lock(&p->lock);
    bool current = p->closed && epoch == p->epoch;
    if (broken && current && p->options.broken_opens_circuit)
        open_circuit(p, broken);
    else if (broken && current)
        wake_keeper(p);
    if (broken || !current) {
        close_one(p, conn);
    } else {
        p->idle[p->idle_count++] = conn;
        pthread_cond_signal(&p->freed);
    }
    pthread_mutex_unlock(&p->lock);
}

/* --- the public rest ------------------------------------------------------------------------- */

static void add_metrics(struct pool *p)
{
    char label[64];
    snprintf(label, sizeof(label), "store=\"%s\"", p->ops->store);
    p->up = metric_gauge("store_up", label, "1 while the store answers.");
    p->open = metric_gauge("store_connections_open", label, "Connections that exist.");
    p->busy = metric_gauge("store_connections_busy", label, "Connections in use.");
    p->failures = metric_counter("store_failures_total", label, "Times the store was lost.");
}

struct pool *pool_new(const struct pool_ops *ops, void *ctx, const struct pool_options *options)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    p->ops = ops;
    p->ctx = ctx;
    p->options = *options;
    p->idle = xcalloc(options->connections_max, sizeof(p->idle[0]));
    pthread_mutex_init(&p->lock, NULL);
    clock_cond_init(&p->freed);
    clock_cond_init(&p->wake);
    add_metrics(p);
    if (pthread_create(&p->keeper, NULL, keep, p) != 0) {
        fputs("level=error event=no_keeper_thread\n", stderr);
        abort(); /* at start only: nothing could be served */
    }
    pthread_setname_np(p->keeper, ops->store);
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->keeper, NULL);
    while (p->idle_count > 0)
        close_one(p, p->idle[--p->idle_count]);
    if (p->closed)
        metric_add(p->up, -1);
    pthread_cond_destroy(&p->freed);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->idle);
    free(p);
}

uint64_t pool_epoch(const struct pool *p)
{
    return p->epoch;
}

bool pool_health(struct pool *p, struct strbuf *why)
{
    pthread_mutex_lock(&p->lock);
    bool well = p->closed;
    if (!well)
        strbuf_addstr(why, p->reason[0] ? p->reason : "connecting");
    pthread_mutex_unlock(&p->lock);
    return well;
}

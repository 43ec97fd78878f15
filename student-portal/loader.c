#include "loader.h"
#include "clock.h"
#include "metrics.h"
#include "secret.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BATCH = CACHE_KEYS_MAX,
    GATHER_MS = 15,  /* how long a batch that follows another waits to fill up */
    FOLLOWS_MS = 50, /* what "follows" means */
    BUSY_MS = 20,    /* until a key that another process fills is looked at again */
    TICK_MS = 50,    /* how often deadlines are looked at */
};

struct loader {
    struct sessions *sessions;
    struct fills *fills;
    struct near *near;
    struct metric *waiting, *batches;
    pthread_t worker, clock;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool stopping;
    struct visit *first, **end;
    size_t depth;
    struct visit *flying[BATCH]; /* those the worker works for; NULL once their time was up */
};

void visit_release(void *visit)
{
    struct visit *v = visit;
    near_entry_unref(v->entry);
    strbuf_release(&v->upload);
    secret_wipe(v->session_id, sizeof(v->session_id));
    free(v);
}

/* --- the queue (under the lock) --------------------------------------------------------------- */

static void push(struct loader *l, struct visit *v)
{
    v->next = NULL;
    *l->end = v;
    l->end = &v->next;
    l->depth++;
}

static struct visit *take_at(struct loader *l, struct visit **at)
{
    struct visit *v = *at;
    *at = v->next;
    if (l->end == &v->next)
        l->end = at;
    l->depth--;
    return v;
}

/* Move up to BATCH whose time has come into `flying`; how many. */
static size_t take_batch(struct loader *l)
{
    size_t n = 0;
    int64_t now = clock_mono_ms();
    for (struct visit **at = &l->first; *at && n < BATCH;)
        if ((*at)->not_before_ms <= now)
            l->flying[n++] = take_at(l, at);
        else
            at = &(*at)->next;
    return n;
}

static void wait_ms(struct loader *l, int64_t ms)
{
    clock_cond_wait(&l->changed, &l->lock, clock_mono_ms() + ms);
}

/* The first of a crowd is answered at once; who comes while it is waits for the rest of them. */
static void gather(struct loader *l, int64_t last_ms)
{
    int64_t until = clock_mono_ms() + GATHER_MS;
    if (clock_mono_ms() - last_ms > FOLLOWS_MS)
        return;
    for (int64_t left; l->depth < BATCH && (left = until - clock_mono_ms()) > 0 && !l->stopping;)
        wait_ms(l, left);
}

static size_t next_batch(struct loader *l, int64_t last_ms)
{
    size_t n = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping && n == 0) {
        if (!l->first) {
            pthread_cond_wait(&l->changed, &l->lock);
            continue;
        }
        gather(l, last_ms);
        n = take_batch(l);
        if (n == 0)
            wait_ms(l, BUSY_MS);
    }
    metric_set(l->waiting, (int64_t)l->depth);
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* --- one batch -------------------------------------------------------------------------------- */

/* What is found for each of the visits in `flying`; theirs only while they stay there. */
struct batch {
    size_t n;
    char ids[BATCH][SESSION_ID_SIZE];
    struct session sessions[BATCH];
    enum status st[BATCH];
    struct near_entry *entries[BATCH];
    const char *how[BATCH];
    struct fill fills[BATCH];
    size_t fill_of[BATCH], fill_count; /* the place in `fills`; BATCH: none */
};

static void find_sessions(struct loader *l, struct batch *b)
{
    const char *ids[BATCH];
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < b->n; i++) {
        ids[i] = b->ids[i];
        b->ids[i][0] = '\0';
        if (l->flying[i])
            memcpy(b->ids[i], l->flying[i]->session_id, SESSION_ID_SIZE);
    }
    pthread_mutex_unlock(&l->lock);
    sessions_find(l->sessions, ids, b->n, b->sessions, b->st);
    secret_wipe(b->ids, sizeof(b->ids));
}

static bool matches(const struct near_entry *e, const struct session *s)
{
    return !e->user.disabled && e->user.session_gen == s->gen;
}

static size_t place_of(struct batch *b, int64_t student)
{
    size_t i = 0;
    while (i < b->fill_count && b->fills[i].student != student)
        i++;
    if (i == b->fill_count)
        b->fills[b->fill_count++] = (struct fill){.student = student};
    return i;
}

/* Two sessions of one student are one fill. */
static void choose_fills(struct loader *l, struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->fill_of[i] = BATCH;
        if (b->st[i])
            continue;
        struct near_entry *e = near_get(l->near, b->sessions[i].user_id);
        if (e && matches(e, &b->sessions[i])) {
            b->entries[i] = e;
            b->how[i] = fills_near_hit(l->fills);
            continue;
        }
        near_entry_unref(e);
        b->fill_of[i] = place_of(b, b->sessions[i].user_id);
    }
}

static void use_fills(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->fill_of[i] == BATCH)
            continue;
        const struct fill *f = &b->fills[b->fill_of[i]];
        b->st[i] = f->st == STATUS_NOT_FOUND ? STATUS_UNAUTHENTICATED : f->st;
        if (!b->st[i] && !matches(f->entry, &b->sessions[i]))
            b->st[i] = STATUS_UNAUTHENTICATED;
        if (b->st[i])
            continue;
        b->entries[i] = near_entry_ref(f->entry);
        b->how[i] = f->how;
    }
    for (size_t i = 0; i < b->fill_count; i++)
        near_entry_unref(b->fills[i].entry);
}

/* Give the visits their outcome; those of keys that others fill go back into the queue. The rest
 * comes back in `done`. */
static size_t land(struct loader *l, struct batch *b, struct visit *done[BATCH])
{
    size_t n = 0;
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < b->n; i++) {
        struct visit *v = l->flying[i];
        l->flying[i] = NULL;
        if (!v) {
            near_entry_unref(b->entries[i]);
        } else if (b->st[i] == STATUS_CONTENDED) {
            v->not_before_ms = now + BUSY_MS;
            push(l, v);
        } else {
            v->st = b->st[i];
            v->entry = b->entries[i];
            v->how = b->how[i];
            done[n++] = v;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void fly(struct loader *l, size_t n)
{
    struct batch b = {.n = n};
    struct visit *done[BATCH];
    find_sessions(l, &b);
    choose_fills(l, &b);
    if (b.fill_count)
        fills_run(l->fills, b.fills, b.fill_count);
    use_fills(&b);
    size_t count = land(l, &b, done);
    metric_add(l->batches, 1);
    for (size_t i = 0; i < count; i++)
        http_go_on(done[i]->req);
}

static void *work(void *arg)
{
    struct loader *l = arg;
    int64_t last_ms = INT64_MIN / 2;
    for (size_t n; (n = next_batch(l, last_ms)) > 0; last_ms = clock_mono_ms())
        fly(l, n);
    return NULL;
}

/* --- deadlines -------------------------------------------------------------------------------- */

/* Under the lock: those whose time is up, as a list. */
static struct visit *take_late(struct loader *l)
{
    struct visit *late = NULL;
    int64_t now = clock_mono_ms();
    for (struct visit **at = &l->first; *at;) {
        if ((*at)->deadline_ms > now) {
            at = &(*at)->next;
            continue;
        }
        struct visit *v = take_at(l, at);
        v->next = late;
        late = v;
    }
    for (size_t i = 0; i < BATCH; i++) {
        struct visit *v = l->flying[i];
        if (!v || v->deadline_ms > now)
            continue;
        l->flying[i] = NULL;
        v->next = late;
        late = v;
    }
    return late;
}

/* The worker may be held up by a store; their answer must not be. */
static void *watch(void *arg)
{
    struct loader *l = arg;
    const struct timespec tick = {0, TICK_MS * 1000000L};
    for (bool stopping = false; !stopping;) {
        nanosleep(&tick, NULL);
        pthread_mutex_lock(&l->lock);
        struct visit *late = take_late(l);
        stopping = l->stopping;
        pthread_mutex_unlock(&l->lock);
        while (late) {
            struct visit *v = late;
            late = v->next;
            v->st = STATUS_TIMEOUT;
            http_go_on(v->req);
        }
    }
    return NULL;
}

/* --- the public part -------------------------------------------------------------------------- */

enum status loader_keep(void *loader, struct http_request *req)
{
    struct loader *l = loader;
    struct visit *v = http_state(req);
    v->req = req;
    v->deadline_ms = clock_mono_ms() + LOADER_WAIT_MS;
    v->not_before_ms = 0;
    pthread_mutex_lock(&l->lock);
    bool room = l->depth < LOADER_QUEUE_MAX;
    if (room) {
        push(l, v);
        if (l->depth == 1 || l->depth == BATCH)
            pthread_cond_signal(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return room ? STATUS_OK : STATUS_OVERLOADED;
}

struct loader *loader_new(struct sessions *sessions, struct fills *fills, struct near *near)
{
    struct loader *l = xcalloc(1, sizeof(*l));
    l->sessions = sessions;
    l->fills = fills;
    l->near = near;
    l->end = &l->first;
    clock_cond_init(&l->changed);
    pthread_mutex_init(&l->lock, NULL);
    l->waiting = metric_gauge("portal_loader_waiting", "", "Requests that wait for a batch.");
    l->batches = metric_counter("portal_loader_batches_total", "", "Batches loaded.");
    if (pthread_create(&l->worker, NULL, work, l) || pthread_create(&l->clock, NULL, watch, l)) {
        fputs("level=error event=no_loader_thread\n", stderr);
        abort(); /* at start only */
    }
    pthread_setname_np(l->worker, "loader");
    pthread_setname_np(l->clock, "deadlines");
    return l;
}

void loader_free(struct loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->worker, NULL);
    pthread_join(l->clock, NULL);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

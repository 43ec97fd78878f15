#include "history_worker.h"
#include "clock.h"
#include "log.h"
#include "membership.h"
#include "metrics.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_MAX = 256,
    APPEND_MS = 6000,
    PAGE_BYTES = 256 * 1024,
    PING_UP_MS = 2000,
    PING_DOWN_MS = 500,
    JOIN_MS = 2000,
};

/* A thread with its queue and its connection. */
struct lane {
    struct history_worker *worker;
    const char *name;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;        /* a job, stop or ended */
    struct mail *first, **last; /* under `lock`, as are the next six */
    size_t depth;
    bool stop, ended, up, busy;
    char why[256];
    struct history *h; /* of the thread alone, as is all below */
    struct job *taken[BATCH_MAX];
    struct job *appends[BATCH_MAX], *changes[BATCH_MAX]; /* the taken, parted */
    size_t append_count, change_count;
    struct entry *entries[BATCH_MAX];
    struct read_mark marks[BATCH_MAX];
};

struct history_worker {
    const struct history_driver *driver;
    void *store;
    size_t queue_max;
    struct mailbox *mailbox;
    struct lane writer, reader;
    struct metric *batches, *messages, *batch_size, *append_time, *read_time;
};

/* --- jobs ----------------------------------------------------------------------------------- */

struct job *job_new(enum job_kind kind, const char *room, void (*answer)(void *, struct mail *))
{
    struct job *job = xcalloc(1, sizeof(*job));
    job->kind = kind;
    job->mail.open = answer;
    snprintf(job->room, sizeof(job->room), "%s", room);
    return job;
}

void job_free(struct job *job)
{
    for (size_t i = 0; i < job->frame_count; i++)
        frame_unref(job->frames[i]);
    free(job->frames);
    free(job->heads);
    free(job->users);
    free(job->rooms);
    free(job->are);
    free(job->text);
    free(job);
}

static void answer(struct lane *l, struct job *job)
{
    mailbox_put(l->worker->mailbox, &job->mail);
}

/* --- is the store up? ----------------------------------------------------------------------- */

static void note(struct lane *l, enum status status, const char *why)
{
    bool up = status != STATUS_UNAVAILABLE && status != STATUS_OUTCOME_UNKNOWN;
    pthread_mutex_lock(&l->lock);
    bool changed = up != l->up;
    l->up = up;
    snprintf(l->why, sizeof(l->why), "%s", up ? "" : why);
    pthread_mutex_unlock(&l->lock);
    if (changed && up)
        log_info("history_up", F("lane", l->name));
    else if (changed)
        log_warn("history_down", F("lane", l->name), F("why", why));
}

static bool lane_health(struct lane *l, struct strbuf *why)
{
    pthread_mutex_lock(&l->lock);
    bool up = l->up;
    if (!up)
        strbuf_addstr(why, l->why);
    pthread_mutex_unlock(&l->lock);
    return up;
}

bool history_health(void *worker, struct strbuf *why)
{
    struct history_worker *w = worker;
    return lane_health(&w->writer, why) && lane_health(&w->reader, why);
}

/* --- work ----------------------------------------------------------------------------------- */

static void add_frame(struct job *job, const struct message *m)
{
    job->frames[job->frame_count++] = message_frame(m);
}

static struct member_change change(const struct lane *l, const struct job *job)
{
    return (struct member_change){l->worker->driver, l->h, job->room, job->user, job->other};
}

static enum status run_create(struct lane *l, struct job *job)
{
    const struct member_change c = change(l, job);
    return membership_create(&c, job->private);
}

static enum status run_invite(struct lane *l, struct job *job)
{
    const struct member_change c = change(l, job);
    return membership_invite(&c, &job->membership.version);
}

static enum status run_remove(struct lane *l, struct job *job)
{
    const struct member_change c = change(l, job);
    return membership_remove(&c, &job->membership.version);
}

static enum status run_first_join(struct lane *l, struct job *job)
{
    const struct member_change c = change(l, job);
    return membership_join(&c, &job->membership);
}

/* Who joins for the first time writes: the job becomes the writer's. */
static enum status run_join(struct lane *l, struct job *job)
{
    const struct member_change c = change(l, job);
    bool first;
    enum status status = membership_visit(&c, &job->membership, &first);
    job->kind = first ? JOB_FIRST_JOIN : JOB_JOIN;
    return status;
}

static enum status run_members(struct lane *l, struct job *job)
{
    job->are = xcalloc(job->user_count, sizeof(bool));
    return l->worker->driver->members(l->h, job->room, job->users, job->user_count, job->are);
}

static enum status run_rooms(struct lane *l, struct job *job)
{
    job->room_count = ROOMS_PER_JOB;
    job->rooms = xcalloc(ROOMS_PER_JOB, sizeof(struct membership));
    return l->worker->driver->rooms(l->h, job->user, job->other, job->rooms, &job->room_count);
}

struct collect {
    struct job *job;
    size_t bytes;
    int64_t last_seq;
};

static bool collect(void *ctx, const struct message *m)
{
    struct collect *c = ctx;
    struct job *job = c->job;
    bool newest_first = job->after < 0;
    if (job->frame_count > 0 && m->seq != c->last_seq + (newest_first ? -1 : 1)) {
        log_error("history_gap", F("room", job->room), F("seq", m->seq));
        return false;
    }
    c->last_seq = m->seq;
    if (newest_first || job->frame_count == 0)
        job->first_seq = m->seq;
    add_frame(job, m);
    c->bytes += job->frames[job->frame_count - 1]->len;
    return c->bytes < PAGE_BYTES && job->frame_count < (size_t)job->limit;
}

static enum status run_page(struct lane *l, struct job *job)
{
    const struct page_query query = {job->room, job->after, job->before, job->limit};
    struct collect c = {.job = job};
    job->frames = xcalloc((size_t)job->limit, sizeof(struct frame *));
    enum status status = l->worker->driver->page(l->h, &query, collect, &c);
    for (size_t i = 0; job->after < 0 && i < job->frame_count / 2; i++) {
        struct frame **a = &job->frames[i], **b = &job->frames[job->frame_count - 1 - i];
        struct frame *swap = *a;
        *a = *b;
        *b = swap;
    }
    return status;
}

static enum status run_heads(struct lane *l, struct job *job)
{
    return l->worker->driver->heads(l->h, job->heads, job->head_count);
}

static enum status (*const runs[JOB_KINDS])(struct lane *l, struct job *job) = {
    [JOB_CREATE] = run_create,         [JOB_INVITE] = run_invite,   [JOB_REMOVE] = run_remove,
    [JOB_FIRST_JOIN] = run_first_join, [JOB_JOIN] = run_join,       [JOB_PAGE] = run_page,
    [JOB_HEADS] = run_heads,           [JOB_MEMBERS] = run_members, [JOB_ROOMS] = run_rooms,
};

static void finish(struct lane *l, struct job *job)
{
    if (job->status == STATUS_CONTENDED)
        job->status = STATUS_UNAVAILABLE;
    if (job->membership.head < job->membership.marker)
        job->membership.head = job->membership.marker; /* the head was read before another wrote */
    answer(l, job);
}

static void read_one(struct lane *l, struct job *job)
{
    int64_t start = clock_mono_us();
    job->status = runs[job->kind](l, job);
    metric_observe_us(l->worker->read_time, clock_mono_us() - start);
    note(l, job->status, "a request failed");
    if (job->kind == JOB_FIRST_JOIN) {
        enum status status = history_submit(l->worker, job);
        if (status == STATUS_OK)
            return;
        job->status = status;
    }
    finish(l, job);
}

/* --- writing -------------------------------------------------------------------------------- */

static enum status move_marks(struct lane *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->change_count; i++) {
        const struct job *job = l->changes[i];
        if (job->kind == JOB_MARK)
            l->marks[n++] = (struct read_mark){job->room, job->user, job->seq, false};
    }
    enum status status = n > 0 ? l->worker->driver->marks(l->h, l->marks, n) : STATUS_OK;
    const struct read_mark *mark = l->marks;
    for (size_t i = 0; i < l->change_count; i++) {
        struct job *job = l->changes[i];
        if (job->kind != JOB_MARK)
            continue;
        job->status = status == STATUS_OK && !mark->known ? STATUS_NOT_FOUND : status;
        job->membership.marker = mark++->seq;
    }
    return status;
}

/* The rules' answer, not a failure of the store. */
static bool decided(enum status status)
{
    return status == STATUS_OK || status == STATUS_CONFLICT || status == STATUS_NOT_FOUND ||
           status == STATUS_FORBIDDEN;
}

/* All changes, before the messages: who reads and then sends has read what was there. A failure
 * ends a transaction, of which nothing stays; otherwise each change stands by itself. */
static enum status run_changes(void *ctx)
{
    struct lane *l = ctx;
    bool atomic = l->worker->driver->atomic;
    enum status status = move_marks(l);
    for (size_t i = 0; i < l->change_count && (status == STATUS_OK || !atomic); i++) {
        struct job *job = l->changes[i];
        if (job->kind == JOB_MARK)
            continue;
        job->status = runs[job->kind](l, job);
        status = decided(job->status) ? status : job->status;
    }
    return atomic ? status : STATUS_OK;
}

static void part(struct lane *l, size_t n)
{
    int64_t now = clock_unix_ms();
    l->append_count = l->change_count = 0;
    for (size_t i = 0; i < n; i++) {
        struct job *job = l->taken[i];
        if (job->kind != JOB_APPEND) {
            l->changes[l->change_count++] = job;
            continue;
        }
        job->entry.message = (struct message){.room = job->room,
                                              .sender = job->user,
                                              .client_id = job->client_id,
                                              .text = job->text,
                                              .at_ms = now};
        l->entries[l->append_count] = &job->entry;
        l->appends[l->append_count++] = job;
    }
}

static void count_batch(struct lane *l, int64_t start_us)
{
    struct history_worker *w = l->worker;
    metric_observe_us(w->append_time, clock_mono_us() - start_us);
    if (l->append_count == 0)
        return;
    metric_add(w->batches, 1);
    metric_set(w->batch_size, (int64_t)l->append_count);
    metric_add(w->messages, (int64_t)l->append_count);
}

static void finish_append(struct lane *l, struct job *job)
{
    job->status = job->entry.status;
    if (job->status == STATUS_OK && !job->entry.duplicate) {
        job->frames = xcalloc(1, sizeof(struct frame *));
        add_frame(job, &job->entry.message);
    }
    finish(l, job);
}

static void write_all(struct lane *l, size_t n)
{
    const struct history_driver *driver = l->worker->driver;
    const struct prelude first = {run_changes, l};
    int64_t start = clock_mono_us();
    part(l, n);
    enum status status =
        sequence_append(driver, l->h, l->entries, l->append_count,
                        l->change_count > 0 ? &first : NULL, clock_mono_ms() + APPEND_MS);
    count_batch(l, start);
    enum status worst = status;
    for (size_t i = 0; i < l->change_count; i++) {
        struct job *job = l->changes[i];
        if (driver->atomic && status != STATUS_OK)
            job->status = status;
        worst = decided(job->status) ? worst : job->status;
    }
    note(l, worst, "a write failed");
    for (size_t i = 0; i < l->change_count; i++)
        finish(l, l->changes[i]);
    for (size_t i = 0; i < l->append_count; i++)
        finish_append(l, l->appends[i]);
}

/* --- the thread ----------------------------------------------------------------------------- */

/* Wait for jobs, but not past the time for a ping. Everything that is there, up to BATCH_MAX. */
static size_t take(struct lane *l, bool *stop)
{
    size_t n = 0;
    pthread_mutex_lock(&l->lock);
    l->busy = false;
    int64_t until_ms = clock_mono_ms() + (l->up ? PING_UP_MS : PING_DOWN_MS);
    while (!l->first && !l->stop && clock_cond_wait(&l->more, &l->lock, until_ms))
        ;
    while (l->first && n < BATCH_MAX) {
        l->taken[n++] = (struct job *)l->first;
        l->first = l->first->next;
    }
    if (!l->first)
        l->last = &l->first;
    l->depth -= n;
    l->busy = n > 0;
    *stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void refuse(struct lane *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        l->taken[i]->status = STATUS_UNAVAILABLE;
        answer(l, l->taken[i]);
    }
}

static bool connect_store(struct lane *l)
{
    struct strbuf why = STRBUF_INIT;
    if (!l->h)
        note(l, l->worker->driver->open(l->worker->store, &l->h, &why), strbuf_cstr(&why));
    strbuf_release(&why);
    return l->h != NULL;
}

static void *run(void *arg)
{
    struct lane *l = arg;
    bool stop = false;
    connect_store(l);
    for (;;) {
        size_t n = take(l, &stop);
        if (stop && n == 0)
            break;
        if (stop || !connect_store(l))
            refuse(l, n);
        else if (n > 0 && l == &l->worker->writer)
            write_all(l, n);
        else if (n > 0)
            for (size_t i = 0; i < n; i++)
                read_one(l, l->taken[i]);
        else
            note(l, l->worker->driver->ping(l->h), "does not answer");
    }
    if (l->h)
        l->worker->driver->close(l->h);
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static double read_depth(void *ctx)
{
    struct lane *l = ctx;
    pthread_mutex_lock(&l->lock);
    size_t depth = l->depth;
    pthread_mutex_unlock(&l->lock);
    return (double)depth;
}

static void lane_start(struct lane *l, struct history_worker *w, const char *name,
                       const char *labels)
{
    *l = (struct lane){.worker = w, .name = name, .why = "not connected yet"};
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    clock_cond_init(&l->more);
    metric_gauge_read("scribe_history_queue", labels, "Jobs that wait for the history.", read_depth,
                      l);
    if (pthread_create(&l->thread, NULL, run, l) != 0)
        abort();
}

static void lane_stop(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->lock);
}

/* False when it has not ended by then: nobody waits for it any more. */
static bool lane_join(struct lane *l, int64_t until_ms)
{
    pthread_mutex_lock(&l->lock);
    while (!l->ended && clock_cond_wait(&l->more, &l->lock, until_ms))
        ;
    bool ended = l->ended;
    pthread_mutex_unlock(&l->lock);
    if (ended)
        pthread_join(l->thread, NULL);
    else
        pthread_detach(l->thread);
    return ended;
}

bool history_writing(struct history_worker *w)
{
    struct lane *l = &w->writer;
    pthread_mutex_lock(&l->lock);
    bool writing = l->first || l->busy;
    pthread_mutex_unlock(&l->lock);
    return writing;
}

enum status history_submit(struct history_worker *w, struct job *job)
{
    struct lane *l = job->kind < JOB_WRITES ? &w->writer : &w->reader;
    enum status status = STATUS_OK;
    pthread_mutex_lock(&l->lock);
    if (!l->up || l->stop)
        status = STATUS_UNAVAILABLE;
    else if (l->depth >= w->queue_max)
        status = STATUS_OVERLOADED;
    else {
        job->mail.next = NULL;
        *l->last = &job->mail;
        l->last = &job->mail.next;
        l->depth++;
        pthread_cond_signal(&l->more);
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}

enum status history_worker_new(const char *url, size_t queue_max, struct mailbox *mailbox,
                               struct history_worker **out, struct strbuf *why)
{
    static const struct history_driver *const drivers[] = {&history_sqlite, &history_mongo};
    const struct history_driver *driver = NULL;
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
        if (strncmp(url, drivers[i]->scheme, strlen(drivers[i]->scheme)) == 0)
            driver = drivers[i];
    if (!driver) {
        strbuf_addstr(why, "want sqlite:///path or mongodb://host/database");
        return STATUS_UNPROCESSABLE;
    }
    void *store;
    enum status status = driver->store_new(url, &store, why);
    if (status != STATUS_OK)
        return status;
    struct history_worker *w = xcalloc(1, sizeof(*w));
    w->driver = driver;
    w->store = store;
    w->queue_max = queue_max;
    w->mailbox = mailbox;
    w->batches = metric_counter("scribe_history_batches_total", "", "Batches written.");
    w->messages = metric_counter("scribe_history_messages_total", "", "Messages in batches.");
    w->batch_size = metric_gauge("scribe_history_batch_size", "", "Messages of the last batch.");
    w->append_time =
        metric_histogram("scribe_history_seconds", "op=\"append\"",
                         "Time of a batch of writes, or of another request, at the history.");
    w->read_time =
        metric_histogram("scribe_history_seconds", "op=\"other\"",
                         "Time of a batch of writes, or of another request, at the history.");
    lane_start(&w->writer, w, "writer", "lane=\"writer\"");
    lane_start(&w->reader, w, "reader", "lane=\"reader\"");
    *out = w;
    return STATUS_OK;
}

bool history_worker_free(struct history_worker *w)
{
    if (!w)
        return true;
    lane_stop(&w->writer);
    lane_stop(&w->reader);
    int64_t until_ms = clock_mono_ms() + JOIN_MS;
    bool writer_ended = lane_join(&w->writer, until_ms);
    bool reader_ended = lane_join(&w->reader, until_ms);
    if (!writer_ended || !reader_ended) {
        log_warn("history_hangs", F("url", w->driver->scheme));
        return false;
    }
    w->driver->store_free(w->store);
    free(w);
    return true;
}

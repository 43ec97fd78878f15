#include "workers.h"
#include "metrics.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    void (*run)(void *arg);
    void *arg;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a job came, or stopping */
    struct job *queue;      /* a ring of `size`; over queue_max only by admitted jobs */
    size_t queue_max, size, head, depth;
    bool stopping;
    struct metric *depth_metric, *rejected_metric;
    size_t thread_count;
    pthread_t threads[];
};

/* Wait for the next job; false when there will be none. */
static bool next_job(struct workers *w, struct job *job)
{
    pthread_mutex_lock(&w->lock);
    while (w->depth == 0 && !w->stopping)
        pthread_cond_wait(&w->changed, &w->lock);
    bool found = w->depth > 0;
    if (found) {
        *job = w->queue[w->head];
        w->head = (w->head + 1) % w->size;
        w->depth--;
    }
    pthread_mutex_unlock(&w->lock);
    return found;
}

static void *work(void *arg)
{
    struct workers *w = arg;
    struct job job;
    while (next_job(w, &job)) {
        metric_add(w->depth_metric, -1);
        job.run(job.arg);
    }
    return NULL;
}

struct workers *workers_new(const char *name, size_t threads, size_t queue_max)
{
    struct workers *w = xcalloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->queue = xcalloc(queue_max, sizeof(w->queue[0]));
    w->queue_max = w->size = queue_max;
    w->thread_count = threads;
    char label[64], title[16]; /* 16: the kernel's limit */
    snprintf(label, sizeof(label), "pool=\"%s\"", name);
    snprintf(title, sizeof(title), "%s", name);
    w->depth_metric = metric_gauge("workers_queue_depth", label, "Jobs that wait for a worker.");
    w->rejected_metric =
        metric_counter("workers_rejected_total", label, "Jobs refused because the queue was full.");
    for (size_t i = 0; i < threads; i++) {
        if (pthread_create(&w->threads[i], NULL, work, w) != 0) {
            fputs("level=error event=no_worker_thread\n", stderr);
            abort(); /* at start only: nothing could be served */
        }
        pthread_setname_np(w->threads[i], title);
    }
    return w;
}

/* Twice the ring, its jobs moved to the front. Under the lock. */
static void grow(struct workers *w)
{
    struct job *bigger = xcalloc(2 * w->size, sizeof(*bigger));
    for (size_t i = 0; i < w->depth; i++)
        bigger[i] = w->queue[(w->head + i) % w->size];
    free(w->queue);
    w->queue = bigger;
    w->size *= 2;
    w->head = 0;
}

static enum status submit(struct workers *w, void (*run)(void *arg), void *arg, bool admitted)
{
    pthread_mutex_lock(&w->lock);
    bool room = !w->stopping && (admitted || w->depth < w->queue_max);
    if (room) {
        if (w->depth == w->size)
            grow(w);
        w->queue[(w->head + w->depth) % w->size] = (struct job){run, arg};
        w->depth++;
        metric_add(w->depth_metric, 1);
        pthread_cond_signal(&w->changed);
    } else {
        metric_add(w->rejected_metric, 1);
    }
    pthread_mutex_unlock(&w->lock);
    return room ? STATUS_OK : STATUS_OVERLOADED;
}

enum status workers_submit(struct workers *w, void (*job)(void *arg), void *arg)
{
    return submit(w, job, arg, false);
}

enum status workers_submit_admitted(struct workers *w, void (*job)(void *arg), void *arg)
{
    return submit(w, job, arg, true);
}

size_t workers_depth(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    size_t depth = w->depth;
    pthread_mutex_unlock(&w->lock);
    return depth;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w->queue);
    free(w);
}

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
    struct job *next;
};

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a job came, or stopping */
    struct job *first, **end;
    size_t queue_max, depth;
    bool stopping;
    struct metric *depth_metric, *rejected_metric;
    size_t thread_count;
    pthread_t threads[];
};

/* Under the lock. */
static void push(struct workers *w, void (*run)(void *arg), void *arg)
{
    struct job *job = xmalloc(sizeof(*job));
    *job = (struct job){run, arg, NULL};
    *w->end = job;
    w->end = &job->next;
    w->depth++;
    metric_add(w->depth_metric, 1);
}

/* Under the lock; NULL when there is none. */
static struct job *pop(struct workers *w)
{
    struct job *job = w->first;
    if (!job)
        return NULL;
    w->first = job->next;
    if (!w->first)
        w->end = &w->first;
    w->depth--;
    metric_add(w->depth_metric, -1);
    return job;
}

/* Wait for the next job; NULL when there will be none. */
static struct job *next_job(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->first && !w->stopping)
        pthread_cond_wait(&w->changed, &w->lock);
    struct job *job = pop(w);
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *arg)
{
    struct workers *w = arg;
    struct job *job;
    while ((job = next_job(w))) {
        job->run(job->arg);
        free(job);
    }
    return NULL;
}

struct workers *workers_new(const char *name, size_t threads, size_t queue_max)
{
    struct workers *w = xcalloc(1, sizeof(*w) + threads * sizeof(w->threads[0]));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->end = &w->first;
    w->queue_max = queue_max;
    w->thread_count = threads;
    char label[64], title[16]; /* 16: the kernel's limit */
    snprintf(label, sizeof(label), "pool=\"%s\"", name);
    snprintf(title, sizeof(title), "%s", name);
    w->depth_metric = metric_gauge("workers_queue_depth", label, "Jobs that wait for a worker.");
    w->rejected_metric =
        metric_counter("workers_rejected_total", label, "Jobs refused: a full queue, or the end.");
    for (size_t i = 0; i < threads; i++) {
        if (pthread_create(&w->threads[i], NULL, work, w) != 0) {
            fputs("level=error event=no_worker_thread\n", stderr);
            abort(); /* at start only: nothing could be served */
        }
        pthread_setname_np(w->threads[i], title);
    }
    return w;
}

static enum status submit(struct workers *w, void (*run)(void *arg), void *arg, bool admitted)
{
    pthread_mutex_lock(&w->lock);
    bool room = !w->stopping && (admitted || w->depth < w->queue_max);
    if (room) {
        push(w, run, arg);
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
    free(w);
}

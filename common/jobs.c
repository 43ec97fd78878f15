#include "jobs.h"
#include "clock.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdlib.h>

struct job {
    bool (*run)(void *ctx);
    void *ctx;
    unsigned every_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken, stopping; /* under the lock */
};

/* False when the job is to end. */
static bool wait_for_turn(struct job *j)
{
    int64_t until_ms = clock_mono_ms() + j->every_ms;
    pthread_mutex_lock(&j->lock);
    while (!j->woken && !j->stopping && clock_cond_wait(&j->changed, &j->lock, until_ms))
        continue;
    j->woken = false;
    bool go_on = !j->stopping;
    pthread_mutex_unlock(&j->lock);
    return go_on;
}

static void *job_main(void *arg)
{
    struct job *j = arg;
    while (wait_for_turn(j)) {
        if (j->run(j->ctx))
            job_wake(j);
    }
    return NULL;
}

struct job *job_start(bool (*run)(void *ctx), void *ctx, unsigned every_ms)
{
    struct job *j = xcalloc(1, sizeof(*j));
    *j = (struct job){.run = run, .ctx = ctx, .every_ms = every_ms, .woken = true};
    pthread_mutex_init(&j->lock, NULL);
    clock_cond_init(&j->changed);
    if (pthread_create(&j->thread, NULL, job_main, j))
        abort();
    return j;
}

void job_wake(struct job *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->woken = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

void job_stop(struct job *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_signal(&j->changed);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

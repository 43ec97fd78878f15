#include "../unit.h"
#include "metrics.h"
#include "workers.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* A job that says that it began, and ends when told. */
struct gate {
    sem_t began, go;
};

static void gate_init(struct gate *g)
{
    sem_init(&g->began, 0, 0);
    sem_init(&g->go, 0, 0);
}

static void wait_at_gate(void *arg)
{
    struct gate *g = arg;
    sem_post(&g->began);
    sem_wait(&g->go);
}

static void count(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static int64_t rejected(const char *labels)
{
    return metric_value(metric_counter("workers_rejected_total", labels, ""));
}

static int64_t waiting(const char *labels)
{
    return metric_value(metric_gauge("workers_queue_depth", labels, ""));
}

static void full_queue(void **state)
{
    (void)state;
    struct gate g;
    atomic_int ran = 0;
    gate_init(&g);
    struct workers *w = workers_new("full", 1, 3);
    assert_int_equal(workers_submit(w, wait_at_gate, &g), STATUS_OK);
    sem_wait(&g.began); /* the only thread is busy, the queue empty */
    for (int i = 0; i < 3; i++)
        assert_int_equal(workers_submit(w, count, &ran), STATUS_OK);
    assert_int_equal(workers_submit(w, count, &ran), STATUS_OVERLOADED);
    assert_int_equal(workers_submit(w, count, &ran), STATUS_OVERLOADED);
    assert_int_equal(workers_depth(w), 3);
    assert_int_equal(waiting("pool=\"full\""), 3);
    assert_int_equal(rejected("pool=\"full\""), 2);
    assert_int_equal(ran, 0);
    sem_post(&g.go);
    workers_free(w);
    assert_int_equal(ran, 3);
    assert_int_equal(waiting("pool=\"full\""), 0);
}

/* Admitted jobs pass a full queue, in their turn, and leave no room for others. */
static void admitted_jobs(void **state)
{
    (void)state;
    struct gate g;
    atomic_int ran = 0;
    gate_init(&g);
    struct workers *w = workers_new("admitted", 1, 2);
    assert_int_equal(workers_submit(w, wait_at_gate, &g), STATUS_OK);
    sem_wait(&g.began);
    for (int i = 0; i < 100; i++)
        assert_int_equal(workers_submit_admitted(w, count, &ran), STATUS_OK);
    assert_int_equal(workers_submit(w, count, &ran), STATUS_OVERLOADED);
    assert_int_equal(workers_depth(w), 100);
    sem_post(&g.go);
    workers_free(w);
    assert_int_equal(ran, 100);
}

static void a_queue_without_room(void **state)
{
    (void)state;
    atomic_int ran = 0;
    struct workers *w = workers_new("none", 1, 0);
    assert_int_equal(workers_submit(w, count, &ran), STATUS_OVERLOADED);
    assert_int_equal(workers_submit_admitted(w, count, &ran), STATUS_OK);
    workers_free(w);
    workers_free(NULL);
    assert_int_equal(ran, 1);
}

struct order {
    int expected, wrong;
};

static struct order order;

static void expect_next(void *arg)
{
    if (order.expected++ != (int)(intptr_t)arg)
        order.wrong++;
}

/* One thread, more jobs than the ring holds at a time. */
static void first_in_first_out(void **state)
{
    (void)state;
    struct workers *w = workers_new("fifo", 1, 7);
    for (intptr_t i = 0; i < 1000;)
        if (workers_submit(w, expect_next, (void *)i) == STATUS_OK)
            i++;
    workers_free(w);
    assert_int_equal(order.expected, 1000);
    assert_int_equal(order.wrong, 0);
}

static void all_threads_work(void **state)
{
    (void)state;
    struct gate g;
    gate_init(&g);
    struct workers *w = workers_new("all", 4, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(workers_submit(w, wait_at_gate, &g), STATUS_OK);
    for (int i = 0; i < 4; i++)
        sem_wait(&g.began); /* all four at once, or this never ends */
    assert_int_equal(workers_depth(w), 0);
    for (int i = 0; i < 4; i++)
        sem_post(&g.go);
    workers_free(w);
}

enum { SENDERS = 4, JOBS = 2000 };

struct sender {
    struct workers *w;
    atomic_int runs[JOBS];
    bool accepted[JOBS];
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (size_t i = 0; i < JOBS; i++)
        s->accepted[i] = workers_submit(s->w, count, &s->runs[i]) == STATUS_OK;
    return NULL;
}

/* From many threads, with rejections: what was accepted ran once, what was refused never. */
static void every_accepted_job_runs_once(void **state)
{
    (void)state;
    static struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    struct workers *w = workers_new("once", 3, 16);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].w = w;
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    workers_free(w);
    int64_t refused = 0;
    for (size_t i = 0; i < SENDERS * JOBS; i++) {
        const struct sender *s = &senders[i / JOBS];
        assert_int_equal(s->runs[i % JOBS], s->accepted[i % JOBS]);
        refused += !s->accepted[i % JOBS];
    }
    assert_int_equal(rejected("pool=\"once\""), refused);
    assert_int_equal(waiting("pool=\"once\""), 0);
}

struct chain {
    struct workers *w;
    atomic_int left, ran, refused;
};

static void submit_next(void *arg)
{
    struct chain *c = arg;
    atomic_fetch_add(&c->ran, 1);
    if (atomic_fetch_sub(&c->left, 1) > 0 && workers_submit(c->w, submit_next, c) != STATUS_OK)
        atomic_fetch_add(&c->refused, 1);
}

static void jobs_submit_jobs(void **state)
{
    (void)state;
    struct chain c = {workers_new("chain", 2, 2), 1000, 0, 0};
    assert_int_equal(workers_submit(c.w, submit_next, &c), STATUS_OK);
    while (atomic_load(&c.ran) < 1001)
        sched_yield();
    workers_free(c.w);
    assert_int_equal(c.refused, 0);
}

/* A job that would submit for ever ends with the pool: refused once, by its own submit. */
static void submit_during_free(void **state)
{
    (void)state;
    struct chain c = {workers_new("endless", 2, 2), INT32_MAX, 0, 0};
    assert_int_equal(workers_submit(c.w, submit_next, &c), STATUS_OK);
    while (atomic_load(&c.ran) < 100)
        sched_yield();
    workers_free(c.w);
    assert_int_equal(c.refused, 1);
    assert_int_equal(rejected("pool=\"endless\""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_queue),           cmocka_unit_test(admitted_jobs),
        cmocka_unit_test(a_queue_without_room), cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(all_threads_work),     cmocka_unit_test(every_accepted_job_runs_once),
        cmocka_unit_test(jobs_submit_jobs),     cmocka_unit_test(submit_during_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

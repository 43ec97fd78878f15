#include "group.h"
#include "syncs.h"
#include "temp.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CALLERS = 8 };

static struct group g;
static atomic_int runs, members[CALLERS + 1];
static atomic_bool held;

/* The first one is held until the test lets it go. */
static void run(void *ctx, struct group_entry *first)
{
    (void)ctx;
    int at = atomic_fetch_add(&runs, 1);
    while (atomic_load(&held))
        sched_yield();
    for (struct group_entry *e = first; e; e = e->next)
        atomic_fetch_add(&members[at], 1);
}

static void *join(void *ctx)
{
    struct group_entry e;
    *(bool *)ctx = group_join(&g, &e, -1);
    return NULL;
}

static size_t waiting(void)
{
    size_t n = 0;
    pthread_mutex_lock(&g.lock);
    for (struct group_entry *e = g.first; e; e = e->next)
        n++;
    pthread_mutex_unlock(&g.lock);
    return n;
}

static void who_waits_is_done_together(void **state)
{
    (void)state;
    pthread_t thread[CALLERS];
    bool done[CALLERS] = {false};
    struct group_entry late;
    group_init(&g, run, NULL);
    atomic_store(&held, true);
    assert_int_equal(pthread_create(&thread[0], NULL, join, &done[0]), 0);
    while (atomic_load(&runs) == 0)
        sched_yield();
    for (size_t i = 1; i < CALLERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, join, &done[i]), 0);
    while (waiting() < CALLERS - 1)
        sched_yield();
    assert_false(group_join(&g, &late, 0));
    assert_int_equal(waiting(), CALLERS - 1);
    atomic_store(&held, false);
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(done[i]);
    }
    assert_int_equal(runs, 2);
    assert_int_equal(members[0], 1);
    assert_int_equal(members[1], CALLERS - 1); /* not the one that gave up */
    assert_true(group_join(&g, &late, 0));
    assert_int_equal(members[2], 1);
    group_release(&g);
}

struct syncing {
    struct syncs *syncs;
    int fd, failed;
};

static void *sync_often(void *ctx)
{
    struct syncing *s = ctx;
    for (int i = 0; i < 200; i++) {
        bool is_open = s->fd >= 0;
        errno = 0;
        int result = syncs_fsync(s->syncs, s->fd);
        s->failed += is_open ? result != 0 : result != -1 || errno != EBADF;
    }
    return NULL;
}

/* Whether alone or together: a failure is told to whom it belongs. */
static void a_failure_is_its_own(void **state)
{
    (void)state;
    struct syncs syncs;
    pthread_t thread[CALLERS];
    struct syncing callers[CALLERS];
    int folder = open(in_temp("."), O_RDONLY | O_DIRECTORY);
    int file = open(in_temp("file"), O_RDWR | O_CREAT, 0600);
    syncs_init(&syncs, folder);
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct syncing){&syncs, i == 3 ? -1 : i % 2 ? folder : file, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, sync_often, &callers[i]), 0);
    }
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(callers[i].failed, 0);
    }
    syncs_release(&syncs);
    close(file);
    close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_is_done_together),
        cmocka_unit_test_setup_teardown(a_failure_is_its_own, temp_make, temp_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

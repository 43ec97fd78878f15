/* A job runs at the start, when it is woken, in time by itself, and again as long as it says so. */
#include "../unit.h"
#include "clock.h"
#include "jobs.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { WAIT_MS = 20000, NEVER_MS = 3600 * 1000 };

static atomic_int runs, more;

static bool run(void *ctx)
{
    assert_ptr_equal(ctx, &runs);
    atomic_fetch_add(&runs, 1);
    return atomic_load(&more) > 0 && atomic_fetch_sub(&more, 1) > 0;
}

static void wait_for(int n)
{
    const struct timespec pause = {0, 1000000};
    for (int64_t end = clock_mono_ms() + WAIT_MS; atomic_load(&runs) < n; nanosleep(&pause, NULL))
        assert_true(clock_mono_ms() < end);
}

static void runs_when_woken(void **state)
{
    (void)state;
    atomic_store(&runs, 0);
    struct job *j = job_start(run, &runs, NEVER_MS);
    wait_for(1);
    for (int n = 2; n < 10; n++) {
        job_wake(j);
        wait_for(n);
    }
    atomic_store(&more, 5);
    job_wake(j);
    wait_for(9 + 6);
    job_stop(j);
    assert_int_equal(atomic_load(&runs), 9 + 6);
}

static void runs_by_itself(void **state)
{
    (void)state;
    atomic_store(&runs, 0);
    struct job *j = job_start(run, &runs, 1);
    wait_for(5);
    job_stop(j);
}

static void none_is_fine(void **state)
{
    (void)state;
    job_wake(NULL);
    job_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_when_woken),
        cmocka_unit_test(runs_by_itself),
        cmocka_unit_test(none_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "near.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct near *n, int64_t student, const char *body, uint64_t stamp)
{
    const struct user user = {.id = student};
    struct near_entry *e = near_entry_new(&user, body, strlen(body));
    near_put(n, e, stamp);
    near_entry_unref(e);
}

static bool holds(struct near *n, int64_t student, const char *body)
{
    struct near_entry *e = near_get(n, student);
    bool same = e && strcmp(e->body, body) == 0 && e->len == strlen(body);
    near_entry_unref(e);
    return same;
}

static struct near *new_and_on(size_t places)
{
    struct near *n = near_new(places);
    near_switch(n, true);
    return n;
}

static void keeps_and_drops(void **state)
{
    (void)state;
    struct near *n = new_and_on(64);
    assert_false(holds(n, 1, "a"));
    put(n, 1, "a", near_stamp(n, 1));
    assert_true(holds(n, 1, "a"));
    put(n, 1, "b", near_stamp(n, 1));
    assert_true(holds(n, 1, "b"));
    near_drop(n, 1);
    assert_null(near_get(n, 1));
    near_drop(n, 1);
    near_free(n);
}

/* What a fill read is not kept when the student changed meanwhile, or the cache was off. */
static void a_fill_overtaken_is_not_kept(void **state)
{
    (void)state;
    struct near *n = new_and_on(64);
    uint64_t stamp = near_stamp(n, 1);
    near_drop(n, 1);
    put(n, 1, "old", stamp);
    assert_null(near_get(n, 1));

    stamp = near_stamp(n, 1);
    near_switch(n, false);
    put(n, 1, "old", stamp);
    near_switch(n, true);
    assert_null(near_get(n, 1));
    put(n, 1, "old", stamp);
    assert_null(near_get(n, 1));

    put(n, 1, "new", near_stamp(n, 1));
    assert_true(holds(n, 1, "new"));
    near_free(n);
}

static void switched_off_it_is_empty(void **state)
{
    (void)state;
    struct near *n = near_new(64);
    assert_false(near_is_on(n));
    put(n, 1, "a", near_stamp(n, 1));
    assert_null(near_get(n, 1));
    near_switch(n, true);
    put(n, 1, "a", near_stamp(n, 1));
    struct near_entry *held = near_get(n, 1);
    near_switch(n, false);
    assert_null(near_get(n, 1));
    assert_string_equal(held->body, "a"); /* lives as long as its last reference */
    near_entry_unref(held);
    near_switch(n, true);
    assert_null(near_get(n, 1));
    near_free(n);
}

static void what_is_too_old_or_too_much_goes(void **state)
{
    (void)state;
    struct near *n = new_and_on(8);
    const struct user user = {.id = 1};
    struct near_entry *e = near_entry_new(&user, "a", 1);
    e->expires_ms = 1;
    near_put(n, e, near_stamp(n, 1));
    assert_null(near_get(n, 1));
    near_entry_unref(e);
    for (int64_t id = 1; id <= 8; id++)
        put(n, id, "a", near_stamp(n, id));
    assert_true(holds(n, 1, "a"));
    put(n, 9, "a", near_stamp(n, 9));
    assert_true(holds(n, 1, "a") && holds(n, 9, "a"));
    assert_null(near_get(n, 2)); /* used longest ago */
    near_free(n);
}

/* A writer counts and drops; who reads the counter and then puts must never bury a newer count. */
static struct near *shared;
static atomic_int counter, finished;

static void *fill_again_and_again(void *arg)
{
    (void)arg;
    while (!atomic_load(&finished)) {
        char text[16];
        uint64_t stamp = near_stamp(shared, 7);
        snprintf(text, sizeof(text), "%d", atomic_load(&counter));
        put(shared, 7, text, stamp);
    }
    return NULL;
}

static void no_fill_buries_a_change(void **state)
{
    (void)state;
    pthread_t threads[3];
    shared = new_and_on(64);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, fill_again_and_again, NULL);
    for (int i = 0; i < 20000; i++) {
        int now = atomic_fetch_add(&counter, 1) + 1;
        if (i % 100 == 0)
            near_switch(shared, i % 200 == 0);
        near_drop(shared, 7);
        struct near_entry *e = near_get(shared, 7);
        assert_true(!e || atoi(e->body) >= now);
        near_entry_unref(e);
    }
    atomic_store(&finished, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    near_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_and_drops),
        cmocka_unit_test(a_fill_overtaken_is_not_kept),
        cmocka_unit_test(switched_off_it_is_empty),
        cmocka_unit_test(what_is_too_old_or_too_much_goes),
        cmocka_unit_test(no_fill_buries_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

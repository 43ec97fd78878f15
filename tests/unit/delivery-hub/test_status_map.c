/* Snapshots, and the map that keeps them. */
#include "../unit.h"
#include "snapshot.h"
#include "status_map.h"
#include <pthread.h>
#include <stdio.h>

static struct snapshot *make(int64_t id, int64_t version, const char *partner)
{
    struct order o = {.id = id, .version = version, .customer = "carla", .pickup = "a"};
    o.state = partner[0] ? ORDER_ASSIGNED : ORDER_PENDING;
    snprintf(o.partner, sizeof(o.partner), "%s", partner);
    return snapshot_of(&o);
}

static void put(struct status_map *m, int64_t id, int64_t version, int64_t now_ms)
{
    struct snapshot *s = make(id, version, "");
    status_map_put(m, s, now_ms);
    snapshot_unref(s);
}

/* The version that the map has, or 0. */
static int64_t version_of(struct status_map *m, int64_t id, int64_t now_ms, bool *fresh)
{
    struct snapshot *s = status_map_get(m, id, now_ms, fresh);
    int64_t version = s ? s->version : 0;
    snapshot_unref(s);
    return version;
}

static void a_snapshot_is_read_back_from_its_json(void **state)
{
    (void)state;
    struct snapshot *s = make(7, 3, "p1"), *again = snapshot_parse(s->json, s->len);
    assert_non_null(again);
    assert_int_equal(again->order, 7);
    assert_int_equal(again->version, 3);
    assert_int_equal(again->state, ORDER_ASSIGNED);
    assert_string_equal(again->customer, "carla");
    assert_string_equal(again->partner, "p1");
    assert_memory_equal(again->json, s->json, s->len + 1);
    snapshot_unref(again);
    snapshot_unref(s);
}

static void other_bytes_are_no_snapshot(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"id\":\"1\"}",
        "{\"id\":\"1\",\"version\":1,\"status\":\"lost\",\"customer\":\"c\",\"partner\":null}",
        "{\"id\":\"0\",\"version\":1,\"status\":\"pending\",\"customer\":\"c\",\"partner\":null}",
        "{\"id\":\"1\",\"version\":0,\"status\":\"pending\",\"customer\":\"c\",\"partner\":null}",
        "{\"id\":\"1\",\"version\":1,\"status\":\"pending\",\"customer\":\"c\",\"partner\":7}",
        "{\"id\":1,\"version\":1,\"status\":\"pending\",\"customer\":\"c\",\"partner\":null}",
        "{\"id\":\"1\",\"version\":1,\"status\":\"pending\",\"partner\":null}",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_null(snapshot_parse(bad[i], strlen(bad[i])));
    char text[512];
    snprintf(text, sizeof(text),
             "{\"id\":\"1\",\"version\":1,\"status\":\"pending\",\"customer\":\"%065d\","
             "\"partner\":null}",
             0);
    assert_null(snapshot_parse(text, strlen(text)));
}

static void who_sees_a_snapshot(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        unsigned role;
        bool pending, taken;
    } people[] = {{"carla", CUSTOMER, true, true},  {"dave", CUSTOMER, false, false},
                  {"p1", PARTNER, true, true},      {"p2", PARTNER, true, false},
                  {"dora", DISPATCHER, true, true}, {"carla", PARTNER, true, false},
                  {"carla", 0, false, false}};
    struct snapshot *pending = make(1, 1, ""), *taken = make(1, 2, "p1");
    for (size_t i = 0; i < COUNT(people); i++) {
        const struct actor who = {people[i].id, people[i].role};
        assert_int_equal(snapshot_visible(pending, &who), people[i].pending);
        assert_int_equal(snapshot_visible(taken, &who), people[i].taken);
        assert_false(snapshot_visible(NULL, &who));
    }
    snapshot_unref(pending);
    snapshot_unref(taken);
}

static void fresh_for_its_time(void **state)
{
    (void)state;
    bool fresh;
    struct status_map *m = status_map_new(100);
    assert_int_equal(version_of(m, 1, 0, &fresh), 0);
    assert_false(fresh);
    put(m, 1, 4, 5000);
    assert_int_equal(version_of(m, 1, 5000 + STATUS_MAP_TTL_MS - 1, &fresh), 4);
    assert_true(fresh);
    assert_int_equal(version_of(m, 1, 5000 + STATUS_MAP_TTL_MS, &fresh), 4);
    assert_false(fresh);
    put(m, 1, 4, 9000); /* heard of again */
    assert_int_equal(version_of(m, 1, 9001, &fresh), 4);
    assert_true(fresh);
    status_map_free(m);
}

static void never_back_to_an_older_version(void **state)
{
    (void)state;
    bool fresh;
    struct status_map *m = status_map_new(100);
    put(m, 1, 4, 1000);
    put(m, 1, 3, 5000);
    assert_int_equal(version_of(m, 1, 5000, &fresh), 4);
    assert_false(fresh); /* what came was not about version 4 */
    put(m, 1, 5, 5000);
    assert_int_equal(version_of(m, 1, 5000, &fresh), 5);
    assert_true(fresh);
    status_map_free(m);
}

static void bounded_and_the_oldest_goes(void **state)
{
    (void)state;
    bool fresh;
    size_t kept = 0;
    struct status_map *m = status_map_new(8);
    for (int64_t id = 1; id <= 1000; id++)
        put(m, id, 1, id);
    for (int64_t id = 1; id <= 1000; id++)
        kept += version_of(m, id, 1000, &fresh) > 0;
    assert_int_equal(kept, 8);
    assert_int_equal(version_of(m, 993, 1000, &fresh), 1);
    assert_int_equal(version_of(m, 992, 1000, &fresh), 0);
    status_map_free(m);
}

static void no_map_has_nothing(void **state)
{
    (void)state;
    bool fresh = true;
    assert_null(status_map_new(0));
    assert_null(status_map_get(NULL, 1, 0, &fresh));
    assert_false(fresh);
    put(NULL, 1, 1, 1);
    status_map_free(NULL);
}

static void *put_many(void *map)
{
    for (int64_t version = 1; version <= 20000; version++)
        put(map, version % 24, version, version);
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    bool fresh;
    pthread_t threads[4];
    struct status_map *m = status_map_new(16);
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, m), 0);
    int64_t last = 0;
    for (int i = 0; i < 20000; i++) {
        struct snapshot *s = status_map_get(m, i % 24, 0, &fresh);
        assert_true(!s || s->order == i % 24);
        snapshot_unref(s);
    }
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    last = version_of(m, 20000 % 24, 20000, &fresh);
    assert_int_equal(last, 20000);
    status_map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_read_back_from_its_json),
        cmocka_unit_test(other_bytes_are_no_snapshot),
        cmocka_unit_test(who_sees_a_snapshot),
        cmocka_unit_test(fresh_for_its_time),
        cmocka_unit_test(never_back_to_an_older_version),
        cmocka_unit_test(bounded_and_the_oldest_goes),
        cmocka_unit_test(no_map_has_nothing),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

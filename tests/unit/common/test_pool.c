#include "../unit.h"
#include "clock.h"
#include "pool.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

/* A store that does as it is told. */
struct store {
    atomic_bool down, refuses; /* refuses: the callers, not the keeper */
    atomic_int dials, checks, live;
};

struct conn {
    struct store *store;
    int ends[2]; /* ours, the server's */
};

static void *dial_keeper(void *ctx, struct strbuf *why)
{
    struct store *s = ctx;
    s->dials++;
    if (s->down) {
        strbuf_addstr(why, "no answer");
        return NULL;
    }
    struct conn *c = xcalloc(1, sizeof(*c));
    c->store = s;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, c->ends), 0);
    s->live++;
    return c;
}

static void *dial(void *ctx, struct strbuf *why)
{
    struct store *s = ctx;
    if (!s->refuses)
        return dial_keeper(ctx, why);
    strbuf_addstr(why, "too many");
    return NULL;
}

static bool check(void *conn, struct strbuf *why)
{
    struct conn *c = conn;
    c->store->checks++;
    if (c->store->down)
        strbuf_addstr(why, "lost");
    return !c->store->down;
}

static int descriptor(void *conn)
{
    return ((struct conn *)conn)->ends[0];
}

static void hang_up(void *conn)
{
    struct conn *c = conn;
    c->store->live--;
    close(c->ends[0]);
    close(c->ends[1]);
    free(c);
}

static const struct pool_ops ops = {"fake", dial, dial_keeper, check, descriptor, hang_up};

static void wait_health(struct pool *p, bool well)
{
    struct strbuf why = STRBUF_INIT;
    int64_t deadline = clock_mono_ms() + 10000;
    while (pool_health(p, &why) != well) {
        assert_true(clock_mono_ms() < deadline);
        strbuf_reset(&why);
        usleep(1000);
    }
    assert_int_equal(well, why.len == 0);
    strbuf_release(&why);
}

static struct pool *start(struct store *s, size_t max, bool broken_opens)
{
    struct pool_options options = {max, 20, 10, 10, broken_opens};
    struct pool *p = pool_new(&ops, s, &options);
    if (!s->down)
        wait_health(p, true);
    return p;
}

static void taken_given_and_bounded(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool *p = start(&s, 2, true);
    void *a, *b, *c;
    uint64_t epoch;
    assert_int_equal(pool_take(p, &a, &epoch), STATUS_OK);
    assert_int_equal(epoch, 1);
    assert_int_equal(pool_take(p, &b, &epoch), STATUS_OK);
    assert_ptr_not_equal(a, b);
    assert_int_equal(pool_take(p, &c, &epoch), STATUS_OVERLOADED);
    pool_give(p, b, 1, NULL);
    assert_int_equal(pool_take(p, &c, &epoch), STATUS_OK);
    assert_ptr_equal(b, c);
    pool_give(p, a, 1, NULL);
    pool_give(p, c, 1, NULL);
    assert_int_equal(s.live, 3); /* the keeper's too */
    pool_free(p);
    assert_int_equal(s.live, 0);
}

static void down_from_the_start(void **state)
{
    (void)state;
    struct store s = {.down = true};
    struct pool *p = start(&s, 2, true);
    struct strbuf why = STRBUF_INIT;
    void *conn;
    uint64_t epoch;
    assert_int_equal(pool_take(p, &conn, &epoch), STATUS_UNAVAILABLE);
    assert_null(conn);
    assert_int_equal(pool_epoch(p), 0);
    while (s.dials < 3)
        usleep(1000);
    assert_false(pool_health(p, &why));
    assert_string_equal(why.bytes, "no answer");
    strbuf_release(&why);
    s.down = false;
    wait_health(p, true);
    assert_int_equal(pool_take(p, &conn, &epoch), STATUS_OK);
    assert_int_equal(epoch, 1);
    pool_give(p, conn, epoch, NULL);
    pool_free(p);
}

/* One broken connection ends the epoch, even when the store is well again at once. */
static void broken_opens(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool *p = start(&s, 4, true);
    void *a, *b;
    uint64_t one, two;
    assert_int_equal(pool_take(p, &a, &one), STATUS_OK);
    assert_int_equal(pool_take(p, &b, &one), STATUS_OK);
    pool_give(p, a, one, "lost");
    wait_health(p, true);
    assert_int_equal(pool_epoch(p), 2);
    pool_give(p, b, one, "lost"); /* of the epoch before: no news */
    assert_true(pool_health(p, &(struct strbuf)STRBUF_INIT));
    assert_int_equal(pool_epoch(p), 2);
    assert_int_equal(pool_take(p, &a, &two), STATUS_OK);
    assert_int_equal(two, 2);
    pool_give(p, a, two, NULL);
    pool_free(p);
    assert_int_equal(s.live, 0);
}

/* What was taken before the store was lost is not used again, though it came back in order. */
static void older_epochs_are_closed(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool *p = start(&s, 4, false);
    void *a, *b;
    uint64_t one, two;
    assert_int_equal(pool_take(p, &a, &one), STATUS_OK);
    s.down = true;
    wait_health(p, false); /* the keeper's check */
    s.down = false;
    wait_health(p, true);
    assert_int_equal(pool_epoch(p), 2);
    int live = s.live;
    pool_give(p, a, one, NULL);
    assert_int_equal(s.live, live - 1);
    assert_int_equal(pool_take(p, &b, &two), STATUS_OK);
    pool_give(p, b, two, NULL);
    pool_free(p);
}

static void broken_only_wakes_the_keeper(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool_options options = {4, 20, 10, 60000, false}; /* no check for a minute */
    struct pool *p = pool_new(&ops, &s, &options);
    wait_health(p, true);
    void *a, *b;
    uint64_t epoch;
    assert_int_equal(pool_take(p, &a, &epoch), STATUS_OK);
    assert_int_equal(pool_take(p, &b, &epoch), STATUS_OK);
    int checks = s.checks;
    pool_give(p, a, epoch, "killed by an administrator");
    while (s.checks == checks)
        usleep(1000);
    assert_int_equal(pool_epoch(p), 1);
    s.down = true;
    pool_give(p, b, epoch, "lost");
    wait_health(p, false);
    pool_free(p);
}

static void idle_ones_that_died_are_not_used(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool *p = start(&s, 2, true);
    void *a, *b, *c;
    uint64_t epoch;
    assert_int_equal(pool_take(p, &a, &epoch), STATUS_OK);
    assert_int_equal(pool_take(p, &b, &epoch), STATUS_OK);
    shutdown(((struct conn *)a)->ends[1], SHUT_WR);                  /* an end of file */
    assert_int_equal(write(((struct conn *)b)->ends[1], "!", 1), 1); /* a last word */
    pool_give(p, a, epoch, NULL);
    pool_give(p, b, epoch, NULL);
    assert_int_equal(pool_take(p, &c, &epoch), STATUS_OK);
    assert_int_equal(recv(descriptor(c), &epoch, 1, MSG_DONTWAIT), -1); /* a new one: silent */
    assert_int_equal(s.live, 2);
    pool_give(p, c, pool_epoch(p), NULL);
    pool_free(p);
}

static void refused_dials_give_their_place_back(void **state)
{
    (void)state;
    struct store s = {.refuses = true};
    struct pool *p = start(&s, 1, false);
    void *conn;
    uint64_t epoch;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_take(p, &conn, &epoch), STATUS_UNAVAILABLE);
    assert_int_equal(pool_epoch(p), 1);
    s.refuses = false;
    assert_int_equal(pool_take(p, &conn, &epoch), STATUS_OK);
    pool_give(p, conn, epoch, NULL);
    pool_free(p);
}

struct waiter {
    struct pool *pool;
    enum status st;
};

static void *wait_for_one(void *arg)
{
    struct waiter *w = arg;
    void *conn;
    uint64_t epoch;
    w->st = pool_take(w->pool, &conn, &epoch);
    if (w->st == STATUS_OK)
        pool_give(w->pool, conn, epoch, NULL);
    return NULL;
}

/* Those who wait for a connection learn at once that the store is lost, or get one given back. */
static void waiters(void **state)
{
    (void)state;
    struct store s = {0};
    struct pool_options options = {1, 600000, 10, 10, true};
    for (int lost = 0; lost < 2; lost++) {
        struct pool *p = pool_new(&ops, &s, &options);
        struct waiter w[3] = {{p, STATUS_INTERNAL}, {p, STATUS_INTERNAL}, {p, STATUS_INTERNAL}};
        pthread_t threads[3];
        void *conn;
        uint64_t epoch;
        wait_health(p, true);
        assert_int_equal(pool_take(p, &conn, &epoch), STATUS_OK);
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, wait_for_one, &w[i]);
        s.down = lost;
        if (!lost)
            pool_give(p, conn, epoch, NULL);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 3; i++)
            assert_int_equal(w[i].st, lost ? STATUS_UNAVAILABLE : STATUS_OK);
        if (lost)
            pool_give(p, conn, epoch, NULL);
        s.down = false;
        pool_free(p);
    }
    assert_int_equal(s.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_given_and_bounded),
        cmocka_unit_test(down_from_the_start),
        cmocka_unit_test(broken_opens),
        cmocka_unit_test(older_epochs_are_closed),
        cmocka_unit_test(broken_only_wakes_the_keeper),
        cmocka_unit_test(idle_ones_that_died_are_not_used),
        cmocka_unit_test(refused_dials_give_their_place_back),
        cmocka_unit_test(waiters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The gate of hot orders: who is let through, who is told what, and that nobody is forgotten. */
#include "gate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gate_pass *enter(struct gate *g, struct gate_pass *p, int64_t order, bool expected)
{
    bool inside;
    *p = (struct gate_pass){.order = order};
    assert_int_equal(gate_enter(g, p, &inside), STATUS_OK);
    assert_int_equal(inside, expected);
    assert_int_equal(p->inside, expected);
    return p;
}

static const struct gate_finding won = {STATUS_OK, ORDER_ASSIGNED, 2},
                                 taken = {STATUS_CONFLICT, ORDER_CANCELLED, 2},
                                 busy = {STATUS_OVERLOADED, ORDER_PENDING, 2};

/* The chain is exactly these, in this order. */
static void assert_chain(const struct gate_pass *p, size_t n, struct gate_pass *const *expected)
{
    for (size_t i = 0; i < n; i++, p = p->next)
        assert_ptr_equal(p, expected[i]);
    assert_null(p);
}
#define ASSERT_CHAIN(p, ...)                                                                       \
    assert_chain(p, sizeof((struct gate_pass *[]){__VA_ARGS__}) / sizeof(struct gate_pass *),      \
                 (struct gate_pass *[]){__VA_ARGS__})

static void one_alone_waits_for_nobody(void **unused)
{
    (void)unused;
    struct gate *g = gate_new(10);
    struct gate_pass a, b;
    for (int i = 0; i < 3; i++) {
        enter(g, &a, 7, true);
        enter(g, &b, 7 + 1024, true); /* another order, in the same bucket */
        assert_null(gate_leave(g, &a, i % 2 ? &won : NULL));
        assert_false(a.inside);
        assert_null(gate_leave(g, &b, &taken));
    }
    gate_free(g);
}

static void a_winner_tells_everybody(void **unused)
{
    (void)unused;
    struct gate *g = gate_new(10);
    struct gate_pass a, b, c, other;
    enter(g, &a, 7, true);
    enter(g, &b, 7, false);
    gate_look(g, &a);
    enter(g, &c, 7, false); /* before the commit is known, and that is what counts */
    enter(g, &other, 8, true);
    assert_int_equal(gate_waiting(g), 2);
    ASSERT_CHAIN(gate_leave(g, &a, &won), &b, &c);
    assert_int_equal(gate_waiting(g), 0);
    assert_true(b.told && c.told && !b.inside && !c.inside);
    assert_int_equal(b.found.st, STATUS_CONFLICT);
    assert_int_equal(c.found.state, ORDER_ASSIGNED);
    enter(g, &a, 7, true); /* nothing is remembered */
    assert_null(gate_leave(g, &a, NULL));
    assert_null(gate_leave(g, &other, NULL));
    gate_free(g);
}

static void a_look_tells_those_who_came_before(void **unused)
{
    (void)unused;
    struct gate *g = gate_new(10);
    struct gate_pass a, b, c, d;
    enter(g, &a, 7, true);
    enter(g, &b, 7, false);
    gate_look(g, &a);
    enter(g, &c, 7, false);
    enter(g, &d, 7, false);
    ASSERT_CHAIN(gate_leave(g, &a, &taken), &b, &c);
    assert_true(b.told && !b.inside);
    assert_int_equal(b.found.state, ORDER_CANCELLED);
    assert_true(c.inside && !c.told); /* and d waits for what c will find */
    /* A second look takes the place of the first one, as when a transaction runs again. */
    gate_look(g, &c);
    gate_look(g, &c);
    ASSERT_CHAIN(gate_leave(g, &c, &busy), &d);
    assert_true(d.told);
    assert_int_equal(d.found.st, STATUS_OVERLOADED);
    gate_free(g);
}

static void who_never_looked_tells_nobody(void **unused)
{
    (void)unused;
    struct gate *g = gate_new(10);
    struct gate_pass a, b, c;
    enter(g, &a, 7, true);
    enter(g, &b, 7, false);
    enter(g, &c, 7, false);
    ASSERT_CHAIN(gate_leave(g, &a, &taken), &b);
    assert_true(b.inside && !b.told);
    ASSERT_CHAIN(gate_leave(g, &b, &busy), &c);
    assert_true(c.inside && !c.told);
    assert_null(gate_leave(g, &c, &busy));
    gate_free(g);
}

static void what_concerns_one_alone_passes_the_turn_on(void **unused)
{
    (void)unused;
    enum { N = 5 };
    struct gate *g = gate_new(N);
    struct gate_pass p[N];
    for (int i = 0; i < N; i++)
        enter(g, &p[i], 7, i == 0);
    for (int i = 0; i < N; i++) {
        assert_true(p[i].inside && !p[i].told);
        gate_look(g, &p[i]);
        const struct gate_pass *next = gate_leave(g, &p[i], NULL);
        assert_ptr_equal(next, i + 1 < N ? &p[i + 1] : NULL);
    }
    gate_free(g);
}

static void waiting_is_bounded(void **unused)
{
    (void)unused;
    struct gate *g = gate_new(2);
    struct gate_pass a, b, c, d, e;
    bool inside = true;
    enter(g, &a, 7, true);
    enter(g, &b, 8, true);
    enter(g, &c, 7, false);
    enter(g, &d, 8, false);
    e = (struct gate_pass){.order = 7};
    assert_int_equal(gate_enter(g, &e, &inside), STATUS_OVERLOADED);
    assert_false(inside);
    enter(g, &e, 9, true); /* no waiting */
    assert_null(gate_leave(g, &e, NULL));
    ASSERT_CHAIN(gate_leave(g, &a, &won), &c);
    enter(g, &e, 8, false); /* there is room again */
    ASSERT_CHAIN(gate_leave(g, &b, &won), &d, &e);
    gate_free(g);
}

/* The same numbers in every run. */
static unsigned roll(unsigned sides)
{
    static unsigned state = 7;
    state = state * 1103515245 + 12345;
    return (state >> 16) % sides;
}

/* Random comings and goings at a few orders: whoever came is let through or told, once. */
static void nobody_is_forgotten(void **unused)
{
    (void)unused;
    enum { N = 200, ORDERS = 3 };
    static struct gate_pass p[N];
    struct gate *g = gate_new(N);
    struct gate_pass *inside[ORDERS] = {NULL};
    size_t came = 0, answered = 0;
    while (answered < N) {
        unsigned order = roll(ORDERS);
        if (came < N && roll(3)) {
            bool is_inside;
            p[came] = (struct gate_pass){.order = order};
            assert_int_equal(gate_enter(g, &p[came], &is_inside), STATUS_OK);
            assert_int_equal(is_inside, inside[order] == NULL);
            if (is_inside)
                inside[order] = &p[came];
            came++;
        } else if (inside[order] && roll(2)) {
            gate_look(g, inside[order]);
        } else if (inside[order]) {
            static const struct gate_finding *const findings[] = {NULL, &won, &taken, &busy};
            struct gate_pass *chain = gate_leave(g, inside[order], findings[roll(4)]);
            inside[order] = NULL;
            answered++;
            for (; chain; chain = chain->next) {
                assert_int_equal(chain->order, order);
                assert_true(chain->told != chain->inside);
                if (chain->inside) {
                    assert_null(inside[order]);
                    assert_null(chain->next);
                    inside[order] = chain;
                } else {
                    answered++;
                }
            }
        }
    }
    assert_int_equal(gate_waiting(g), 0);
    for (unsigned i = 0; i < ORDERS; i++)
        assert_null(inside[i]);
    gate_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_alone_waits_for_nobody),
        cmocka_unit_test(a_winner_tells_everybody),
        cmocka_unit_test(a_look_tells_those_who_came_before),
        cmocka_unit_test(who_never_looked_tells_nobody),
        cmocka_unit_test(what_concerns_one_alone_passes_the_turn_on),
        cmocka_unit_test(waiting_is_bounded),
        cmocka_unit_test(nobody_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

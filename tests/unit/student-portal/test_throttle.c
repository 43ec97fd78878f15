#include "throttle.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { T0 = 1000000 };

static unsigned wait_s(struct throttle *t, const char *account, const char *address, int64_t now)
{
    unsigned s;
    enum status st = throttle_admit(t, account, address, now, &s);
    assert_int_equal(st, s ? STATUS_RATE_LIMITED : STATUS_OK);
    return s;
}

static void delay_grows_and_ends(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    int64_t now = T0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), 0);
    for (unsigned delay = 1; delay < 300; delay *= 2) {
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), delay);
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", now + delay * 1000 - 1), 1);
        now += delay * 1000;
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), 0);
    }
    assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), 300);
    now += 16 * 60 * 1000;
    assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), 0);
    assert_int_equal(wait_s(t, "ana", "10.0.0.1", now), 0); /* forgotten */
    throttle_free(t);
}

static void others_are_not_slowed(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    while (!wait_s(t, "ana", "10.0.0.1", T0))
        ;
    assert_int_equal(wait_s(t, "ben", "10.0.0.1", T0), 0); /* behind the same address */
    assert_int_equal(wait_s(t, "ana", "10.0.0.2", T0), 0); /* from home */
    throttle_free(t);
}

/* Whoever has one address of IPv6 has 2^64. */
static void addresses_of_one_network_are_one(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char address[64];
    for (unsigned i = 0; i < 5; i++) {
        snprintf(address, sizeof(address), "2001:db8:1:2:%x::%x", i, 7 * i + 1);
        assert_int_equal(wait_s(t, "ana", address, T0), 0);
    }
    assert_int_equal(wait_s(t, "ana", "2001:db8:1:2:ffff::1", T0), 1);
    assert_int_equal(wait_s(t, "ana", "2001:db8:1:3:ffff::1", T0), 0);
    assert_int_equal(wait_s(t, "ben", "2001:db8:1:2:ffff::1", T0), 0);
    throttle_free(t);
}

static void an_account_from_many_addresses(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char address[32];
    unsigned tried = 0, waited = 0;
    for (; !waited && tried < 1000; tried++) {
        snprintf(address, sizeof(address), "10.0.%u.%u", tried / 200, tried % 200);
        waited = wait_s(t, "ana", address, T0);
    }
    assert_int_equal(tried, 21);
    assert_true(waited >= 1 && waited <= 30);
    throttle_free(t);
}

static void success_and_refund(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    for (int i = 0; i < 1000; i++) { /* a pool that is full costs nobody an attempt */
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", T0), 0);
        throttle_refund(t, "ana", "10.0.0.1");
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", T0), 0);
        throttle_verified(t, "ana", "10.0.0.1");
    }
    throttle_refund(t, "nobody", "10.0.0.1"); /* without an attempt: nothing below zero */
    for (int i = 0; i < 5; i++)
        assert_int_equal(wait_s(t, "nobody", "10.0.0.1", T0), 0);
    assert_int_equal(wait_s(t, "nobody", "10.0.0.1", T0), 1);
    throttle_free(t);
}

/* One bad student on a campus tries everybody's account. */
static void an_address_that_tries_many_accounts(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char account[32];
    unsigned tried = 0, waited = 0;
    assert_int_equal(wait_s(t, "ben", "10.0.0.1", T0), 0);
    throttle_verified(t, "ben", "10.0.0.1");
    for (; !waited && tried < 1000; tried++) {
        snprintf(account, sizeof(account), "user%u", tried);
        waited = wait_s(t, account, "10.0.0.1", T0);
        if (!waited)
            throttle_failed(t, account, "10.0.0.1", T0);
    }
    assert_int_equal(tried, 101);
    assert_int_equal(waited, 1);
    for (int i = 0; i < 50; i++) { /* it goes on */
        int64_t now = T0 + (i + 1) * 4000;
        snprintf(account, sizeof(account), "other%d", i);
        assert_int_equal(wait_s(t, account, "10.0.0.1", now), 0);
        throttle_failed(t, account, "10.0.0.1", now);
        assert_true(wait_s(t, "newcomer", "10.0.0.1", now) <= 4);
        assert_int_equal(wait_s(t, "newcomer", "10.0.0.2", now), 0);
        throttle_refund(t, "newcomer", "10.0.0.2");
        assert_int_equal(wait_s(t, "ben", "10.0.0.1", now), 0); /* was here before */
        throttle_verified(t, "ben", "10.0.0.1");
    }
    throttle_free(t);
}

/* Right passwords are no failures, however many come from one address at nine, all in one moment.
 */
static void a_campus_logs_in(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char account[32];
    for (int i = 0; i < 1500; i++) {
        snprintf(account, sizeof(account), "user%d", i);
        assert_int_equal(wait_s(t, account, "10.0.0.1", T0), 0);
    }
    throttle_free(t);
}

/* More names than it can hold: it stays of one size, and goes on counting. */
static void flooded(void **state)
{
    (void)state;
    struct throttle *t = throttle_new();
    char account[32];
    for (int i = 0; i < 50000; i++) {
        snprintf(account, sizeof(account), "user%d", i);
        assert_int_equal(wait_s(t, account, account, T0), 0);
    }
    for (int i = 0; i < 5; i++)
        assert_int_equal(wait_s(t, "ana", "10.0.0.1", T0), 0);
    assert_int_equal(wait_s(t, "ana", "10.0.0.1", T0), 1);
    throttle_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_grows_and_ends),
        cmocka_unit_test(others_are_not_slowed),
        cmocka_unit_test(addresses_of_one_network_are_one),
        cmocka_unit_test(an_account_from_many_addresses),
        cmocka_unit_test(an_address_that_tries_many_accounts),
        cmocka_unit_test(a_campus_logs_in),
        cmocka_unit_test(success_and_refund),
        cmocka_unit_test(flooded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

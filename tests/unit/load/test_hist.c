#include "../unit.h"
#include "hist.h"

static void test_small_values_are_exact(void **state)
{
    struct hist h = {0};
    (void)state;
    for (int i = 1; i <= 100; i++)
        hist_add(&h, i);
    assert_int_equal(hist_percentile(&h, 0.5), 50);
    assert_int_equal(hist_percentile(&h, 0.9), 90);
    assert_int_equal(hist_percentile(&h, 0.99), 99);
    assert_int_equal(hist_percentile(&h, 1), 100);
    assert_int_equal(h.total, 100);
}

/* Against the definition, over all magnitudes: never too low, and at most 1.6% too high. */
static void test_every_value_lies_in_its_bucket(void **state)
{
    (void)state;
    for (int64_t v = 1; v < (int64_t)1 << 40; v += 1 + v / 37) {
        struct hist h = {0};
        hist_add(&h, v);
        hist_add(&h, ((int64_t)1 << 40) - 1);
        uint64_t low = hist_percentile(&h, 0.5);
        assert_true(low >= (uint64_t)v);
        assert_true((double)low <= (double)v * 1.016);
    }
}

static void test_percentile_is_at_most_the_maximum(void **state)
{
    struct hist h = {0};
    (void)state;
    hist_add(&h, 1000001);
    assert_int_equal(hist_percentile(&h, 0.5), 1000001);
    assert_int_equal(hist_percentile(&h, 1), 1000001);
}

static void test_one_slow_in_a_hundred_shows_above_p99(void **state)
{
    struct hist h = {0};
    (void)state;
    for (int i = 0; i < 990; i++)
        hist_add(&h, 10);
    for (int i = 0; i < 10; i++)
        hist_add(&h, 100000);
    assert_int_equal(hist_percentile(&h, 0.99), 10);
    assert_in_range(hist_percentile(&h, 0.991), 100000, 101600);
}

static void test_out_of_range(void **state)
{
    struct hist h = {0};
    (void)state;
    assert_int_equal(hist_percentile(&h, 0.5), 0);
    hist_add(&h, -5);
    assert_int_equal(hist_percentile(&h, 1), 0);
    hist_add(&h, INT64_MAX);
    assert_int_equal(hist_percentile(&h, 1), ((uint64_t)1 << 40) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_values_are_exact),
        cmocka_unit_test(test_every_value_lies_in_its_bucket),
        cmocka_unit_test(test_percentile_is_at_most_the_maximum),
        cmocka_unit_test(test_one_slow_in_a_hundred_shows_above_p99),
        cmocka_unit_test(test_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

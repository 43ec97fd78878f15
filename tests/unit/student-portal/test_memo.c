#include "memo.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* All keys in one set of eight places: the first eight bytes choose the set. */
static const uint8_t *key(uint8_t n)
{
    static uint8_t k[MEMO_KEY];
    k[31] = n;
    return k;
}

static void put(struct memo *m, uint8_t n)
{
    int *value = memo_put(m, key(n));
    *value = n;
}

static int get(struct memo *m, uint8_t n)
{
    const int *value = memo_get(m, key(n));
    return value ? *value : -1;
}

static void keeps_what_fits(void **state)
{
    (void)state;
    struct memo *m = memo_new(64, sizeof(int));
    assert_int_equal(get(m, 0), -1);
    for (uint8_t n = 0; n < 8; n++)
        put(m, n);
    for (uint8_t n = 0; n < 8; n++)
        assert_int_equal(get(m, n), n);
    memo_drop(m, key(3));
    memo_drop(m, key(99));
    assert_int_equal(get(m, 3), -1);
    assert_int_equal(*(int *)memo_put(m, key(3)), 0); /* zeroed, not what was there */
    memo_free(m);
}

static void forgets_the_longest_untouched(void **state)
{
    (void)state;
    struct memo *m = memo_new(64, sizeof(int));
    for (uint8_t n = 0; n < 8; n++)
        put(m, n);
    assert_int_equal(get(m, 0), 0);
    put(m, 8);
    assert_int_equal(get(m, 1), -1);
    assert_int_equal(get(m, 0), 0);
    assert_int_equal(get(m, 8), 8);
    memo_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_fits),
        cmocka_unit_test(forgets_the_longest_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

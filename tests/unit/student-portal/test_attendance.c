#include "attendance.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct totals totals(uint32_t present, uint32_t late, uint32_t absent, uint32_t excused,
                            uint32_t unmarked)
{
    return (struct totals){.count = {[MARK_NONE] = unmarked,
                                     [MARK_PRESENT] = present,
                                     [MARK_LATE] = late,
                                     [MARK_ABSENT] = absent,
                                     [MARK_EXCUSED] = excused}};
}

static void percentage_and_flag(void **state)
{
    (void)state;
    static const struct {
        uint32_t present, late, absent, excused, unmarked;
        int percentage;
        bool below;
    } cases[] = {
        {0, 0, 0, 0, 0, -1, false},    /* nothing happened yet */
        {0, 0, 0, 5, 7, -1, false},    /* nothing that counts */
        {3, 0, 1, 0, 0, 75, false},    /* 75 exactly is enough */
        {2, 1, 1, 0, 0, 75, false},    /* late was there */
        {3, 0, 1, 9, 9, 75, false},    /* excused and unmarked change nothing */
        {2, 0, 1, 0, 0, 66, true},     /* rounded down */
        {299, 0, 101, 0, 0, 74, true}, /* 74.75 is not shown as 75 */
        {0, 0, 1, 0, 0, 0, true},
        {1, 0, 0, 0, 0, 100, false},
        {UINT32_MAX, UINT32_MAX, 0, 0, 0, 100, false}, /* no overflow */
        {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0, 0, 66, true},
        {0, 0, UINT32_MAX, 0, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct totals t = totals(cases[i].present, cases[i].late, cases[i].absent, cases[i].excused,
                                 cases[i].unmarked);
        assert_int_equal(totals_percentage(&t), cases[i].percentage);
        assert_int_equal(totals_below_floor(&t), cases[i].below);
    }
}

static void adds_by_mark(void **state)
{
    (void)state;
    struct totals t = {{0}};
    for (unsigned m = 0; m < MARKS; m++)
        for (unsigned n = 0; n <= m; n++)
            totals_add(&t, (enum mark)m);
    for (unsigned m = 0; m < MARKS; m++)
        assert_int_equal(t.count[m], m + 1);
}

static void words(void **state)
{
    (void)state;
    enum mark mark;
    static const char *const bad[] = {"", "Present", "present ", "presen", "none", "presentx"};
    for (unsigned m = MARK_PRESENT; m < MARKS; m++) {
        assert_int_equal(mark_parse(mark_name((enum mark)m), &mark), STATUS_OK);
        assert_int_equal(mark, m);
    }
    assert_null(mark_name(MARK_NONE));
    assert_int_equal(mark_parse(NULL, &mark), STATUS_OK);
    assert_int_equal(mark, MARK_NONE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(mark_parse(bad[i], &mark), STATUS_UNPROCESSABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentage_and_flag),
        cmocka_unit_test(adds_by_mark),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

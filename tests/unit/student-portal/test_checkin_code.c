#include "checkin_code.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[CHECK_IN_KEY] = "12345678901234567890123456789012";

/* RFC 6238, appendix B, SHA-256: the last six of its eight digits. */
static void is_that_of_rfc_6238(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *code;
    } vectors[] = {{59, "119246"},         {1111111109, "084774"}, {1111111111, "062674"},
                   {1234567890, "819424"}, {2000000000, "698825"}, {20000000000, "737706"}};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char code[CHECK_IN_CODE_SIZE];
        check_in_code(key, vectors[i].seconds * 1000, code);
        assert_string_equal(code, vectors[i].code);
    }
}

static void holds_for_its_step_and_the_next(void **state)
{
    (void)state;
    enum { STEP = CHECK_IN_STEP_S * 1000 };
    const int64_t begins = 40000000LL * STEP;
    char code[CHECK_IN_CODE_SIZE];
    check_in_code(key, begins, code);
    assert_false(check_in_code_holds(key, begins - 1, code));
    assert_true(check_in_code_holds(key, begins, code));
    assert_true(check_in_code_holds(key, begins + 2 * STEP - 1, code));
    assert_false(check_in_code_holds(key, begins + 2 * STEP, code));
    assert_int_equal(check_in_code_left(begins), STEP);
    assert_int_equal(check_in_code_left(begins + STEP - 1), 1);
}

static void nothing_else_holds(void **state)
{
    (void)state;
    char code[16];
    check_in_code(key, 59000, code);
    static const uint8_t other[CHECK_IN_KEY] = "another key";
    assert_false(check_in_code_holds(other, 59000, code));
    code[5] ^= 1;
    assert_false(check_in_code_holds(key, 59000, code));
    code[5] ^= 1;
    strcat(code, "0");
    assert_false(check_in_code_holds(key, 59000, code));
    code[5] = '\0';
    assert_false(check_in_code_holds(key, 59000, code));
    assert_false(check_in_code_holds(key, 59000, ""));
}

static void late_from_ten_minutes_on(void **state)
{
    (void)state;
    const int64_t start = 1767600000000;
    assert_int_equal(check_in_mark(start, start - 3600000), MARK_PRESENT);
    assert_int_equal(check_in_mark(start, start + 599999), MARK_PRESENT);
    assert_int_equal(check_in_mark(start, start + 600000), MARK_LATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_that_of_rfc_6238),
        cmocka_unit_test(holds_for_its_step_and_the_next),
        cmocka_unit_test(nothing_else_holds),
        cmocka_unit_test(late_from_ten_minutes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

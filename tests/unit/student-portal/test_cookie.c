#include "cookie.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void finds_the_value(void **state)
{
    (void)state;
    static const struct {
        const char *header, *value; /* NULL: not there */
    } cases[] = {
        {NULL, NULL},
        {"", NULL},
        {"session=abc", "abc"},
        {"a=1; session=abc; b=2", "abc"},
        {"a=1;session=abc;b=2", "abc"},
        {" \t session=abc \t ", "abc"},
        {"session=", ""},
        {"session=a=b", "a=b"},
        {"session=\"abc\"", "\"abc\""}, /* taken as it stands */
        {"session", NULL},
        {"session ;", NULL},
        {"session =abc", NULL},
        {"Session=abc", NULL},
        {"xsession=abc", NULL},
        {"sessionx=abc", NULL},
        {"__Host-session=abc", NULL},
        {"a=session=abc", NULL},
        {"=;;; ; =session=abc;", NULL},
        {"a=\"x; session=abc\"", "abc\""}, /* quotes mean nothing in a Cookie header */
        {";;;;session=abc;;", "abc"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[16];
        bool found;
        assert_int_equal(cookie_get(cases[i].header, "session", out, sizeof(out), &found),
                         STATUS_OK);
        assert_int_equal(found, cases[i].value != NULL);
        if (found)
            assert_string_equal(out, cases[i].value);
    }
}

static void refuses_two_and_too_long(void **state)
{
    (void)state;
    char out[4];
    bool found;
    static const char *const bad[] = {"s=a; s=b", "s=a; s=a", "s=; s=", "s=abcd", "s=abcdefghij"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cookie_get(bad[i], "s", out, sizeof(out), &found), STATUS_BAD_REQUEST);
    assert_int_equal(cookie_get("s=abc", "s", out, sizeof(out), &found), STATUS_OK);
    assert_string_equal(out, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_value),
        cmocka_unit_test(refuses_two_and_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

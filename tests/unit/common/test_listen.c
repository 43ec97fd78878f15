#include "listen.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void only_this_machine(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1:80", "127.255.0.9:8200", "[::1]:0"};
    static const char *const no[] = {
        "0.0.0.0:80",   "10.0.0.1:80",  "[::]:80",        "[::1]x:80",    "[::1]:80:90",
        "localhost:80", "127.0.0.1",    "127.1:80",       ":80",          "",
        "*:80",         "128.0.0.1:80", "127.0.0.1.x:80", " 127.0.0.1:8", "127.0.0.1:1:2",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(listen_is_loopback(yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(listen_is_loopback(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_this_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "listen.h"
#include <netinet/in.h>
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

static void parsed_or_refused(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    socklen_t len;
    assert_true(listen_parse("0.0.0.0:65535", &address, &len));
    assert_int_equal(address.ss_family, AF_INET);
    assert_int_equal(len, sizeof(struct sockaddr_in));
    assert_true(listen_parse("[::]:1", &address, &len));
    assert_int_equal(address.ss_family, AF_INET6);
    static const char *const bad[] = {
        "",
        ":80",
        "80",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1: 80",
        "127.0.0.1:80x",
        "::1:80",
        "[]:80",
        "[::1]",
        "127.0.0.1:99999999999999999999",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(listen_parse(bad[i], &address, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_this_machine),
                                       cmocka_unit_test(parsed_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../unit.h"
#include "digest.h"
#include "secret.h"
#include <string.h>

/* SHA-256 of {"hello": "world"}, as RFC 9530, appendix B.1 has it. */
#define HELLO "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"

static enum status parse(const char *header, bool *found, uint8_t sha256[32])
{
    memset(sha256, 0xEE, 32);
    return digest_parse(header, found, sha256);
}

static void reads_what_the_rfc_writes(void **state)
{
    (void)state;
    static const char *const same[] = {
        HELLO,
        "  " HELLO "\t",
        HELLO " , sha-512=:AAAA:",
        "sha-512=:AAAA:," HELLO,
        "md5=::,unixsum=:MDA=:," HELLO,
    };
    bool found;
    uint8_t expected[32], sha256[32];
    char text[DIGEST_FIELD];
    secret_sha256("{\"hello\": \"world\"}", 18, expected);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(parse(same[i], &found, sha256), STATUS_OK);
        assert_true(found);
        assert_memory_equal(sha256, expected, 32);
    }
    digest_format(expected, text);
    assert_string_equal(text, HELLO);
    assert_int_equal(parse(NULL, &found, sha256), STATUS_OK);
    assert_false(found);
}

static void refuses_all_else(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        ",",
        "sha-256",
        "sha-256=",
        "sha-256=:",
        "sha-256=::",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE:",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPF=:", /* spare bits set */
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DB===:",
        "sha-256=:=48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "sha-256 =:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "sha-512=:AAAA:", /* a check that was asked for and cannot be made */
        (HELLO ","),
        (HELLO " sha-512=:AAAA:"),
        (HELLO ";q=1"),
        (HELLO "," HELLO),
        ("," HELLO),
    };
    bool found;
    uint8_t sha256[32];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parse(bad[i], &found, sha256) != STATUS_BAD_REQUEST)
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_rfc_writes),
        cmocka_unit_test(refuses_all_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "password.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Made with argon2-cffi, of the same reference implementation but with an encoder of its own. */
static const struct {
    const char *hash, *password;
} others[] = {
    {"$argon2id$v=19$m=19456,t=2,p=1$cG9ydGFsLWRlbW8tc2FsdA$"
     "rH+xxI0nHZBmEJI3wCVgA5oiw+6qtzp5LMd28cZx/bM",
     "demo-password"},
    {"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$"
     "FQNmQeNugtS8MU/rFHHIf18rCfotloMkOc36YwDwdCg",
     "demo-password"},
    {"$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"
     "MGLg2Cr9C0+v1nGiPvIUmfAgIQofadYGUx+5u5jc50M",
     "p\xc3\xa4ssw\xc3\xb6rd \xe2\x98\x83"},
    {"$argon2id$v=19$m=32,t=3,p=4$c2FsdHNhbHQ$KkweE+8zn4Iz/6LY+OMgEp47vFGz+Do1n0tl/V6kG8o", ""},
};

static void verifies_hashes_of_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const char *password = others[i].password;
        size_t len = strlen(password);
        char wrong[64];
        assert_int_equal(password_verify(others[i].hash, password, len), STATUS_OK);
        snprintf(wrong, sizeof(wrong), "%sx", password);
        assert_int_equal(password_verify(others[i].hash, wrong, len + 1), STATUS_UNAUTHENTICATED);
        if (len)
            assert_int_equal(password_verify(others[i].hash, password, len - 1),
                             STATUS_UNAUTHENTICATED);
    }
}

static void own_hash_and_nobody(void **state)
{
    (void)state;
    char one[PASSWORD_HASH_SIZE], two[PASSWORD_HASH_SIZE];
    struct password_parts parts;
    assert_int_equal(password_hash("secret", 6, one), STATUS_OK);
    assert_int_equal(password_hash("secret", 6, two), STATUS_OK);
    assert_string_not_equal(one, two);
    assert_int_equal(password_parse(one, &parts), STATUS_OK);
    assert_int_equal(parts.m_kib, PASSWORD_M_KIB);
    assert_int_equal(parts.t, PASSWORD_T);
    assert_int_equal(parts.p, PASSWORD_P);
    assert_int_equal(parts.salt_len, 16);
    assert_int_equal(parts.tag_len, 32);
    assert_int_equal(password_verify(one, "secret", 6), STATUS_OK);
    assert_int_equal(password_verify(two, "secret", 6), STATUS_OK);
    assert_int_equal(password_verify(NULL, "secret", 6), STATUS_UNAUTHENTICATED);
    assert_int_equal(password_verify(NULL, "", 0), STATUS_UNAUTHENTICATED);
}

#define SALT "$c29tZXNhbHRzb21lc2FsdA$"
#define TAG "FQNmQeNugtS8MU/rFHHIf18rCfotloMkOc36YwDwdCg"

static void stored_parameters_are_bounded(void **state)
{
    (void)state;
    static const char *const good[] = {
        "$argon2id$v=19$m=65536,t=8,p=4" SALT TAG,
        "$argon2id$v=19$m=8,t=1,p=1" SALT TAG,
    };
    static const char *const bad[] = {
        "",
        "$",
        "demo-password",
        "$argon2id$v=19$m=65537,t=1,p=1" SALT TAG, /* memory */
        "$argon2id$v=19$m=4294967295,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=4294967360,t=1,p=1" SALT TAG, /* 64 modulo 2^32 */
        "$argon2id$v=19$m=18446744073709551680,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=64,t=9,p=1" SALT TAG, /* time */
        "$argon2id$v=19$m=64,t=0,p=1" SALT TAG,
        "$argon2id$v=19$m=64,t=1,p=5" SALT TAG, /* threads */
        "$argon2id$v=19$m=64,t=1,p=0" SALT TAG,
        "$argon2id$v=19$m=7,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=31,t=1,p=4" SALT TAG, /* below 8 * p */
        "$argon2id$v=19$m=+64,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=-64,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=064,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m= 64,t=1,p=1" SALT TAG,
        "$argon2id$v=19$m=,t=1,p=1" SALT TAG,
        "$argon2id$v=19$t=1,m=64,p=1" SALT TAG,
        "$argon2id$v=16$m=64,t=1,p=1" SALT TAG, /* other versions and kinds */
        "$argon2i$v=19$m=64,t=1,p=1" SALT TAG,
        "$argon2d$v=19$m=64,t=1,p=1" SALT TAG,
        "$2b$12$abcdefghijklmnopqrstuv",
        "$argon2id$v=19$m=64,t=1,p=1" SALT,
        "$argon2id$v=19$m=64,t=1,p=1" SALT "AAAA",
        "$argon2id$v=19$m=64,t=1,p=1$$" TAG,
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$" TAG,                 /* a salt of 4 bytes */
        "$argon2id$v=19$m=64,t=1,p=1" SALT TAG "$",                /* more behind */
        "$argon2id$v=19$m=64,t=1,p=1" SALT TAG "=",                /* padding */
        "$argon2id$v=19$m=64,t=1,p=1" SALT TAG TAG TAG TAG,        /* too long */
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdB$" TAG, /* bits behind the end */
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRz-21lc2FsdA$" TAG, /* the other alphabet */
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRz\n21lc2FsdA$" TAG,
    };
    struct password_parts parts;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(password_parse(good[i], &parts), STATUS_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(password_parse(bad[i], &parts), STATUS_CORRUPT);
        assert_int_equal(password_verify(bad[i], "x", 1), STATUS_CORRUPT);
    }
}

/* Every prefix of a good hash, and the hash with a byte changed, is refused or does not verify. */
static void damaged_anywhere(void **state)
{
    (void)state;
    static const char good[] = "$argon2id$v=19$m=64,t=1,p=1" SALT TAG;
    char text[sizeof(good)];
    for (size_t i = 0; i + 1 < sizeof(good); i++) {
        memcpy(text, good, sizeof(good));
        text[i] = '\0';
        assert_int_not_equal(password_verify(text, "demo-password", 13), STATUS_OK);
        text[i] = good[i] == '3' ? '1' : '3'; /* stays cheap whatever number it falls into */
        assert_int_not_equal(password_verify(text, "demo-password", 13), STATUS_OK);
    }
    assert_int_equal(password_verify(good, "demo-password", 13), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_hashes_of_others),
        cmocka_unit_test(own_hash_and_nobody),
        cmocka_unit_test(stored_parameters_are_bounded),
        cmocka_unit_test(damaged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

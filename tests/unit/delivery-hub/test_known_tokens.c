/* Tokens that need no second look at their signature. */
#include "../unit.h"
#include "known_tokens.h"
#include <stdio.h>

static void only_the_very_same_token_is_known(void **state)
{
    (void)state;
    struct token_claims claims = {.sub = "p1", .role = "partner", .exp = 77}, out;
    static const char token[] = "head.body.signature-0123456789";
    const size_t len = sizeof(token) - 1;
    assert_false(known_tokens_find(token, len, &out));
    known_tokens_add(token, len, &claims);
    assert_true(known_tokens_find(token, len, &out));
    assert_string_equal(out.sub, "p1");
    assert_string_equal(out.role, "partner");
    assert_int_equal(out.exp, 77);
    for (size_t i = 0; i < len; i++) {
        char other[sizeof(token)];
        memcpy(other, token, sizeof(token));
        other[i] ^= 1;
        assert_false(known_tokens_find(other, len, &out));
    }
    assert_false(known_tokens_find(token, len - 1, &out));
    assert_false(known_tokens_find(token + 1, len - 1, &out));
    assert_false(known_tokens_find("", 0, &out));
}

static void a_long_one_is_not_kept(void **state)
{
    (void)state;
    char token[513];
    struct token_claims claims = {.sub = "p1"}, out;
    memset(token, 'a', sizeof(token));
    known_tokens_add(token, sizeof(token), &claims);
    assert_false(known_tokens_find(token, sizeof(token), &out));
    known_tokens_add(token, 512, &claims);
    assert_true(known_tokens_find(token, 512, &out));
}

static void many_push_each_other_out(void **state)
{
    (void)state;
    size_t known = 0;
    char token[32];
    for (int i = 0; i < 20000; i++) {
        struct token_claims claims = {.exp = i};
        int len = snprintf(token, sizeof(token), "head.body.%08x", (unsigned)i * 2654435761u);
        known_tokens_add(token, (size_t)len, &claims);
    }
    for (int i = 0; i < 20000; i++) {
        struct token_claims out;
        int len = snprintf(token, sizeof(token), "head.body.%08x", (unsigned)i * 2654435761u);
        if (known_tokens_find(token, (size_t)len, &out)) {
            assert_int_equal(out.exp, i);
            known++;
        }
    }
    assert_in_range(known, 1000, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_very_same_token_is_known),
        cmocka_unit_test(a_long_one_is_not_kept),
        cmocka_unit_test(many_push_each_other_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

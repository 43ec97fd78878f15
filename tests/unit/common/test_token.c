/* With arguments a tool that an independent library is compared with:
 *     test_token sign KEY_HEX SUB ROLE EXP    prints a token
 *     test_token verify KEY_HEX NOW           for each line of stdin: "ok SUB|ROLE|EXP" or "no" */
#include "../unit.h"
#include "secret.h"
#include "token.h"
#include <stdio.h>

static const uint8_t key[] = "an example key of 32 bytes, ok..";
enum { KEY_LEN = sizeof(key) - 1, NOW = 1700000000 };

static const char plain_header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
static const char plain_body[] = "{\"sub\":\"ada\",\"exp\":1700000001}";

/* Sign any header and body, however wrong. */
static void mint(const char *header, size_t header_len, const char *body, size_t body_len,
                 struct strbuf *out)
{
    uint8_t mac[32];
    strbuf_reset(out);
    base64url_encode(out, header, header_len);
    strbuf_addch(out, '.');
    base64url_encode(out, body, body_len);
    secret_hmac_sha256(key, KEY_LEN, out->bytes, out->len, mac);
    strbuf_addch(out, '.');
    base64url_encode(out, mac, sizeof(mac));
}

/* Verify a copy of exactly that size; whatever is refused leaves zeros behind. */
static enum status verify(const char *token, size_t len, struct token_claims *out)
{
    static const struct token_claims zeros;
    char *copy = memcpy(xmalloc(len), token, len);
    memset(out, 'x', sizeof(*out));
    enum status s = token_verify(key, KEY_LEN, copy, len, NOW, out);
    free(copy);
    if (s != STATUS_OK) {
        assert_int_equal(s, STATUS_UNAUTHENTICATED);
        assert_memory_equal(out, &zeros, sizeof(zeros));
    }
    return s;
}

static bool accepted(const char *header, const char *body)
{
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    mint(header, strlen(header), body, strlen(body), &token);
    enum status s = verify(token.bytes, token.len, &claims);
    strbuf_release(&token);
    return s == STATUS_OK;
}

static void signed_token(struct strbuf *out)
{
    const struct token_claims claims = {.sub = "ada", .role = "admin", .exp = NOW + 1};
    token_sign(key, KEY_LEN, &claims, out);
}

static void there_and_back(void **state)
{
    (void)state;
    static const struct token_claims all[] = {
        {"ada", "admin", NOW + 1},
        {"ada", "", INT64_C(253402300799)},
        {"\"quoted\" \\ \n \xC3\xA9", "a\"b", NOW + 1},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct strbuf token = STRBUF_INIT;
        struct token_claims back;
        strbuf_addstr(&token, "Bearer ");
        token_sign(key, KEY_LEN, &all[i], &token);
        const char *bare = token_bearer(token.bytes);
        assert_int_equal(verify(bare, strlen(bare), &back), STATUS_OK);
        assert_string_equal(back.sub, all[i].sub);
        assert_string_equal(back.role, all[i].role);
        assert_true(back.exp == all[i].exp);
        strbuf_release(&token);
    }
}

/* Computed by Python's hmac: a fault that signing and verifying share would show. */
static void a_token_from_elsewhere(void **state)
{
    (void)state;
    static const char token[] = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
                                "eyJzdWIiOiJhZGEiLCJyb2xlIjoiYWRtaW4iLCJleHAiOjQxMDI0NDQ4MDB9."
                                "EjGDYXZOoPd2vn3xQqlYU_pxwfYtb21PI3AV220ZQAU";
    struct token_claims claims;
    assert_int_equal(verify(token, strlen(token), &claims), STATUS_OK);
    assert_string_equal(claims.sub, "ada");
    assert_string_equal(claims.role, "admin");
}

static void headers(void **state)
{
    (void)state;
    static const char *const good[] = {
        plain_header,
        "{\"alg\":\"HS256\"}",
        " { \"typ\" : \"JWT\", \"kid\" : \"1\", \"alg\" : \"HS256\" } ",
    };
    static const char *const bad[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":null}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":256}",
        "{\"typ\":\"JWT\"}",
        "{}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS256 \"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS512\"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":\"HS256\\u0000\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"crit\":null}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"none\",\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\"}x",
        "[\"alg\",\"HS256\"]",
        "\"HS256\"",
        "",
        "{",
    };
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(accepted(good[i], plain_body));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (accepted(bad[i], plain_body))
            fail_msg("accepted: %s", bad[i]);
}

static void bodies(void **state)
{
    (void)state;
    static const char *const good[] = {
        plain_body,
        "{\"sub\":\"a\",\"exp\":253402300799}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":1700000000}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":-5}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"iat\":1,\"jti\":\"x\",\"more\":{\"role\":\"admin\"}}",
    };
    static const char *const bad[] = {
        "{\"sub\":\"a\"}", /* exp */
        "{\"sub\":\"a\",\"exp\":1700000000}",
        "{\"sub\":\"a\",\"exp\":1699999999}",
        "{\"sub\":\"a\",\"exp\":0}",
        "{\"sub\":\"a\",\"exp\":-1}",
        "{\"sub\":\"a\",\"exp\":253402300800}",
        "{\"sub\":\"a\",\"exp\":9223372036854775807}",
        "{\"sub\":\"a\",\"exp\":-9223372036854775808}",
        "{\"sub\":\"a\",\"exp\":9223372036854775808}",
        "{\"sub\":\"a\",\"exp\":18446744075409551617}",
        "{\"sub\":\"a\",\"exp\":1700000001.5}",
        "{\"sub\":\"a\",\"exp\":1e10}",
        "{\"sub\":\"a\",\"exp\":1e999}",
        "{\"sub\":\"a\",\"exp\":\"1700000001\"}",
        "{\"sub\":\"a\",\"exp\":null}",
        "{\"sub\":\"a\",\"exp\":true}",
        "{\"sub\":\"a\",\"exp\":[1700000001]}",
        "{\"sub\":\"a\",\"exp\":0x7fffffff}",
        "{\"exp\":1700000001}", /* sub */
        "{\"sub\":\"\",\"exp\":1700000001}",
        "{\"sub\":null,\"exp\":1700000001}",
        "{\"sub\":7,\"exp\":1700000001}",
        "{\"sub\":\"a\\u0000b\",\"exp\":1700000001}",
        "{\"sub\":\"\xC0\xAF\",\"exp\":1700000001}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":1700000001}", /* nbf */
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":1.5}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":null}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"nbf\":\"1\"}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"role\":\"\"}", /* role */
        "{\"sub\":\"a\",\"exp\":1700000001,\"role\":null}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"role\":[\"admin\"]}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"role\":1}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"role\":\"a role of more than thirty-one bytes\"}",
        "{\"sub\":\"a\",\"exp\":1700000001,\"aud\":\"somebody\"}", /* aud */
        "{\"sub\":\"a\",\"exp\":1,\"exp\":1700000001}",            /* duplicate keys */
        "{\"sub\":\"a\",\"sub\":\"b\",\"exp\":1700000001}",
        "{\"sub\":\"a\",\"exp\":1700000001}}",
        "[]",
        "null",
        "",
    };
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(accepted(plain_header, good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (accepted(plain_header, bad[i]))
            fail_msg("accepted: %s", bad[i]);
}

static void longest_claims(void **state)
{
    (void)state;
    struct strbuf body = STRBUF_INIT;
    for (int len = 127; len <= 128; len++) {
        strbuf_reset(&body);
        strbuf_addf(&body, "{\"exp\":1700000001,\"sub\":\"%0*d\"}", len, 7);
        assert_int_equal(accepted(plain_header, body.bytes), len == 127);
    }
    for (int len = 31; len <= 32; len++) {
        strbuf_reset(&body);
        strbuf_addf(&body, "{\"exp\":1700000001,\"sub\":\"a\",\"role\":\"%0*d\"}", len, 7);
        assert_int_equal(accepted(plain_header, body.bytes), len == 31);
    }
    strbuf_release(&body);
}

static void a_bit_flipped_anywhere(void **state)
{
    (void)state;
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    signed_token(&token);
    assert_int_equal(verify(token.bytes, token.len, &claims), STATUS_OK);
    for (size_t bit = 0; bit < token.len * 8; bit++) {
        token.bytes[bit / 8] = (char)(token.bytes[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(verify(token.bytes, token.len, &claims), STATUS_UNAUTHENTICATED);
        token.bytes[bit / 8] = (char)(token.bytes[bit / 8] ^ 1 << bit % 8);
    }
    assert_int_equal(verify(token.bytes, token.len, &claims), STATUS_OK);
    strbuf_release(&token);
}

static void cut_or_lengthened(void **state)
{
    (void)state;
    static const char *const tails[] = {"=", "==", "A", ".", " ", "\n", ".AAAA"};
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    signed_token(&token);
    size_t len = token.len;
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(verify(token.bytes, n, &claims), STATUS_UNAUTHENTICATED);
        assert_int_equal(verify(token.bytes + len - n, n, &claims), STATUS_UNAUTHENTICATED);
    }
    for (size_t i = 0; i < COUNT(tails); i++) {
        strbuf_addstr(&token, tails[i]);
        assert_int_equal(verify(token.bytes, token.len, &claims), STATUS_UNAUTHENTICATED);
        token.len = len;
    }
    assert_int_equal(verify(token.bytes, len + 1, &claims), STATUS_UNAUTHENTICATED); /* a NUL */
    strbuf_release(&token);
}

static void wrong_shapes(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "eyJhbGciOiJub25lIn0.e30.", "..AAAA",
    };
    struct token_claims claims;
    for (size_t i = 0; i < COUNT(shapes); i++)
        assert_int_equal(verify(shapes[i], strlen(shapes[i]), &claims), STATUS_UNAUTHENTICATED);
}

/* A right signature over a body that is not canonical base64url. */
static void padded_inside(void **state)
{
    (void)state;
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    uint8_t mac[32];
    static const char body[] = "{\"sub\":\"ad\",\"exp\":1700000001}"; /* 30 bytes: no padding */
    for (int padded = 0; padded <= 1; padded++) {
        strbuf_reset(&token);
        base64url_encode(&token, plain_header, sizeof(plain_header) - 1);
        strbuf_addch(&token, '.');
        base64url_encode(&token, body, sizeof(body) - 1);
        strbuf_addstr(&token, padded ? "=" : "");
        secret_hmac_sha256(key, KEY_LEN, token.bytes, token.len, mac);
        strbuf_addch(&token, '.');
        base64url_encode(&token, mac, sizeof(mac));
        assert_int_equal(verify(token.bytes, token.len, &claims) == STATUS_OK, !padded);
    }
    strbuf_release(&token);
}

static void wrong_keys(void **state)
{
    (void)state;
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    uint8_t other[KEY_LEN];
    signed_token(&token);
    for (size_t bit = 0; bit < KEY_LEN * 8; bit++) {
        memcpy(other, key, KEY_LEN);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(token_verify(other, KEY_LEN, token.bytes, token.len, NOW, &claims),
                         STATUS_UNAUTHENTICATED);
    }
    assert_int_equal(token_verify(key, KEY_LEN - 1, token.bytes, token.len, NOW, &claims),
                     STATUS_UNAUTHENTICATED);
    assert_int_equal(token_verify(key, KEY_LEN, token.bytes, token.len, NOW, &claims), STATUS_OK);
    strbuf_release(&token);
}

static void expires_on_the_second(void **state)
{
    (void)state;
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims;
    signed_token(&token);
    const int64_t late[] = {NOW + 1, NOW + 2, INT64_C(253402300799)},
                  early[] = {NOW, 0, -1, INT64_MIN};
    for (size_t i = 0; i < COUNT(late); i++)
        assert_int_equal(token_verify(key, KEY_LEN, token.bytes, token.len, late[i], &claims),
                         STATUS_UNAUTHENTICATED);
    for (size_t i = 0; i < COUNT(early); i++)
        assert_int_equal(token_verify(key, KEY_LEN, token.bytes, token.len, early[i], &claims),
                         STATUS_OK);
    strbuf_release(&token);
}

static void largest_token(void **state)
{
    (void)state;
    struct strbuf body = STRBUF_INIT, token = STRBUF_INIT;
    struct token_claims claims;
    for (int pad = 2900; token.len <= TOKEN_MAX; pad++) {
        strbuf_reset(&body);
        strbuf_addf(&body, "{\"sub\":\"ada\",\"exp\":1700000001,\"pad\":\"%0*d\"}", pad, 7);
        mint(plain_header, sizeof(plain_header) - 1, body.bytes, body.len, &token);
        assert_int_equal(verify(token.bytes, token.len, &claims) == STATUS_OK,
                         token.len <= TOKEN_MAX);
    }
    assert_int_equal(token.len, TOKEN_MAX + 1);
    strbuf_release(&body);
    strbuf_release(&token);
}

static void bearer(void **state)
{
    (void)state;
    static const char *const none[] = {"",        "Bearer",   "Bearer ",   "Bearer   ", "Basic abc",
                                       "Bearerx", "Bear abc", " Bearer x", "x"};
    assert_null(token_bearer(NULL));
    for (size_t i = 0; i < COUNT(none); i++)
        assert_null(token_bearer(none[i]));
    assert_string_equal(token_bearer("Bearer a.b.c"), "a.b.c");
    assert_string_equal(token_bearer("bEARER  a.b.c"), "a.b.c");
}

static int tool_sign(const uint8_t *tool_key, size_t len, char **argv)
{
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims = {.exp = strtoll(argv[5], NULL, 10)};
    snprintf(claims.sub, sizeof(claims.sub), "%s", argv[3]);
    snprintf(claims.role, sizeof(claims.role), "%s", argv[4]);
    token_sign(tool_key, len, &claims, &token);
    puts(token.bytes);
    strbuf_release(&token);
    return 0;
}

static int tool_verify(const uint8_t *tool_key, size_t len, char **argv)
{
    static char line[3 * TOKEN_MAX];
    while (fgets(line, sizeof(line), stdin)) {
        struct token_claims c;
        size_t n = strcspn(line, "\n");
        if (token_verify(tool_key, len, line, n, strtoll(argv[3], NULL, 10), &c) == STATUS_OK)
            printf("ok %s|%s|%lld\n", c.sub, c.role, (long long)c.exp);
        else
            puts("no");
    }
    return 0;
}

static int tool(int argc, char **argv)
{
    uint8_t tool_key[64];
    size_t len = argc > 2 ? strlen(argv[2]) / 2 : 0;
    if (len > sizeof(tool_key) || hex_decode(argv[2], strlen(argv[2]), tool_key, len) != STATUS_OK)
        return 2;
    if (argc == 6 && strcmp(argv[1], "sign") == 0)
        return tool_sign(tool_key, len, argv);
    if (argc == 4 && strcmp(argv[1], "verify") == 0)
        return tool_verify(tool_key, len, argv);
    return 2;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(a_token_from_elsewhere),
        cmocka_unit_test(headers),
        cmocka_unit_test(bodies),
        cmocka_unit_test(longest_claims),
        cmocka_unit_test(a_bit_flipped_anywhere),
        cmocka_unit_test(cut_or_lengthened),
        cmocka_unit_test(wrong_shapes),
        cmocka_unit_test(padded_inside),
        cmocka_unit_test(wrong_keys),
        cmocka_unit_test(expires_on_the_second),
        cmocka_unit_test(largest_token),
        cmocka_unit_test(bearer),
    };
    return argc > 1 ? tool(argc, argv) : cmocka_run_group_tests(tests, NULL, NULL);
}

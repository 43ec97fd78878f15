#include "../unit.h"
#include "secret.h"
#include <pthread.h>

static void hex_is(const uint8_t *bytes, size_t len, const char *expected)
{
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, bytes, len);
    assert_string_equal(strbuf_cstr(&hex), expected);
    strbuf_release(&hex);
}

/* FIPS 180-4's examples. */
static void sha256_vectors(void **state)
{
    (void)state;
    uint8_t out[32];
    secret_sha256("", 0, out);
    hex_is(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    secret_sha256("abc", 3, out);
    hex_is(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void hmac_is(const char *key, size_t key_len, const char *text, const char *expected)
{
    uint8_t out[32];
    secret_hmac_sha256(key, key_len, text, strlen(text), out);
    hex_is(out, 32, expected);
}

/* RFC 4231, cases 1, 2 and 6; and an empty key. */
static void hmac_vectors(void **state)
{
    (void)state;
    char key[131];
    memset(key, 0x0b, 20);
    hmac_is(key, 20, "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_is("Jefe", 4, "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    hmac_is(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_is(NULL, 0, "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void *hash_many(void *failed)
{
    uint8_t first[32], again[32];
    secret_hmac_sha256("key", 3, "text", 4, first);
    for (int i = 0; i < 2000; i++) {
        secret_hmac_sha256("key", 3, "text", 4, again);
        if (!secret_equal(first, again, 32))
            *(bool *)failed = true;
    }
    return NULL;
}

static void hashed_by_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool failed[4] = {false};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hash_many, &failed[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_false(failed[i]);
    }
}

static void equality(void **state)
{
    (void)state;
    uint8_t a[64], b[64];
    secret_random(a, sizeof(a));
    memcpy(b, a, sizeof(a));
    assert_true(secret_equal(a, b, sizeof(a)));
    assert_true(secret_equal(a, b, 0));
    for (size_t i = 0; i < sizeof(a) * 8; i++) {
        b[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(secret_equal(a, b, sizeof(a)));
        b[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

static void random_bytes_fill_exactly(void **state)
{
    (void)state;
    uint8_t all[40] = {0}, bytes[42] = {0};
    for (int round = 0; round < 64; round++) {
        secret_random(bytes + 1, 40);
        for (size_t i = 0; i < 40; i++)
            all[i] |= bytes[i + 1];
    }
    assert_int_equal(bytes[0] | bytes[41], 0);
    for (size_t i = 0; i < 40; i++)
        assert_int_not_equal(all[i], 0);
}

static void random_hex_is_hex(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 33; n++) {
        char text[2 * 33 + 2] = "", other[2 * 33 + 2] = "";
        text[2 * n + 1] = '!';
        random_hex(text, n);
        random_hex(other, n);
        assert_int_equal(strspn(text, "0123456789abcdef"), 2 * n);
        assert_int_equal(text[2 * n], '\0');
        assert_int_equal(text[2 * n + 1], '!');
        if (n >= 16)
            assert_string_not_equal(text, other);
    }
}

static void wiped(void **state)
{
    (void)state;
    char secret[] = "passphrase";
    secret_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(secret[i], 0);
}

static void hex_there_and_back(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, all, 256);
    assert_int_equal(hex_decode(hex.bytes, hex.len, back, 256), STATUS_OK);
    assert_memory_equal(back, all, 256);
    for (size_t i = 0; i < hex.len; i++)
        if (hex.bytes[i] >= 'a')
            hex.bytes[i] -= 32;
    memset(back, 0, 256);
    assert_int_equal(hex_decode(hex.bytes, hex.len, back, 256), STATUS_OK);
    assert_memory_equal(back, all, 256);
    strbuf_release(&hex);
}

static void bad_hex(void **state)
{
    (void)state;
    uint8_t out[2];
    assert_int_equal(hex_decode("abcd", 4, out, 2), STATUS_OK);
    assert_int_equal(hex_decode("abc", 3, out, 2), STATUS_BAD_REQUEST);
    assert_int_equal(hex_decode("abcde", 5, out, 2), STATUS_BAD_REQUEST);
    assert_int_equal(hex_decode("abcdef", 6, out, 2), STATUS_BAD_REQUEST);
    assert_int_equal(hex_decode("ab", 2, out, 2), STATUS_BAD_REQUEST);
    assert_int_equal(hex_decode("ab", 2, out, SIZE_MAX / 2 + 2), STATUS_BAD_REQUEST);
    for (unsigned c = 0; c < 256; c++) {
        const char text[4] = {'0', (char)c, '0', '0'};
        bool digit = c && strchr("0123456789abcdefABCDEF", (int)c);
        assert_int_equal(hex_decode(text, 4, out, 2), digit ? STATUS_OK : STATUS_BAD_REQUEST);
    }
}

/* RFC 4648, section 10, without the padding; and what tells base64url from base64. */
static void base64url_vectors(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF\xBF", "-_-_"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct strbuf text = STRBUF_INIT, back = STRBUF_INIT;
        base64url_encode(&text, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(strbuf_cstr(&text), pairs[i][1]);
        assert_int_equal(base64url_decode(&back, strbuf_cstr(&text), text.len), STATUS_OK);
        assert_string_equal(strbuf_cstr(&back), pairs[i][0]);
        strbuf_release(&text);
        strbuf_release(&back);
    }
}

static void bad_base64url(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",  "AAAAA", "Zg==", "Zm8=", "=",   "Zm9v=", "Zm 9v",    "Zm9v\n", "+/+/",
        "Zh", "Zn",    "Zv",   "Zm9",  "Zm-", "A A",   "\xC3\xA9", "Zg.",    ".",
    };
    struct strbuf out = STRBUF_INIT;
    strbuf_addstr(&out, "kept");
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(base64url_decode(&out, bad[i], strlen(bad[i])), STATUS_BAD_REQUEST);
        assert_int_equal(out.len, 4);
        assert_string_equal(out.bytes, "kept");
    }
    assert_int_equal(base64url_decode(&out, "Zm\0v", 4), STATUS_BAD_REQUEST);
    strbuf_release(&out);
}

/* Of all texts of two and of three characters, as many are good as there are one and two bytes. */
static void one_spelling_for_every_value(void **state)
{
    (void)state;
    unsigned good = 0;
    struct strbuf out = STRBUF_INIT;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        const char text[3] = {(char)(pair >> 8), (char)pair, 'A'};
        strbuf_reset(&out);
        good += base64url_decode(&out, text, 2) == STATUS_OK;
        strbuf_reset(&out);
        good += base64url_decode(&out, text, 3) == STATUS_OK; /* the last 6 bits are 0 */
    }
    assert_int_equal(good, 256 + 64 * 64);
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(hmac_vectors),
        cmocka_unit_test(hashed_by_many_threads),
        cmocka_unit_test(equality),
        cmocka_unit_test(random_bytes_fill_exactly),
        cmocka_unit_test(random_hex_is_hex),
        cmocka_unit_test(wiped),
        cmocka_unit_test(hex_there_and_back),
        cmocka_unit_test(bad_hex),
        cmocka_unit_test(base64url_vectors),
        cmocka_unit_test(bad_base64url),
        cmocka_unit_test(one_spelling_for_every_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

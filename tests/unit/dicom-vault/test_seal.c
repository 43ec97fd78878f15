#include "../unit.h"
#include "seal.h"

static const uint8_t key[KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const uint8_t aad[] = {'i', 'd', 0, 7};

/* RFC 5869 has no vector for SHA-512; this one is HMAC(key, "label" || 1) || HMAC(key, T1 ||
 * "label" || 2) by Python's hmac. */
static void expand_known_answer(void **state)
{
    (void)state;
    static const uint8_t expected[76] = {
        0xe1, 0xb5, 0xbb, 0x7f, 0x22, 0x85, 0x7c, 0x13, 0xfd, 0x8a, 0xd0, 0x2f, 0xe8,
        0x2c, 0x54, 0xc2, 0x2f, 0xed, 0x9f, 0xff, 0xa8, 0x5c, 0x7c, 0xf7, 0x55, 0x30,
        0x69, 0x0e, 0xbe, 0x83, 0xc6, 0x0c, 0xe5, 0xe8, 0x22, 0x7e, 0x52, 0x1e, 0xc0,
        0xfc, 0x15, 0x62, 0x42, 0xc8, 0x6b, 0x81, 0xa1, 0xdc, 0x40, 0x72, 0xeb, 0x87,
        0x8e, 0xcf, 0x11, 0xbb, 0x55, 0x75, 0x8e, 0x06, 0x41, 0x8a, 0x87, 0x1e, 0x2d,
        0xb7, 0x38, 0xbe, 0xa4, 0xfc, 0x31, 0x55, 0x92, 0xcb, 0x53, 0x76};
    uint8_t prk[KEY_SIZE], out[76];
    for (size_t i = 0; i < KEY_SIZE; i++)
        prk[i] = (uint8_t)i;
    hkdf_expand(prk, "label", 5, out, sizeof(out));
    assert_memory_equal(out, expected, sizeof(out));
}

static void opens_what_it_sealed(void **state)
{
    (void)state;
    uint8_t plain[100], sealed[sizeof(plain) + SEAL_OVERHEAD], opened[sizeof(plain)];
    memset(plain, 0x5A, sizeof(plain));
    for (size_t len = 0; len <= sizeof(plain); len++) {
        seal(key, aad, sizeof(aad), plain, len, sealed);
        memset(opened, 0, sizeof(opened));
        assert_int_equal(unseal(key, aad, sizeof(aad), sealed, len + SEAL_OVERHEAD, opened),
                         STATUS_OK);
        assert_memory_equal(opened, plain, len);
    }
}

static void nonces_differ(void **state)
{
    (void)state;
    uint8_t a[1 + SEAL_OVERHEAD], b[1 + SEAL_OVERHEAD];
    seal(key, NULL, 0, aad, 1, a);
    seal(key, NULL, 0, aad, 1, b);
    assert_memory_not_equal(a, b, SEAL_NONCE);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void refuses_any_change(void **state)
{
    (void)state;
    enum { LEN = 20 };
    uint8_t plain[LEN] = "attack at dawn", sealed[LEN + SEAL_OVERHEAD], opened[LEN];
    static const uint8_t zeros[LEN];
    seal(key, aad, sizeof(aad), plain, LEN, sealed);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(unseal(key, aad, sizeof(aad), sealed, sizeof(sealed), opened),
                         STATUS_CORRUPT);
        assert_memory_equal(opened, zeros, LEN);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_int_equal(unseal(key, aad, sizeof(aad), sealed, len, opened), STATUS_CORRUPT);
    assert_int_equal(unseal(key, aad, sizeof(aad) - 1, sealed, sizeof(sealed), opened),
                     STATUS_CORRUPT);
    uint8_t other[KEY_SIZE];
    memcpy(other, key, KEY_SIZE);
    other[31] ^= 1;
    assert_int_equal(unseal(other, aad, sizeof(aad), sealed, sizeof(sealed), opened),
                     STATUS_CORRUPT);
    assert_int_equal(unseal(key, aad, sizeof(aad), sealed, sizeof(sealed), opened), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expand_known_answer),
        cmocka_unit_test(opens_what_it_sealed),
        cmocka_unit_test(nonces_differ),
        cmocka_unit_test(refuses_any_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../unit.h"
#include "keyring.h"
#include "secret.h"
#include <stdio.h>
#include <unistd.h>

static const uint8_t root[KEY_SIZE] = {1, 2, 3};
static const uint8_t id[OBJECT_ID] = {0xAB, 0xCD};
static const uint8_t data_key[KEY_SIZE] = {9, 8, 7};

static struct keyring *reread(const struct keyring *k)
{
    struct strbuf file = STRBUF_INIT;
    struct keyring *again;
    keyring_write(k, &file);
    assert_int_equal(keyring_read(root, file.bytes, file.len, &again), STATUS_OK);
    strbuf_release(&file);
    return again;
}

static void survives_writing(void **state)
{
    (void)state;
    uint32_t key_id;
    uint8_t wrapped[WRAPPED_KEY], opened[KEY_SIZE];
    struct keyring *k = keyring_new(root);
    key_id = keyring_newest(k);
    keyring_wrap(k, key_id, id, data_key, wrapped);
    assert_int_equal(key_id, 1);
    struct keyring *again = reread(k);
    assert_memory_equal(keyring_vault_id(again), keyring_vault_id(k), VAULT_ID);
    assert_memory_equal(keyring_apikey_key(again), keyring_apikey_key(k), KEY_SIZE);
    assert_int_equal(keyring_unwrap(again, id, key_id, wrapped, sizeof(wrapped), opened),
                     STATUS_OK);
    assert_memory_equal(opened, data_key, KEY_SIZE);
    keyring_free(again);
    keyring_free(k);
    keyring_free(NULL);
}

static void wrapped_keys_are_the_objects_own(void **state)
{
    (void)state;
    uint32_t key_id;
    uint8_t wrapped[WRAPPED_KEY], opened[KEY_SIZE], other[OBJECT_ID] = {0xAB, 0xCE};
    struct keyring *k = keyring_new(root), *foreign = keyring_new(root);
    key_id = keyring_newest(k);
    keyring_wrap(k, key_id, id, data_key, wrapped);
    assert_int_equal(keyring_unwrap(k, other, key_id, wrapped, WRAPPED_KEY, opened),
                     STATUS_CORRUPT);
    assert_int_equal(keyring_unwrap(k, id, key_id + 1, wrapped, WRAPPED_KEY, opened),
                     STATUS_CORRUPT);
    assert_int_equal(keyring_unwrap(k, id, 0, wrapped, WRAPPED_KEY, opened), STATUS_CORRUPT);
    assert_int_equal(keyring_unwrap(foreign, id, key_id, wrapped, WRAPPED_KEY, opened),
                     STATUS_CORRUPT);
    for (size_t len = 0; len < WRAPPED_KEY; len++)
        assert_int_equal(keyring_unwrap(k, id, key_id, wrapped, len, opened), STATUS_CORRUPT);
    for (size_t i = 0; i < WRAPPED_KEY; i++) {
        wrapped[i] ^= 1;
        assert_int_equal(keyring_unwrap(k, id, key_id, wrapped, WRAPPED_KEY, opened),
                         STATUS_CORRUPT);
        wrapped[i] ^= 1;
    }
    keyring_free(foreign);
    keyring_free(k);
}

static void refuses_any_change(void **state)
{
    (void)state;
    uint8_t other_root[KEY_SIZE] = {1, 2, 4};
    struct strbuf file = STRBUF_INIT;
    struct keyring *k = keyring_new(root), *again;
    keyring_write(k, &file);
    assert_int_equal(file.len, 8 + SEAL_OVERHEAD + 16 + 4 + 44);
    assert_int_equal(keyring_read(other_root, file.bytes, file.len, &again), STATUS_CORRUPT);
    assert_null(again);
    for (size_t len = 0; len < file.len; len++)
        assert_int_equal(keyring_read(root, file.bytes, len, &again), STATUS_CORRUPT);
    for (size_t bit = 0; bit < 8 * file.len; bit++) {
        file.bytes[bit / 8] = (char)(file.bytes[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(keyring_read(root, file.bytes, file.len, &again), STATUS_CORRUPT);
        file.bytes[bit / 8] = (char)(file.bytes[bit / 8] ^ (1 << bit % 8));
    }
    strbuf_addch(&file, 0);
    assert_int_equal(keyring_read(root, file.bytes, file.len, &again), STATUS_CORRUPT);
    strbuf_release(&file);
    keyring_free(k);
}

/* A file that says `count` and holds `entries` with ids from `first_id` in steps of `step`. */
static enum status read_made_up(uint32_t count, size_t entries, uint32_t first_id, uint32_t step,
                                struct keyring **out)
{
    static uint8_t plain[VAULT_ID + 4 + (KEYRING_KEYS_MAX + 1) * 44];
    uint8_t key[KEY_SIZE];
    struct strbuf file = STRBUF_INIT;
    size_t len = VAULT_ID + 4 + entries * 44;
    put_be(plain + VAULT_ID, count, 4);
    for (size_t i = 0; i < entries; i++)
        put_be(plain + VAULT_ID + 4 + i * 44, first_id + (uint32_t)i * step, 4);
    hkdf_expand(root, "dicom-vault keyring v1", 22, key, KEY_SIZE);
    strbuf_addstr(&file, "VKEYRNG1");
    strbuf_reserve(&file, len + SEAL_OVERHEAD);
    seal(key, "VKEYRNG1", 8, plain, len, (uint8_t *)file.bytes + 8);
    enum status s = keyring_read(root, file.bytes, 8 + len + SEAL_OVERHEAD, out);
    strbuf_release(&file);
    return s;
}

static void impossible_contents(void **state)
{
    (void)state;
    struct keyring *k;
    assert_int_equal(read_made_up(KEYRING_KEYS_MAX, KEYRING_KEYS_MAX, 1, 1, &k), STATUS_OK);
    keyring_free(k);
    assert_int_equal(read_made_up(2, 2, 7, 9, &k), STATUS_OK);
    keyring_free(k);
    assert_int_equal(read_made_up(0, 0, 1, 1, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(1, 1, 0, 1, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(2, 2, 1, 0, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(2, 2, 5, UINT32_MAX, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(1, 2, 1, 1, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(2, 1, 1, 1, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(UINT32_MAX, 1, 1, 1, &k), STATUS_CORRUPT);
    assert_int_equal(read_made_up(KEYRING_KEYS_MAX + 1, KEYRING_KEYS_MAX + 1, 1, 1, &k),
                     STATUS_CORRUPT);
    assert_null(k);
}

static enum status read_root(const char *text, size_t len, uint8_t out[KEY_SIZE],
                             struct strbuf *why)
{
    char path[] = "/tmp/root-key-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
    enum status s = root_key_read(path, out, why);
    unlink(path);
    return s;
}

static void root_key_files(void **state)
{
    (void)state;
    static const char digits[] =
        "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n"
        "more";
    uint8_t key[KEY_SIZE];
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(read_root(digits, 64, key, &why), STATUS_OK);
    assert_int_equal(read_root(digits, 65, key, &why), STATUS_OK);
    for (unsigned i = 0; i < KEY_SIZE; i++)
        assert_int_equal(key[i], i);
    assert_int_equal(why.len, 0);
    static const size_t bad[] = {0, 1, 62, 63, 66, 69};
    for (size_t i = 0; i < COUNT(bad); i++) {
        strbuf_reset(&why);
        assert_int_equal(read_root(digits, bad[i], key, &why), STATUS_UNPROCESSABLE);
        assert_non_null(strstr(strbuf_cstr(&why), "64 hex digits"));
        assert_null(strstr(strbuf_cstr(&why), "0001")); /* nothing of the key in the text */
    }
    strbuf_reset(&why);
    assert_int_equal(root_key_read("/nonexistent/key", key, &why), STATUS_UNPROCESSABLE);
    assert_non_null(strstr(strbuf_cstr(&why), "No such file"));
    strbuf_reset(&why);
    assert_int_equal(root_key_read("/tmp", key, &why), STATUS_UNPROCESSABLE);
    strbuf_release(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_writing),   cmocka_unit_test(wrapped_keys_are_the_objects_own),
        cmocka_unit_test(refuses_any_change), cmocka_unit_test(impossible_contents),
        cmocka_unit_test(root_key_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "apikey.h"
#include "temp.h"
#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

static const uint8_t root[KEY_SIZE] = {1};
static struct keyring *keys;
static struct index *ix;

static int setup(void **state)
{
    struct strbuf why = STRBUF_INIT;
    if (temp_make(state))
        return -1;
    keys = keyring_new(root);
    if (index_create(in_temp("index.db"), keys, &why) != STATUS_OK)
        return -1;
    return index_open(in_temp("index.db"), keys, 1, &ix, &why) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    index_close(ix);
    keyring_free(keys);
    return temp_remove(state);
}

/* Libcrypto's, counted. */
static size_t macs, comparisons;

int EVP_MAC_final(EVP_MAC_CTX *ctx, unsigned char *out, size_t *len, size_t size)
{
    int (*real)(EVP_MAC_CTX *, unsigned char *, size_t *, size_t);
    *(void **)&real = dlsym(RTLD_NEXT, "EVP_MAC_final");
    macs++;
    return real(ctx, out, len, size);
}

int CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
    comparisons++;
    return memcmp(a, b, len); /* here the time does not matter */
}

static enum status check(const char *text, roles *scopes)
{
    char id[APIKEY_ID_HEX + 1] = "";
    enum status s = apikey_check(ix, keys, text, id, scopes);
    if (s == STATUS_OK)
        assert_memory_equal(id, text + 3, APIKEY_ID_HEX);
    else
        assert_int_equal(*scopes, 0);
    return s;
}

static void scopes(void **state)
{
    (void)state;
    roles r;
    static const char *const bad[] = {
        "",    ",",     "read,",      ",read", "read,read", "READ", "read,write,admin,read",
        "rea", "reads", "read write", "root"};
    assert_int_equal(scopes_parse("read", &r), STATUS_OK);
    assert_int_equal(r, SCOPE_READ);
    assert_int_equal(scopes_parse("admin,read", &r), STATUS_OK);
    assert_int_equal(r, SCOPE_READ | SCOPE_ADMIN);
    assert_int_equal(scopes_parse("read,write,admin", &r), STATUS_OK);
    assert_int_equal(r, SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(scopes_parse(bad[i], &r), STATUS_UNPROCESSABLE);
}

static void lives_until_revoked(void **state)
{
    (void)state;
    char key[APIKEY_TEXT + 1], other[APIKEY_TEXT + 1], id[APIKEY_ID_HEX + 1] = "";
    roles r;
    assert_int_equal(apikey_create(ix, keys, SCOPE_READ | SCOPE_WRITE, key), STATUS_OK);
    assert_int_equal(apikey_create(ix, keys, SCOPE_ADMIN, other), STATUS_OK);
    assert_int_equal(strlen(key), APIKEY_TEXT);
    assert_string_not_equal(key, other);
    assert_int_equal(check(key, &r), STATUS_OK);
    assert_int_equal(r, SCOPE_READ | SCOPE_WRITE);
    memcpy(id, key + 3, APIKEY_ID_HEX);
    assert_int_equal(apikey_revoke(ix, id), STATUS_OK);
    assert_int_equal(check(key, &r), STATUS_UNAUTHENTICATED);
    assert_int_equal(apikey_revoke(ix, id), STATUS_NOT_FOUND);
    assert_int_equal(check(other, &r), STATUS_OK);
    assert_int_equal(r, SCOPE_ADMIN);
    assert_int_equal(apikey_revoke(ix, other), STATUS_OK); /* by the whole key */
    assert_int_equal(check(other, &r), STATUS_UNAUTHENTICATED);
    static const char *const bad[] = {"", "vk_", "vk__", "xyz", "0011223344556677889"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(apikey_revoke(ix, bad[i]), STATUS_NOT_FOUND);
}

static void an_unknown_id_takes_the_same_work(void **state)
{
    (void)state;
    char key[APIKEY_TEXT + 1];
    roles r;
    assert_int_equal(apikey_create(ix, keys, SCOPE_READ, key), STATUS_OK);
    static const size_t changed[] = {3, APIKEY_TEXT - 1}; /* of the id; of the secret */
    for (size_t i = 0; i < COUNT(changed); i++) {
        char other[APIKEY_TEXT + 1];
        memcpy(other, key, sizeof(key));
        other[changed[i]] = other[changed[i]] == '0' ? '1' : '0';
        macs = comparisons = 0;
        assert_int_equal(check(other, &r), STATUS_UNAUTHENTICATED);
        assert_int_equal(macs, 1);
        assert_int_equal(comparisons, 1);
    }
}

static void refuses_every_other_text(void **state)
{
    (void)state;
    char key[APIKEY_TEXT + 1], changed[APIKEY_TEXT + 2];
    roles r;
    assert_int_equal(apikey_create(ix, keys, SCOPE_READ, key), STATUS_OK);
    for (size_t i = 0; i < APIKEY_TEXT; i++) {
        memcpy(changed, key, sizeof(key));
        changed[i] = changed[i] == '0' ? '1' : '0';
        assert_int_equal(check(changed, &r), STATUS_UNAUTHENTICATED);
        changed[i] = '\0';
        assert_int_equal(check(changed, &r), STATUS_UNAUTHENTICATED);
    }
    snprintf(changed, sizeof(changed), "%s0", key);
    assert_int_equal(check(changed, &r), STATUS_UNAUTHENTICATED);
    assert_int_equal(check(key, &r), STATUS_OK);
}

static void made_up(const char *statement)
{
    assert_int_equal(index_exec(ix, statement, SQL_NONE, NULL, NULL), STATUS_OK);
}

/* Somebody with the disk gives a key more scopes, or moves its verifier to another id. */
static void refuses_changed_rows(void **state)
{
    (void)state;
    char key[APIKEY_TEXT + 1], moved[APIKEY_TEXT + 1];
    roles r;
    assert_int_equal(apikey_create(ix, keys, SCOPE_READ, key), STATUS_OK);
    made_up("UPDATE api_keys SET scopes = 7");
    assert_int_equal(check(key, &r), STATUS_UNAUTHENTICATED);
    made_up("UPDATE api_keys SET scopes = scopes - 6 + 4294967296");
    assert_int_equal(check(key, &r), STATUS_OK); /* the same 32 bits */
    assert_int_equal(r, SCOPE_READ);
    made_up("UPDATE api_keys SET scopes = 1");
    assert_int_equal(check(key, &r), STATUS_OK);
    made_up("INSERT INTO api_keys SELECT x'0011223344556677', scopes, verifier FROM api_keys");
    memcpy(moved, key, sizeof(key));
    memcpy(moved + 3, "0011223344556677", APIKEY_ID_HEX);
    assert_int_equal(check(moved, &r), STATUS_UNAUTHENTICATED);
    made_up("UPDATE api_keys SET verifier = x''");
    assert_int_equal(check(key, &r), STATUS_UNAUTHENTICATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes),
        cmocka_unit_test_setup_teardown(lives_until_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_id_takes_the_same_work, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_every_other_text, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_changed_rows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

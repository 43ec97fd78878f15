#include "keyring.h"
#include "clock.h"
#include "secret.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char magic[8] = "VKEYRNG1";
enum { ENTRY = 4 + 8 + KEY_SIZE, PLAIN_FIXED = VAULT_ID + 4 };

struct key {
    uint32_t id;
    int64_t created_ms;
    uint8_t bytes[KEY_SIZE];
};

struct keyring {
    uint8_t vault_id[VAULT_ID];
    uint8_t apikey_key[KEY_SIZE];
    uint8_t audit_key[KEY_SIZE];
    size_t count;
    struct key keys[KEYRING_KEYS_MAX];
};

enum status root_key_read(const char *path, uint8_t root[KEY_SIZE], struct strbuf *why)
{
    char text[2 * KEY_SIZE + 2];
    enum status s = STATUS_UNPROCESSABLE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n < 0) {
        strbuf_addf(why, "root key file %s: %s", path, strerror(errno));
    } else {
        size_t len = (size_t)n - (n > 0 && text[n - 1] == '\n');
        if (hex_decode(text, len, root, KEY_SIZE) == STATUS_OK)
            s = STATUS_OK;
        else
            strbuf_addf(why, "root key file %s: not 64 hex digits (openssl rand -hex 32)", path);
    }
    secret_wipe(text, sizeof(text));
    if (fd >= 0)
        close(fd);
    return s;
}

static void root_derive(const uint8_t root[KEY_SIZE], const char *label, uint8_t out[KEY_SIZE])
{
    hkdf_expand(root, label, strlen(label), out, KEY_SIZE);
}

static struct keyring *keyring_alloc(const uint8_t root[KEY_SIZE])
{
    struct keyring *k =
        mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    crypto_must(k != MAP_FAILED);
    mlock(k, sizeof(*k)); /* a limit of 0 is no reason not to run */
    madvise(k, sizeof(*k), MADV_DONTDUMP);
    root_derive(root, "dicom-vault api keys v1", k->apikey_key);
    root_derive(root, "dicom-vault audit v1", k->audit_key);
    return k;
}

struct keyring *keyring_new(const uint8_t root[KEY_SIZE])
{
    struct keyring *k = keyring_alloc(root);
    secret_random(k->vault_id, VAULT_ID);
    k->count = 1;
    k->keys[0].id = 1;
    k->keys[0].created_ms = clock_unix_ms();
    secret_random(k->keys[0].bytes, KEY_SIZE);
    return k;
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    secret_wipe(k, sizeof(*k));
    munmap(k, sizeof(*k));
}

void keyring_write(const struct keyring *k, const uint8_t root[KEY_SIZE], struct strbuf *out)
{
    uint8_t file_key[KEY_SIZE], plain[PLAIN_FIXED + KEYRING_KEYS_MAX * ENTRY];
    size_t len = PLAIN_FIXED + k->count * ENTRY;
    memcpy(plain, k->vault_id, VAULT_ID);
    put_be(plain + VAULT_ID, k->count, 4);
    for (size_t i = 0; i < k->count; i++) {
        uint8_t *entry = plain + PLAIN_FIXED + i * ENTRY;
        put_be(entry, k->keys[i].id, 4);
        put_be(entry + 4, (uint64_t)k->keys[i].created_ms, 8);
        memcpy(entry + 12, k->keys[i].bytes, KEY_SIZE);
    }
    strbuf_add(out, magic, sizeof(magic));
    strbuf_reserve(out, len + SEAL_OVERHEAD);
    root_derive(root, "dicom-vault keyring v1", file_key);
    seal(file_key, magic, sizeof(magic), plain, len, (uint8_t *)out->bytes + out->len);
    out->len += len + SEAL_OVERHEAD;
    out->bytes[out->len] = '\0';
    secret_wipe(file_key, sizeof(file_key));
    secret_wipe(plain, sizeof(plain));
}

static enum status keyring_fill(struct keyring *k, const uint8_t *plain, size_t len)
{
    uint32_t last_id = 0;
    if (len < PLAIN_FIXED)
        return STATUS_CORRUPT;
    memcpy(k->vault_id, plain, VAULT_ID);
    k->count = (size_t)get_be(plain + VAULT_ID, 4);
    if (k->count < 1 || k->count > KEYRING_KEYS_MAX || len != PLAIN_FIXED + k->count * ENTRY)
        return STATUS_CORRUPT;
    for (size_t i = 0; i < k->count; i++) {
        const uint8_t *entry = plain + PLAIN_FIXED + i * ENTRY;
        k->keys[i].id = (uint32_t)get_be(entry, 4);
        k->keys[i].created_ms = (int64_t)get_be(entry + 4, 8);
        memcpy(k->keys[i].bytes, entry + 12, KEY_SIZE);
        if (k->keys[i].id <= last_id)
            return STATUS_CORRUPT;
        last_id = k->keys[i].id;
    }
    return STATUS_OK;
}

enum status keyring_read(const uint8_t root[KEY_SIZE], const void *bytes, size_t len,
                         struct keyring **out)
{
    uint8_t file_key[KEY_SIZE], plain[KEYRING_FILE_MAX];
    const uint8_t *sealed = (const uint8_t *)bytes + sizeof(magic);
    *out = NULL;
    if (len < sizeof(magic) + SEAL_OVERHEAD || len > KEYRING_FILE_MAX ||
        memcmp(bytes, magic, sizeof(magic)) != 0)
        return STATUS_CORRUPT;
    root_derive(root, "dicom-vault keyring v1", file_key);
    enum status s = unseal(file_key, magic, sizeof(magic), sealed, len - sizeof(magic), plain);
    secret_wipe(file_key, sizeof(file_key));
    if (s != STATUS_OK)
        return s;
    struct keyring *k = keyring_alloc(root);
    s = keyring_fill(k, plain, len - sizeof(magic) - SEAL_OVERHEAD);
    secret_wipe(plain, sizeof(plain));
    if (s != STATUS_OK) {
        keyring_free(k);
        return s;
    }
    *out = k;
    return STATUS_OK;
}

const uint8_t *keyring_vault_id(const struct keyring *k)
{
    return k->vault_id;
}

const uint8_t *keyring_apikey_key(const struct keyring *k)
{
    return k->apikey_key;
}

const uint8_t *keyring_audit_key(const struct keyring *k)
{
    return k->audit_key;
}

void keyring_wrap(const struct keyring *k, const uint8_t id[OBJECT_ID],
                  const uint8_t data_key[KEY_SIZE], uint32_t *key_id, uint8_t out[WRAPPED_KEY])
{
    const struct key *newest = &k->keys[k->count - 1];
    uint8_t identity[OBJECT_IDENTITY];
    object_identity(k->vault_id, id, identity);
    seal(newest->bytes, identity, sizeof(identity), data_key, KEY_SIZE, out);
    *key_id = newest->id;
}

enum status keyring_unwrap(const struct keyring *k, const uint8_t id[OBJECT_ID], uint32_t key_id,
                           const uint8_t *wrapped, size_t len, uint8_t data_key[KEY_SIZE])
{
    uint8_t identity[OBJECT_IDENTITY];
    if (len != WRAPPED_KEY)
        return STATUS_CORRUPT;
    object_identity(k->vault_id, id, identity);
    for (size_t i = 0; i < k->count; i++)
        if (k->keys[i].id == key_id)
            return unseal(k->keys[i].bytes, identity, sizeof(identity), wrapped, len, data_key);
    return STATUS_CORRUPT;
}

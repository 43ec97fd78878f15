#include "keyring.h"
#include "clock.h"
#include "folder.h"
#include "secret.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char magic[8] = "VKEYRNG1";
enum {
    ENTRY = 4 + 8 + KEY_SIZE,
    PLAIN_FIXED = VAULT_ID + 4,
    PLAIN_MAX = PLAIN_FIXED + KEYRING_KEYS_MAX * ENTRY,
};

struct key {
    uint32_t id;
    int64_t created_ms;
    uint8_t bytes[KEY_SIZE];
};

struct ring { /* what changes when the file does */
    pthread_rwlock_t lock;
    size_t count;
    struct key keys[KEYRING_KEYS_MAX];
};

struct keyring {
    uint8_t vault_id[VAULT_ID];
    uint8_t file_key[KEY_SIZE];
    uint8_t apikey_key[KEY_SIZE];
    uint8_t audit_key[KEY_SIZE];
    uint8_t blind_key[KEY_SIZE];
    enum status (*read)(void *ctx, struct strbuf *out);
    void *read_ctx;
    struct ring *ring; /* `own`, also through a const keyring */
    struct ring own;
};

enum status root_key_read(const char *path, uint8_t root[KEY_SIZE], struct strbuf *why)
{
    char text[2 * KEY_SIZE + 2];
    enum status s = STATUS_UNPROCESSABLE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read_to_end(fd, text, sizeof(text));
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
    root_derive(root, "dicom-vault keyring v1", k->file_key);
    root_derive(root, "dicom-vault api keys v1", k->apikey_key);
    root_derive(root, "dicom-vault audit v1", k->audit_key);
    root_derive(root, "dicom-vault blind index v1", k->blind_key);
    k->ring = &k->own;
    pthread_rwlock_init(&k->ring->lock, NULL);
    return k;
}

struct keyring *keyring_new(const uint8_t root[KEY_SIZE])
{
    uint32_t first;
    struct keyring *k = keyring_alloc(root);
    secret_random(k->vault_id, VAULT_ID);
    keyring_add(k, &first);
    return k;
}

void keyring_free(struct keyring *k)
{
    if (!k)
        return;
    pthread_rwlock_destroy(&k->ring->lock);
    secret_wipe(k, sizeof(*k));
    munmap(k, sizeof(*k));
}

void keyring_write(const struct keyring *k, struct strbuf *out)
{
    uint8_t plain[PLAIN_MAX];
    pthread_rwlock_rdlock(&k->ring->lock);
    size_t len = PLAIN_FIXED + k->ring->count * ENTRY;
    memcpy(plain, k->vault_id, VAULT_ID);
    put_be(plain + VAULT_ID, k->ring->count, 4);
    for (size_t i = 0; i < k->ring->count; i++) {
        const struct key *key = &k->ring->keys[i];
        uint8_t *entry = plain + PLAIN_FIXED + i * ENTRY;
        put_be(entry, key->id, 4);
        put_be(entry + 4, (uint64_t)key->created_ms, 8);
        memcpy(entry + 12, key->bytes, KEY_SIZE);
    }
    pthread_rwlock_unlock(&k->ring->lock);
    strbuf_add(out, magic, sizeof(magic));
    strbuf_reserve(out, len + SEAL_OVERHEAD);
    seal(k->file_key, magic, sizeof(magic), plain, len, (uint8_t *)out->bytes + out->len);
    out->len += len + SEAL_OVERHEAD;
    out->bytes[out->len] = '\0';
    secret_wipe(plain, sizeof(plain));
}

/* Of the file: the plain content, PLAIN_FIXED bytes at least. */
static enum status keyring_unseal(const struct keyring *k, const void *bytes, size_t len,
                                  uint8_t plain[PLAIN_MAX], size_t *plain_len)
{
    const uint8_t *sealed = (const uint8_t *)bytes + sizeof(magic);
    if (len < sizeof(magic) + SEAL_OVERHEAD + PLAIN_FIXED || len > KEYRING_FILE_MAX ||
        memcmp(bytes, magic, sizeof(magic)) != 0)
        return STATUS_CORRUPT;
    *plain_len = len - sizeof(magic) - SEAL_OVERHEAD;
    return unseal(k->file_key, magic, sizeof(magic), sealed, len - sizeof(magic), plain);
}

/* All of it or, when it is CORRUPT, nothing. */
static enum status ring_fill(struct ring *ring, const uint8_t *plain, size_t len)
{
    uint64_t count = get_be(plain + VAULT_ID, 4), last_id = 0;
    if (count < 1 || count > KEYRING_KEYS_MAX || len != PLAIN_FIXED + count * ENTRY)
        return STATUS_CORRUPT;
    for (size_t i = 0; i < count; i++) {
        uint64_t id = get_be(plain + PLAIN_FIXED + i * ENTRY, 4);
        if (id <= last_id)
            return STATUS_CORRUPT;
        last_id = id;
    }
    pthread_rwlock_wrlock(&ring->lock);
    secret_wipe(ring->keys, sizeof(ring->keys));
    ring->count = (size_t)count;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *entry = plain + PLAIN_FIXED + i * ENTRY;
        ring->keys[i].id = (uint32_t)get_be(entry, 4);
        ring->keys[i].created_ms = (int64_t)get_be(entry + 4, 8);
        memcpy(ring->keys[i].bytes, entry + 12, KEY_SIZE);
    }
    pthread_rwlock_unlock(&ring->lock);
    return STATUS_OK;
}

enum status keyring_read(const uint8_t root[KEY_SIZE], const void *bytes, size_t len,
                         struct keyring **out)
{
    uint8_t plain[PLAIN_MAX];
    size_t plain_len;
    struct keyring *k = keyring_alloc(root);
    enum status s = keyring_unseal(k, bytes, len, plain, &plain_len);
    if (s == STATUS_OK) {
        memcpy(k->vault_id, plain, VAULT_ID);
        s = ring_fill(k->ring, plain, plain_len);
    }
    secret_wipe(plain, sizeof(plain));
    if (s != STATUS_OK) {
        keyring_free(k);
        k = NULL;
    }
    *out = k;
    return s;
}

void keyring_source(struct keyring *k, enum status (*read)(void *ctx, struct strbuf *out),
                    void *ctx)
{
    k->read = read;
    k->read_ctx = ctx;
}

enum status keyring_refresh(const struct keyring *k)
{
    uint8_t plain[PLAIN_MAX];
    size_t plain_len;
    struct strbuf file = STRBUF_INIT;
    if (!k->read)
        return STATUS_OK;
    enum status s = k->read(k->read_ctx, &file);
    if (s == STATUS_OK)
        s = keyring_unseal(k, file.bytes, file.len, plain, &plain_len);
    if (s == STATUS_OK && memcmp(plain, k->vault_id, VAULT_ID) != 0)
        s = STATUS_CORRUPT;
    if (s == STATUS_OK)
        s = ring_fill(k->ring, plain, plain_len);
    secret_wipe(plain, sizeof(plain));
    strbuf_release(&file);
    return s;
}

/* --- the keys -------------------------------------------------------------------------------- */

/* Under the lock; NULL when it is not there. */
static struct key *ring_find(struct ring *ring, uint32_t key_id)
{
    for (size_t i = 0; i < ring->count; i++)
        if (ring->keys[i].id == key_id)
            return &ring->keys[i];
    return NULL;
}

static bool ring_copy(struct ring *ring, uint32_t key_id, uint8_t out[KEY_SIZE])
{
    pthread_rwlock_rdlock(&ring->lock);
    const struct key *key = ring_find(ring, key_id);
    if (key)
        memcpy(out, key->bytes, KEY_SIZE);
    pthread_rwlock_unlock(&ring->lock);
    return key != NULL;
}

/* A key that another process added is in the file by now. The caller wipes `out`. */
static enum status keyring_key(const struct keyring *k, uint32_t key_id, uint8_t out[KEY_SIZE])
{
    if (ring_copy(k->ring, key_id, out))
        return STATUS_OK;
    enum status s = keyring_refresh(k);
    if (s == STATUS_OK && !ring_copy(k->ring, key_id, out))
        s = STATUS_CORRUPT;
    return s;
}

bool keyring_has(const struct keyring *k, uint32_t key_id)
{
    uint8_t key[KEY_SIZE];
    bool has = ring_copy(k->ring, key_id, key);
    secret_wipe(key, sizeof(key));
    return has;
}

uint32_t keyring_newest(const struct keyring *k)
{
    pthread_rwlock_rdlock(&k->ring->lock);
    uint32_t id = k->ring->keys[k->ring->count - 1].id;
    pthread_rwlock_unlock(&k->ring->lock);
    return id;
}

uint32_t keyring_oldest(const struct keyring *k)
{
    pthread_rwlock_rdlock(&k->ring->lock);
    uint32_t id = k->ring->keys[0].id;
    pthread_rwlock_unlock(&k->ring->lock);
    return id;
}

enum status keyring_add(struct keyring *k, uint32_t *key_id)
{
    struct ring *ring = k->ring;
    pthread_rwlock_wrlock(&ring->lock);
    bool room = ring->count < KEYRING_KEYS_MAX;
    if (room) {
        struct key *key = &ring->keys[ring->count];
        *key_id = key->id = ring->count ? ring->keys[ring->count - 1].id + 1 : 1;
        key->created_ms = clock_unix_ms();
        secret_random(key->bytes, KEY_SIZE);
        ring->count++;
    }
    pthread_rwlock_unlock(&ring->lock);
    return room ? STATUS_OK : STATUS_CONFLICT;
}

void keyring_remove(struct keyring *k, uint32_t key_id)
{
    struct ring *ring = k->ring;
    pthread_rwlock_wrlock(&ring->lock);
    struct key *key = ring_find(ring, key_id);
    if (key) {
        struct key *last = &ring->keys[--ring->count];
        memmove(key, key + 1, (size_t)(last - key) * sizeof(*key));
        secret_wipe(last, sizeof(*last));
    }
    pthread_rwlock_unlock(&ring->lock);
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

const uint8_t *keyring_blind_key(const struct keyring *k)
{
    return k->blind_key;
}

enum status keyring_wrap(const struct keyring *k, uint32_t key_id, const uint8_t id[OBJECT_ID],
                         const uint8_t data_key[KEY_SIZE], uint8_t out[WRAPPED_KEY])
{
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY];
    enum status s = keyring_key(k, key_id, key);
    if (s != STATUS_OK)
        return s;
    object_identity(k->vault_id, id, identity);
    seal(key, identity, sizeof(identity), data_key, KEY_SIZE, out);
    secret_wipe(key, sizeof(key));
    return STATUS_OK;
}

enum status keyring_unwrap(const struct keyring *k, const uint8_t id[OBJECT_ID], uint32_t key_id,
                           const uint8_t *wrapped, size_t len, uint8_t data_key[KEY_SIZE])
{
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY];
    if (len != WRAPPED_KEY)
        return STATUS_CORRUPT;
    enum status s = keyring_key(k, key_id, key);
    if (s != STATUS_OK)
        return s;
    object_identity(k->vault_id, id, identity);
    s = unseal(key, identity, sizeof(identity), wrapped, len, data_key);
    secret_wipe(key, sizeof(key));
    return s;
}

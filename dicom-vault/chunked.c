#include "chunked.h"
#include "secret.h"
#include "strbuf.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define COUNTER_END (UINT64_C(1) << 38)

struct message { /* what sealing and opening share */
    EVP_CIPHER_CTX *aead;
    uint8_t nonce[SEAL_NONCE]; /* of chunk 0 */
};

struct chunked_sealer {
    struct message m;
    uint64_t next; /* chunk */
    size_t held;   /* bytes of plain, always less than a chunk */
    uint8_t plain[CHUNKED_PLAIN];
};

struct chunked_opener {
    struct message m;
};

uint64_t chunked_file_size(uint64_t size)
{
    return CHUNKED_HEADER + size + CHUNKED_TAG * (size / CHUNKED_PLAIN + 1);
}

uint64_t chunked_offset(uint64_t k)
{
    return CHUNKED_HEADER + CHUNKED_SEALED * k;
}

size_t chunked_length(uint64_t size, uint64_t k)
{
    return k < size / CHUNKED_PLAIN ? CHUNKED_SEALED : size % CHUNKED_PLAIN + CHUNKED_TAG;
}

static void derive(const uint8_t key[KEY_SIZE], const void *context, size_t context_len,
                   const uint8_t salt[CHUNKED_SALT], uint8_t aead_key[KEY_SIZE],
                   uint8_t nonce[SEAL_NONCE], uint8_t commitment[CHUNKED_COMMITMENT])
{
    static const char label[] = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"; /* its NUL too */
    uint8_t okm[KEY_SIZE + SEAL_NONCE + CHUNKED_COMMITMENT];
    struct strbuf info = STRBUF_INIT;
    strbuf_add(&info, label, sizeof(label));
    strbuf_add(&info, salt, CHUNKED_SALT);
    strbuf_add(&info, context, context_len);
    hkdf_expand(key, info.bytes, info.len, okm, sizeof(okm));
    strbuf_release(&info);
    memcpy(aead_key, okm, KEY_SIZE);
    memcpy(nonce, okm + KEY_SIZE, SEAL_NONCE);
    memcpy(commitment, okm + KEY_SIZE + SEAL_NONCE, CHUNKED_COMMITMENT);
    secret_wipe(okm, sizeof(okm));
}

/* Key the cipher once; each chunk then sets only its nonce. */
static void message_init(struct message *m, const uint8_t aead_key[KEY_SIZE],
                         const uint8_t nonce[SEAL_NONCE], int encrypt)
{
    memcpy(m->nonce, nonce, SEAL_NONCE);
    m->aead = EVP_CIPHER_CTX_new();
    crypto_must(m->aead && EVP_CipherInit_ex2(m->aead, crypto_aes256gcm(), aead_key, NULL, encrypt,
                                              NULL) == 1);
}

static void message_release(struct message *m)
{
    EVP_CIPHER_CTX_free(m->aead); /* wipes the key schedule */
    secret_wipe(m->nonce, sizeof(m->nonce));
}

static void chunk_nonce(const struct message *m, uint64_t k, uint8_t nonce[SEAL_NONCE])
{
    memcpy(nonce, m->nonce, SEAL_NONCE);
    for (int i = SEAL_NONCE - 1; k; i--, k >>= 8)
        nonce[i] ^= (uint8_t)k;
}

struct chunked_sealer *chunked_sealer_salted(const uint8_t key[KEY_SIZE], const void *context,
                                             size_t context_len, const uint8_t salt[CHUNKED_SALT],
                                             uint8_t header[CHUNKED_HEADER])
{
    uint8_t aead_key[KEY_SIZE], nonce[SEAL_NONCE];
    struct chunked_sealer *s = xcalloc(1, sizeof(*s));
    memmove(header, salt, CHUNKED_SALT);
    derive(key, context, context_len, header, aead_key, nonce, header + CHUNKED_SALT);
    message_init(&s->m, aead_key, nonce, 1);
    secret_wipe(aead_key, sizeof(aead_key));
    return s;
}

struct chunked_sealer *chunked_sealer_new(const uint8_t key[KEY_SIZE], const void *context,
                                          size_t context_len, uint8_t header[CHUNKED_HEADER])
{
    secret_random(header, CHUNKED_SALT);
    return chunked_sealer_salted(key, context, context_len, header, header);
}

void chunked_sealer_free(struct chunked_sealer *s)
{
    if (!s)
        return;
    message_release(&s->m);
    secret_wipe(s, sizeof(*s));
    free(s);
}

static size_t seal_chunk(struct chunked_sealer *s, const uint8_t *plain, size_t len, uint8_t *out)
{
    int n;
    uint8_t nonce[SEAL_NONCE];
    chunk_nonce(&s->m, s->next++, nonce);
    crypto_must(EVP_EncryptInit_ex2(s->m.aead, NULL, NULL, nonce, NULL) == 1 &&
                EVP_EncryptUpdate(s->m.aead, out, &n, plain, (int)len) == 1 &&
                EVP_EncryptFinal_ex(s->m.aead, out + len, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(s->m.aead, EVP_CTRL_AEAD_GET_TAG, CHUNKED_TAG, out + len) == 1);
    return len + CHUNKED_TAG;
}

enum status chunked_seal(struct chunked_sealer *s, const uint8_t *bytes, size_t len, uint8_t *out,
                         size_t *n)
{
    *n = 0;
    if (len > CHUNKED_MAX || s->next + (s->held + len) / CHUNKED_PLAIN >= COUNTER_END)
        return STATUS_TOO_LARGE;
    while (s->held + len >= CHUNKED_PLAIN) {
        const uint8_t *plain = bytes;
        size_t take = CHUNKED_PLAIN - s->held;
        if (s->held) {
            memcpy(s->plain + s->held, bytes, take);
            plain = s->plain;
        }
        *n += seal_chunk(s, plain, CHUNKED_PLAIN, out + *n);
        s->held = 0;
        bytes += take;
        len -= take;
    }
    if (len)
        memcpy(s->plain + s->held, bytes, len);
    s->held += len;
    return STATUS_OK;
}

size_t chunked_seal_last(struct chunked_sealer *s, uint8_t *out)
{
    return seal_chunk(s, s->plain, s->held, out);
}

enum status chunked_opener_new(const uint8_t key[KEY_SIZE], const void *context, size_t context_len,
                               const uint8_t header[CHUNKED_HEADER], struct chunked_opener **out)
{
    uint8_t aead_key[KEY_SIZE], nonce[SEAL_NONCE], commitment[CHUNKED_COMMITMENT];
    *out = NULL;
    derive(key, context, context_len, header, aead_key, nonce, commitment);
    bool same = secret_equal(commitment, header + CHUNKED_SALT, CHUNKED_COMMITMENT);
    if (same) {
        *out = xcalloc(1, sizeof(**out));
        message_init(&(*out)->m, aead_key, nonce, 0);
    }
    secret_wipe(aead_key, sizeof(aead_key));
    secret_wipe(commitment, sizeof(commitment));
    return same ? STATUS_OK : STATUS_CORRUPT;
}

void chunked_opener_free(struct chunked_opener *o)
{
    if (!o)
        return;
    message_release(&o->m);
    free(o);
}

enum status chunked_open(struct chunked_opener *o, uint64_t k, const uint8_t *sealed, size_t len,
                         uint8_t *out)
{
    int n;
    uint8_t nonce[SEAL_NONCE], tag[CHUNKED_TAG];
    if (len < CHUNKED_TAG || len > CHUNKED_SEALED || k >= COUNTER_END)
        return STATUS_CORRUPT;
    size_t plain_len = len - CHUNKED_TAG;
    memcpy(tag, sealed + plain_len, CHUNKED_TAG);
    chunk_nonce(&o->m, k, nonce);
    crypto_must(EVP_DecryptInit_ex2(o->m.aead, NULL, NULL, nonce, NULL) == 1 &&
                EVP_CIPHER_CTX_ctrl(o->m.aead, EVP_CTRL_AEAD_SET_TAG, CHUNKED_TAG, tag) == 1 &&
                EVP_DecryptUpdate(o->m.aead, out, &n, sealed, (int)plain_len) == 1);
    bool authentic = EVP_DecryptFinal_ex(o->m.aead, out + plain_len, &n) == 1;
    if (!authentic)
        secret_wipe(out, plain_len);
    return authentic ? STATUS_OK : STATUS_CORRUPT;
}

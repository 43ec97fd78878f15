#include "seal.h"
#include "secret.h"
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static EVP_CIPHER *aes256gcm;
static EVP_KDF *hkdf;

void crypto_must(bool done)
{
    if (done)
        return;
    fputs("level=error event=openssl_failed\n", stderr);
    abort();
}

static void fetch(void)
{
    aes256gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    crypto_must(aes256gcm && hkdf);
}

static void fetch_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    crypto_must(pthread_once(&once, fetch) == 0);
}

const EVP_CIPHER *crypto_aes256gcm(void)
{
    fetch_once();
    return aes256gcm;
}

void hkdf_expand(const uint8_t prk[KEY_SIZE], const void *info, size_t info_len, uint8_t *out,
                 size_t out_len)
{
    fetch_once();
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    char hash[] = "SHA512";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)prk, KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_len),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    crypto_must(ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1);
    EVP_KDF_CTX_free(ctx);
}

void seal(const uint8_t key[KEY_SIZE], const void *aad, size_t aad_len, const uint8_t *plain,
          size_t len, uint8_t *out)
{
    int n;
    uint8_t *body = out + SEAL_NONCE;
    crypto_must(len <= INT_MAX && aad_len <= INT_MAX);
    secret_random(out, SEAL_NONCE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    crypto_must(ctx && EVP_EncryptInit_ex2(ctx, crypto_aes256gcm(), key, out, NULL) == 1 &&
                EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
                EVP_EncryptUpdate(ctx, body, &n, plain, (int)len) == 1 &&
                EVP_EncryptFinal_ex(ctx, body + len, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, body + len) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

enum status unseal(const uint8_t key[KEY_SIZE], const void *aad, size_t aad_len,
                   const uint8_t *sealed, size_t len, uint8_t *out)
{
    int n;
    uint8_t tag[SEAL_TAG];
    if (len < SEAL_OVERHEAD || len > INT_MAX)
        return STATUS_CORRUPT;
    const uint8_t *body = sealed + SEAL_NONCE;
    size_t body_len = len - SEAL_OVERHEAD;
    memcpy(tag, body + body_len, SEAL_TAG);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    crypto_must(ctx && EVP_DecryptInit_ex2(ctx, crypto_aes256gcm(), key, sealed, NULL) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, tag) == 1 &&
                EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len) == 1 &&
                EVP_DecryptUpdate(ctx, out, &n, body, (int)body_len) == 1);
    bool authentic = EVP_DecryptFinal_ex(ctx, out + body_len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!authentic)
        secret_wipe(out, body_len);
    return authentic ? STATUS_OK : STATUS_CORRUPT;
}

#include "secret.h"
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Fetched once: a fetch takes a lock and costs more than the hash of a short text. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;
static EVP_MAC_CTX *hmac_sha256; /* without a key; copied for each use */

static const char hex_digits[] = "0123456789abcdef";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void require(int ok)
{
    if (ok)
        return;
    fputs("level=error event=crypto_failed\n", stderr);
    abort();
}

static void fetch(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    require(sha256 && mac);
    hmac_sha256 = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    require(hmac_sha256 && EVP_MAC_CTX_set_params(hmac_sha256, params));
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

void secret_random(void *out, size_t len)
{
    require(len <= INT_MAX && RAND_bytes(out, (int)len) == 1);
}

void secret_wipe(void *p, size_t len)
{
    OPENSSL_cleanse(p, len);
}

void secret_sha256(const void *bytes, size_t len, uint8_t out[32])
{
    pthread_once(&once, fetch);
    require(EVP_Digest(bytes, len, out, NULL, sha256, NULL));
}

void secret_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                        uint8_t out[32])
{
    pthread_once(&once, fetch);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_sha256);
    size_t n = 0;
    require(ctx && EVP_MAC_init(ctx, key_len ? key : "", key_len, NULL) &&
            EVP_MAC_update(ctx, bytes, len) && EVP_MAC_final(ctx, out, &n, 32) && n == 32);
    EVP_MAC_CTX_free(ctx);
}

void hex_encode(struct strbuf *out, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < len; i++) {
        strbuf_addch(out, hex_digits[b[i] >> 4]);
        strbuf_addch(out, hex_digits[b[i] & 15]);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status hex_decode(const char *text, size_t text_len, uint8_t *out, size_t out_len)
{
    if (text_len % 2 || text_len / 2 != out_len)
        return STATUS_BAD_REQUEST;
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return STATUS_BAD_REQUEST;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return STATUS_OK;
}

void base64url_encode(struct strbuf *out, const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | b[i];
        for (have += 8; have >= 6; have -= 6)
            strbuf_addch(out, base64url_digits[bits >> (have - 6) & 63]);
    }
    if (have)
        strbuf_addch(out, base64url_digits[bits << (6 - have) & 63]);
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum status base64url_decode(struct strbuf *out, const char *text, size_t len)
{
    size_t before = out->len;
    unsigned bits = 0, have = 0;
    strbuf_reserve(out, len / 4 * 3 + 2);
    for (size_t i = 0; i < len; i++) {
        int value = base64url_value(text[i]);
        if (value < 0)
            goto bad;
        bits = bits << 6 | (unsigned)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            strbuf_addch(out, (char)(bits >> have & 255));
        }
    }
    if (have < 6 && (bits & ((1U << have) - 1)) == 0)
        return STATUS_OK;
bad:
    out->len = before;
    out->bytes[before] = '\0';
    return STATUS_BAD_REQUEST;
}

void random_hex(char *out, size_t n)
{
    secret_random(out, n);
    out[2 * n] = '\0';
    for (size_t i = n; i-- > 0;) { /* from the end: byte i lies before its digits */
        uint8_t byte = (uint8_t)out[i];
        out[2 * i + 1] = hex_digits[byte & 15];
        out[2 * i] = hex_digits[byte >> 4];
    }
}

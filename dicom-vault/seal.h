/* Small things sealed whole by AES-256-GCM under a random nonce, and keys derived by HKDF-Expand.
 * What cannot fail but for a broken OpenSSL aborts. Any thread. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct evp_cipher_st EVP_CIPHER;

enum { KEY_SIZE = 32, SEAL_NONCE = 12, SEAL_TAG = 16, SEAL_OVERHEAD = SEAL_NONCE + SEAL_TAG };

/* Abort when OpenSSL refused what it must be able to do: going on would write bad ciphertext. */
void crypto_must(bool done);
/* AES-256-GCM, fetched once. Never freed. */
const EVP_CIPHER *crypto_aes256gcm(void);
/* HKDF-Expand with SHA-512 (RFC 5869, section 2.3); `prk` is uniformly random already, so there
 * is no extract step. `out_len` at most 255 * 64. */
void hkdf_expand(const uint8_t prk[KEY_SIZE], const void *info, size_t info_len, uint8_t *out,
                 size_t out_len);

/* nonce || ciphertext || tag into out[len + SEAL_OVERHEAD]. `aad` is authenticated, not stored. A
 * key may seal 2^32 times at most, since nonces are random (NIST SP 800-38D, section 8.3). */
void seal(const uint8_t key[KEY_SIZE], const void *aad, size_t aad_len, const uint8_t *plain,
          size_t len, uint8_t *out);
/* The reverse, `len` counting nonce and tag, into out[len - SEAL_OVERHEAD]. CORRUPT, with `out`
 * zeroed, for anything but what seal() wrote under this key and aad. */
enum status unseal(const uint8_t key[KEY_SIZE], const void *aad, size_t aad_len,
                   const uint8_t *sealed, size_t len, uint8_t *out);

/* The keyring: the keys that wrap data keys, in one file sealed under the root key.
 *
 *     root key -- seals --> keyring file -- holds --> wrapping keys -- seal --> data keys
 *
 * File: "VKEYRNG1" || nonce (12) || AES-256-GCM( vault id (16) || count (4) || count x { key id
 * (4) || created_ms (8) || key (32) } ) || tag (16), integers big-endian, key ids rising, the
 * newest last, the 8 characters as associated data; sealed under HKDF-Expand(root key,
 * "dicom-vault keyring v1"). The root key itself is not kept: keys with a purpose of their own are
 * derived from it when the keyring opens. In memory the keyring is locked where the system allows
 * it, and left out of core dumps. A command may change the file beside the server: a key that is
 * not known is looked for there once more. Any thread. */
#pragma once
#include "object.h"
#include "seal.h"
#include "status.h"
#include "strbuf.h"

enum {
    KEYRING_KEYS_MAX = 256,
    KEYRING_FILE_MAX = 8 + SEAL_OVERHEAD + VAULT_ID + 4 + KEYRING_KEYS_MAX * (4 + 8 + KEY_SIZE),
    WRAPPED_KEY = KEY_SIZE + SEAL_OVERHEAD,
};

struct keyring;

/* The root key: 64 hex digits and at most one newline in a file. UNPROCESSABLE with the reason in
 * `why`. The caller wipes it. */
enum status root_key_read(const char *path, uint8_t root[KEY_SIZE], struct strbuf *why);

/* A new keyring with a random vault id and one random key. */
struct keyring *keyring_new(const uint8_t root[KEY_SIZE]);
void keyring_free(struct keyring *k); /* wipes; NULL is fine */
/* Append the file's bytes; each time another nonce. */
void keyring_write(const struct keyring *k, struct strbuf *out);
/* CORRUPT for a wrong root key or changed bytes (which look alike), or an impossible content. */
enum status keyring_read(const uint8_t root[KEY_SIZE], const void *bytes, size_t len,
                         struct keyring **out);

/* Where its file is read again; before other threads use the keyring. `ctx` must outlive it. */
void keyring_source(struct keyring *k, enum status (*read)(void *ctx, struct strbuf *out),
                    void *ctx);
/* Take over what the file has now. CORRUPT, and nothing changes, for another vault's or a damaged
 * one. OK without a source. */
enum status keyring_refresh(const struct keyring *k);

bool keyring_has(const struct keyring *k, uint32_t key_id);
uint32_t keyring_newest(const struct keyring *k);
uint32_t keyring_oldest(const struct keyring *k);
/* A new random key, in memory only: write the file. CONFLICT when it is full. */
enum status keyring_add(struct keyring *k, uint32_t *key_id);
void keyring_remove(struct keyring *k, uint32_t key_id); /* in memory only, and wiped there */

const uint8_t *keyring_vault_id(const struct keyring *k);
/* HMAC key of the API keys' verifiers, KEY_SIZE bytes. */
const uint8_t *keyring_apikey_key(const struct keyring *k);
/* HMAC key of the audit log, KEY_SIZE bytes. */
const uint8_t *keyring_audit_key(const struct keyring *k);
/* HMAC key of the blind indexes, KEY_SIZE bytes. */
const uint8_t *keyring_blind_key(const struct keyring *k);

/* Seal a data key under that key. Nonces are random, so that one key may wrap 2^32 times at the
 * most (NIST SP 800-38D, 8.3): the caller counts (wraps.h). CORRUPT when no key of that id is
 * there. */
enum status keyring_wrap(const struct keyring *k, uint32_t key_id, const uint8_t id[OBJECT_ID],
                         const uint8_t data_key[KEY_SIZE], uint8_t out[WRAPPED_KEY]);
/* CORRUPT when no key of that id is there, or the wrapped key is not that object's. */
enum status keyring_unwrap(const struct keyring *k, const uint8_t id[OBJECT_ID], uint32_t key_id,
                           const uint8_t *wrapped, size_t len, uint8_t data_key[KEY_SIZE]);

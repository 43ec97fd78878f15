/* The format of a blob: C2SP chunked-encryption, AES-256-GCM with SHA-512 ("Cobblestone-256").
 *
 *     salt (24) || commitment (32) || chunk 0 || chunk 1 || ... || last chunk
 *
 * HKDF-Expand-SHA-512(key, "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" || 0 || salt ||
 * context) gives the AEAD key, a base nonce and the commitment. Chunk k is AES-256-GCM of 16 KiB of
 * plaintext under base nonce XOR k, no associated data, followed by its tag. The last chunk is the
 * one that is short: 0 to 16383 bytes of plaintext; so a message of whole chunks ends in an empty
 * one, and a file cut at a chunk's edge has no end. The commitment binds key, context and salt
 * before any chunk is opened (GCM alone would open one file under two keys).
 *
 * Bytes in, bytes out; no files. An object belongs to one thread at a time. */
#pragma once
#include "seal.h"
#include "status.h"
#include <stddef.h>
#include <stdint.h>

enum {
    CHUNKED_SALT = 24,
    CHUNKED_COMMITMENT = 32,
    CHUNKED_HEADER = CHUNKED_SALT + CHUNKED_COMMITMENT,
    CHUNKED_PLAIN = 16384,
    CHUNKED_TAG = 16,
    CHUNKED_SEALED = CHUNKED_PLAIN + CHUNKED_TAG,
};
#define CHUNKED_MAX ((UINT64_C(1) << 52) - 1) /* longest message, bytes */

/* Length of the file that holds a message of `size` bytes, at most CHUNKED_MAX. */
uint64_t chunked_file_size(uint64_t size);
/* Where chunk `k` of a message of `size` bytes lies in its file, and how long it is there. */
uint64_t chunked_offset(uint64_t k);
size_t chunked_length(uint64_t size, uint64_t k);

/* --- sealing --------------------------------------------------------------------------------- */

struct chunked_sealer;
/* Begin a message under a key that is uniformly random. `header` gets the file's first bytes: a
 * random salt and the commitment. Free it also when the message is given up. */
struct chunked_sealer *chunked_sealer_new(const uint8_t key[KEY_SIZE], const void *context,
                                          size_t context_len, uint8_t header[CHUNKED_HEADER]);
void chunked_sealer_free(struct chunked_sealer *s); /* wipes; NULL is fine */
/* The same with a given salt, which must never repeat under a key: for known answers only. */
struct chunked_sealer *chunked_sealer_salted(const uint8_t key[KEY_SIZE], const void *context,
                                             size_t context_len, const uint8_t salt[CHUNKED_SALT],
                                             uint8_t header[CHUNKED_HEADER]);
/* Room that chunked_seal may need for `len` bytes. */
#define CHUNKED_ROOM(len) (((len) / CHUNKED_PLAIN + 1) * CHUNKED_SEALED)
/* Take `len` more bytes; every chunk that is full now goes to `out`, *n bytes in all (may be 0).
 * TOO_LARGE past CHUNKED_MAX. */
enum status chunked_seal(struct chunked_sealer *s, const uint8_t *bytes, size_t len, uint8_t *out,
                         size_t *n);
/* The last chunk, also when nothing is left: 16 to 16399 bytes into out[CHUNKED_SEALED]. Returns
 * how many. The message is complete. */
size_t chunked_seal_last(struct chunked_sealer *s, uint8_t *out);

/* --- opening --------------------------------------------------------------------------------- */

struct chunked_opener;
/* CORRUPT unless the header's commitment is that of key, context and salt. */
enum status chunked_opener_new(const uint8_t key[KEY_SIZE], const void *context, size_t context_len,
                               const uint8_t header[CHUNKED_HEADER], struct chunked_opener **out);
void chunked_opener_free(struct chunked_opener *o); /* NULL is fine */
/* Open chunk `k`, any k in any order, into out[len - 16], which may be `sealed` itself. CORRUPT,
 * with `out` zeroed, when it is not chunk k of this message. The caller knows which chunk is last:
 * the shorter one. */
enum status chunked_open(struct chunked_opener *o, uint64_t k, const uint8_t *sealed, size_t len,
                         uint8_t *out);

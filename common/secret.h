/* Secrets: compared in constant time, drawn from the system's CSPRNG, wiped after use; and the
 * encodings they travel in. Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Compare two secrets of `len` bytes in time that depends on `len` alone. Returns true when
 * equal. Why not memcmp: it stops at the first difference, and a caller who can time many tries
 * reads the secret byte by byte. Wraps CRYPTO_memcmp. */
bool secret_equal(const void *a, const void *b, size_t len);
/* `len` bytes from the CSPRNG. Aborts when it fails: there is no safe way on. */
void secret_random(void *out, size_t len);
/* Overwrite with zeros in a way the compiler keeps. */
void secret_wipe(void *p, size_t len);

/* SHA-256 and HMAC-SHA-256; the output is 32 bytes. */
void secret_sha256(const void *bytes, size_t len, uint8_t out[32]);
void secret_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                        uint8_t out[32]);

/* Append lower-case hex, 2 * len characters. */
void hex_encode(struct strbuf *out, const void *bytes, size_t len);
/* Exactly out_len bytes from 2 * out_len hex digits of either case, or BAD_REQUEST. */
enum status hex_decode(const char *text, size_t text_len, uint8_t *out, size_t out_len);
/* Append unpadded base64url (RFC 4648, section 5). */
void base64url_encode(struct strbuf *out, const void *bytes, size_t len);
/* Append the bytes of unpadded base64url. BAD_REQUEST, with `out` as it was, for padding, other
 * characters, impossible lengths and non-zero bits behind the last byte (so that every value has
 * one spelling). */
enum status base64url_decode(struct strbuf *out, const char *text, size_t len);
/* n random bytes as lower-case hex, NUL-terminated, into out[2n + 1]. */
void random_hex(char *out, size_t n);

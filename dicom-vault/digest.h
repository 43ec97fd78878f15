/* Digest fields (RFC 9530): what a caller says the SHA-256 of a body is. Any thread. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stdint.h>

enum { DIGEST_FIELD = sizeof("sha-256=::") + 44 };

/* `sha-256=:<base64>:` out of a Content-Digest or Repr-Digest, which may name other algorithms
 * beside it. *found is false when `header` is NULL. BAD_REQUEST for a malformed header, one
 * without sha-256 (a check that was asked for is never left out in silence) or with two. */
enum status digest_parse(const char *header, bool *found, uint8_t sha256[32]);
/* The field's value for it, NUL-terminated. */
void digest_format(const uint8_t sha256[32], char out[DIGEST_FIELD]);

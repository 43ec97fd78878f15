/* Passwords: Argon2id (RFC 9106), stored in the PHC string format. A hash takes PASSWORD_M_KIB of
 * memory and tens of milliseconds: run it on the hashing pool only, whose bound is the bound of
 * both. */
#pragma once
#include "status.h"
#include <stddef.h>
#include <stdint.h>

enum {
    PASSWORD_M_KIB = 19456,
    PASSWORD_T = 2,
    PASSWORD_P = 1,
    PASSWORD_MIN = 10,       /* bytes of a new password */
    PASSWORD_MAX = 256,      /* bytes of a password */
    PASSWORD_HASH_SIZE = 129 /* of the stored text, with NUL */
};

/* A stored hash, taken apart. */
struct password_parts {
    uint32_t m_kib, t, p;
    uint8_t salt[64], tag[64];
    size_t salt_len, tag_len;
};

/* Read "$argon2id$v=19$m=..,t=..,p=..$salt$tag". CORRUPT for anything else, and for parameters
 * past what we are ready to spend: whoever can write a row must not be able to exhaust memory. */
enum status password_parse(const char *stored, struct password_parts *out);
/* OK when it is the password, UNAUTHENTICATED when not, CORRUPT as password_parse, OVERLOADED
 * when there is no memory. `stored` NULL (no such user) takes as long as a wrong password. */
enum status password_verify(const char *stored, const char *password, size_t len);
/* A new hash with a random salt. OVERLOADED when there is no memory. */
enum status password_hash(const char *password, size_t len, char out[PASSWORD_HASH_SIZE]);

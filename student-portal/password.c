#include "password.h"
#include "secret.h"
#include <argon2.h>
#include <stdbool.h>
#include <string.h>

enum { SALT = 16, TAG = 32 };

/* Nobody's password: it only has to cost what a user's costs. */
static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/* Step over `text` at *s. */
static bool skip(const char **s, const char *text)
{
    size_t len = strlen(text);
    if (strncmp(*s, text, len) != 0)
        return false;
    *s += len;
    return true;
}

/* Step over a decimal number in min..max, without sign or leading zeros. */
static bool number(const char **s, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    size_t digits = strspn(*s, "0123456789");
    if (digits == 0 || digits > 10 || **s == '0')
        return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint64_t)(*s)[i] - '0';
    *s += digits;
    *out = (uint32_t)value;
    return value >= min && value <= max;
}

/* Step over base64 of min..64 bytes: the standard alphabet without padding. */
static bool base64(const char **s, size_t min, uint8_t out[64], size_t *out_len)
{
    char text[87];
    struct strbuf bytes = STRBUF_INIT;
    size_t len = strcspn(*s, "$");
    if (len >= sizeof(text))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = (*s)[i];
        if (c == '-' || c == '_')
            return false;
        text[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    bool ok =
        base64url_decode(&bytes, text, len) == STATUS_OK && bytes.len >= min && bytes.len <= 64;
    if (ok)
        memcpy(out, bytes.bytes, *out_len = bytes.len);
    strbuf_release(&bytes);
    *s += len;
    return ok;
}

enum status password_parse(const char *stored, struct password_parts *out)
{
    const char *s = stored;
    *out = (struct password_parts){0};
    bool ok = skip(&s, "$argon2id$v=19$m=") && number(&s, 8, 65536, &out->m_kib) &&
              skip(&s, ",t=") && number(&s, 1, 8, &out->t) && skip(&s, ",p=") &&
              number(&s, 1, 4, &out->p) && skip(&s, "$") &&
              base64(&s, 8, out->salt, &out->salt_len) && skip(&s, "$") &&
              base64(&s, 16, out->tag, &out->tag_len) && *s == '\0' && out->m_kib >= 8 * out->p;
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

enum status password_verify(const char *stored, const char *password, size_t len)
{
    struct password_parts h;
    uint8_t tag[sizeof(h.tag)];
    enum status st = password_parse(stored ? stored : nobody, &h);
    if (st)
        return st;
    if (argon2id_hash_raw(h.t, h.m_kib, h.p, password, len, h.salt, h.salt_len, tag, h.tag_len))
        return STATUS_OVERLOADED;
    bool same = secret_equal(tag, h.tag, h.tag_len);
    secret_wipe(tag, sizeof(tag));
    return same && stored ? STATUS_OK : STATUS_UNAUTHENTICATED;
}

enum status password_hash(const char *password, size_t len, char out[PASSWORD_HASH_SIZE])
{
    uint8_t salt[SALT];
    secret_random(salt, sizeof(salt));
    return argon2id_hash_encoded(PASSWORD_T, PASSWORD_M_KIB, PASSWORD_P, password, len, salt, SALT,
                                 TAG, out, PASSWORD_HASH_SIZE)
               ? STATUS_OVERLOADED
               : STATUS_OK;
}

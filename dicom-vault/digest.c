#include "digest.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static const char key_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_-.*";
static const char base64_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

/* One spelling only: decoded and encoded again it must be the same. */
static bool decode(const char *text, size_t len, uint8_t sha256[32])
{
    uint8_t bytes[33];
    char again[45];
    if (len != 44 || EVP_DecodeBlock(bytes, (const unsigned char *)text, 44) != 33)
        return false;
    EVP_EncodeBlock((unsigned char *)again, bytes, 32);
    memcpy(sha256, bytes, 32);
    return memcmp(again, text, 44) == 0;
}

/* A member of the dictionary (RFC 8941, section 3.2): key "=:" base64 ":". Moves *at past it. */
static bool member(const char **at, bool *found, uint8_t sha256[32])
{
    const char *key = *at;
    size_t key_len = strspn(key, key_chars);
    if (key_len == 0 || strncmp(key + key_len, "=:", 2) != 0)
        return false;
    const char *value = key + key_len + 2;
    size_t len = strspn(value, base64_chars);
    if (value[len] != ':')
        return false;
    *at = value + len + 1;
    if (key_len != strlen("sha-256") || memcmp(key, "sha-256", key_len) != 0)
        return true;
    bool first = !*found;
    *found = true;
    return first && decode(value, len, sha256);
}

enum status digest_parse(const char *header, bool *found, uint8_t sha256[32])
{
    *found = false;
    if (!header)
        return STATUS_OK;
    for (const char *at = header;; at++) {
        at += strspn(at, " \t");
        if (!member(&at, found, sha256))
            return STATUS_BAD_REQUEST;
        at += strspn(at, " \t");
        if (*at == '\0')
            return *found ? STATUS_OK : STATUS_BAD_REQUEST;
        if (*at != ',')
            return STATUS_BAD_REQUEST;
    }
}

void digest_format(const uint8_t sha256[32], char out[DIGEST_FIELD])
{
    unsigned char base64[45];
    EVP_EncodeBlock(base64, sha256, 32);
    snprintf(out, DIGEST_FIELD, "sha-256=:%s:", (const char *)base64);
}

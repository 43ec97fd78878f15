#include "token.h"
#include "clock.h"
#include "json.h"
#include "secret.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAC_SIZE = 32, GRANT_S = 12 * 3600 };
/* The end of the year 9999: who reckons in milliseconds may, too. */
#define EXP_MAX INT64_C(253402300799)

void token_sign(const uint8_t *key, size_t key_len, const struct token_claims *claims,
                struct strbuf *out)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    struct strbuf body = STRBUF_INIT;
    strbuf_addstr(&body, "{\"sub\":");
    json_write_text(&body, claims->sub);
    if (claims->role[0]) {
        strbuf_addstr(&body, ",\"role\":");
        json_write_text(&body, claims->role);
    }
    strbuf_addf(&body, ",\"exp\":%lld}", (long long)claims->exp);

    size_t start = out->len;
    base64url_encode(out, header, sizeof(header) - 1);
    strbuf_addch(out, '.');
    base64url_encode(out, body.bytes, body.len);
    uint8_t mac[MAC_SIZE];
    secret_hmac_sha256(key, key_len, out->bytes + start, out->len - start, mac);
    strbuf_addch(out, '.');
    base64url_encode(out, mac, sizeof(mac));
    strbuf_release(&body);
}

json_t *token_grant(const char *key, const char *sub, const char *role)
{
    char expires[RFC3339_SIZE];
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims = {.exp = clock_unix_ms() / 1000 + GRANT_S};
    snprintf(claims.sub, sizeof(claims.sub), "%s", sub);
    snprintf(claims.role, sizeof(claims.role), "%s", role);
    token_sign((const uint8_t *)key, strlen(key), &claims, &token);
    rfc3339_format(claims.exp * 1000, expires);
    json_t *grant = json_pack("{s:s, s:s, s:s, s:s}", "token", token.bytes, "sub", claims.sub,
                              "role", claims.role, "expires", expires);
    strbuf_release(&token);
    return grant;
}

/* Does `text`, the last part of the token, sign the `len` bytes before it? */
static bool signature_holds(const uint8_t *key, size_t key_len, const char *signed_part, size_t len,
                            const char *text, size_t text_len)
{
    uint8_t mac[MAC_SIZE];
    struct strbuf given = STRBUF_INIT;
    secret_hmac_sha256(key, key_len, signed_part, len, mac);
    bool holds = base64url_decode(&given, text, text_len) == STATUS_OK && given.len == MAC_SIZE &&
                 secret_equal(given.bytes, mac, MAC_SIZE);
    strbuf_release(&given);
    return holds;
}

/* The JSON object in a part of the token, or NULL. */
static json_t *decode_object(const char *text, size_t len)
{
    struct strbuf bytes = STRBUF_INIT, why = STRBUF_INIT;
    json_t *root = NULL;
    if (base64url_decode(&bytes, text, len) == STATUS_OK)
        json_parse(strbuf_cstr(&bytes), bytes.len, &root, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        root = NULL;
    }
    strbuf_release(&bytes);
    strbuf_release(&why);
    return root;
}

static bool header_acceptable(const json_t *header)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    return alg && strcmp(alg, "HS256") == 0 && !json_object_get(header, "crit");
}

/* Copy a string of 1..size - 1 bytes. */
static bool copy_text(const json_t *value, char *out, size_t size)
{
    size_t len = json_string_length(value); /* 0 when it is none */
    if (len == 0 || len >= size)
        return false;
    memcpy(out, json_string_value(value), len + 1);
    return true;
}

static bool take_claims(const json_t *body, int64_t now_s, struct token_claims *out)
{
    const json_t *exp = json_object_get(body, "exp"), *nbf = json_object_get(body, "nbf"),
                 *role = json_object_get(body, "role");
    if (!json_is_integer(exp) || now_s >= json_integer_value(exp) ||
        json_integer_value(exp) > EXP_MAX)
        return false;
    if (nbf && (!json_is_integer(nbf) || now_s < json_integer_value(nbf)))
        return false;
    if (json_object_get(body, "aud")) /* meant for somebody else: RFC 7519, section 4.1.3 */
        return false;
    out->exp = json_integer_value(exp);
    return copy_text(json_object_get(body, "sub"), out->sub, sizeof(out->sub)) &&
           (!role || copy_text(role, out->role, sizeof(out->role)));
}

static bool verify(const uint8_t *key, size_t key_len, const char *token, size_t token_len,
                   int64_t now_s, struct token_claims *out)
{
    if (token_len > TOKEN_MAX)
        return false;
    const char *end = token + token_len;
    const char *dot1 = memchr(token, '.', token_len);
    const char *dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
    /* The signature first: nobody without the key reaches the JSON parser. */
    if (!dot2 || !signature_holds(key, key_len, token, (size_t)(dot2 - token), dot2 + 1,
                                  (size_t)(end - dot2 - 1)))
        return false;
    json_t *header = decode_object(token, (size_t)(dot1 - token));
    json_t *body = decode_object(dot1 + 1, (size_t)(dot2 - dot1 - 1));
    bool valid = header && body && header_acceptable(header) && take_claims(body, now_s, out);
    json_decref(header);
    json_decref(body);
    return valid;
}

enum status token_verify(const uint8_t *key, size_t key_len, const char *token, size_t token_len,
                         int64_t now_s, struct token_claims *out)
{
    memset(out, 0, sizeof(*out));
    if (verify(key, key_len, token, token_len, now_s, out))
        return STATUS_OK;
    memset(out, 0, sizeof(*out));
    return STATUS_UNAUTHENTICATED;
}

const char *token_bearer(const char *header)
{
    if (!header || strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    header += 7;
    header += strspn(header, " ");
    return *header ? header : NULL;
}

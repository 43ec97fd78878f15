/* JSON Web Tokens, HS256 only (RFC 7519, RFC 8725): signed and verified with OpenSSL's EVP,
 * compared by secret_equal. `exp` and `sub` are required, `role` is a string or absent. Own code,
 * since libjwt 1.10 to 1.15, as distributions ship it, compared MACs with strcmp
 * (CVE-2024-25189). Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { TOKEN_KEY_MIN = 32, TOKEN_MAX = 4096, TOKEN_LEEWAY_S = 0 };

struct token_claims {
    char sub[128];
    char role[32]; /* "" when absent */
    int64_t exp;   /* seconds since 1970 */
};

/* Append a signed token. `key_len` >= TOKEN_KEY_MIN (checked at start by the service). */
void token_sign(const uint8_t *key, size_t key_len, const struct token_claims *claims,
                struct strbuf *out);
/* What a demo login answers: {"token", "sub", "role", "expires"}, good for 12 hours. The caller
 * owns it. `sub` and `role` fit struct token_claims. */
json_t *token_grant(const char *key, const char *sub, const char *role);
/* UNAUTHENTICATED, `out` zeroed, for anything but a valid, unexpired token: wrong shape, size over
 * TOKEN_MAX, alg other than HS256, a `crit` header, bad signature, `now_s` >= exp, exp past the
 * year 9999, `nbf` in the future, an `aud` (it would be somebody else), claims of a wrong type or
 * empty. Nothing is parsed before the signature held. */
enum status token_verify(const uint8_t *key, size_t key_len, const char *token, size_t token_len,
                         int64_t now_s, struct token_claims *out);
/* The token of "Authorization: Bearer <token>", or NULL. `header` may be NULL. */
const char *token_bearer(const char *header);

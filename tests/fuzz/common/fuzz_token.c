/* The input is verified as it stands, and as "header\nbody" behind a right signature: without
 * that a fuzzer would never get past the MAC. */
#include "../fuzz.h"
#include "secret.h"
#include "token.h"
#include <string.h>

static const uint8_t key[] = "an example key of 32 bytes, ok..";
enum { KEY_LEN = sizeof(key) - 1, NOW = 1700000000 };

static enum status verify(const char *token, size_t len, struct token_claims *out)
{
    static const struct token_claims zeros;
    enum status s = token_verify(key, KEY_LEN, token, len, NOW, out);
    require(s == STATUS_OK || s == STATUS_UNAUTHENTICATED);
    require(s == STATUS_OK || memcmp(out, &zeros, sizeof(zeros)) == 0);
    return s;
}

static void mint(const char *input, size_t len, struct strbuf *out)
{
    uint8_t mac[32];
    const char *cut = memchr(input, '\n', len);
    size_t header = cut ? (size_t)(cut - input) : 0;
    base64url_encode(out, input, header);
    strbuf_addch(out, '.');
    base64url_encode(out, cut ? cut + 1 : input, cut ? len - header - 1 : len);
    secret_hmac_sha256(key, KEY_LEN, out->bytes, out->len, mac);
    strbuf_addch(out, '.');
    base64url_encode(out, mac, sizeof(mac));
}

/* What was accepted, signed again, is accepted with the same claims. */
static void check_accepted(const struct token_claims *claims)
{
    struct token_claims again;
    struct strbuf token = STRBUF_INIT;
    require(claims->exp > NOW && claims->sub[0]);
    token_sign(key, KEY_LEN, claims, &token);
    require(verify(token.bytes, token.len, &again) == STATUS_OK);
    require(strcmp(again.sub, claims->sub) == 0 && strcmp(again.role, claims->role) == 0);
    require(again.exp == claims->exp);
    strbuf_release(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct token_claims claims;
    struct strbuf token = STRBUF_INIT;
    verify((const char *)bytes, len, &claims);
    mint((const char *)bytes, len, &token);
    if (verify(token.bytes, token.len, &claims) == STATUS_OK)
        check_accepted(&claims);
    strbuf_release(&token);
    return 0;
}

#include "login.h"
#include "clock.h"
#include "known_tokens.h"
#include "orders.h"
#include "token.h"
#include <stdio.h>
#include <string.h>

enum { DEMO_PARTNERS = 50 };

static const struct {
    const char *name;
    unsigned role;
} role_names[] = {{"customer", CUSTOMER}, {"partner", PARTNER}, {"dispatcher", DISPATCHER}};

static enum status verify(const char *key, const char *token, struct token_claims *out)
{
    size_t len = strlen(token);
    int64_t now_s = clock_unix_ms() / 1000;
    if (known_tokens_find(token, len, out) && now_s < out->exp)
        return STATUS_OK;
    enum status st = token_verify((const uint8_t *)key, strlen(key), token, len, now_s, out);
    if (!st)
        known_tokens_add(token, len, out);
    return st;
}

enum status login_bearer(struct http_request *req, const char *key, struct principal *who)
{
    const char *header = http_header(req, "Authorization");
    const char *token = token_bearer(header);
    struct token_claims claims;
    if (!header)
        return STATUS_OK;
    if (!token)
        return http_fail(req, STATUS_UNAUTHENTICATED, "only bearer tokens are taken");
    if (verify(key, token, &claims) || !name_valid(claims.sub, PERSON_MAX))
        return http_fail(req, STATUS_UNAUTHENTICATED, "the token is not valid");
    memcpy(who->id, claims.sub, strlen(claims.sub) + 1); /* PERSON_MAX bytes at most */
    who->session = claims.exp * 1000;
    for (size_t i = 0; i < sizeof(role_names) / sizeof(role_names[0]); i++) {
        if (strcmp(claims.role, role_names[i].name) == 0)
            who->roles = role_names[i].role;
    }
    return STATUS_OK;
}

/* NULL for an account that there is not. */
static const char *demo_role(const char *account)
{
    char name[16];
    if (strcmp(account, "carla") == 0)
        return "customer";
    if (strcmp(account, "dora") == 0)
        return "dispatcher";
    for (int i = 1; i <= DEMO_PARTNERS; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        if (strcmp(account, name) == 0)
            return "partner";
    }
    return NULL;
}

enum status login_demo(struct http_request *req, const char *key)
{
    const char *account, *role;
    enum status st = http_body_take(req, "{s:s !}", "account", &account);
    if (st)
        return st;
    role = demo_role(account);
    if (!role)
        return http_fail(req, STATUS_UNPROCESSABLE, "there is no such demo account");
    http_set_header(req, "Cache-Control", "no-store");
    return http_reply_json(req, 200, token_grant(key, account, role));
}

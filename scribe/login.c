#include "login.h"
#include "clock.h"
#include "json.h"
#include "token.h"
#include <stdio.h>
#include <string.h>

enum { TTL_S = 12 * 3600 };

static const char *const accounts[] = {"ada", "grace", "linus", "barbara"};

static bool is_account(const char *name)
{
    for (size_t i = 0; i < sizeof(accounts) / sizeof(accounts[0]); i++)
        if (strcmp(accounts[i], name) == 0)
            return true;
    return false;
}

static void grant(const char *token_key, const char *account, struct strbuf *out)
{
    char expires[RFC3339_SIZE];
    struct strbuf token = STRBUF_INIT;
    struct token_claims claims = {.role = "guest", .exp = clock_unix_ms() / 1000 + TTL_S};
    snprintf(claims.sub, sizeof(claims.sub), "%s", account);
    token_sign((const uint8_t *)token_key, strlen(token_key), &claims, &token);
    rfc3339_format(claims.exp * 1000, expires);
    json_t *root = json_pack("{s:s s:s s:s s:s}", "token", token.bytes, "sub", claims.sub, "role",
                             claims.role, "expires", expires);
    json_write(out, root);
    json_decref(root);
    strbuf_release(&token);
}

enum status login_demo(const char *token_key, const void *body, size_t len, struct strbuf *out,
                       struct strbuf *why)
{
    json_t *root;
    const char *account;
    enum status status = json_parse(body, len, &root, why);
    if (status != STATUS_OK)
        return status;
    status = json_take(root, why, "{s:s !}", "account", &account);
    if (status == STATUS_OK && is_account(account))
        grant(token_key, account, out);
    else if (status == STATUS_OK) {
        strbuf_addstr(why, "no such demo account");
        status = STATUS_NOT_FOUND;
    }
    json_decref(root);
    return status;
}

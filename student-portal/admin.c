#include "auth.h"
#include "handlers.h"
#include "log.h"
#include "portal.h"
#include "users_db.h"
#include <string.h>

enum { PAGE_DEFAULT = 50, PAGE_MAX = 200 };

static json_t *user_json(const struct user *user)
{
    return json_pack("{s:s, s:s, s:s?, s:b}", "account", user->account, "name", user->name, "role",
                     role_name(user->role), "disabled", user->disabled);
}

static void add_user(void *ctx, const struct user *user)
{
    json_array_append_new(ctx, user_json(user));
}

static enum status read_page(struct http_request *req, struct strbuf *after, int64_t *limit)
{
    static const char *const known[] = {"after", "limit", NULL};
    bool found;
    enum status st = http_query_only(req, known);
    if (!st)
        st = http_query_int(req, "limit", 1, PAGE_MAX, PAGE_DEFAULT, limit);
    if (!st)
        st = http_query(req, "after", after, &found);
    if (!st && found && !name_valid(strbuf_cstr(after), ACCOUNT_MAX))
        st = http_fail(req, STATUS_BAD_REQUEST, "after is an account");
    return st;
}

/* One row more was asked for than the page has: when it came, there is a next page. */
static void cut_page(struct http_request *req, json_t *rows, size_t limit)
{
    if (json_array_size(rows) <= limit)
        return;
    json_array_remove(rows, limit);
    const json_t *last = json_array_get(rows, limit - 1);
    struct strbuf link = STRBUF_INIT;
    strbuf_addf(&link, "</users?after=%s&limit=%zu>; rel=\"next\"",
                json_string_value(json_object_get(last, "account")), limit);
    http_set_header(req, "Link", link.bytes);
    strbuf_release(&link);
}

enum status get_users(struct http_request *req)
{
    int64_t limit;
    struct strbuf after = STRBUF_INIT;
    json_t *rows = json_array();
    enum status st = read_page(req, &after, &limit);
    if (!st)
        st = users_list(portal.db, strbuf_cstr(&after), limit + 1, add_user, rows);
    if (!st) {
        cut_page(req, rows, (size_t)limit);
        st = http_reply_json(req, 200, json_pack("{s:O}", "users", rows));
    }
    json_decref(rows);
    strbuf_release(&after);
    return st;
}

static enum status read_change(struct http_request *req, roles *role, int *disabled)
{
    json_t *root;
    const char *word = NULL;
    struct strbuf why = STRBUF_INIT;
    enum status st = http_body_json(req, &root);
    if (st)
        return st;
    *role = 0;
    *disabled = -1;
    st = json_take(root, &why, "{s?s, s?b !}", "role", &word, "disabled", disabled);
    if (st)
        http_fail(req, st, "%s", strbuf_cstr(&why));
    else if (!word && *disabled < 0)
        st = http_fail(req, STATUS_UNPROCESSABLE, "nothing to change: role, disabled");
    else if (word && role_parse(word, role))
        st = http_fail(req, STATUS_UNPROCESSABLE, "role is one of student, faculty and admin");
    strbuf_release(&why);
    return st;
}

enum status patch_user(struct http_request *req)
{
    roles role;
    int disabled;
    struct user user;
    const char *account = http_param(req, "user");
    enum status st = read_change(req, &role, &disabled);
    if (st)
        return st;
    if (!name_valid(account, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    if (strcmp(account, caller(req)->account) == 0)
        return http_fail(req, STATUS_CONFLICT, "one cannot change one's own role or standing");
    struct changes changes = CHANGES_INIT;
    st = users_change(portal.db, account, role, disabled, &user, &changes);
    invalidation_publish(portal.invalidation, &changes);
    changes_release(&changes);
    if (st)
        return st;
    log_info("user_changed", F("account", (const char *)user.account),
             F("role", role_name(user.role)), F("disabled", user.disabled),
             F("by", (const char *)caller(req)->account));
    return http_reply_json(req, 200, user_json(&user));
}

#include "audit.h"
#include "auth.h"
#include "handlers.h"
#include "log.h"
#include "password.h"
#include "people_db.h"
#include "portal.h"
#include "reply.h"
#include "secret.h"
#include "user_view.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 200, FIRST_PASSWORD_BYTES = 15 };

/* --- looking ---------------------------------------------------------------------------------- */

static void add_user(void *ctx, const struct user *user)
{
    json_array_append_new(ctx, user_view(user, ADMIN));
}

static enum status read_query(struct http_request *req, struct page *page, struct strbuf *search)
{
    bool found;
    enum status st = page_read(req, page, "search");
    if (!st)
        st = http_query(req, "search", search, &found);
    if (!st && page->after.len && !name_valid(strbuf_cstr(&page->after), ACCOUNT_MAX))
        st = http_fail(req, STATUS_BAD_REQUEST, "after is an account");
    if (!st && search->len > NAME_MAX_BYTES)
        st = http_fail(req, STATUS_BAD_REQUEST, "search is too long");
    return st;
}

/* "/users", and the search again for the next page. */
static void write_path(struct strbuf *path, const struct strbuf *search)
{
    strbuf_addstr(path, "/users");
    if (search->len)
        strbuf_addstr(path, "?search=");
    for (size_t i = 0; i < search->len; i++) {
        unsigned char c = (unsigned char)search->bytes[i];
        bool plain = c < 0x80 && (isalnum(c) || strchr("-._~", c));
        strbuf_addf(path, plain ? "%c" : "%%%02X", c);
    }
}

enum status get_users(struct http_request *req)
{
    struct page page;
    struct strbuf search = STRBUF_INIT, path = STRBUF_INIT;
    json_t *rows = json_array();
    enum status st = read_query(req, &page, &search);
    const struct people_query query = {strbuf_cstr(&page.after), strbuf_cstr(&search),
                                       page.limit + 1};
    if (!st)
        st = people_list(portal.db, &query, add_user, rows);
    write_path(&path, &search);
    st = page_reply(req, st, &page, path.bytes, "users", "account", rows);
    strbuf_release(&path);
    strbuf_release(&search);
    strbuf_release(&page.after);
    return st;
}

enum status get_user(struct http_request *req)
{
    struct user user;
    const char *account = http_param(req, "user");
    if (!name_valid(account, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    enum status st = people_find(portal.db, account, &user);
    return st ? st : http_reply_json(req, 200, user_view(&user, ADMIN));
}

enum status get_audit(struct http_request *req)
{
    struct page page;
    json_t *rows = json_array();
    enum status st = page_read(req, &page, NULL);
    const char *after = strbuf_cstr(&page.after);
    size_t digits = strspn(after, "0123456789");
    if (!st && (digits > 18 || after[digits]))
        st = http_fail(req, STATUS_BAD_REQUEST, "after is the id of a line");
    if (!st)
        st = audit_list(portal.db, strtoll(after, NULL, 10), page.limit + 1, rows);
    st = page_reply(req, st, &page, "/audit", "lines", "id", rows);
    strbuf_release(&page.after);
    return st;
}

/* --- changing --------------------------------------------------------------------------------- */

static enum status take_change(struct http_request *req, const char *fmt,
                               struct person_change *change)
{
    const char *role = NULL;
    enum status st = http_body_take(req, fmt, "name", &change->name, "role", &role, "disabled",
                                    &change->disabled);
    if (st)
        return st;
    if (role && role_parse(role, &change->role))
        st = http_fail(req, STATUS_UNPROCESSABLE, "role is one of student, faculty and admin");
    else if (change->name &&
             !text_valid(change->name, strlen(change->name), 1, NAME_MAX_BYTES, false))
        st = http_fail(req, STATUS_UNPROCESSABLE, "name is 1 to %d bytes of text", NAME_MAX_BYTES);
    return st;
}

/* Nobody takes their own rights, and then cannot give them back. */
static enum status check_other(struct http_request *req, const struct person_change *change)
{
    if (!name_valid(change->account, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    if (strcmp(change->account, caller(req)->account) == 0)
        return http_fail(req, STATUS_CONFLICT, "one cannot change one's own role or standing");
    return STATUS_OK;
}

enum status patch_user(struct http_request *req)
{
    struct person_change change = {.account = http_param(req, "user"),
                                   .disabled = -1,
                                   .by = audit_actor(req),
                                   .changes = CHANGES_INIT};
    enum status st = take_change(req, "{s?s, s?s, s?b !}", &change);
    if (!st && !change.name && !change.role && change.disabled < 0)
        st = http_fail(req, STATUS_UNPROCESSABLE, "nothing to change: name, role, disabled");
    if (!st)
        st = check_other(req, &change);
    if (st)
        return st;
    st = person_change(portal.db, &change);
    portal_publish(st, &change.changes);
    if (st == STATUS_CONFLICT)
        http_fail(req, st, "they teach courses: give these to somebody else first");
    if (!st)
        st = http_reply_json(req, 200, user_view(&change.user, ADMIN));
    return st;
}

/* --- passwords: on the hashing pool ----------------------------------------------------------- */

/* A password that nobody has chosen, to be told once. */
static enum status first_password(struct strbuf *text, char hash[PASSWORD_HASH_SIZE])
{
    uint8_t bytes[FIRST_PASSWORD_BYTES];
    secret_random(bytes, sizeof(bytes));
    base64url_encode(text, bytes, sizeof(bytes));
    secret_wipe(bytes, sizeof(bytes));
    return password_hash(text->bytes, text->len, hash);
}

static enum status reply_password(struct http_request *req, int code, const struct user *user,
                                  struct strbuf *password)
{
    json_t *view = user_view(user, ADMIN);
    json_object_set_new(view, "password", json_string(password->bytes));
    return http_reply_json(req, code, view);
}

static void wipe(struct strbuf *text)
{
    secret_wipe(text->bytes, text->len);
    strbuf_release(text);
}

static enum status take_person(struct http_request *req, struct person_change *change)
{
    enum status st = take_change(req, "{s:s, s:s !}", change);
    if (!st && !name_valid(change->account, ACCOUNT_MAX))
        st = http_fail(req, STATUS_UNPROCESSABLE,
                       "an account is 1 to %d of letters, digits, dot, dash and underscore",
                       ACCOUNT_MAX);
    return st;
}

static enum status create_hashed(struct http_request *req)
{
    char hash[PASSWORD_HASH_SIZE];
    struct strbuf password = STRBUF_INIT;
    struct person_change change = {
        .account = http_param(req, "user"), .by = audit_actor(req), .password = hash};
    enum status st = take_person(req, &change);
    if (!st)
        st = first_password(&password, hash);
    if (!st)
        st = person_create(portal.db, &change);
    if (st == STATUS_CONFLICT)
        http_fail(req, st, "that account is taken");
    if (!st)
        st = reply_password(req, 201, &change.user, &password);
    wipe(&password);
    return st;
}

/* What is refused needs no hash. */
enum status put_user(struct http_request *req)
{
    struct person_change change = {.account = http_param(req, "user")};
    enum status st = take_person(req, &change);
    return st ? st : http_continue(req, portal.hashing, create_hashed);
}

static enum status reset_hashed(struct http_request *req)
{
    char hash[PASSWORD_HASH_SIZE];
    struct strbuf password = STRBUF_INIT;
    struct person_change change = {.account = http_param(req, "user"),
                                   .disabled = -1,
                                   .by = audit_actor(req),
                                   .password = hash,
                                   .changes = CHANGES_INIT};
    enum status st = first_password(&password, hash);
    if (!st)
        st = person_change(portal.db, &change);
    portal_publish(st, &change.changes);
    if (!st)
        st = reply_password(req, 200, &change.user, &password);
    wipe(&password);
    return st;
}

enum status post_password_reset(struct http_request *req)
{
    struct user user;
    const char *account = http_param(req, "user");
    if (!name_valid(account, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    enum status st = people_find(portal.db, account, &user);
    return st ? st : http_continue(req, portal.hashing, reset_hashed);
}

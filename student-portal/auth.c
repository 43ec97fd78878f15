#include "auth.h"
#include "cookie.h"
#include "portal.h"
#include "secret.h"
#include "users_db.h"
#include <stdio.h>
#include <string.h>

/* The __Host- prefix makes browsers refuse the cookie from anywhere but this host over TLS. */
static const char *cookie_name(const struct http_request *req)
{
    return http_is_tls(req) ? "__Host-session" : "session";
}

enum status auth_session_id(const struct http_request *req, char id[SESSION_ID_SIZE], bool *found)
{
    return cookie_get(http_header(req, "Cookie"), cookie_name(req), id, SESSION_ID_SIZE, found);
}

void auth_set_cookie(struct http_request *req, const char *id)
{
    char value[192];
    snprintf(value, sizeof(value), "%s=%s; Path=/; Max-Age=%lld%s; HttpOnly; SameSite=Lax",
             cookie_name(req), id ? id : "", id ? (long long)portal.session_absolute_s : 0LL,
             http_is_tls(req) ? "; Secure" : "");
    http_set_header(req, "Set-Cookie", value);
    secret_wipe(value, sizeof(value));
}

const struct user *caller(const struct http_request *req)
{
    return &caller_page(req)->user;
}

const struct near_entry *caller_page(const struct http_request *req)
{
    return ((struct visit *)http_state(req))->entry;
}

const char *caller_page_source(const struct http_request *req)
{
    return ((struct visit *)http_state(req))->how;
}

static bool changes_state(const struct http_request *req)
{
    enum method m = http_method(req);
    return m != GET && m != HEAD && m != OPTIONS;
}

static enum status check_csrf(struct http_request *req, const char *id)
{
    char expected[SESSION_ID_SIZE];
    const char *token = http_header(req, "X-CSRF-Token");
    if (!changes_state(req))
        return STATUS_OK;
    session_csrf(id, expected);
    if (!token || strlen(token) != strlen(expected) ||
        !secret_equal(token, expected, strlen(expected)))
        return http_fail(req, STATUS_FORBIDDEN,
                         "X-CSRF-Token must be the csrf_token of POST /login or GET /me");
    return STATUS_OK;
}

static bool is_standing(const struct user *user, const struct session *session)
{
    return !user->disabled && user->session_gen == session->gen;
}

/* Ask Redis and the database. */
static enum status find_user(struct visit *v)
{
    struct session session;
    struct user user;
    enum status st = session_find(portal.sessions, v->session_id, &session);
    if (!st)
        st = users_get(portal.db, session.user_id, &user);
    if (st == STATUS_NOT_FOUND || (!st && !is_standing(&user, &session))) {
        session_forget(portal.sessions, v->session_id);
        st = STATUS_UNAUTHENTICATED;
    }
    if (!st)
        v->entry = near_entry_new(&user, NULL, 0);
    return st;
}

/* Ask this process' memory; it only admits. */
static bool find_page(struct visit *v)
{
    struct session session;
    if (session_peek(portal.sessions, v->session_id, &session))
        return false;
    v->entry = near_get(portal.near, session.user_id);
    if (v->entry && is_standing(&v->entry->user, &session)) {
        v->how = fills_near_hit(portal.fills);
        return true;
    }
    near_entry_unref(v->entry);
    v->entry = NULL;
    return false;
}

/* A visit for the session of the cookie. */
static enum status begin_visit(struct http_request *req, struct visit **out)
{
    char id[SESSION_ID_SIZE];
    bool found;
    enum status st = auth_session_id(req, id, &found);
    if (!st && !found)
        st = STATUS_UNAUTHENTICATED;
    if (st)
        return st;
    *out = xcalloc(1, sizeof(**out));
    memcpy((*out)->session_id, id, sizeof(id));
    secret_wipe(id, sizeof(id));
    http_set_state(req, *out, visit_release);
    return STATUS_OK;
}

/* Called twice for one request, when it was left to the loader or the pool. */
static enum status find_caller(struct http_request *req, struct visit **out)
{
    bool page = http_route(req)->run == INLINE_OR_POOL;
    struct visit *v = *out = http_state(req);
    if (!v) {
        enum status st = begin_visit(req, out);
        v = *out;
        if (st || (page && find_page(v)))
            return st;
        if (page)
            return http_leave(req, loader_keep, portal.loader);
    }
    if (page)
        return v->st;
    return http_on_pool(req) ? find_user(v) : STATUS_NEEDS_POOL;
}

enum status authenticate(struct http_request *req, struct principal *who)
{
    struct visit *v = NULL;
    enum status st = find_caller(req, &v);
    if (st == STATUS_UNAUTHENTICATED)
        http_set_header(req, "WWW-Authenticate", "Cookie");
    if (!st)
        st = check_csrf(req, v->session_id);
    if (st)
        return st;
    snprintf(who->id, sizeof(who->id), "%s", v->entry->user.account);
    who->roles = v->entry->user.role;
    return STATUS_OK;
}

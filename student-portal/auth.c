#include "auth.h"
#include "cookie.h"
#include "portal.h"
#include "secret.h"
#include "users_db.h"
#include <stdio.h>
#include <stdlib.h>
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
    return http_state(req);
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

/* The session's user when both still stand; UNAUTHENTICATED otherwise. */
static enum status standing_user(const char *id, struct user *user)
{
    struct session session;
    enum status st = session_find(portal.sessions, id, &session);
    if (!st)
        st = users_get(portal.db, session.user_id, user);
    if (st == STATUS_NOT_FOUND || (!st && (user->disabled || user->session_gen != session.gen))) {
        session_forget(portal.sessions, id);
        st = STATUS_UNAUTHENTICATED;
    }
    return st;
}

static void admit(struct http_request *req, const struct user *user, struct principal *who)
{
    struct user *kept = xmalloc(sizeof(*kept));
    *kept = *user;
    http_set_state(req, kept, free);
    snprintf(who->id, sizeof(who->id), "%s", user->account);
    who->roles = user->role;
}

enum status authenticate(struct http_request *req, struct principal *who)
{
    char id[SESSION_ID_SIZE];
    struct user user;
    bool found;
    enum status st = auth_session_id(req, id, &found);
    if (!st && !found)
        st = STATUS_UNAUTHENTICATED;
    if (!st && !http_on_pool(req))
        return STATUS_NEEDS_POOL;
    if (!st)
        st = standing_user(id, &user);
    if (st == STATUS_UNAUTHENTICATED)
        http_set_header(req, "WWW-Authenticate", "Cookie");
    if (!st)
        st = check_csrf(req, id);
    if (!st)
        admit(req, &user, who);
    secret_wipe(id, sizeof(id));
    return st;
}

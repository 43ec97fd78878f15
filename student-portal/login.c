#include "auth.h"
#include "clock.h"
#include "handlers.h"
#include "log.h"
#include "password.h"
#include "portal.h"
#include "secret.h"
#include "user_view.h"
#include "users_db.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One attempt, from the pool of requests to the pool of hashing. */
struct attempt {
    char account[ACCOUNT_MAX + 1], address[64];
    char password[PASSWORD_MAX + 1];
    struct user user;
    char hash[PASSWORD_HASH_SIZE]; /* "" when there is no such user */
    bool looked_at;
};

static void attempt_free(void *state)
{
    struct attempt *a = state;
    if (!a->looked_at)
        throttle_refund(portal.throttle, a->account, a->address);
    secret_wipe(a, sizeof(*a));
    free(a);
}

/* What the request still holds of the password goes before its memory does. */
static void wipe_body(struct http_request *req, const char *password)
{
    size_t len;
    const uint8_t *body = http_body(req, &len);
    secret_wipe((void *)(uintptr_t)body, len);
    secret_wipe((void *)(uintptr_t)password, strlen(password));
}

static enum status read_credentials(struct http_request *req, struct attempt *a)
{
    const char *account, *password;
    enum status st =
        http_body_take(req, "{s:s, s:s !}", "account", &account, "password", &password);
    if (st)
        return st;
    if (!name_valid(account, ACCOUNT_MAX) || strlen(password) > PASSWORD_MAX)
        st = http_fail(req, STATUS_UNPROCESSABLE, "that cannot be an account and a password");
    if (!st) {
        snprintf(a->account, sizeof(a->account), "%s", account);
        snprintf(a->password, sizeof(a->password), "%s", password);
        snprintf(a->address, sizeof(a->address), "%s", http_client_ip(req));
        wipe_body(req, password);
    }
    return st;
}

static enum status admit_attempt(struct http_request *req, struct attempt *a)
{
    unsigned wait_s;
    char seconds[16];
    enum status st =
        throttle_admit(portal.throttle, a->account, a->address, clock_mono_ms(), &wait_s);
    if (!st)
        return st;
    snprintf(seconds, sizeof(seconds), "%u", wait_s);
    http_set_header(req, "Retry-After", seconds);
    return http_fail(req, st, "too many failed logins; try again in %u s", wait_s);
}

/* A hash made with other parameters than today's is replaced while the password is at hand. */
static void upgrade_hash(const struct attempt *a)
{
    struct password_parts parts;
    char hash[PASSWORD_HASH_SIZE];
    password_parse(a->hash, &parts);
    if (parts.m_kib == PASSWORD_M_KIB && parts.t == PASSWORD_T && parts.p == PASSWORD_P)
        return;
    if (!password_hash(a->password, strlen(a->password), hash))
        users_rehash(portal.db, a->user.id, a->hash, hash);
}

static json_t *me_json(const struct user *user, const char *csrf)
{
    json_t *me = user_view(user, ONESELF);
    json_object_set_new(me, "csrf_token", json_string(csrf));
    return me;
}

/* A new session always, never one that came with the request: nobody can plant the id. */
static enum status log_in(struct http_request *req, const struct user *user)
{
    char id[SESSION_ID_SIZE], csrf[SESSION_ID_SIZE];
    bool had_one;
    if (auth_session_id(req, id, &had_one) == STATUS_OK && had_one)
        session_forget(portal.sessions, id);
    enum status st = session_create(portal.sessions, user->id, user->session_gen, id);
    if (st)
        return st;
    auth_set_cookie(req, id);
    session_csrf(id, csrf);
    secret_wipe(id, sizeof(id));
    log_info("login", F("account", (const char *)user->account));
    return http_reply_json(req, 200, me_json(user, csrf));
}

/* On the hashing pool. */
static enum status check_password(struct http_request *req)
{
    struct attempt *a = http_state(req);
    const char *hash = a->hash[0] && !a->user.disabled ? a->hash : NULL;
    enum status st = password_verify(hash, a->password, strlen(a->password));
    a->looked_at = st != STATUS_OVERLOADED;
    if (st == STATUS_UNAUTHENTICATED) {
        log_warn("login_refused", F("account", (const char *)a->account),
                 F("address", (const char *)a->address));
        throttle_failed(portal.throttle, a->account, a->address, clock_mono_ms());
        http_set_header(req, "WWW-Authenticate", "Cookie");
        return http_fail(req, st, "account or password is wrong");
    }
    if (st)
        return st;
    throttle_verified(portal.throttle, a->account, a->address);
    upgrade_hash(a);
    return log_in(req, &a->user);
}

enum status post_login(struct http_request *req)
{
    struct strbuf why = STRBUF_INIT;
    bool up = redis_health(portal.redis, &why);
    strbuf_release(&why);
    if (!up)
        return http_fail(req, STATUS_UNAVAILABLE, "no logins while the session store is down");
    struct attempt *a = xcalloc(1, sizeof(*a));
    a->looked_at = true; /* not counted yet: nothing to take back */
    http_set_state(req, a, attempt_free);
    enum status st = read_credentials(req, a);
    if (!st)
        st = admit_attempt(req, a);
    if (st)
        return st;
    a->looked_at = false;
    st = users_find(portal.db, a->account, &a->user, a->hash);
    if (st && st != STATUS_NOT_FOUND)
        return st;
    return http_continue(req, portal.hashing, check_password);
}

/* Ends every session of the user: what the database says holds when Redis is down, and when it
 * comes back with yesterday's snapshot. */
enum status post_logout(struct http_request *req)
{
    char id[SESSION_ID_SIZE];
    bool found;
    struct user user;
    struct changes changes = CHANGES_INIT;
    enum status st = users_change(portal.db, caller(req)->account, 0, -1, &user, &changes);
    invalidation_publish(portal.invalidation, &changes);
    changes_release(&changes);
    if (st)
        return st;
    if (auth_session_id(req, id, &found) == STATUS_OK && found)
        session_forget(portal.sessions, id);
    secret_wipe(id, sizeof(id));
    auth_set_cookie(req, NULL);
    return http_reply(req, 204, NULL, NULL, 0);
}

enum status get_me(struct http_request *req)
{
    char id[SESSION_ID_SIZE], csrf[SESSION_ID_SIZE];
    bool found;
    const struct user *user = caller(req);
    enum status st = auth_session_id(req, id, &found);
    if (st)
        return st;
    session_csrf(id, csrf);
    secret_wipe(id, sizeof(id));
    return http_reply_json(req, 200, me_json(user, csrf));
}

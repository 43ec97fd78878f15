#include "auth.h"
#include "clock.h"
#include "handlers.h"
#include "log.h"
#include "password.h"
#include "people_db.h"
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

static void wipe(const void *bytes, size_t len)
{
    secret_wipe((void *)(uintptr_t)bytes, len);
}

/* What the request still holds of a password goes before its memory does. */
static void wipe_password(struct http_request *req, const char *password)
{
    size_t len;
    const uint8_t *body = http_body(req, &len);
    wipe(body, len);
    wipe(password, strlen(password));
}

static enum status need_redis(struct http_request *req)
{
    struct strbuf why = STRBUF_INIT;
    bool up = redis_health(portal.redis, &why);
    strbuf_release(&why);
    return up ? STATUS_OK
              : http_fail(req, STATUS_UNAVAILABLE, "no logins while the session store is down");
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
        wipe_password(req, password);
    }
    return st;
}

static enum status admit_attempt(struct http_request *req, const char *account)
{
    unsigned wait_s;
    char seconds[16];
    enum status st =
        throttle_admit(portal.throttle, account, http_client_ip(req), clock_mono_ms(), &wait_s);
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

/* On the hashing pool, of an attempt that was admitted. */
static enum status verify(struct http_request *req, const char *account, const char *hash,
                          const char *password)
{
    const char *address = http_client_ip(req);
    enum status st = password_verify(hash, password, strlen(password));
    if (st == STATUS_UNAUTHENTICATED) {
        log_warn("password_refused", F("account", account), F("address", address));
        throttle_failed(portal.throttle, account, address, clock_mono_ms());
    } else if (st) {
        throttle_refund(portal.throttle, account, address);
    } else {
        throttle_verified(portal.throttle, account, address);
    }
    return st;
}

/* On the hashing pool. */
static enum status check_password(struct http_request *req)
{
    struct attempt *a = http_state(req);
    const char *hash = a->hash[0] && !a->user.disabled ? a->hash : NULL;
    enum status st = verify(req, a->account, hash, a->password);
    a->looked_at = true;
    if (st == STATUS_UNAUTHENTICATED) {
        http_set_header(req, "WWW-Authenticate", "Cookie");
        return http_fail(req, st, "account or password is wrong");
    }
    if (st)
        return st;
    upgrade_hash(a);
    return log_in(req, &a->user);
}

enum status post_login(struct http_request *req)
{
    enum status st = need_redis(req);
    if (st)
        return st;
    struct attempt *a = xcalloc(1, sizeof(*a));
    a->looked_at = true; /* not counted yet: nothing to take back */
    http_set_state(req, a, attempt_free);
    st = read_credentials(req, a);
    if (!st)
        st = admit_attempt(req, a->account);
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
    struct changes changes = CHANGES_INIT;
    enum status st = users_end_sessions(portal.db, caller(req)->id, &changes);
    portal_publish(st, &changes);
    if (st)
        return st;
    if (auth_session_id(req, id, &found) == STATUS_OK && found)
        session_forget(portal.sessions, id);
    secret_wipe(id, sizeof(id));
    auth_set_cookie(req, NULL);
    return http_reply(req, 204, NULL, NULL, 0);
}

/* --- one's own password ----------------------------------------------------------------------- */

static enum status read_passwords(struct http_request *req, const char **old, const char **fresh)
{
    enum status st = http_body_take(req, "{s:s, s:s !}", "old", old, "new", fresh);
    if (!st && (strlen(*old) > PASSWORD_MAX || strlen(*fresh) < PASSWORD_MIN ||
                strlen(*fresh) > PASSWORD_MAX))
        st = http_fail(req, STATUS_UNPROCESSABLE, "new is a password of %d to %d bytes",
                       PASSWORD_MIN, PASSWORD_MAX);
    return st;
}

/* It ends every session, and so begins a new one here. */
static enum status replace_password(struct http_request *req, const char *hash)
{
    struct user user = *caller(req);
    struct person_change change = {.account = user.account,
                                   .disabled = -1,
                                   .session_gen = user.session_gen,
                                   .by = audit_actor(req),
                                   .password = hash,
                                   .changes = CHANGES_INIT};
    enum status st = person_change(portal.db, &change);
    portal_publish(st, &change.changes);
    if (st)
        return st == STATUS_NOT_FOUND ? STATUS_UNAUTHENTICATED : st;
    user.session_gen++;
    st = log_in(req, &user);
    return st ? http_fail(req, st, "the password was changed; log in with it") : STATUS_OK;
}

static enum status check_old(struct http_request *req, const char *old)
{
    char hash[PASSWORD_HASH_SIZE];
    const char *account = caller(req)->account;
    struct user user;
    enum status st = users_find(portal.db, account, &user, hash);
    if (!st)
        st = admit_attempt(req, account);
    if (!st)
        st = verify(req, account, hash, old);
    return st == STATUS_UNAUTHENTICATED
               ? http_fail(req, STATUS_FORBIDDEN, "old is not your password")
               : st;
}

/* On the hashing pool. */
static enum status check_and_replace(struct http_request *req)
{
    char hash[PASSWORD_HASH_SIZE];
    const char *old = "", *fresh = "";
    enum status st = read_passwords(req, &old, &fresh);
    if (!st)
        st = check_old(req, old);
    if (!st)
        st = password_hash(fresh, strlen(fresh), hash);
    wipe_password(req, old);
    wipe(fresh, strlen(fresh));
    return st ? st : replace_password(req, hash);
}

/* What is refused needs no hash. */
enum status post_password(struct http_request *req)
{
    const char *old, *fresh;
    enum status st = need_redis(req);
    if (!st)
        st = read_passwords(req, &old, &fresh);
    return st ? st : http_continue(req, portal.hashing, check_and_replace);
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

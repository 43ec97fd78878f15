#include "access.h"
#include "auth.h"
#include "checkin_db.h"
#include "clock.h"
#include "handlers.h"
#include "portal.h"
#include "reply.h"

enum { MINUTES_DEFAULT = 15, MINUTES_MAX = 180 };

/* --- the teacher's wall ----------------------------------------------------------------------- */

static json_t *wall_json(const struct check_in_wall *wall)
{
    char until[RFC3339_SIZE], code[CHECK_IN_CODE_SIZE];
    if (!wall->open)
        return json_pack("{s:b, s:I}", "open", 0, "checked_in", (json_int_t)wall->checked_in);
    rfc3339_format(wall->until_ms, until);
    check_in_code(wall->key, wall->now_ms, code);
    return json_pack("{s:b, s:I, s:s, s:I, s:s}", "open", 1, "checked_in",
                     (json_int_t)wall->checked_in, "code", code, "code_ms",
                     (json_int_t)check_in_code_left(wall->now_ms), "until", until);
}

enum status get_check_in(struct http_request *req)
{
    int64_t session;
    struct check_in_wall wall;
    enum status st = session_param(req, &session);
    if (!st)
        st = check_in_look(portal.db, session, &wall);
    return st ? st : http_reply_json(req, 200, wall_json(&wall));
}

static enum status read_minutes(struct http_request *req, int *minutes)
{
    *minutes = MINUTES_DEFAULT;
    enum status st = http_body_take(req, "{s?i !}", "minutes", minutes);
    if (!st && (*minutes < 1 || *minutes > MINUTES_MAX))
        st = http_fail(req, STATUS_UNPROCESSABLE, "minutes is 1 to %d", MINUTES_MAX);
    return st;
}

enum status put_check_in(struct http_request *req)
{
    int64_t session;
    int minutes;
    const struct audit_actor by = audit_actor(req);
    enum status st = session_param(req, &session);
    if (!st)
        st = read_minutes(req, &minutes);
    if (!st)
        st = check_in_open(portal.db, session, minutes, &by);
    return st ? st : get_check_in(req);
}

enum status delete_check_in(struct http_request *req)
{
    int64_t session;
    const struct audit_actor by = audit_actor(req);
    enum status st = session_param(req, &session);
    if (!st)
        st = check_in_close(portal.db, session, &by);
    return st ? st : http_reply(req, 204, NULL, NULL, 0);
}

/* --- the student ------------------------------------------------------------------------------ */

static enum status reply_outcome(struct http_request *req, const struct check_in *attempt)
{
    static const struct {
        enum status status;
        const char *detail;
    } outcomes[] = {
        [CHECK_IN_DONE] = {STATUS_OK, NULL},
        [CHECK_IN_ALREADY] = {STATUS_OK, NULL},
        [CHECK_IN_MARKED] = {STATUS_CONFLICT, "your teacher has already marked this session"},
        [CHECK_IN_CLOSED] = {STATUS_CONFLICT, "check-in is not open"},
        [CHECK_IN_WRONG] = {STATUS_UNPROCESSABLE, "that is not the code on the wall"},
        [CHECK_IN_BLOCKED] = {STATUS_FORBIDDEN, "too many wrong codes; ask your teacher"},
    };
    if (outcomes[attempt->outcome].status)
        return http_fail(req, outcomes[attempt->outcome].status, "%s",
                         outcomes[attempt->outcome].detail);
    return http_reply_json(req, 200,
                           json_pack("{s:s, s:s}", "session", http_param(req, "session"), "mark",
                                     mark_name(attempt->mark)));
}

enum status post_check_in(struct http_request *req)
{
    struct check_in attempt = {
        .account = caller(req)->account, .by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = session_param(req, &attempt.session);
    if (!st)
        st = http_body_take(req, "{s:s !}", "code", &attempt.code);
    if (!st)
        st = check_in_try(portal.db, &attempt);
    portal_publish(st, &attempt.changes);
    if (!st)
        st = reply_outcome(req, &attempt);
    return st;
}

enum status get_own_check_ins(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = check_in_offers(portal.db, caller(req)->id, rows);
    return reply_rows(req, st, "sessions", rows);
}

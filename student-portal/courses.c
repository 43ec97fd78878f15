#include "access.h"
#include "attendance.h"
#include "auth.h"
#include "clock.h"
#include "courses_db.h"
#include "handlers.h"
#include "portal.h"
#include "reply.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum status get_courses(struct http_request *req)
{
    json_t *rows = json_array();
    const struct user *me = caller(req);
    enum status st = courses_list(portal.db, me->role == ADMIN ? 0 : me->id, rows);
    return reply_rows(req, st, "courses", rows);
}

static enum status read_course(struct http_request *req, struct course_change *change)
{
    enum status st =
        http_body_take(req, "{s:s, s:s !}", "title", &change->title, "teacher", &change->teacher);
    if (st)
        return st;
    if (!text_valid(change->title, strlen(change->title), 1, TITLE_MAX, false))
        st = http_fail(req, STATUS_UNPROCESSABLE, "title is 1 to %d bytes of text", TITLE_MAX);
    else if (!name_valid(change->code, COURSE_MAX))
        st = http_fail(req, STATUS_UNPROCESSABLE,
                       "a course's code is 1 to %d of letters, digits, dot, dash and underscore",
                       COURSE_MAX);
    return st;
}

enum status put_course(struct http_request *req)
{
    struct course_change change = {
        .code = http_param(req, "course"), .by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = read_course(req, &change);
    if (st)
        return st;
    st = course_put(portal.db, &change);
    portal_publish(st, &change.changes);
    if (st == STATUS_UNPROCESSABLE)
        http_fail(req, st, "teacher is the account of somebody of the faculty");
    if (!st) {
        st = http_reply_json(req, change.created ? 201 : 200,
                             json_pack("{s:s, s:s, s:s}", "course", change.code, "title",
                                       change.title, "teacher", change.teacher));
    }
    return st;
}

enum status get_course_students(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = course_students(portal.db, http_param(req, "course"), caller(req)->role, rows);
    return reply_rows(req, st, "students", rows);
}

static enum status change_enrolment(struct http_request *req,
                                    enum status (*change)(struct db *db, struct enrolment *e))
{
    struct enrolment e = {.course = http_param(req, "course"),
                          .student = http_param(req, "student"),
                          .by = audit_actor(req),
                          .changes = CHANGES_INIT};
    if (!name_valid(e.course, COURSE_MAX) || !name_valid(e.student, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    enum status st = change(portal.db, &e);
    portal_publish(st, &e.changes);
    if (st == STATUS_CONFLICT)
        http_fail(req, st, "only students are enrolled");
    if (!st)
        st = http_reply(req, 204, NULL, NULL, 0);
    return st;
}

enum status put_enrolment(struct http_request *req)
{
    return change_enrolment(req, enrolment_add);
}

enum status delete_enrolment(struct http_request *req)
{
    return change_enrolment(req, enrolment_remove);
}

/* --- class sessions --------------------------------------------------------------------------- */

enum status get_course_sessions(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = course_sessions(portal.db, http_param(req, "course"), rows);
    return reply_rows(req, st, "sessions", rows);
}

/* 2000-01-01 to 2100-01-01, in whole minutes. */
static bool is_class_time(int64_t unix_ms)
{
    return unix_ms >= 946684800000 && unix_ms < 4102444800000 && unix_ms % 60000 == 0;
}

static enum status read_start(struct http_request *req, int64_t *starts_ms)
{
    const char *text;
    enum status st = http_body_take(req, "{s:s !}", "starts_at", &text);
    if (!st && (rfc3339_parse(text, starts_ms) || !is_class_time(*starts_ms)))
        st = http_fail(req, STATUS_UNPROCESSABLE,
                       "starts_at is a time such as 2026-01-31T09:00:00Z, in whole minutes");
    return st;
}

static enum status reply_session(struct http_request *req, const struct session_change *change)
{
    char id[24], starts_at[RFC3339_SIZE];
    snprintf(id, sizeof(id), "%" PRId64, change->session);
    rfc3339_format(change->starts_ms, starts_at);
    memcpy(starts_at + 19, "Z", 2); /* as in the lists, without the fraction */
    return http_reply_json(req, change->created ? 201 : 200,
                           json_pack("{s:s, s:s}", "session", id, "starts_at", starts_at));
}

enum status post_session(struct http_request *req)
{
    struct session_change change = {
        .course = http_param(req, "course"), .by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = read_start(req, &change.starts_ms);
    if (!st)
        st = session_add(portal.db, &change);
    portal_publish(st, &change.changes);
    if (!st)
        st = reply_session(req, &change);
    return st;
}

enum status delete_session(struct http_request *req)
{
    struct session_change change = {.by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = session_param(req, &change.session);
    if (!st)
        st = session_remove(portal.db, &change);
    portal_publish(st, &change.changes);
    if (st == STATUS_CONFLICT)
        http_fail(req, st, "this session has marks");
    if (!st)
        st = http_reply(req, 204, NULL, NULL, 0);
    return st;
}

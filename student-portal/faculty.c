#include "attendance_db.h"
#include "auth.h"
#include "handlers.h"
#include "portal.h"
#include <stdlib.h>
#include <string.h>

/* The {session} of the path; NOT_FOUND for what cannot be the id of one. */
static enum status session_param(const struct http_request *req, int64_t *out)
{
    const char *text = http_param(req, "session");
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] || text[0] == '0')
        return STATUS_NOT_FOUND;
    *out = strtoll(text, NULL, 10);
    return STATUS_OK;
}

enum status teaches_session(struct http_request *req)
{
    int64_t session;
    enum status st = session_param(req, &session);
    if (st)
        return st;
    return session_taught_by(portal.db, session, caller(req)->id);
}

enum status teaches_course(struct http_request *req)
{
    const char *course = http_param(req, "course");
    if (!name_valid(course, COURSE_MAX))
        return STATUS_NOT_FOUND;
    return course_taught_by(portal.db, course, caller(req)->id);
}

/* A reply {"<name>": rows}. */
static enum status reply_rows(struct http_request *req, enum status st, const char *name,
                              json_t *rows)
{
    if (!st)
        return http_reply_json(req, 200, json_pack("{s:o}", name, rows));
    json_decref(rows);
    return st;
}

enum status get_courses(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = courses_of_teacher(portal.db, caller(req)->id, rows);
    return reply_rows(req, st, "courses", rows);
}

enum status get_course_sessions(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = sessions_of_course(portal.db, http_param(req, "course"), rows);
    return reply_rows(req, st, "sessions", rows);
}

enum status get_session_attendance(struct http_request *req)
{
    int64_t session;
    enum status st = session_param(req, &session);
    if (st)
        return st;
    json_t *rows = json_array();
    st = attendance_roster(portal.db, session, rows);
    return reply_rows(req, st, "students", rows);
}

static enum status read_mark(struct http_request *req, enum mark *out)
{
    json_t *root;
    const char *word;
    struct strbuf why = STRBUF_INIT;
    enum status st = http_body_json(req, &root);
    if (st)
        return st;
    st = json_take(root, &why, "{s:s !}", "mark", &word);
    if (st)
        http_fail(req, st, "%s", strbuf_cstr(&why));
    else if (mark_parse(word, out))
        st = http_fail(req, STATUS_UNPROCESSABLE,
                       "mark is one of present, late, absent and excused");
    strbuf_release(&why);
    return st;
}

enum status put_attendance(struct http_request *req)
{
    struct attendance_mark mark = {.student = http_param(req, "student"), .by = caller(req)->id};
    if (!name_valid(mark.student, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    enum status st = session_param(req, &mark.session);
    if (!st)
        st = read_mark(req, &mark.mark);
    if (!st)
        st = attendance_set(portal.db, &mark);
    invalidation_publish(portal.invalidation, &mark.changes);
    changes_release(&mark.changes);
    if (st)
        return st;
    return http_reply_json(req, 200,
                           json_pack("{s:s, s:s, s:s, s:s}", "session", http_param(req, "session"),
                                     "student", mark.student, "mark", mark_name(mark.mark),
                                     "marked_by", caller(req)->account));
}

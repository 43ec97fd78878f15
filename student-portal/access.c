#include "access.h"
#include "attendance.h"
#include "auth.h"
#include "json.h"
#include "portal.h"
#include "rows.h"
#include <stdlib.h>
#include <string.h>

enum status session_param(const struct http_request *req, int64_t *out)
{
    const char *text = http_param(req, "session");
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] || text[0] == '0')
        return STATUS_NOT_FOUND;
    *out = strtoll(text, NULL, 10);
    return STATUS_OK;
}

enum status teaches_course(struct http_request *req)
{
    const char *course = http_param(req, "course");
    if (!name_valid(course, COURSE_MAX))
        return STATUS_NOT_FOUND;
    return sql_exists(portal.db, "SELECT 1 FROM courses WHERE code = ? AND teacher_id = ?",
                      SQL(SQL_TEXT(course), SQL_I64(caller(req)->id)));
}

enum status sees_course(struct http_request *req)
{
    const char *course = http_param(req, "course");
    if (caller(req)->role != ADMIN)
        return teaches_course(req);
    if (!name_valid(course, COURSE_MAX))
        return STATUS_NOT_FOUND;
    return sql_exists(portal.db, "SELECT 1 FROM courses WHERE code = ?", SQL(SQL_TEXT(course)));
}

/* Is the caller in that session, as `sql` says of (session, user)? */
static enum status is_in_session(struct http_request *req, const char *sql)
{
    int64_t session;
    enum status st = session_param(req, &session);
    if (st)
        return st;
    return sql_exists(portal.db, sql, SQL(SQL_I64(session), SQL_I64(caller(req)->id)));
}

enum status teaches_session(struct http_request *req)
{
    return is_in_session(req, "SELECT 1 FROM class_sessions s JOIN courses c ON c.id = s.course_id"
                              " WHERE s.id = ? AND c.teacher_id = ?");
}

enum status attends_session(struct http_request *req)
{
    return is_in_session(req, "SELECT 1 FROM class_sessions s JOIN enrolments e ON e.course_id ="
                              " s.course_id WHERE s.id = ? AND e.student_id = ?");
}

#include "handlers.h"
#include "portal.h"
#include "reply.h"
#include "rows.h"

/* Figures of the whole school, each with what counts it. */
#define FIGURES(FIGURE)                                                                            \
    FIGURE("students", "SELECT COUNT(*) FROM users WHERE role = 'student' AND NOT disabled")       \
    FIGURE("faculty", "SELECT COUNT(*) FROM users WHERE role = 'faculty' AND NOT disabled")        \
    FIGURE("admins", "SELECT COUNT(*) FROM users WHERE role = 'admin' AND NOT disabled")           \
    FIGURE("disabled", "SELECT COUNT(*) FROM users WHERE disabled")                                \
    FIGURE("courses", "SELECT COUNT(*) FROM courses")                                              \
    FIGURE("enrolments", "SELECT COUNT(*) FROM enrolments")                                        \
    FIGURE("sessions_today", "SELECT COUNT(*) FROM class_sessions WHERE"                           \
                             " starts_at >= UTC_DATE() AND starts_at < UTC_DATE() + INTERVAL 1"    \
                             " DAY")                                                               \
    FIGURE("check_ins_open", "SELECT COUNT(*) FROM class_sessions WHERE check_in_until > NOW(3)")  \
    FIGURE("marked_today", "SELECT COUNT(*) FROM attendance a JOIN class_sessions s"               \
                           " ON s.id = a.session_id WHERE s.starts_at >= UTC_DATE()"               \
                           " AND s.starts_at < UTC_DATE() + INTERVAL 1 DAY")                       \
    FIGURE("below_75",                                                                             \
           "SELECT COUNT(DISTINCT f.student_id) FROM (SELECT a.student_id, s.course_id"            \
           " FROM attendance a JOIN class_sessions s ON s.id = a.session_id"                       \
           " WHERE a.mark <> 'excused' GROUP BY a.student_id, s.course_id"                         \
           " HAVING SUM(a.mark <> 'absent') * 100 < COUNT(*) * 75) f"                              \
           " JOIN enrolments e ON e.student_id = f.student_id AND e.course_id = f.course_id")

#define NAME(name, sql) name,
static const char *const names[] = {FIGURES(NAME)};
#define COLUMN(name, sql) "(" sql "), "
static const char query[] = "SELECT " FIGURES(COLUMN) "NULL";

static void read_figures(const struct db_rows *rows, void *ctx)
{
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_object_set_new(ctx, names[i], json_integer(db_i64(rows, i)));
}

enum status get_dashboard(struct http_request *req)
{
    json_t *figures = json_object();
    enum status st = sql_walk(portal.db, query, SQL_NONE, read_figures, figures);
    if (!st)
        return http_reply_json(req, 200, figures);
    json_decref(figures);
    return st;
}

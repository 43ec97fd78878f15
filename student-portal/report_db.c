#include "report_db.h"
#include "rows.h"
#include <stdio.h>

struct report {
    void (*each)(void *ctx, const struct user *student, const struct totals *totals);
    void *ctx;
};

static void read_line(const struct db_rows *rows, void *ctx)
{
    const struct report *report = ctx;
    struct user student = {.role = STUDENT};
    struct totals totals = {{0}};
    snprintf(student.account, sizeof(student.account), "%s", db_text(rows, 0, NULL));
    snprintf(student.name, sizeof(student.name), "%s", db_text(rows, 1, NULL));
    for (unsigned m = MARK_NONE; m < MARKS; m++)
        totals.count[m] = (uint32_t)db_i64(rows, 2 + m);
    report->each(report->ctx, &student, &totals);
}

/* Columns in the order of enum mark. */
#define COUNT(condition) ", CAST(SUM(" condition ") AS SIGNED)"

enum status report_walk(struct db *db, const char *course,
                        void (*each)(void *ctx, const struct user *student,
                                     const struct totals *totals),
                        void *ctx)
{
    struct report report = {each, ctx};
    return sql_walk(
        db,
        "SELECT u.account, u.name" COUNT("s.id IS NOT NULL AND a.mark IS NULL")
            COUNT("a.mark = 'present'") COUNT("a.mark = 'late'") COUNT("a.mark = 'absent'") COUNT(
                "a.mark = 'excused'") " FROM courses c JOIN enrolments e ON e.course_id = c.id"
                                      " JOIN users u ON u.id = e.student_id"
                                      " LEFT JOIN class_sessions s ON s.course_id = c.id"
                                      " LEFT JOIN attendance a ON a.session_id = s.id AND "
                                      "a.student_id = u.id"
                                      " WHERE c.code = ? GROUP BY u.id, u.account, u.name"
                                      " ORDER BY u.account LIMIT 5000",
        SQL(SQL_TEXT(course)), read_line, &report);
}

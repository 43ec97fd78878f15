#include "attendance_db.h"
#include "rows.h"
#include <stdlib.h>
#include <string.h>

/* Two kinds of rows: students with what is theirs, and the class sessions of all their courses. One
 * statement, since that is one snapshot. Without an ORDER BY the server needs no table for it. */
#define PAGES                                                                                      \
    "SELECT 0, " USERS_COLUMNS(                                                                    \
        "u.") ","                                                                                  \
              " (SELECT GROUP_CONCAT(e.course_id) FROM enrolments e WHERE e.student_id = u.id),"   \
              " (SELECT GROUP_CONCAT(a.session_id, ' ', a.mark + 0) FROM attendance a"             \
              "  WHERE a.student_id = u.id)"                                                       \
              " FROM users u WHERE u.id IN (" USERS_MARKS ")"                                      \
              " UNION ALL "                                                                        \
              "SELECT 1, c.id, c.code, c.title, " SQL_RFC3339(                                     \
                  "s.starts_at") ", COALESCE(s.id, 0), 0, 0,"                                      \
                                 " NULL, NULL FROM courses c LEFT JOIN class_sessions s ON "       \
                                 "s.course_id = c.id"                                              \
                                 " WHERE c.id IN (SELECT e.course_id FROM enrolments e WHERE "     \
                                 "e.student_id IN (" USERS_MARKS "))"

static int compare_sessions(const void *left, const void *right)
{
    const struct class_session *a = left, *b = right;
    int order = strcmp(a->course, b->course);
    if (!order && a->starts_at && b->starts_at)
        order = strcmp(a->starts_at, b->starts_at);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

static void add_class_session(struct timetable *t, const struct db_rows *rows)
{
    if ((t->n & (t->n - 1)) == 0) /* full: doubled at each power of two */
        t->at = xrealloc(t->at, (t->n ? 2 * t->n : 1) * sizeof(t->at[0]));
    t->at[t->n++] = (struct class_session){.course_id = db_i64(rows, 1),
                                           .id = db_i64(rows, 5),
                                           .course = db_text(rows, 2, NULL),
                                           .title = db_text(rows, 3, NULL),
                                           .starts_at = db_text(rows, 4, NULL)};
}

/* The students' rows come first, and need the timetable: they are kept until it is whole. */
static void read_pages(struct db_rows *rows,
                       void (*each)(void *ctx, const struct attendance_page *page), void *ctx)
{
    struct timetable timetable = {NULL, 0};
    struct attendance_page *pages = xcalloc(USERS_MAX, sizeof(*pages));
    size_t n = 0;
    while (db_next(rows)) {
        if (db_i64(rows, 0) == 1) {
            add_class_session(&timetable, rows);
        } else if (n < USERS_MAX) {
            users_read(rows, 1, &pages[n].user);
            pages[n].courses = db_text(rows, 8, NULL);
            pages[n].marks = db_text(rows, 9, NULL);
            pages[n++].timetable = &timetable;
        }
    }
    if (timetable.n)
        qsort(timetable.at, timetable.n, sizeof(timetable.at[0]), compare_sessions);
    for (size_t i = 0; i < n; i++)
        each(ctx, &pages[i]);
    free(pages);
    free(timetable.at);
}

enum status attendance_load(struct db *db, const int64_t *students, size_t n,
                            void (*each)(void *ctx, const struct attendance_page *page), void *ctx)
{
    struct db_conn *c;
    struct db_rows *rows;
    struct sql_value values[2 * USERS_MAX];
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    for (size_t i = 0; i < USERS_MAX; i++)
        values[i] = values[USERS_MAX + i] = SQL_I64(i < n ? students[i] : 0);
    st = db_query(c, PAGES, values, 2 * (size_t)USERS_MAX, &rows);
    db_release(c);
    read_pages(rows, each, ctx);
    db_rows_free(rows);
    return st;
}

enum status students_soon(struct db *db, int64_t minutes, int64_t after, int64_t ids[USERS_MAX],
                          size_t *n)
{
    struct db_conn *c;
    struct db_rows *rows;
    *n = 0;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = db_query(c,
                  "SELECT DISTINCT e.student_id FROM class_sessions s"
                  " JOIN enrolments e ON e.course_id = s.course_id"
                  " WHERE s.starts_at BETWEEN NOW() AND NOW() + INTERVAL ? MINUTE"
                  " AND e.student_id > ? ORDER BY e.student_id LIMIT 64",
                  SQL(SQL_I64(minutes), SQL_I64(after)), &rows);
    while (*n < USERS_MAX && db_next(rows))
        ids[(*n)++] = db_i64(rows, 0);
    db_rows_free(rows);
    db_release(c);
    return st;
}

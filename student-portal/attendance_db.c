#include "attendance_db.h"
#include <stdlib.h>
#include <string.h>

#define RFC3339(column) "DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%sZ')"
/* Run a query on a connection of its own and give each row to `read`. NOT_FOUND for no row. */
static enum status walk(struct db *db, const char *sql, const struct sql_value *values, size_t n,
                        void (*read)(const struct db_rows *rows, void *ctx), void *ctx)
{
    struct db_conn *c;
    struct db_rows *rows;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = db_query(c, sql, values, n, &rows);
    bool any = false;
    for (; db_next(rows); any = true)
        read(rows, ctx);
    db_rows_free(rows);
    db_release(c);
    return st ? st : any ? STATUS_OK : STATUS_NOT_FOUND;
}

/* --- pages ------------------------------------------------------------------------------------ */

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
              "SELECT 1, c.id, c.code, c.title, " RFC3339(                                         \
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

/* --- teachers --------------------------------------------------------------------------------- */

static void add_student(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(
        ctx, json_pack("{s:s, s:s, s:s?, s:s?, s:s?}", "student", db_text(rows, 0, NULL), "name",
                       db_text(rows, 1, NULL), "mark", db_text(rows, 2, NULL), "marked_by",
                       db_text(rows, 3, NULL), "marked_at", db_text(rows, 4, NULL)));
}

/* An empty class is no error. */
static enum status or_none(enum status st)
{
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

enum status attendance_roster(struct db *db, int64_t session, json_t *rows)
{
    return or_none(walk(
        db,
        "SELECT u.account, u.name, a.mark, m.account, " RFC3339(
            "a.marked_at") " FROM class_sessions s JOIN enrolments e ON e.course_id = s.course_id"
                           " JOIN users u ON u.id = e.student_id"
                           " LEFT JOIN attendance a ON a.session_id = s.id AND a.student_id = u.id"
                           " LEFT JOIN users m ON m.id = a.marked_by"
                           " WHERE s.id = ? ORDER BY u.account LIMIT 5000",
        SQL(SQL_I64(session)), add_student, rows));
}

/* Who that is, when enrolled in the session's course. A plain read: a locking one would lock the
 * rows it joins, and the session's is everybody's. */
static enum status find_enrolled(struct db_conn *c, const struct attendance_mark *mark, int64_t *id)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT u.id FROM users u"
                              " JOIN enrolments e ON e.student_id = u.id"
                              " JOIN class_sessions s ON s.course_id = e.course_id"
                              " WHERE u.account = ? AND s.id = ?",
                              SQL(SQL_TEXT(mark->student), SQL_I64(mark->session)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st)
        *id = db_i64(rows, 0);
    db_rows_free(rows);
    return st;
}

static enum status set_mark(struct db_conn *c, void *ctx)
{
    struct attendance_mark *mark = ctx;
    int64_t student;
    changes_reset(&mark->changes);
    enum status st = find_enrolled(c, mark, &student);
    if (!st)
        st = changes_add(c, student, &mark->changes);
    if (!st)
        st = db_exec(c,
                     "INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)"
                     " VALUES (?, ?, ?, ?, NOW(3))"
                     " ON DUPLICATE KEY UPDATE mark = VALUES(mark), marked_by = VALUES(marked_by),"
                     " marked_at = VALUES(marked_at)",
                     SQL(SQL_I64(mark->session), SQL_I64(student), SQL_TEXT(mark_name(mark->mark)),
                         SQL_I64(mark->by)),
                     NULL);
    return st;
}

enum status attendance_set(struct db *db, struct attendance_mark *mark)
{
    return db_transaction(db, set_mark, mark);
}

static void add_course(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:I, s:I}", "course", db_text(rows, 0, NULL),
                                         "title", db_text(rows, 1, NULL), "students",
                                         (json_int_t)db_i64(rows, 2), "sessions",
                                         (json_int_t)db_i64(rows, 3)));
}

enum status courses_of_teacher(struct db *db, int64_t teacher, json_t *rows)
{
    return or_none(walk(db,
                        "SELECT c.code, c.title,"
                        " (SELECT COUNT(*) FROM enrolments e WHERE e.course_id = c.id),"
                        " (SELECT COUNT(*) FROM class_sessions s WHERE s.course_id = c.id)"
                        " FROM courses c WHERE c.teacher_id = ? ORDER BY c.code LIMIT 1000",
                        SQL(SQL_I64(teacher)), add_course, rows));
}

static void add_session(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:I}", "session", db_text(rows, 0, NULL),
                                         "starts_at", db_text(rows, 1, NULL), "marked",
                                         (json_int_t)db_i64(rows, 2)));
}

enum status sessions_of_course(struct db *db, const char *course, json_t *rows)
{
    return or_none(
        walk(db,
             "SELECT s.id, " RFC3339(
                 "s.starts_at") ","
                                " (SELECT COUNT(*) FROM attendance a WHERE a.session_id = s.id)"
                                " FROM class_sessions s JOIN courses c ON c.id = s.course_id"
                                " WHERE c.code = ? ORDER BY s.starts_at, s.id LIMIT 5000",
             SQL(SQL_TEXT(course)), add_session, rows));
}

static void ignore(const struct db_rows *rows, void *ctx)
{
    (void)rows;
    (void)ctx;
}

enum status course_taught_by(struct db *db, const char *course, int64_t teacher)
{
    return walk(db, "SELECT 1 FROM courses WHERE code = ? AND teacher_id = ?",
                SQL(SQL_TEXT(course), SQL_I64(teacher)), ignore, NULL);
}

enum status session_taught_by(struct db *db, int64_t session, int64_t teacher)
{
    return walk(db,
                "SELECT 1 FROM class_sessions s JOIN courses c ON c.id = s.course_id"
                " WHERE s.id = ? AND c.teacher_id = ?",
                SQL(SQL_I64(session), SQL_I64(teacher)), ignore, NULL);
}

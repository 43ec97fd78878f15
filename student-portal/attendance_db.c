#include "attendance_db.h"

#define RFC3339(column) "DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%sZ')"
#define OF_STUDENT                                                                                 \
    "SELECT u.attendance_gen, c.code, c.title, s.id, " RFC3339(                                    \
        "s.starts_at") ", a.mark"                                                                  \
                       " FROM users u LEFT JOIN enrolments e ON e.student_id = u.id"               \
                       " LEFT JOIN courses c ON c.id = e.course_id"                                \
                       " LEFT JOIN class_sessions s ON s.course_id = c.id"                         \
                       " LEFT JOIN attendance a ON a.session_id = s.id AND a.student_id = u.id "   \
                       "WHERE u.id = ?"
#define IN_ORDER " ORDER BY c.code, s.starts_at, s.id LIMIT 20000"

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

/* The column holds NULL or a word of the schema's. */
static enum mark mark_at(const struct db_rows *rows, unsigned i)
{
    enum mark mark;
    mark_parse(db_text(rows, i, NULL), &mark);
    return mark;
}

struct student_walk {
    void (*each)(void *ctx, const struct attendance_row *row);
    void *ctx;
    int64_t *gen;
};

static void read_attendance(const struct db_rows *rows, void *ctx)
{
    const struct student_walk *walk = ctx;
    *walk->gen = db_i64(rows, 0);
    walk->each(walk->ctx, &(struct attendance_row){.course = db_text(rows, 1, NULL),
                                                   .title = db_text(rows, 2, NULL),
                                                   .session = db_i64(rows, 3),
                                                   .starts_at = db_text(rows, 4, NULL),
                                                   .mark = mark_at(rows, 5)});
}

enum status attendance_of_student(struct db *db, int64_t student, const char *course,
                                  void (*each)(void *ctx, const struct attendance_row *row),
                                  void *ctx, int64_t *gen)
{
    struct student_walk w = {each, ctx, gen};
    if (course)
        return walk(db, OF_STUDENT " AND c.code = ?" IN_ORDER,
                    SQL(SQL_I64(student), SQL_TEXT(course)), read_attendance, &w);
    return walk(db, OF_STUDENT IN_ORDER, SQL(SQL_I64(student)), read_attendance, &w);
}

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

/* Who that is and the generation now, when enrolled in the session's course. A plain read: a
 * locking one would lock the rows it joins, and the session's is everybody's. */
static enum status find_enrolled(struct db_conn *c, struct attendance_mark *mark)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT u.id, u.attendance_gen FROM users u"
                              " JOIN enrolments e ON e.student_id = u.id"
                              " JOIN class_sessions s ON s.course_id = e.course_id"
                              " WHERE u.account = ? AND s.id = ?",
                              SQL(SQL_TEXT(mark->student), SQL_I64(mark->session)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st) {
        mark->student_id = db_i64(rows, 0);
        mark->gen = db_i64(rows, 1);
    }
    db_rows_free(rows);
    return st;
}

static enum status set_mark(struct db_conn *c, void *ctx)
{
    struct attendance_mark *mark = ctx;
    enum status st =
        db_exec(c, "UPDATE users SET attendance_gen = attendance_gen + 1 WHERE account = ?",
                SQL(SQL_TEXT(mark->student)), NULL);
    if (!st)
        st = find_enrolled(c, mark);
    if (!st)
        st = db_exec(c,
                     "INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)"
                     " VALUES (?, ?, ?, ?, NOW(3))"
                     " ON DUPLICATE KEY UPDATE mark = VALUES(mark), marked_by = VALUES(marked_by),"
                     " marked_at = VALUES(marked_at)",
                     SQL(SQL_I64(mark->session), SQL_I64(mark->student_id),
                         SQL_TEXT(mark_name(mark->mark)), SQL_I64(mark->by)),
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

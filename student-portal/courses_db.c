#include "courses_db.h"
#include "clock.h"
#include "rows.h"
#include "user_view.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- lists ------------------------------------------------------------------------------------ */

static void add_course(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(
        ctx, json_pack("{s:s, s:s, s:s, s:I, s:I}", "course", db_text(rows, 0, NULL), "title",
                       db_text(rows, 1, NULL), "teacher", db_text(rows, 2, NULL), "students",
                       (json_int_t)db_i64(rows, 3), "sessions", (json_int_t)db_i64(rows, 4)));
}

enum status courses_list(struct db *db, int64_t teacher, json_t *rows)
{
    return sql_walk(db,
                    "SELECT c.code, c.title, t.account,"
                    " (SELECT COUNT(*) FROM enrolments e WHERE e.course_id = c.id),"
                    " (SELECT COUNT(*) FROM class_sessions s WHERE s.course_id = c.id)"
                    " FROM courses c JOIN users t ON t.id = c.teacher_id"
                    " WHERE ? IN (0, c.teacher_id) ORDER BY c.code LIMIT 1000",
                    SQL(SQL_I64(teacher)), add_course, rows);
}

static void add_session(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:I, s:b}", "session", db_text(rows, 0, NULL),
                                         "starts_at", db_text(rows, 1, NULL), "marked",
                                         (json_int_t)db_i64(rows, 2), "check_in_open",
                                         (int)db_i64(rows, 3)));
}

enum status course_sessions(struct db *db, const char *course, json_t *rows)
{
    return sql_walk(
        db,
        "SELECT s.id, " SQL_RFC3339(
            "s.starts_at") ","
                           " (SELECT COUNT(*) FROM attendance a WHERE a.session_id = s.id),"
                           " COALESCE(s.check_in_until > NOW(3), 0)"
                           " FROM class_sessions s JOIN courses c ON c.id = s.course_id"
                           " WHERE c.code = ? ORDER BY s.starts_at, s.id LIMIT 5000",
        SQL(SQL_TEXT(course)), add_session, rows);
}

struct people {
    json_t *rows;
    roles viewer;
};

static json_t *add_person(const struct db_rows *rows, const struct people *people)
{
    struct user user;
    person_read(rows, 0, &user);
    json_t *object = user_view(&user, people->viewer);
    json_array_append_new(people->rows, object);
    return object;
}

static void add_student(const struct db_rows *rows, void *ctx)
{
    add_person(rows, ctx);
}

enum status course_students(struct db *db, const char *course, roles viewer, json_t *rows)
{
    struct people people = {rows, viewer};
    return sql_walk(
        db,
        "SELECT " PERSON_COLUMNS("u") " FROM enrolments e JOIN users u ON u.id = e.student_id"
                                      " JOIN courses c ON c.id = e.course_id"
                                      " WHERE c.code = ? ORDER BY u.account LIMIT 5000",
        SQL(SQL_TEXT(course)), add_student, &people);
}

static void add_marked(const struct db_rows *rows, void *ctx)
{
    static const char *const members[] = {"mark", "marked_by", "marked_at"};
    json_t *object = add_person(rows, ctx);
    for (unsigned i = 0; i < 3; i++) {
        const char *text = db_text(rows, PERSON_COLUMN_COUNT + i, NULL);
        json_object_set_new(object, members[i], text ? json_string(text) : json_null());
    }
}

enum status session_roster(struct db *db, int64_t session, roles viewer, json_t *rows)
{
    struct people people = {rows, viewer};
    return sql_walk(
        db,
        "SELECT " PERSON_COLUMNS("u") ", a.mark, m.account, " SQL_RFC3339(
            "a.marked_at") " FROM class_sessions s JOIN enrolments e ON e.course_id = s.course_id"
                           " JOIN users u ON u.id = e.student_id"
                           " LEFT JOIN attendance a ON a.session_id = s.id AND a.student_id = u.id"
                           " LEFT JOIN users m ON m.id = a.marked_by"
                           " WHERE s.id = ? ORDER BY u.account LIMIT 5000",
        SQL(SQL_I64(session)), add_marked, &people);
}

/* --- courses ---------------------------------------------------------------------------------- */

/* Locked: what is decided by the row holds until the commit. */
static enum status lock_course(struct db_conn *c, const char *code, int64_t *id)
{
    return sql_number(c, "SELECT id FROM courses WHERE code = ? FOR UPDATE", SQL(SQL_TEXT(code)),
                      id);
}

static enum status write_course(struct db_conn *c, struct course_change *change, int64_t teacher)
{
    int64_t id;
    enum status st = lock_course(c, change->code, &id);
    change->created = st == STATUS_NOT_FOUND;
    if (change->created) {
        st = db_exec(c, "INSERT INTO courses (code, title, teacher_id) VALUES (?, ?, ?)",
                     SQL(SQL_TEXT(change->code), SQL_TEXT(change->title), SQL_I64(teacher)), NULL);
        return st == STATUS_DUPLICATE ? STATUS_CONTENDED : st; /* somebody was faster: look again */
    }
    if (!st)
        st = db_exec(c, "UPDATE courses SET title = ?, teacher_id = ? WHERE id = ?",
                     SQL(SQL_TEXT(change->title), SQL_I64(teacher), SQL_I64(id)), NULL);
    return st ? st : changes_add_course(c, id, &change->changes);
}

static enum status put_course_row(struct db_conn *c, void *ctx)
{
    struct course_change *change = ctx;
    int64_t teacher;
    char subject[128], detail[TITLE_MAX + ACCOUNT_MAX + 16];
    changes_reset(&change->changes);
    enum status st =
        sql_number(c, "SELECT id FROM users WHERE account = ? AND role = 'faculty' FOR UPDATE",
                   SQL(SQL_TEXT(change->teacher)), &teacher);
    if (st)
        return st == STATUS_NOT_FOUND ? STATUS_UNPROCESSABLE : st;
    st = write_course(c, change, teacher);
    if (st)
        return st;
    snprintf(subject, sizeof(subject), "course:%s", change->code);
    snprintf(detail, sizeof(detail), "%s, taught by %s", change->title, change->teacher);
    return audit_add(c, &change->by, change->created ? "course.create" : "course.change", subject,
                     detail);
}

enum status course_put(struct db *db, struct course_change *change)
{
    return db_transaction(db, put_course_row, change);
}

/* --- enrolments ------------------------------------------------------------------------------- */

static enum status find_student(struct db_conn *c, const char *account, int64_t *id)
{
    struct db_rows *rows;
    enum status st = db_query(c, "SELECT id, role FROM users WHERE account = ? FOR UPDATE",
                              SQL(SQL_TEXT(account)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st) {
        *id = db_i64(rows, 0);
        st = strcmp(db_text(rows, 1, NULL), "student") == 0 ? STATUS_OK : STATUS_CONFLICT;
    }
    db_rows_free(rows);
    return st;
}

static enum status note_enrolment(struct db_conn *c, const struct enrolment *e, const char *action)
{
    char subject[128], detail[64];
    snprintf(subject, sizeof(subject), "user:%s", e->student);
    snprintf(detail, sizeof(detail), "course %s", e->course);
    return audit_add(c, &e->by, action, subject, detail);
}

static enum status add_enrolment(struct db_conn *c, void *ctx)
{
    struct enrolment *e = ctx;
    int64_t course, student;
    changes_reset(&e->changes);
    enum status st = lock_course(c, e->course, &course);
    if (!st)
        st = find_student(c, e->student, &student);
    if (st)
        return st;
    st = db_exec(c, "INSERT INTO enrolments (student_id, course_id) VALUES (?, ?)",
                 SQL(SQL_I64(student), SQL_I64(course)), NULL);
    e->created = st != STATUS_DUPLICATE;
    if (st)
        return st == STATUS_DUPLICATE ? STATUS_OK : st;
    st = changes_add(c, student, &e->changes);
    return st ? st : note_enrolment(c, e, "enrolment.add");
}

enum status enrolment_add(struct db *db, struct enrolment *e)
{
    return db_transaction(db, add_enrolment, e);
}

static enum status remove_enrolment(struct db_conn *c, void *ctx)
{
    struct enrolment *e = ctx;
    uint64_t removed;
    int64_t student = 0;
    changes_reset(&e->changes);
    enum status st = find_student(c, e->student, &student);
    if (st == STATUS_CONFLICT)
        st = STATUS_OK; /* a student once, and still enrolled */
    if (!st)
        st = db_exec(c,
                     "DELETE e FROM enrolments e JOIN courses c ON c.id = e.course_id"
                     " WHERE c.code = ? AND e.student_id = ?",
                     SQL(SQL_TEXT(e->course), SQL_I64(student)), &removed);
    if (!st && !removed)
        st = STATUS_NOT_FOUND;
    if (!st)
        st = changes_add(c, student, &e->changes);
    return st ? st : note_enrolment(c, e, "enrolment.remove");
}

enum status enrolment_remove(struct db *db, struct enrolment *e)
{
    return db_transaction(db, remove_enrolment, e);
}

/* --- class sessions --------------------------------------------------------------------------- */

static enum status note_session(struct db_conn *c, const struct session_change *change,
                                const char *action, const char *detail)
{
    char subject[64];
    snprintf(subject, sizeof(subject), "session:%" PRId64, change->session);
    return audit_add(c, &change->by, action, subject, detail);
}

static enum status insert_session(struct db_conn *c, struct session_change *change, int64_t course,
                                  const char *starts_at)
{
    char detail[128];
    enum status st = db_exec(c, "INSERT INTO class_sessions (course_id, starts_at) VALUES (?, ?)",
                             SQL(SQL_I64(course), SQL_TEXT(starts_at)), NULL);
    if (st)
        return st;
    change->session = (int64_t)db_insert_id(c);
    snprintf(detail, sizeof(detail), "course %s, %s", change->course, starts_at);
    st = changes_add_course(c, course, &change->changes);
    return st ? st : note_session(c, change, "session.create", detail);
}

static enum status add_session_row(struct db_conn *c, void *ctx)
{
    struct session_change *change = ctx;
    int64_t course;
    char starts_at[RFC3339_SIZE];
    rfc3339_format(change->starts_ms, starts_at);
    starts_at[10] = ' '; /* as the database writes it, without the fraction */
    starts_at[19] = '\0';
    changes_reset(&change->changes);
    enum status st = lock_course(c, change->course, &course);
    if (st)
        return st;
    st = sql_number(c,
                    "SELECT MIN(id) FROM class_sessions WHERE course_id = ? AND starts_at = ?"
                    " HAVING MIN(id) IS NOT NULL",
                    SQL(SQL_I64(course), SQL_TEXT(starts_at)), &change->session);
    change->created = st == STATUS_NOT_FOUND;
    return change->created ? insert_session(c, change, course, starts_at) : st;
}

enum status session_add(struct db *db, struct session_change *change)
{
    return db_transaction(db, add_session_row, change);
}

/* The locked row keeps marks out: a mark takes a lock on its session. */
static enum status remove_session_row(struct db_conn *c, void *ctx)
{
    struct session_change *change = ctx;
    int64_t course, marks;
    changes_reset(&change->changes);
    enum status st = sql_number(c, "SELECT course_id FROM class_sessions WHERE id = ? FOR UPDATE",
                                SQL(SQL_I64(change->session)), &course);
    if (!st)
        st = sql_number(c, "SELECT COUNT(*) FROM attendance WHERE session_id = ?",
                        SQL(SQL_I64(change->session)), &marks);
    if (!st && marks)
        st = STATUS_CONFLICT;
    if (!st)
        st = changes_add_course(c, course, &change->changes);
    if (!st)
        st = db_exec(c, "DELETE FROM class_sessions WHERE id = ?", SQL(SQL_I64(change->session)),
                     NULL);
    return st ? st : note_session(c, change, "session.remove", "");
}

enum status session_remove(struct db *db, struct session_change *change)
{
    return db_transaction(db, remove_session_row, change);
}

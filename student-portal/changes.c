#include "changes.h"
#include <inttypes.h>
#include <stdlib.h>

void changes_reset(struct changes *list)
{
    list->n = 0;
}

void changes_release(struct changes *list)
{
    free(list->at);
    *list = (struct changes)CHANGES_INIT;
}

static void append(struct changes *list, int64_t student, int64_t gen)
{
    if (list->n == list->size) {
        list->size = list->size ? list->size * 2 : 16;
        list->at = xrealloc(list->at, list->size * sizeof(list->at[0]));
    }
    list->at[list->n++] = (struct change){student, gen};
}

enum status changes_add(struct db_conn *c, int64_t student, struct changes *out)
{
    uint64_t found;
    enum status st = db_exec(c,
                             "UPDATE users SET attendance_gen = LAST_INSERT_ID(attendance_gen + 1)"
                             " WHERE id = ?",
                             SQL(SQL_I64(student)), &found);
    if (!st && !found)
        st = STATUS_NOT_FOUND;
    if (st)
        return st;
    int64_t gen = (int64_t)db_insert_id(c);
    append(out, student, gen);
    return db_exec(c,
                   "INSERT INTO pending_invalidations (student_id, gen, noted_at)"
                   " VALUES (?, ?, NOW(3))"
                   " ON DUPLICATE KEY UPDATE gen = VALUES(gen), noted_at = VALUES(noted_at)",
                   SQL(SQL_I64(student), SQL_I64(gen)), NULL);
}

#define IDS                                                                                        \
    "JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) j STRAIGHT_JOIN users u ON u.id = j.id"

static enum status read_generations(struct db_conn *c, struct sql_value ids, size_t n,
                                    struct changes *out)
{
    struct db_rows *rows;
    size_t found = 0;
    enum status st = db_query(c, "SELECT u.id, u.attendance_gen FROM " IDS, SQL(ids), &rows);
    for (; db_next(rows); found++)
        append(out, db_i64(rows, 0), db_i64(rows, 1));
    db_rows_free(rows);
    return !st && found != n ? STATUS_NOT_FOUND : st;
}

enum status changes_add_many(struct db_conn *c, const int64_t *students, size_t n,
                             struct changes *out)
{
    struct strbuf text = STRBUF_INIT;
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&text, "%c%lld", i ? ',' : '[', (long long)students[i]);
    strbuf_addstr(&text, n ? "]" : "[]");
    const struct sql_value ids = SQL_TEXT(text.bytes);
    enum status st =
        db_exec(c, "UPDATE " IDS " SET u.attendance_gen = u.attendance_gen + 1", SQL(ids), NULL);
    if (!st)
        st = db_exec(c,
                     "INSERT INTO pending_invalidations (student_id, gen, noted_at)"
                     " SELECT u.id, u.attendance_gen, NOW(3) FROM " IDS
                     " ON DUPLICATE KEY UPDATE gen = VALUES(gen), noted_at = VALUES(noted_at)",
                     SQL(ids), NULL);
    if (!st)
        st = read_generations(c, ids, n, out);
    strbuf_release(&text);
    return st;
}

enum status changes_add_course(struct db_conn *c, int64_t course, struct changes *out)
{
    enum { STUDENTS_MAX = 100000 };
    struct db_rows *rows;
    int64_t *students = xcalloc(STUDENTS_MAX, sizeof(students[0]));
    size_t n = 0;
    enum status st = db_query(
        c, "SELECT student_id FROM enrolments WHERE course_id = ? ORDER BY student_id LIMIT 100000",
        SQL(SQL_I64(course)), &rows);
    while (db_next(rows) && n < STUDENTS_MAX)
        students[n++] = db_i64(rows, 0);
    db_rows_free(rows);
    if (!st)
        st = changes_add_many(c, students, n, out);
    free(students);
    return st;
}

enum status changes_pending(struct db *db, int64_t age_ms, struct changes *out)
{
    struct db_conn *c;
    struct db_rows *rows;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = db_query(c,
                  "SELECT student_id, gen FROM pending_invalidations"
                  " WHERE noted_at <= NOW(3) - INTERVAL ? * 1000 MICROSECOND LIMIT 1000",
                  SQL(SQL_I64(age_ms)), &rows);
    while (db_next(rows))
        append(out, db_i64(rows, 0), db_i64(rows, 1));
    db_rows_free(rows);
    db_release(c);
    return st;
}

/* By one statement, and so one commit, however many they are. */
enum status changes_done(struct db *db, const struct changes *list)
{
    struct db_conn *c;
    struct strbuf text = STRBUF_INIT;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    for (size_t i = 0; i < list->n; i++)
        strbuf_addf(&text, "%c[%" PRId64 ",%" PRId64 "]", i ? ',' : '[', list->at[i].student,
                    list->at[i].gen);
    strbuf_addstr(&text, list->n ? "]" : "[]");
    st = db_exec(c,
                 "DELETE p FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]',"
                 " gen BIGINT PATH '$[1]')) j"
                 " STRAIGHT_JOIN pending_invalidations p ON p.student_id = j.id"
                 " WHERE p.gen <= j.gen",
                 SQL(SQL_TEXT(text.bytes)), NULL);
    db_release(c);
    strbuf_release(&text);
    return st;
}

#include "checkin_db.h"
#include "marks_db.h"
#include "rows.h"
#include "secret.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Not UNIX_TIMESTAMP, which ends in 2038. */
#define UNIX_MS(column) "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " column ") DIV 1000"

static void read_wall(const struct db_rows *rows, struct check_in_wall *out)
{
    size_t len;
    const char *key = db_text(rows, 0, &len);
    *out = (struct check_in_wall){.starts_ms = db_i64(rows, 1),
                                  .now_ms = db_i64(rows, 2),
                                  .until_ms = db_i64(rows, 3),
                                  .checked_in = db_i64(rows, 4)};
    out->open = key && len == CHECK_IN_KEY && out->now_ms < out->until_ms;
    if (out->open)
        memcpy(out->key, key, CHECK_IN_KEY);
}

static enum status look(struct db_conn *c, int64_t session, struct check_in_wall *out)
{
    struct db_rows *rows;
    enum status st = db_query(
        c,
        "SELECT s.check_in_key, " UNIX_MS("s.starts_at") ", " UNIX_MS("NOW(3)") ", " UNIX_MS(
            "s.check_in_until") ","
                                " (SELECT COUNT(*) FROM attendance a WHERE a.session_id = s.id"
                                "  AND a.marked_by = a.student_id)"
                                " FROM class_sessions s WHERE s.id = ?",
        SQL(SQL_I64(session)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st)
        read_wall(rows, out);
    db_rows_free(rows);
    return st;
}

enum status check_in_look(struct db *db, int64_t session, struct check_in_wall *out)
{
    struct db_conn *c;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = look(c, session, out);
    db_release(c);
    return st;
}

/* --- the teacher ------------------------------------------------------------------------------ */

struct opening {
    int64_t session, minutes;
    const struct audit_actor *by;
};

static enum status note(struct db_conn *c, const struct opening *o, const char *action)
{
    char subject[64];
    snprintf(subject, sizeof(subject), "session:%" PRId64, o->session);
    return audit_add(c, o->by, action, subject, "");
}

static enum status open_wall(struct db_conn *c, void *ctx)
{
    const struct opening *o = ctx;
    uint8_t key[CHECK_IN_KEY];
    secret_random(key, sizeof(key));
    enum status st =
        db_exec(c,
                "UPDATE class_sessions SET"
                " check_in_key = IF(check_in_until > NOW(3), check_in_key, ?),"
                " check_in_until = NOW(3) + INTERVAL ? MINUTE WHERE id = ?",
                SQL(SQL_BLOB(key, sizeof(key)), SQL_I64(o->minutes), SQL_I64(o->session)), NULL);
    secret_wipe(key, sizeof(key));
    return st ? st : note(c, o, "check-in.open");
}

enum status check_in_open(struct db *db, int64_t session, int64_t minutes,
                          const struct audit_actor *by)
{
    struct opening o = {session, minutes, by};
    return db_transaction(db, open_wall, &o);
}

static enum status close_wall(struct db_conn *c, void *ctx)
{
    const struct opening *o = ctx;
    enum status st = db_exec(
        c, "UPDATE class_sessions SET check_in_key = NULL, check_in_until = NULL WHERE id = ?",
        SQL(SQL_I64(o->session)), NULL);
    return st ? st : note(c, o, "check-in.close");
}

enum status check_in_close(struct db *db, int64_t session, const struct audit_actor *by)
{
    struct opening o = {session, 0, by};
    return db_transaction(db, close_wall, &o);
}

/* --- the student ------------------------------------------------------------------------------ */

static enum status lock_student(struct db_conn *c, int64_t student)
{
    int64_t id;
    return sql_number(c, "SELECT id FROM users WHERE id = ? FOR UPDATE", SQL(SQL_I64(student)),
                      &id);
}

/* Is there a mark already? NOT_FOUND when not. */
static enum status read_mark(struct db_conn *c, struct check_in *attempt)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT mark, marked_by = student_id FROM attendance"
                              " WHERE session_id = ? AND student_id = ?",
                              SQL(SQL_I64(attempt->session), SQL_I64(attempt->by.id)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st) {
        st = mark_parse(db_text(rows, 0, NULL), &attempt->mark);
        attempt->outcome = db_i64(rows, 1) ? CHECK_IN_ALREADY : CHECK_IN_MARKED;
    }
    db_rows_free(rows);
    return st;
}

static enum status read_failures(struct db_conn *c, const struct check_in *attempt, int64_t *out)
{
    *out = 0;
    enum status st = sql_number(
        c, "SELECT failures FROM check_in_failures WHERE session_id = ? AND student_id = ?",
        SQL(SQL_I64(attempt->session), SQL_I64(attempt->by.id)), out);
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

static enum status count_failure(struct db_conn *c, const struct check_in *attempt)
{
    return db_exec(c,
                   "INSERT INTO check_in_failures (session_id, student_id, failures)"
                   " VALUES (?, ?, 1) ON DUPLICATE KEY UPDATE failures = failures + 1",
                   SQL(SQL_I64(attempt->session), SQL_I64(attempt->by.id)), NULL);
}

static enum status write_mark(struct db_conn *c, struct check_in *attempt)
{
    char subject[ACCOUNT_MAX + 8], detail[64];
    const struct mark_entry entry = {"", attempt->mark, attempt->by.id};
    enum status st = marks_write(c, attempt->session, &entry, 1, attempt->by.id, &attempt->changes);
    snprintf(subject, sizeof(subject), "user:%s", attempt->account);
    snprintf(detail, sizeof(detail), "session %" PRId64 ": %s", attempt->session,
             mark_name(attempt->mark));
    return st ? st : audit_add(c, &attempt->by, "check-in", subject, detail);
}

static enum status try_code(struct db_conn *c, struct check_in *attempt)
{
    struct check_in_wall wall;
    int64_t failures;
    enum status st = look(c, attempt->session, &wall);
    if (!st)
        st = read_failures(c, attempt, &failures);
    if (st)
        return st;
    attempt->outcome = !wall.open                       ? CHECK_IN_CLOSED
                       : failures >= CHECK_IN_TRIES_MAX ? CHECK_IN_BLOCKED
                       : check_in_code_holds(wall.key, wall.now_ms, attempt->code) ? CHECK_IN_DONE
                                                                                   : CHECK_IN_WRONG;
    if (attempt->outcome == CHECK_IN_WRONG)
        return count_failure(c, attempt);
    if (attempt->outcome != CHECK_IN_DONE)
        return STATUS_OK;
    attempt->mark = check_in_mark(wall.starts_ms, wall.now_ms);
    return write_mark(c, attempt);
}

static enum status try_all(struct db_conn *c, void *ctx)
{
    struct check_in *attempt = ctx;
    changes_reset(&attempt->changes);
    enum status st = lock_student(c, attempt->by.id);
    if (!st)
        st = read_mark(c, attempt);
    return st == STATUS_NOT_FOUND ? try_code(c, attempt) : st;
}

enum status check_in_try(struct db *db, struct check_in *attempt)
{
    return db_transaction(db, try_all, attempt);
}

static void add_offer(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:s, s:s, s:s}", "session",
                                         db_text(rows, 0, NULL), "course", db_text(rows, 1, NULL),
                                         "title", db_text(rows, 2, NULL), "starts_at",
                                         db_text(rows, 3, NULL), "until", db_text(rows, 4, NULL)));
}

enum status check_in_offers(struct db *db, int64_t student, json_t *rows)
{
    return sql_walk(
        db,
        "SELECT s.id, c.code, c.title, " SQL_RFC3339("s.starts_at") ", " SQL_RFC3339_MS(
            "s.check_in_until") " FROM enrolments e JOIN courses c ON c.id = e.course_id"
                                " JOIN class_sessions s ON s.course_id = c.id"
                                " LEFT JOIN attendance a ON a.session_id = s.id"
                                "  AND a.student_id = e.student_id"
                                " WHERE e.student_id = ? AND s.check_in_until > NOW(3)"
                                "  AND a.mark IS NULL"
                                " ORDER BY s.starts_at, s.id LIMIT 100",
        SQL(SQL_I64(student)), add_offer, rows);
}

#include "marks_db.h"
#include "rows.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum status mark_write(struct db_conn *c, int64_t session, int64_t student, enum mark mark,
                       int64_t by, struct changes *changes)
{
    enum status st = changes_add(c, student, changes);
    if (st)
        return st;
    return db_exec(c,
                   "INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)"
                   " VALUES (?, ?, ?, ?, NOW(3))"
                   " ON DUPLICATE KEY UPDATE mark = VALUES(mark), marked_by = VALUES(marked_by),"
                   " marked_at = VALUES(marked_at)",
                   SQL(SQL_I64(session), SQL_I64(student), SQL_TEXT(mark_name(mark)), SQL_I64(by)),
                   NULL);
}

/* A plain read: a locking one would lock the rows it joins, and the session's is everybody's. */
static enum status find_enrolled(struct db_conn *c, int64_t session, struct mark_entry *entry)
{
    entry->id = 0;
    return sql_number(c,
                      "SELECT u.id FROM users u JOIN enrolments e ON e.student_id = u.id"
                      " JOIN class_sessions s ON s.course_id = e.course_id"
                      " WHERE u.account = ? AND s.id = ?",
                      SQL(SQL_TEXT(entry->student), SQL_I64(session)), &entry->id);
}

static enum status find_all(struct db_conn *c, struct marks *marks)
{
    enum status outcome = STATUS_OK;
    for (size_t i = 0; i < marks->n; i++) {
        enum status st = find_enrolled(c, marks->session, &marks->at[i]);
        if (st && st != STATUS_NOT_FOUND)
            return st;
        outcome = st ? st : outcome;
    }
    return outcome;
}

static int compare_ids(const void *a, const void *b)
{
    const struct mark_entry *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static enum status set_one(struct db_conn *c, struct marks *marks, const struct mark_entry *entry)
{
    char subject[128], detail[64];
    snprintf(subject, sizeof(subject), "user:%s", entry->student);
    snprintf(detail, sizeof(detail), "session %" PRId64 ": %s", marks->session,
             mark_name(entry->mark));
    enum status st =
        mark_write(c, marks->session, entry->id, entry->mark, marks->by.id, &marks->changes);
    return st ? st : audit_add(c, &marks->by, "mark.set", subject, detail);
}

/* In the order of ids, so that two teachers who mark the same students wait for each other and
 * never in a circle. */
static enum status set_all(struct db_conn *c, void *ctx)
{
    struct marks *marks = ctx;
    changes_reset(&marks->changes);
    enum status st = find_all(c, marks);
    if (!st && marks->n)
        qsort(marks->at, marks->n, sizeof(marks->at[0]), compare_ids);
    for (size_t i = 0; i < marks->n && !st; i++)
        st = set_one(c, marks, &marks->at[i]);
    return st;
}

enum status marks_set(struct db *db, struct marks *marks)
{
    return db_transaction(db, set_all, marks);
}

#include "marks_db.h"
#include "rows.h"
#include <inttypes.h>
#include <stdlib.h>

static enum status add_changes(struct db_conn *c, const struct mark_entry *at, size_t n,
                               struct changes *changes)
{
    int64_t *ids = xcalloc(n + 1, sizeof(ids[0]));
    for (size_t i = 0; i < n; i++)
        ids[i] = at[i].id;
    enum status st = changes_add_many(c, ids, n, changes);
    free(ids);
    return st;
}

/* [{"s": 7, "a": "ana", "m": "late"}] */
static void write_entries(struct strbuf *out, const struct mark_entry *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        strbuf_addf(out, "%c{\"s\":%" PRId64 ",\"m\":\"%s\",\"a\":", i ? ',' : '[', at[i].id,
                    mark_name(at[i].mark));
        json_write_text(out, at[i].student);
        strbuf_addch(out, '}');
    }
    strbuf_addstr(out, n ? "]" : "[]");
}

#define ENTRIES                                                                                    \
    "JSON_TABLE(?, '$[*]' COLUMNS (student BIGINT PATH '$.s', account VARCHAR(64) PATH '$.a',"     \
    " word VARCHAR(8) PATH '$.m')) j"

enum status marks_write(struct db_conn *c, int64_t session, const struct mark_entry *at, size_t n,
                        int64_t by, struct changes *changes)
{
    struct strbuf entries = STRBUF_INIT;
    enum status st = add_changes(c, at, n, changes);
    if (st)
        return st;
    write_entries(&entries, at, n);
    st = db_exec(c,
                 "INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)"
                 " SELECT ?, j.student, j.word, ?, NOW(3) FROM " ENTRIES
                 " ON DUPLICATE KEY UPDATE mark = VALUES(mark), marked_by = VALUES(marked_by),"
                 " marked_at = VALUES(marked_at)",
                 SQL(SQL_I64(session), SQL_I64(by), SQL_TEXT(entries.bytes)), NULL);
    strbuf_release(&entries);
    return st;
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

static enum status note_all(struct db_conn *c, const struct marks *marks)
{
    struct strbuf entries = STRBUF_INIT;
    write_entries(&entries, marks->at, marks->n);
    enum status st = db_exec(c,
                             "INSERT INTO audit_log (at, actor_id, action, subject, detail,"
                             " address) SELECT NOW(3), ?, 'mark.set', CONCAT('user:', j.account),"
                             " CONCAT('session ', ?, ': ', j.word), ? FROM " ENTRIES,
                             SQL(SQL_I64(marks->by.id), SQL_I64(marks->session),
                                 SQL_TEXT(marks->by.address), SQL_TEXT(entries.bytes)),
                             NULL);
    strbuf_release(&entries);
    return st;
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
    if (!st)
        st = marks_write(c, marks->session, marks->at, marks->n, marks->by.id, &marks->changes);
    return st ? st : note_all(c, marks);
}

enum status marks_set(struct db *db, struct marks *marks)
{
    return db_transaction(db, set_all, marks);
}

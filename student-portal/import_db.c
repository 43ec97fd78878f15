#include "import_db.h"
#include "attendance.h"
#include "rows.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The courses and the people that there are, sorted by code and account. */
struct known {
    struct known_row {
        const char *key, *name; /* in the rows */
        int64_t id;
        roles role;
    } * at;
    size_t n;
    struct db_rows *rows;
};

static void known_release(struct known *known)
{
    free(known->at);
    db_rows_free(known->rows);
}

static int compare_keys(const void *left, const void *right)
{
    const struct known_row *a = left, *b = right;
    return strcmp(a->key, b->key);
}

/* Of a query on id, key, name, role. */
static enum status known_read(struct db_conn *c, const char *sql, struct known *out)
{
    size_t size = 0;
    *out = (struct known){NULL, 0, NULL};
    enum status st = db_query(c, sql, SQL_NONE, &out->rows);
    while (db_next(out->rows)) {
        if (out->n == size) {
            size = size ? size * 2 : 64;
            out->at = xrealloc(out->at, size * sizeof(out->at[0]));
        }
        struct known_row *row = &out->at[out->n++];
        *row = (struct known_row){.id = db_i64(out->rows, 0),
                                  .key = db_text(out->rows, 1, NULL),
                                  .name = db_text(out->rows, 2, NULL)};
        if (role_parse(db_text(out->rows, 3, NULL), &row->role))
            row->role = 0;
    }
    if (out->n)
        qsort(out->at, out->n, sizeof(out->at[0]), compare_keys);
    return st;
}

static const struct known_row *known_find(const struct known *known, const char *key)
{
    const struct known_row wanted = {.key = key};
    return known->n ? bsearch(&wanted, known->at, known->n, sizeof(known->at[0]), compare_keys)
                    : NULL;
}

struct world {
    struct known courses, people;
};

/* --- what only the database knows to be wrong --------------------------------------------------
 */

static void check_line(struct import *im, const struct import_line *line, const struct world *w)
{
    char code[COURSE_MAX + 2];
    const struct known_row *person = known_find(&w->people, line->account);
    if (person && person->role != line->role)
        import_fail(im, line->line, "%s is there with another role", line->account);
    for (const char *rest = line->courses; import_next_course(&rest, code, sizeof(code));)
        if (!known_find(&w->courses, code))
            import_fail(im, line->line, "there is no course %s", code);
}

static enum status check_lines(struct import *im, const struct world *w)
{
    im->error_count = 0; /* of a try before */
    for (size_t i = 0; i < im->n; i++)
        check_line(im, &im->lines[i], w);
    return im->error_count ? STATUS_UNPROCESSABLE : STATUS_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* DUPLICATE: somebody created them since we looked; then look again. */
static enum status create_person(struct db_conn *c, const struct import_line *line, int64_t *id)
{
    enum status st = db_exec(
        c, "INSERT INTO users (account, name, role, password_hash) VALUES (?, ?, ?, '')",
        SQL(SQL_TEXT(line->account), SQL_TEXT(line->name), SQL_TEXT(role_name(line->role))), NULL);
    *id = (int64_t)db_insert_id(c);
    return st == STATUS_DUPLICATE ? STATUS_CONTENDED : st;
}

static enum status enrol(struct db_conn *c, const struct import_line *line, int64_t id,
                         const struct world *w, size_t *enrolled)
{
    char code[COURSE_MAX + 2];
    uint64_t changed;
    enum status st = STATUS_OK;
    for (const char *rest = line->courses; !st && import_next_course(&rest, code, sizeof(code));) {
        st = db_exec(c,
                     "INSERT INTO enrolments (student_id, course_id) VALUES (?, ?)"
                     " ON DUPLICATE KEY UPDATE course_id = course_id",
                     SQL(SQL_I64(id), SQL_I64(known_find(&w->courses, code)->id)), &changed);
        *enrolled += changed == 1;
    }
    return st;
}

static enum status note(struct db_conn *c, const struct import_run *run,
                        const struct import_line *line, const char *action)
{
    char subject[ACCOUNT_MAX + 8], detail[160];
    snprintf(subject, sizeof(subject), "user:%s", line->account);
    snprintf(detail, sizeof(detail), "%s %.120s", role_name(line->role), line->courses);
    return audit_add(c, &run->by, action, subject, detail);
}

static enum status write_new(struct db_conn *c, struct import_run *run,
                             const struct import_line *line, const struct world *w)
{
    int64_t id;
    enum status st = create_person(c, line, &id);
    if (!st)
        st = enrol(c, line, id, w, &run->enrolled);
    run->created++;
    return st ? st : note(c, run, line, "user.import");
}

static enum status write_known(struct db_conn *c, struct import_run *run,
                               const struct import_line *line, const struct known_row *person,
                               const struct world *w)
{
    size_t enrolled = 0;
    bool renamed = strcmp(person->name, line->name) != 0;
    enum status st = STATUS_OK;
    if (renamed)
        st = db_exec(c, "UPDATE users SET name = ? WHERE id = ?",
                     SQL(SQL_TEXT(line->name), SQL_I64(person->id)), NULL);
    if (!st)
        st = enrol(c, line, person->id, w, &enrolled);
    run->renamed += renamed;
    run->enrolled += enrolled;
    if (st || (!renamed && !enrolled))
        return st;
    st = changes_add(c, person->id, &run->changes);
    return st ? st : note(c, run, line, "user.import-change");
}

static enum status write_lines(struct db_conn *c, struct import_run *run, const struct world *w)
{
    enum status st = STATUS_OK;
    run->created = run->renamed = run->enrolled = 0;
    changes_reset(&run->changes);
    for (size_t i = 0; i < run->import->n && !st; i++) {
        const struct import_line *line = &run->import->lines[i];
        const struct known_row *person = known_find(&w->people, line->account);
        st = person ? write_known(c, run, line, person, w) : write_new(c, run, line, w);
    }
    return st;
}

static enum status apply(struct db_conn *c, void *ctx)
{
    struct import_run *run = ctx;
    struct world w = {.people = {NULL, 0, NULL}};
    enum status st =
        known_read(c, "SELECT id, code, title, '' FROM courses LIMIT 100000", &w.courses);
    if (!st)
        st = known_read(c, "SELECT id, account, name, role FROM users LIMIT 1000000", &w.people);
    if (!st)
        st = check_lines(run->import, &w);
    if (!st)
        st = write_lines(c, run, &w);
    known_release(&w.people);
    known_release(&w.courses);
    return st;
}

enum status import_apply(struct db *db, struct import_run *run)
{
    return db_transaction(db, apply, run);
}

#include "people_db.h"
#include "rows.h"
#include <stdio.h>

struct listing {
    void (*each)(void *ctx, const struct user *user);
    void *ctx;
};

static void read_listed(const struct db_rows *rows, void *ctx)
{
    const struct listing *listing = ctx;
    struct user user;
    person_read(rows, 0, &user);
    listing->each(listing->ctx, &user);
}

enum status people_list(struct db *db, const struct people_query *query,
                        void (*each)(void *ctx, const struct user *user), void *ctx)
{
    struct listing listing = {each, ctx};
    return sql_walk(db,
                    "SELECT " PERSON_COLUMNS("u") " FROM users u WHERE u.account > ?"
                                                  " AND (INSTR(u.account, ?) = 1"
                                                  "  OR INSTR(u.name, ?) > 0)"
                                                  " ORDER BY u.account LIMIT ?",
                    SQL(SQL_TEXT(query->after), SQL_TEXT(query->search), SQL_TEXT(query->search),
                        SQL_I64(query->limit)),
                    read_listed, &listing);
}

static enum status read_person(struct db_conn *c, const char *account, struct user *out)
{
    struct db_rows *rows;
    enum status st =
        db_query(c, "SELECT " PERSON_COLUMNS("u") ", u.id FROM users u WHERE u.account = ?",
                 SQL(SQL_TEXT(account)), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st) {
        person_read(rows, 0, out);
        out->id = db_i64(rows, PERSON_COLUMN_COUNT);
    }
    db_rows_free(rows);
    return st;
}

enum status people_find(struct db *db, const char *account, struct user *user)
{
    struct db_conn *c;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = read_person(c, account, user);
    db_release(c);
    return st;
}

static enum status note(struct db_conn *c, const struct person_change *change, const char *action,
                        const char *detail)
{
    char subject[ACCOUNT_MAX + 8];
    snprintf(subject, sizeof(subject), "user:%s", change->account);
    return audit_add(c, &change->by, action, subject, detail);
}

static enum status create(struct db_conn *c, void *ctx)
{
    struct person_change *change = ctx;
    const char *role = role_name(change->role);
    enum status st =
        db_exec(c, "INSERT INTO users (account, name, role, password_hash) VALUES (?, ?, ?, ?)",
                SQL(SQL_TEXT(change->account), SQL_TEXT(change->name), SQL_TEXT(role),
                    SQL_TEXT(change->password)),
                NULL);
    if (!st)
        st = read_person(c, change->account, &change->user);
    return st ? st : note(c, change, "user.create", role);
}

enum status person_create(struct db *db, struct person_change *change)
{
    enum status st = db_transaction(db, create, change);
    return st == STATUS_DUPLICATE ? STATUS_CONFLICT : st;
}

/* Courses are not left without a teacher. */
static enum status check_role(struct db_conn *c, const struct person_change *change)
{
    int64_t course;
    if (!change->role || change->role == FACULTY)
        return STATUS_OK;
    enum status st = sql_number(c,
                                "SELECT c.id FROM courses c JOIN users u ON u.id = c.teacher_id"
                                " WHERE u.account = ? LIMIT 1",
                                SQL(SQL_TEXT(change->account)), &course);
    return st == STATUS_NOT_FOUND ? STATUS_OK : st ? st : STATUS_CONFLICT;
}

static enum status update(struct db_conn *c, const struct person_change *change)
{
    bool ends_sessions = change->role || change->disabled >= 0 || change->password;
    return db_exec(c,
                   "UPDATE users SET name = COALESCE(?, name), role = COALESCE(?, role),"
                   " disabled = COALESCE(?, disabled), password_hash = COALESCE(?, password_hash),"
                   " session_gen = session_gen + ? WHERE account = ?",
                   SQL(SQL_TEXT(change->name), SQL_TEXT(role_name(change->role)),
                       change->disabled < 0 ? SQL_NULL : SQL_I64(change->disabled),
                       SQL_TEXT(change->password), SQL_I64(ends_sessions),
                       SQL_TEXT(change->account)),
                   NULL);
}

static enum status note_change(struct db_conn *c, const struct person_change *change)
{
    char detail[128];
    if (change->password)
        return note(c, change, change->session_gen ? "user.password" : "user.password-reset", "");
    snprintf(detail, sizeof(detail), "%s%s%s%s", change->name ? "name " : "",
             change->role ? role_name(change->role) : "", change->role ? " " : "",
             change->disabled < 0 ? ""
             : change->disabled   ? "disabled"
                                  : "enabled");
    return note(c, change, "user.change", detail);
}

/* The row is locked first, so that the check holds until the commit. */
static enum status apply(struct db_conn *c, void *ctx)
{
    struct person_change *change = ctx;
    int64_t id;
    changes_reset(&change->changes);
    enum status st =
        sql_number(c, "SELECT id FROM users WHERE account = ? AND ? IN (0, session_gen) FOR UPDATE",
                   SQL(SQL_TEXT(change->account), SQL_I64(change->session_gen)), &id);
    if (!st)
        st = check_role(c, change);
    if (!st)
        st = update(c, change);
    if (!st)
        st = changes_add(c, id, &change->changes);
    if (!st)
        st = read_person(c, change->account, &change->user);
    return st ? st : note_change(c, change);
}

enum status person_change(struct db *db, struct person_change *change)
{
    return db_transaction(db, apply, change);
}

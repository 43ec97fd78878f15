#include "users_db.h"
#include <stdio.h>

#define COLUMNS USERS_COLUMNS("")

void users_read(const struct db_rows *rows, unsigned i, struct user *out)
{
    *out = (struct user){.id = db_i64(rows, i),
                         .disabled = db_i64(rows, i + 4) != 0,
                         .session_gen = db_i64(rows, i + 5),
                         .attendance_gen = db_i64(rows, i + 6)};
    snprintf(out->account, sizeof(out->account), "%s", db_text(rows, i + 1, NULL));
    snprintf(out->name, sizeof(out->name), "%s", db_text(rows, i + 2, NULL));
    if (role_parse(db_text(rows, i + 3, NULL), &out->role))
        out->role = 0; /* a role of a newer schema: may nothing */
}

/* The one row of a query on COLUMNS, and behind them, when `hash` is not NULL, the hash. */
static enum status one_user(struct db_conn *c, const char *sql, struct sql_value key,
                            struct user *out, char *hash)
{
    struct db_rows *rows;
    enum status st = db_query(c, sql, SQL(key), &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st)
        users_read(rows, 0, out);
    if (!st && hash)
        snprintf(hash, PASSWORD_HASH_SIZE, "%s", db_text(rows, 7, NULL));
    db_rows_free(rows);
    return st;
}

enum status users_find(struct db *db, const char *account, struct user *out,
                       char hash[PASSWORD_HASH_SIZE])
{
    struct db_conn *c;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = one_user(c, "SELECT " COLUMNS ", password_hash FROM users WHERE account = ?",
                  SQL_TEXT(account), out, hash);
    db_release(c);
    return st;
}

enum status users_get(struct db *db, int64_t id, struct user *out)
{
    struct db_conn *c;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = one_user(c, "SELECT " COLUMNS " FROM users WHERE id = ?", SQL_I64(id), out, NULL);
    db_release(c);
    return st;
}

enum status users_get_many(struct db *db, const int64_t *ids, size_t n,
                           void (*each)(void *ctx, const struct user *user), void *ctx)
{
    struct db_conn *c;
    struct db_rows *rows;
    struct sql_value values[USERS_MAX];
    struct user user;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    for (size_t i = 0; i < USERS_MAX; i++)
        values[i] = SQL_I64(i < n ? ids[i] : 0);
    st = db_query(c, "SELECT " COLUMNS " FROM users WHERE id IN (" USERS_MARKS ")", values,
                  USERS_MAX, &rows);
    while (db_next(rows)) {
        users_read(rows, 0, &user);
        each(ctx, &user);
    }
    db_rows_free(rows);
    db_release(c);
    return st;
}

struct ending {
    int64_t id;
    struct changes *changes;
};

static enum status end_sessions(struct db_conn *c, void *ctx)
{
    const struct ending *ending = ctx;
    changes_reset(ending->changes);
    enum status st = db_exec(c, "UPDATE users SET session_gen = session_gen + 1 WHERE id = ?",
                             SQL(SQL_I64(ending->id)), NULL);
    return st ? st : changes_add(c, ending->id, ending->changes);
}

enum status users_end_sessions(struct db *db, int64_t id, struct changes *changes)
{
    struct ending ending = {id, changes};
    return db_transaction(db, end_sessions, &ending);
}

enum status users_rehash(struct db *db, int64_t id, const char *from, const char *to)
{
    struct db_conn *c;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = db_exec(c, "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
                 SQL(SQL_TEXT(to), SQL_I64(id), SQL_TEXT(from)), NULL);
    db_release(c);
    return st;
}

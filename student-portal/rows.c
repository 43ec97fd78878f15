#include "rows.h"
#include <stdio.h>

enum status sql_walk(struct db *db, const char *sql, const struct sql_value *values, size_t n,
                     void (*read)(const struct db_rows *rows, void *ctx), void *ctx)
{
    struct db_conn *c;
    struct db_rows *rows;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = db_query(c, sql, values, n, &rows);
    while (db_next(rows))
        read(rows, ctx);
    db_rows_free(rows);
    db_release(c);
    return st;
}

enum status sql_number(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                       int64_t *out)
{
    struct db_rows *rows;
    enum status st = db_query(c, sql, values, n, &rows);
    if (!st && !db_next(rows))
        st = STATUS_NOT_FOUND;
    if (!st)
        *out = db_i64(rows, 0);
    db_rows_free(rows);
    return st;
}

enum status sql_exists(struct db *db, const char *sql, const struct sql_value *values, size_t n)
{
    struct db_conn *c;
    int64_t number;
    enum status st = db_acquire(db, &c);
    if (st)
        return st;
    st = sql_number(c, sql, values, n, &number);
    db_release(c);
    return st;
}

void person_read(const struct db_rows *rows, unsigned i, struct user *out)
{
    *out = (struct user){.disabled = db_i64(rows, i + 3) != 0};
    snprintf(out->account, sizeof(out->account), "%s", db_text(rows, i, NULL));
    snprintf(out->name, sizeof(out->name), "%s", db_text(rows, i + 1, NULL));
    if (role_parse(db_text(rows, i + 2, NULL), &out->role))
        out->role = 0; /* a role of a newer schema */
}

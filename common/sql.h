/* Values bound to the placeholders of a statement, the same for db (MySQL) and sqlite. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct sql_value {
    enum { SQL_TYPE_NULL, SQL_TYPE_I64, SQL_TYPE_TEXT, SQL_TYPE_BLOB } type;
    int64_t i;
    const void *bytes;
    size_t len;
};

struct sql_value sql_text(const char *s); /* NULL binds NULL */
#define SQL_NULL ((struct sql_value){SQL_TYPE_NULL, 0, NULL, 0})
#define SQL_I64(v) ((struct sql_value){SQL_TYPE_I64, (v), NULL, 0})
#define SQL_TEXT(s) sql_text(s)
#define SQL_BLOB(p, n) ((struct sql_value){SQL_TYPE_BLOB, 0, (p), (n)})

/* The arguments `values, n` of a call: db_exec(c, "... WHERE id = ?", SQL(SQL_I64(id))). */
#define SQL(...)                                                                                   \
    (const struct sql_value[]){__VA_ARGS__},                                                       \
        sizeof((const struct sql_value[]){__VA_ARGS__}) / sizeof(struct sql_value)
#define SQL_NONE NULL, 0

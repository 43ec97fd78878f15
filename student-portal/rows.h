/* What the files with SQL share. Worker threads only. */
#pragma once
#include "db.h"
#include "user.h"

/* A DATETIME column as RFC 3339. */
#define SQL_RFC3339(column) "DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%sZ')"
/* The same with milliseconds; MySQL knows microseconds only. */
#define SQL_RFC3339_MS(column)                                                                     \
    "CONCAT(LEFT(DATE_FORMAT(" column ", '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')"

/* Run a query on a connection of its own and give each row to `read`. No row is no error. */
enum status sql_walk(struct db *db, const char *sql, const struct sql_value *values, size_t n,
                     void (*read)(const struct db_rows *rows, void *ctx), void *ctx);
/* The number in the first column of the first row; NOT_FOUND when there is none. */
enum status sql_number(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                       int64_t *out);
/* Is there a row? NOT_FOUND when not. */
enum status sql_exists(struct db *db, const char *sql, const struct sql_value *values, size_t n);

/* What the API shows of a person, from table alias `t`, and its reading from column `i` on; the
 * rest of *out is zero. */
#define PERSON_COLUMNS(t) t ".account, " t ".name, " t ".role, " t ".disabled"
enum { PERSON_COLUMN_COUNT = 4 };
void person_read(const struct db_rows *rows, unsigned i, struct user *out);

/* SQLite: one connection a struct, WAL, synchronous=FULL, foreign keys on, statements prepared
 * once and kept (`sql` must be static text). A connection belongs to one thread at a time; open
 * one a thread. Blocks. */
#pragma once
#include "embed.h"
#include "sql.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stdint.h>

struct sqlite;
struct sqlite_rows;

/* Open or create; wait at most `busy_ms` for another process's lock; apply `schema` (or NULL) in
 * order, each file once, under BEGIN IMMEDIATE (PRAGMA user_version counts them). UNAVAILABLE
 * with the reason in `why` when the file cannot be opened or stays locked, UNPROCESSABLE when its
 * schema is newer than ours. */
enum status sqlite_open(const char *path, unsigned busy_ms, const struct embed_folder *schema,
                        struct sqlite **out, struct strbuf *why);
void sqlite_close(struct sqlite *db); /* NULL is fine */

/* DUPLICATE (a unique key), CONTENDED (locked past busy_ms), STORAGE_FULL (nothing of it was
 * written), UNAVAILABLE (I/O), CORRUPT (a damaged file), INTERNAL; all but the first two are
 * logged. Rows that the statement returns are dropped. `changed` may be NULL. */
enum status sqlite_exec(struct sqlite *db, const char *sql, const struct sql_value *values,
                        size_t n, uint64_t *changed);
int64_t sqlite_insert_id(const struct sqlite *db);
/* Rows are stepped as they are read; free them before the transaction ends. One walk at a time a
 * statement. sqlite_next returns OK with *more, or a failure as sqlite_exec. */
enum status sqlite_query(struct sqlite *db, const char *sql, const struct sql_value *values,
                         size_t n, struct sqlite_rows **out);
enum status sqlite_next(struct sqlite_rows *rows, bool *more);
void sqlite_rows_free(struct sqlite_rows *rows);
/* The whole number in the first column of the first row; 0 with *found false when there is none. */
enum status sqlite_query_i64(struct sqlite *db, const char *sql, const struct sql_value *values,
                             size_t n, bool *found, int64_t *out);
int64_t sqlite_i64(const struct sqlite_rows *rows, int i);
/* NUL-terminated; valid until the next sqlite_next. NULL for NULL. */
const char *sqlite_text(const struct sqlite_rows *rows, int i, size_t *len);
const void *sqlite_blob(const struct sqlite_rows *rows, int i, size_t *len);

/* BEGIN IMMEDIATE, work, COMMIT; ROLLBACK on any failure, whose status comes back. OUTCOME_UNKNOWN
 * for a COMMIT that failed on the disk: not done for now, but a crash may bring it to life. */
enum status sqlite_transaction(struct sqlite *db, enum status (*work)(struct sqlite *db, void *ctx),
                               void *ctx);

/* MySQL and MariaDB: a bounded pool of connections, prepared statements, transactions that retry
 * what may be retried, schema upgrades.
 *
 * A keeper thread connects, brings the schema up to date and then watches the server; until the
 * server answers, and again while it is down, db_acquire returns UNAVAILABLE at once instead of
 * waiting for a time-out. All calls block: worker threads only, but for db_new and db_health. A
 * connection belongs to one thread at a time. Isolation is READ COMMITTED, time zone UTC, charset
 * utf8mb4, strict mode, GROUP_CONCAT up to 1 MiB. No automatic reconnect: a broken connection is
 * closed at release. */
#pragma once
#include "embed.h"
#include "sql.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>

struct db;
struct db_conn;
struct db_rows;

struct db_options {
    /* mysql://user:pass@host:3306/db, or mysql://user:pass@/db?socket=/path. ?tls=1 verifies the
     * server (&ca=/path: by this authority; without it, MariaDB's library from 3.4 on also takes a
     * server that proves to know the password), tls=0 is plain text; else TLS is used, unverified,
     * where the library does so. */
    const char *url;
    const char *name;                  /* in logs and metrics, static; NULL: "mysql" */
    size_t connections_max;            /* 0: 16 */
    unsigned wait_ms;                  /* longest wait for a free connection; 0: 1000 */
    unsigned io_timeout_s;             /* longest wait for an answer; 0: 10 */
    unsigned lock_wait_s;              /* innodb_lock_wait_timeout; 0: 1 */
    const struct embed_folder *schema; /* applied in order under a lock; or NULL */
};

/* UNPROCESSABLE with the reason in `why` for a URL that cannot be read; a server that is down is
 * no error. Main thread. */
enum status db_new(const struct db_options *options, struct db **out, struct strbuf *why);
void db_free(struct db *db);
/* A health_check; ctx is the struct db. */
bool db_health(void *db, struct strbuf *why);

/* UNAVAILABLE while the server is down or refuses; OVERLOADED when no connection became free. */
enum status db_acquire(struct db *db, struct db_conn **out);
void db_release(struct db_conn *c); /* rolls back what is open; NULL is fine */

/* Run a statement that returns no rows; it is prepared once a connection and kept (`sql` must be
 * static text). `changed` (or NULL) gets the rows changed. DUPLICATE (1062), CONTENDED (1020,
 * 1205, 1213, 3572), UNAVAILABLE (connection lost, read only), STORAGE_FULL, INTERNAL (anything
 * else); all but the first two are logged. After 1020 and 1213 the server has rolled back, so that
 * every further statement of the transaction is CONTENDED, too. */
enum status db_exec(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                    uint64_t *changed);
uint64_t db_insert_id(const struct db_conn *c);
/* True when the connection's last CONTENDED was a lock wait that ran out (1205, 3572): only that
 * statement was undone, and the transaction can go on to read why. */
bool db_lock_timeout(const struct db_conn *c);

/* Run a query and walk its rows, which are buffered whole (bound them with LIMIT):
 *     st = db_query(c, "SELECT id, name FROM t WHERE x = ?", SQL(SQL_I64(7)), &rows);
 *     while (db_next(rows)) use(db_i64(rows, 0), db_text(rows, 1, NULL));
 *     db_rows_free(rows);
 * On failure *out is NULL; db_next and db_rows_free take NULL. */
enum status db_query(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                     struct db_rows **out);
bool db_next(struct db_rows *rows);
void db_rows_free(struct db_rows *rows);
/* Column `i` of the current row, counted from 0. NULL reads as 0, or as NULL text with length 0.
 * Text is NUL-terminated and lives as long as the rows, which outlive the connection. DATETIME
 * comes as text. */
int64_t db_i64(const struct db_rows *rows, unsigned i);
const char *db_text(const struct db_rows *rows, unsigned i, size_t *len);
bool db_is_null(const struct db_rows *rows, unsigned i);

/* Run work(c, ctx) inside BEGIN and COMMIT on a connection of the pool. When it or the COMMIT
 * returns CONTENDED: ROLLBACK (1205 undoes only its statement) and again, at most 8 times, with
 * growing jitter, so `work` must be repeatable. Any other failure: ROLLBACK, and that status.
 * A COMMIT that was neither confirmed nor lost a race is OUTCOME_UNKNOWN: the caller must ask, not
 * guess. CONTENDED past the last try, or past 5 s, comes back as OVERLOADED. */
enum status db_transaction(struct db *db, enum status (*work)(struct db_conn *c, void *ctx),
                           void *ctx);

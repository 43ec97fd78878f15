#include "log.h"
#include <mysql.h>
#include <stdlib.h>
#include <string.h>

#include "db_conn.h"

enum { NO_SUCH_TABLE = 1146, LOCK_WAIT_S = 1 };

struct state {
    size_t version; /* the files begun so far */
    bool finished;  /* the last of them, too */
};

static enum status failed(MYSQL *mysql, const char *what, struct strbuf *why)
{
    strbuf_addf(why, "%s: %s (%u)", what, mysql_error(mysql), mysql_errno(mysql));
    return STATUS_UNAVAILABLE;
}

__attribute__((format(printf, 3, 4))) static enum status run(MYSQL *mysql, struct strbuf *why,
                                                             const char *fmt, ...)
{
    struct strbuf sql = STRBUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&sql, fmt, ap);
    va_end(ap);
    int code = mysql_query(mysql, sql.bytes);
    strbuf_release(&sql);
    return code == 0 ? STATUS_OK : failed(mysql, "schema_version", why);
}

/* No table is version 0. */
static enum status read_state(MYSQL *mysql, struct state *out, struct strbuf *why)
{
    *out = (struct state){0, true};
    if (mysql_query(mysql, "SELECT MAX(version), MIN(finished) FROM schema_version") != 0)
        return mysql_errno(mysql) == NO_SUCH_TABLE ? STATUS_OK
                                                   : failed(mysql, "schema_version", why);
    MYSQL_RES *result = mysql_store_result(mysql);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    if (row && row[0] && row[1])
        *out = (struct state){strtoull(row[0], NULL, 10), row[1][0] != '0'};
    mysql_free_result(result);
    return row ? STATUS_OK : failed(mysql, "schema_version", why);
}

static enum status check_state(const struct state *state, const struct embed_folder *schema,
                               struct strbuf *why)
{
    if (state->finished && state->version <= schema->n)
        return STATUS_OK;
    if (!state->finished)
        strbuf_addf(why,
                    "schema file %zu stopped half way: complete its work by hand, then set "
                    "finished = 1 in schema_version",
                    state->version);
    else
        strbuf_addf(why, "the schema's version %zu is newer than this program's %zu",
                    state->version, schema->n);
    return STATUS_UNPROCESSABLE;
}

/* MySQL's lock names are the whole server's, and 64 characters at most. (It has no SHA1 since 9.6.)
 */
static enum status take_lock(MYSQL *mysql, struct strbuf *why)
{
    enum status st = run(
        mysql, why, "SELECT GET_LOCK(CONCAT('schema ', SHA2(DATABASE(), 224)), %d)", LOCK_WAIT_S);
    if (st != STATUS_OK)
        return st;
    MYSQL_RES *result = mysql_store_result(mysql);
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    bool taken = row && row[0] && row[0][0] == '1';
    mysql_free_result(result);
    if (!taken)
        strbuf_addstr(why, "another process upgrades the schema");
    return taken ? STATUS_OK : STATUS_UNAVAILABLE;
}

/* Run every statement of a file, one at least. `done` counts those that succeeded. */
static bool run_file(MYSQL *mysql, const struct embed_file *file, size_t *done)
{
    *done = 0;
    int code = mysql_real_query(mysql, (const char *)file->bytes, file->len);
    while (code == 0) {
        mysql_free_result(mysql_store_result(mysql));
        (*done)++;
        code = mysql_next_result(mysql); /* -1: there are no more */
    }
    return code == -1;
}

static enum status apply(MYSQL *mysql, const struct embed_file *file, size_t version,
                         struct strbuf *why)
{
    size_t done;
    enum status st =
        run(mysql, why, "INSERT INTO schema_version (version, finished) VALUES (%zu, 0)", version);
    if (st != STATUS_OK)
        return st;
    if (!run_file(mysql, file, &done)) {
        st = failed(mysql, file->name, why);
        /* Its first statement was refused: nothing has happened, and it may be tried again. */
        if (done == 0 && mysql_errno(mysql) < 2000)
            run(mysql, why, "DELETE FROM schema_version WHERE version = %zu", version);
        return st;
    }
    st = run(mysql, why, "UPDATE schema_version SET finished = 1 WHERE version = %zu", version);
    if (st == STATUS_OK)
        log_info("schema_applied", F("file", file->name));
    return st;
}

/* The lock ends with the connection. */
enum status db_schema_upgrade(MYSQL *mysql, const struct embed_folder *schema, struct strbuf *why)
{
    struct state state;
    enum status st = read_state(mysql, &state, why);
    if (st == STATUS_OK && state.finished && state.version == schema->n)
        return STATUS_OK; /* without the rights to change anything */
    if (st == STATUS_OK)
        st = take_lock(mysql, why);
    if (st == STATUS_OK)
        st = run(mysql, why,
                 "CREATE TABLE IF NOT EXISTS schema_version (version INT PRIMARY KEY, finished "
                 "BOOLEAN NOT NULL, begun_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)");
    if (st == STATUS_OK)
        st = read_state(mysql, &state, why);
    if (st == STATUS_OK)
        st = check_state(&state, schema, why);
    for (size_t i = state.version; st == STATUS_OK && i < schema->n; i++)
        st = apply(mysql, &schema->files[i], i + 1, why);
    return st;
}

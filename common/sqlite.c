#include "sqlite.h"
#include "clock.h"
#include "log.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { STATEMENTS_MAX = 64 };

/* A prepared statement, and the walk over its rows. */
struct sqlite_rows {
    struct sqlite *db;
    const char *sql;
    sqlite3_stmt *stmt;
    bool walking;
};

struct sqlite {
    sqlite3 *handle;
    struct sqlite_rows statements[STATEMENTS_MAX];
    size_t statement_count, oldest;
};

/* --- failures -------------------------------------------------------------------------------- */

static const struct {
    int code; /* extended, or primary: the first that fits counts */
    enum status status;
} failures[] = {
    {SQLITE_CONSTRAINT_UNIQUE, STATUS_DUPLICATE},
    {SQLITE_CONSTRAINT_PRIMARYKEY, STATUS_DUPLICATE},
    {SQLITE_CONSTRAINT_ROWID, STATUS_DUPLICATE},
    {SQLITE_BUSY, STATUS_CONTENDED},
    {SQLITE_LOCKED, STATUS_CONTENDED},
    {SQLITE_FULL, STATUS_STORAGE_FULL},
    {SQLITE_IOERR, STATUS_UNAVAILABLE},
    {SQLITE_CANTOPEN, STATUS_UNAVAILABLE},
    {SQLITE_READONLY, STATUS_UNAVAILABLE},
    {SQLITE_PROTOCOL, STATUS_UNAVAILABLE},
    {SQLITE_CORRUPT, STATUS_CORRUPT},
    {SQLITE_NOTADB, STATUS_CORRUPT},
};

static enum status status_of(sqlite3 *handle, int code)
{
    int os_error = sqlite3_system_errno(handle);
    /* Not of an fsync or of shared memory, which come after the commit was written. */
    if (code == SQLITE_IOERR_WRITE && (os_error == ENOSPC || os_error == EDQUOT))
        return STATUS_STORAGE_FULL;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (failures[i].code == code || failures[i].code == (code & 0xFF))
            return failures[i].status;
    return STATUS_INTERNAL;
}

/* The status of the handle's last failure. What a caller expects to happen is not logged. */
static enum status failed(struct sqlite *db, const char *sql)
{
    int code = sqlite3_extended_errcode(db->handle);
    enum status st = status_of(db->handle, code);
    if (st != STATUS_DUPLICATE && st != STATUS_CONTENDED)
        log_error("sqlite_failed", F("code", code), F("error", sqlite3_errmsg(db->handle)),
                  F("sql", sql));
    return st;
}

/* --- statements ------------------------------------------------------------------------------ */

/* A place for one more statement: a free one, or the oldest that nobody walks. */
static struct sqlite_rows *find_place(struct sqlite *db)
{
    if (db->statement_count < STATEMENTS_MAX)
        return &db->statements[db->statement_count++];
    for (size_t tries = 0; tries < STATEMENTS_MAX; tries++) {
        struct sqlite_rows *s = &db->statements[db->oldest];
        db->oldest = (db->oldest + 1) % STATEMENTS_MAX;
        if (!s->walking)
            return s;
    }
    return NULL;
}

static enum status prepare(struct sqlite *db, const char *sql, struct sqlite_rows **out)
{
    for (size_t i = 0; i < db->statement_count; i++) {
        if (db->statements[i].sql == sql) {
            *out = &db->statements[i];
            return STATUS_OK;
        }
    }
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK)
        return failed(db, sql);
    struct sqlite_rows *s = find_place(db);
    if (!s) {
        sqlite3_finalize(stmt);
        log_error("sqlite_too_many_walks", F("sql", sql));
        return STATUS_INTERNAL;
    }
    sqlite3_finalize(s->stmt);
    *s = (struct sqlite_rows){db, sql, stmt, false};
    *out = s;
    return STATUS_OK;
}

static int bind_one(sqlite3_stmt *stmt, int i, const struct sql_value *v,
                    sqlite3_destructor_type lifetime)
{
    const char *bytes = v->bytes ? v->bytes : ""; /* NULL would bind NULL */
    switch (v->type) {
    case SQL_TYPE_I64:
        return sqlite3_bind_int64(stmt, i, v->i);
    case SQL_TYPE_TEXT:
        return sqlite3_bind_text64(stmt, i, bytes, v->len, lifetime, SQLITE_UTF8);
    case SQL_TYPE_BLOB:
        return sqlite3_bind_blob64(stmt, i, bytes, v->len, lifetime);
    case SQL_TYPE_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, i);
}

static void finish(struct sqlite_rows *s)
{
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt);
    s->walking = false;
}

/* Prepare and bind. `lifetime`: SQLITE_STATIC when the values outlive the walk. */
static enum status begin(struct sqlite *db, const char *sql, const struct sql_value *values,
                         size_t n, sqlite3_destructor_type lifetime, struct sqlite_rows **out)
{
    struct sqlite_rows *s = NULL;
    enum status st = prepare(db, sql, &s);
    if (st != STATUS_OK)
        return st;
    if (s->walking || (size_t)sqlite3_bind_parameter_count(s->stmt) != n) {
        log_error("sqlite_misused", F("sql", sql), F("walking", s->walking), F("values", n));
        return STATUS_INTERNAL;
    }
    for (size_t i = 0; i < n; i++) {
        if (bind_one(s->stmt, (int)i + 1, &values[i], lifetime) != SQLITE_OK) {
            st = failed(db, sql);
            finish(s);
            return st;
        }
    }
    s->walking = true;
    *out = s;
    return STATUS_OK;
}

enum status sqlite_exec(struct sqlite *db, const char *sql, const struct sql_value *values,
                        size_t n, uint64_t *changed)
{
    struct sqlite_rows *s = NULL;
    enum status st = begin(db, sql, values, n, SQLITE_STATIC, &s);
    if (st != STATUS_OK)
        return st;
    int code;
    do
        code = sqlite3_step(s->stmt);
    while (code == SQLITE_ROW);
    if (code != SQLITE_DONE)
        st = failed(db, sql);
    else if (changed)
        *changed = (uint64_t)sqlite3_changes(db->handle);
    finish(s);
    return st;
}

int64_t sqlite_insert_id(const struct sqlite *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

enum status sqlite_query(struct sqlite *db, const char *sql, const struct sql_value *values,
                         size_t n, struct sqlite_rows **out)
{
    *out = NULL;
    return begin(db, sql, values, n, SQLITE_TRANSIENT, out);
}

enum status sqlite_next(struct sqlite_rows *rows, bool *more)
{
    int code = sqlite3_step(rows->stmt);
    *more = code == SQLITE_ROW;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return STATUS_OK;
    return failed(rows->db, rows->sql);
}

void sqlite_rows_free(struct sqlite_rows *rows)
{
    if (rows)
        finish(rows);
}

enum status sqlite_query_i64(struct sqlite *db, const char *sql, const struct sql_value *values,
                             size_t n, bool *found, int64_t *out)
{
    struct sqlite_rows *rows = NULL;
    *found = false;
    enum status s = sqlite_query(db, sql, values, n, &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, found);
    *out = s == STATUS_OK && *found ? sqlite_i64(rows, 0) : 0;
    sqlite_rows_free(rows);
    return s;
}

int64_t sqlite_i64(const struct sqlite_rows *rows, int i)
{
    return sqlite3_column_int64(rows->stmt, i);
}

const char *sqlite_text(const struct sqlite_rows *rows, int i, size_t *len)
{
    const char *text = (const char *)sqlite3_column_text(rows->stmt, i);
    if (len)
        *len = (size_t)sqlite3_column_bytes(rows->stmt, i);
    return text;
}

const void *sqlite_blob(const struct sqlite_rows *rows, int i, size_t *len)
{
    bool null = sqlite3_column_type(rows->stmt, i) == SQLITE_NULL;
    const void *bytes = sqlite3_column_blob(rows->stmt, i);
    *len = (size_t)sqlite3_column_bytes(rows->stmt, i);
    return bytes || null ? bytes : ""; /* SQLite has no address for an empty blob */
}

/* --- transactions ---------------------------------------------------------------------------- */

static void rollback(struct sqlite *db)
{
    /* Some failures (disk full, I/O) have rolled back already. */
    if (!sqlite3_get_autocommit(db->handle))
        sqlite_exec(db, "ROLLBACK", SQL_NONE, NULL);
}

enum status sqlite_transaction(struct sqlite *db, enum status (*work)(struct sqlite *db, void *ctx),
                               void *ctx)
{
    enum status st = sqlite_exec(db, "BEGIN IMMEDIATE", SQL_NONE, NULL);
    if (st != STATUS_OK)
        return st;
    st = work(db, ctx);
    if (st == STATUS_OK) {
        st = sqlite_exec(db, "COMMIT", SQL_NONE, NULL);
        if (st == STATUS_UNAVAILABLE) /* written, and not durable: recovery may find it */
            st = STATUS_OUTCOME_UNKNOWN;
    }
    if (st != STATUS_OK)
        rollback(db);
    return st;
}

/* --- schema ---------------------------------------------------------------------------------- */

struct upgrade {
    const struct embed_folder *schema;
    struct strbuf *why;
    bool done;
};

static enum status read_version(struct sqlite *db, int64_t *version)
{
    struct sqlite_rows *rows;
    bool more = false;
    enum status st = sqlite_query(db, "PRAGMA user_version", SQL_NONE, &rows);
    if (st == STATUS_OK)
        st = sqlite_next(rows, &more);
    if (st == STATUS_OK)
        *version = sqlite_i64(rows, 0);
    sqlite_rows_free(rows);
    return st;
}

/* Apply the next file, or see that there is none. In a transaction of its own. */
static enum status apply_next(struct sqlite *db, void *ctx)
{
    struct upgrade *u = ctx;
    int64_t version;
    enum status st = read_version(db, &version);
    if (st != STATUS_OK)
        return st;
    if (version < 0 || (uint64_t)version > u->schema->n) {
        strbuf_addf(u->why, "the schema's version %lld is newer than this program's %zu",
                    (long long)version, u->schema->n);
        return STATUS_UNPROCESSABLE;
    }
    u->done = (uint64_t)version == u->schema->n;
    if (u->done)
        return STATUS_OK;
    const struct embed_file *file = &u->schema->files[version];
    struct strbuf sql = STRBUF_INIT;
    strbuf_addf(&sql, "%s\n;PRAGMA user_version = %lld", (const char *)file->bytes,
                (long long)version + 1);
    if (sqlite3_exec(db->handle, sql.bytes, NULL, NULL, NULL) != SQLITE_OK) {
        strbuf_addf(u->why, "schema %s: %s", file->name, sqlite3_errmsg(db->handle));
        st = failed(db, file->name);
    }
    strbuf_release(&sql);
    return st;
}

static enum status upgrade(struct sqlite *db, const struct embed_folder *schema, struct strbuf *why)
{
    struct upgrade u = {schema, why, false};
    int64_t version;
    enum status st = read_version(db, &version);
    u.done = st == STATUS_OK && version >= 0 && (uint64_t)version == schema->n;
    while (st == STATUS_OK && !u.done)
        st = sqlite_transaction(db, apply_next, &u);
    return st;
}

/* --- open and close -------------------------------------------------------------------------- */

/* Two processes that switch a new file to WAL at once get SQLITE_BUSY in spite of the busy
 * time-out (neither could ever be served: both hold a read lock), so that this one is repeated. */
static int set_wal(sqlite3 *handle, unsigned busy_ms)
{
    int64_t deadline = clock_mono_ms() + busy_ms;
    for (;;) {
        int code = sqlite3_exec(handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
        if ((code & 0xFF) != SQLITE_BUSY || clock_mono_ms() >= deadline)
            return code;
        sqlite3_sleep(5);
    }
}

static int configure(sqlite3 *handle, unsigned busy_ms)
{
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, (int)busy_ms);
    int code = set_wal(handle, busy_ms);
    if (code != SQLITE_OK)
        return code;
    return sqlite3_exec(handle,
                        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                        NULL, NULL, NULL);
}

enum status sqlite_open(const char *path, unsigned busy_ms, const struct embed_folder *schema,
                        struct sqlite **out, struct strbuf *why)
{
    struct sqlite *db = xcalloc(1, sizeof(*db));
    enum status st = STATUS_OK;
    size_t why_len = why->len;
    *out = NULL;
    int code = sqlite3_open_v2(
        path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK)
        code = configure(db->handle, busy_ms);
    if (code != SQLITE_OK)
        st = STATUS_UNAVAILABLE;
    else if (schema)
        st = upgrade(db, schema, why);
    if (st == STATUS_OK) {
        *out = db;
        return STATUS_OK;
    }
    if (why->len == why_len)
        strbuf_addf(why, "%s: %s", path, sqlite3_errmsg(db->handle));
    sqlite_close(db);
    return st == STATUS_CONTENDED ? STATUS_UNAVAILABLE : st;
}

void sqlite_close(struct sqlite *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->statement_count; i++)
        sqlite3_finalize(db->statements[i].stmt);
    sqlite3_close(db->handle);
    free(db);
}

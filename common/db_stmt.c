#include "log.h"
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_conn.h"

/* --- failures -------------------------------------------------------------------------------- */

static const struct failure {
    unsigned code;
    enum status status;
    bool lost;   /* the connection is */
    bool doomed; /* the transaction was rolled back by the server */
} failures[] = {
    {1062, STATUS_DUPLICATE, false, false}, /* duplicate entry */
    {1586, STATUS_DUPLICATE, false, false}, /* the same, with the key's name */
    {1020, STATUS_CONTENDED, false, true},  /* the row changed since the snapshot */
    {1213, STATUS_CONTENDED, false, true},  /* deadlock */
    {1205, STATUS_CONTENDED, false, false}, /* lock wait time-out */
    {3572, STATUS_CONTENDED, false, false}, /* NOWAIT, and the lock is taken */
    {1021, STATUS_STORAGE_FULL, false, false},
    {1114, STATUS_STORAGE_FULL, false, false}, /* table is full */
    {1290, STATUS_UNAVAILABLE, false, false},  /* read only */
    {1836, STATUS_UNAVAILABLE, false, false},  /* read only */
    {1317, STATUS_UNAVAILABLE, false, false},  /* query killed */
    {1969, STATUS_UNAVAILABLE, false, false},  /* ran too long (MariaDB) */
    {3024, STATUS_UNAVAILABLE, false, false},  /* ran too long (MySQL) */
    {1053, STATUS_UNAVAILABLE, true, false},   /* shutdown */
    {1927, STATUS_UNAVAILABLE, true, false},   /* connection killed */
    {1153, STATUS_INTERNAL, true, false},      /* packet too large: the server hangs up */
};

/* The client's own errors (2000 to 2999): after any of them the protocol's state is unknown. */
static const struct failure client_failure = {0, STATUS_UNAVAILABLE, true, false};
static const struct failure other_failure = {0, STATUS_INTERNAL, false, false};

static const struct failure *find_failure(unsigned code)
{
    if (code >= 2000 && code < 3000)
        return &client_failure;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (failures[i].code == code)
            return &failures[i];
    return &other_failure;
}

enum status db_failed(struct db_conn *c, unsigned code, const char *error, const char *sql)
{
    const struct failure *f = find_failure(code);
    if (f->lost && !c->broken[0])
        snprintf(c->broken, sizeof(c->broken), "%s (%u)", error, code);
    if (f->doomed)
        c->doomed = true;
    if (f->status == STATUS_CONTENDED)
        c->contended_code = code;
    else if (f->status != STATUS_DUPLICATE)
        log_error("db_failed", F("code", code), F("error", error), F("sql", sql));
    return f->status;
}

bool db_lock_timeout(const struct db_conn *c)
{
    return c->contended_code == 1205 || c->contended_code == 3572;
}

enum status db_simple(struct db_conn *c, const char *sql)
{
    if (c->broken[0])
        return STATUS_UNAVAILABLE;
    if (mysql_query(c->mysql, sql) == 0)
        return STATUS_OK;
    return db_failed(c, mysql_errno(c->mysql), mysql_error(c->mysql), sql);
}

/* --- statements ------------------------------------------------------------------------------ */

/* MariaDB's client keeps an error that comes between two rows with the connection alone. */
static enum status stmt_failed(struct db_conn *c, const struct db_statement *s)
{
    unsigned code = mysql_stmt_errno(s->stmt);
    if (code)
        return db_failed(c, code, mysql_stmt_error(s->stmt), s->sql);
    return db_failed(c, mysql_errno(c->mysql), mysql_error(c->mysql), s->sql);
}

/* A place for one more statement: a free one, or the oldest. */
static struct db_statement *find_place(struct db_conn *c)
{
    if (c->statement_count < DB_STATEMENTS_MAX)
        return &c->statements[c->statement_count++];
    struct db_statement *s = &c->statements[c->oldest];
    c->oldest = (c->oldest + 1) % DB_STATEMENTS_MAX;
    mysql_stmt_close(s->stmt);
    return s;
}

/* Find it, or prepare it. NULL with *st. */
static struct db_statement *prepare(struct db_conn *c, const char *sql, enum status *st)
{
    for (size_t i = 0; i < c->statement_count; i++)
        if (c->statements[i].sql == sql)
            return &c->statements[i];
    struct db_statement fresh = {sql, mysql_stmt_init(c->mysql)};
    if (!fresh.stmt || mysql_stmt_prepare(fresh.stmt, sql, strlen(sql)) != 0) {
        *st = fresh.stmt ? stmt_failed(c, &fresh) : STATUS_INTERNAL;
        if (fresh.stmt)
            mysql_stmt_close(fresh.stmt);
        return NULL;
    }
    struct db_statement *place = find_place(c);
    *place = fresh;
    return place;
}

static MYSQL_BIND bind_of(const struct sql_value *v)
{
    static const enum enum_field_types types[] = {
        [SQL_TYPE_NULL] = MYSQL_TYPE_NULL,
        [SQL_TYPE_I64] = MYSQL_TYPE_LONGLONG,
        [SQL_TYPE_TEXT] = MYSQL_TYPE_STRING,
        [SQL_TYPE_BLOB] = MYSQL_TYPE_BLOB,
    };
    bool bytes = v->type == SQL_TYPE_TEXT || v->type == SQL_TYPE_BLOB;
    return (MYSQL_BIND){
        .buffer_type = types[v->type],
        .buffer = bytes ? (void *)v->bytes : (void *)&v->i, /* only read */
        .buffer_length = bytes ? v->len : sizeof(v->i),
    };
}

/* Prepare, bind, execute. NULL with *st on failure. */
static struct db_statement *execute(struct db_conn *c, const char *sql,
                                    const struct sql_value *values, size_t n, enum status *st)
{
    c->contended_code =
        0; /* of an earlier statement: a caller may well have a CONTENDED of its own */
    *st = c->broken[0] ? STATUS_UNAVAILABLE : c->doomed ? STATUS_CONTENDED : STATUS_OK;
    struct db_statement *s = *st == STATUS_OK ? prepare(c, sql, st) : NULL;
    if (!s)
        return NULL;
    if (mysql_stmt_param_count(s->stmt) != n) {
        log_error("db_misused", F("sql", sql), F("values", n));
        *st = STATUS_INTERNAL;
        return NULL;
    }
    MYSQL_BIND *binds = xcalloc(n, sizeof(*binds));
    for (size_t i = 0; i < n; i++)
        binds[i] = bind_of(&values[i]);
    if ((n > 0 && mysql_stmt_bind_param(s->stmt, binds)) || mysql_stmt_execute(s->stmt) != 0)
        *st = stmt_failed(c, s);
    free(binds);
    return *st == STATUS_OK ? s : NULL;
}

enum status db_exec(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                    uint64_t *changed)
{
    enum status st;
    struct db_statement *s = execute(c, sql, values, n, &st);
    if (!s)
        return st;
    if (changed)
        *changed = mysql_stmt_affected_rows(s->stmt);
    c->insert_id = mysql_stmt_insert_id(s->stmt);
    mysql_stmt_free_result(s->stmt);
    return STATUS_OK;
}

uint64_t db_insert_id(const struct db_conn *c)
{
    return c->insert_id;
}

/* --- rows ------------------------------------------------------------------------------------ */

struct cell {
    size_t at; /* in `bytes` */
    size_t len;
    bool null;
};

/* A copy of the whole result, every value as text, independent of the connection. */
struct db_rows {
    unsigned columns;
    size_t row_count, next; /* `next`: the current row and 1; 0 before the first */
    struct cell *cells;     /* row by row */
    size_t cells_size;
    struct strbuf bytes;
};

static struct cell *add_row(struct db_rows *rows)
{
    size_t used = rows->row_count * rows->columns;
    if (used + rows->columns > rows->cells_size) {
        rows->cells_size = rows->cells_size * 2 + rows->columns;
        rows->cells = xrealloc(rows->cells, rows->cells_size * sizeof(rows->cells[0]));
    }
    rows->row_count++;
    return &rows->cells[used];
}

/* Where a fetch puts a column: its length, whether it is NULL, and itself if it is short. */
struct column {
    MYSQL_BIND bind;
    char text[64];
};

static bool copy_column(struct db_rows *rows, MYSQL_STMT *stmt, const struct column *column,
                        unsigned i, struct cell *cell)
{
    size_t len = column->bind.is_null_value ? 0 : column->bind.length_value;
    *cell = (struct cell){rows->bytes.len, len, column->bind.is_null_value};
    strbuf_reserve(&rows->bytes, len + 1);
    char *to = rows->bytes.bytes + rows->bytes.len;
    MYSQL_BIND into = {.buffer_type = MYSQL_TYPE_STRING, .buffer = to, .buffer_length = len};
    if (len <= sizeof(column->text))
        memcpy(to, column->text, len);
    else if (mysql_stmt_fetch_column(stmt, &into, i, 0) != 0)
        return false;
    rows->bytes.len += len;
    strbuf_addch(&rows->bytes, '\0');
    return true;
}

static bool bind_columns(MYSQL_STMT *stmt, struct column *columns, MYSQL_BIND *binds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct column *c = &columns[i];
        c->bind.buffer_type = MYSQL_TYPE_STRING;
        c->bind.buffer = c->text;
        c->bind.buffer_length = sizeof(c->text);
        c->bind.length = &c->bind.length_value;
        c->bind.is_null = &c->bind.is_null_value;
        binds[i] = c->bind;
    }
    return !mysql_stmt_bind_result(stmt, binds);
}

/* MYSQL_NO_DATA behind the last row, 0 for a row, or failure. A value that does not fit its
 * column's text is no failure. */
static int fetch(MYSQL_STMT *stmt)
{
    int code = mysql_stmt_fetch(stmt);
    return code == MYSQL_DATA_TRUNCATED ? 0 : code;
}

static enum status copy_rows(struct db_conn *c, struct db_statement *s, struct db_rows *rows)
{
    struct column *columns = xcalloc(rows->columns, sizeof(*columns));
    MYSQL_BIND *binds = xcalloc(rows->columns, sizeof(*binds));
    bool good = bind_columns(s->stmt, columns, binds, rows->columns);
    int code = 0;
    while (good && (code = fetch(s->stmt)) == 0) {
        struct cell *row = add_row(rows);
        for (unsigned i = 0; i < rows->columns && good; i++)
            good = copy_column(rows, s->stmt, &columns[i], i, &row[i]);
    }
    enum status st = good && code == MYSQL_NO_DATA ? STATUS_OK : stmt_failed(c, s);
    mysql_stmt_free_result(s->stmt);
    free(binds);
    free(columns);
    return st;
}

enum status db_query(struct db_conn *c, const char *sql, const struct sql_value *values, size_t n,
                     struct db_rows **out)
{
    enum status st;
    *out = NULL;
    struct db_statement *s = execute(c, sql, values, n, &st);
    if (!s)
        return st;
    struct db_rows *rows = xcalloc(1, sizeof(*rows));
    rows->columns = mysql_stmt_field_count(s->stmt);
    st = copy_rows(c, s, rows);
    if (st == STATUS_OK)
        *out = rows;
    else
        db_rows_free(rows);
    return st;
}

bool db_next(struct db_rows *rows)
{
    if (!rows || rows->next == rows->row_count)
        return false;
    rows->next++;
    return true;
}

void db_rows_free(struct db_rows *rows)
{
    if (!rows)
        return;
    free(rows->cells);
    strbuf_release(&rows->bytes);
    free(rows);
}

static const struct cell *cell_at(const struct db_rows *rows, unsigned i)
{
    return &rows->cells[(rows->next - 1) * rows->columns + i];
}

bool db_is_null(const struct db_rows *rows, unsigned i)
{
    return cell_at(rows, i)->null;
}

const char *db_text(const struct db_rows *rows, unsigned i, size_t *len)
{
    const struct cell *cell = cell_at(rows, i);
    if (len)
        *len = cell->len;
    return cell->null ? NULL : rows->bytes.bytes + cell->at;
}

int64_t db_i64(const struct db_rows *rows, unsigned i)
{
    const char *text = db_text(rows, i, NULL);
    return text ? strtoll(text, NULL, 10) : 0;
}

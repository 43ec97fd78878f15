/* Drives common/db. usage: probe_db URL [connections=N] [wait_ms=N] [lock_wait_s=N] [schema=FOLDER]
 */
#include "db.h"
#include "probe.h"
#include "secret.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 16, HELD_MAX = 64 };

struct values {
    struct sql_value at[VALUES_MAX];
    struct strbuf blobs[VALUES_MAX];
    size_t n;
};

struct session {
    struct db *db;
    struct db_conn *held[HELD_MAX];
    size_t held_count;
};

static void read_value(struct values *v, json_t *value)
{
    struct sql_value *out = &v->at[v->n];
    struct strbuf *blob = &v->blobs[v->n++];
    const char *hex = json_string_value(json_object_get(value, "hex"));
    if (json_is_integer(value)) {
        *out = SQL_I64(json_integer_value(value));
    } else if (json_is_string(value)) {
        *out = SQL_TEXT(json_string_value(value));
        out->len = json_string_length(value);
    } else if (hex) {
        size_t len = strlen(hex) / 2;
        strbuf_reserve(blob, len);
        if (hex_decode(hex, len * 2, (uint8_t *)blob->bytes, len) != STATUS_OK)
            exit(3);
        *out = SQL_BLOB(blob->bytes, len);
    } else {
        *out = SQL_NULL;
    }
}

static void read_values(struct values *v, json_t *list)
{
    *v = (struct values){0};
    for (size_t i = 0; i < json_array_size(list) && i < VALUES_MAX; i++)
        read_value(v, json_array_get(list, i));
}

static void release_values(struct values *v)
{
    for (size_t i = 0; i < v->n; i++)
        strbuf_release(&v->blobs[i]);
}

static const char *sql_of(json_t *args, size_t i)
{
    return probe_intern(json_string_value(json_array_get(args, i)));
}

/* ["exec", sql, [values]] on any connection */
static json_t *run_exec(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct db_conn *c;
    struct values v;
    uint64_t changed = 0, id = 0;
    bool timeout = false;
    enum status st = db_acquire(s->db, &c);
    read_values(&v, json_array_get(args, 2));
    if (st == STATUS_OK) {
        st = db_exec(c, sql_of(args, 1), v.at, v.n, &changed);
        id = db_insert_id(c);
        timeout = db_lock_timeout(c);
        db_release(c);
    }
    release_values(&v);
    return json_pack("{s:s, s:I, s:I, s:b}", "status", status_slug(st), "changed",
                     (json_int_t)changed, "id", (json_int_t)id, "lock_timeout", timeout);
}

static json_t *rows_of(struct db_rows *rows, size_t columns)
{
    json_t *list = json_array();
    while (db_next(rows)) {
        json_t *row = json_array();
        for (unsigned i = 0; i < columns; i++) {
            size_t len;
            const char *text = db_text(rows, i, &len);
            if (db_is_null(rows, i) != !text || (text && text[len] != '\0'))
                exit(4);
            json_array_append_new(row, probe_bytes(text, len));
            json_array_append_new(row, json_integer(db_i64(rows, i)));
        }
        json_array_append_new(list, row);
    }
    return list;
}

/* ["query", sql, [values], columns]: each column as text and as a number */
static json_t *run_query(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct db_conn *c;
    struct db_rows *rows = NULL;
    struct values v;
    enum status st = db_acquire(s->db, &c);
    read_values(&v, json_array_get(args, 2));
    if (st == STATUS_OK) {
        st = db_query(c, sql_of(args, 1), v.at, v.n, &rows);
        db_release(c);
    }
    json_t *list = rows_of(rows, (size_t)json_integer_value(json_array_get(args, 3)));
    db_rows_free(rows);
    release_values(&v);
    return json_pack("{s:s, s:o}", "status", status_slug(st), "rows", list);
}

struct transaction {
    json_t *steps;
    unsigned runs;
};

/* Each step is [sql, [values]], or "wait" (first run only): answers and goes on at the next line.
 */
static enum status work(struct db_conn *c, void *ctx)
{
    struct transaction *t = ctx;
    t->runs++;
    enum status st = STATUS_OK;
    for (size_t i = 1; i < json_array_size(t->steps) && st == STATUS_OK; i++) {
        json_t *step = json_array_get(t->steps, i);
        if (json_is_array(step)) {
            struct values v;
            read_values(&v, json_array_get(step, 1));
            st = db_exec(c, sql_of(step, 0), v.at, v.n, NULL);
            release_values(&v);
        } else if (t->runs == 1) {
            probe_answer(json_pack("{s:s}", "status", "waiting"));
            json_decref(probe_read());
        }
    }
    return st;
}

static json_t *run_transaction(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct transaction t = {args, 0};
    enum status st = db_transaction(s->db, work, &t);
    return json_pack("{s:s, s:i}", "status", status_slug(st), "runs", (int)t.runs);
}

static json_t *run_acquire(void *ctx, json_t *args)
{
    struct session *s = ctx;
    (void)args;
    enum status st = db_acquire(s->db, &s->held[s->held_count]);
    if (st == STATUS_OK)
        s->held_count++;
    return probe_status(st);
}

/* ["held", sql]: run it on the connection acquired last, without releasing */
static json_t *run_held(void *ctx, json_t *args)
{
    struct session *s = ctx;
    return probe_status(db_exec(s->held[s->held_count - 1], sql_of(args, 1), SQL_NONE, NULL));
}

static json_t *run_release(void *ctx, json_t *args)
{
    struct session *s = ctx;
    (void)args;
    while (s->held_count > 0)
        db_release(s->held[--s->held_count]);
    return probe_status(STATUS_OK);
}

static json_t *run_health(void *ctx, json_t *args)
{
    struct session *s = ctx;
    struct strbuf why = STRBUF_INIT;
    (void)args;
    bool well = db_health(s->db, &why);
    json_t *answer = json_pack("{s:b, s:s}", "well", well, "why", strbuf_cstr(&why));
    strbuf_release(&why);
    return answer;
}

static enum status add_one(struct db_conn *c, void *ctx)
{
    (void)ctx;
    return db_exec(c, "UPDATE hammer SET n = n + 1 WHERE id = 1", SQL_NONE, NULL);
}

static enum status strike(void *ctx)
{
    struct session *s = ctx;
    return db_transaction(s->db, add_one, NULL);
}

/* ["hammer", threads, ms] */
static json_t *run_hammer(void *ctx, json_t *args)
{
    return probe_hammer((size_t)json_integer_value(json_array_get(args, 1)),
                        json_integer_value(json_array_get(args, 2)), strike, ctx);
}

static const struct probe_command commands[] = {
    {"exec", run_exec},       {"query", run_query},   {"transaction", run_transaction},
    {"acquire", run_acquire}, {"held", run_held},     {"release", run_release},
    {"health", run_health},   {"hammer", run_hammer},
};

int main(int argc, char **argv)
{
    struct session s = {0};
    struct strbuf why = STRBUF_INIT;
    const char *schema = probe_option(argc, argv, "schema", NULL);
    signal(SIGPIPE, SIG_IGN);
    struct db_options options = {
        .url = argv[1],
        .connections_max = probe_number(argc, argv, "connections"),
        .wait_ms = probe_number(argc, argv, "wait_ms"),
        .lock_wait_s = probe_number(argc, argv, "lock_wait_s"),
        .schema = schema ? probe_folder(schema) : NULL,
    };
    enum status st = db_new(&options, &s.db, &why);
    probe_answer(json_pack("{s:s, s:s}", "status", status_slug(st), "why", strbuf_cstr(&why)));
    strbuf_release(&why);
    if (st == STATUS_OK)
        probe_serve(commands, sizeof(commands) / sizeof(commands[0]), &s);
    while (s.held_count > 0)
        db_release(s.held[--s.held_count]);
    db_free(s.db);
    return 0;
}

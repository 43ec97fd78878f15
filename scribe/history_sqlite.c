/* History in one SQLite file, which the processes of one machine may share: sqlite:///path. */
#include "history.h"
#include "log.h"
#include "scribe_embed.h"
#include "sqlite.h"
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 2000 };
#define SCHEME "sqlite://"

struct history {
    struct sqlite *db;
};

static enum status store_new(const char *url, void **store, struct strbuf *why)
{
    const char *path = url + strlen(SCHEME);
    if (*path != '/') {
        strbuf_addstr(why, "want sqlite:///absolute/path");
        return STATUS_UNPROCESSABLE;
    }
    *store = xstrdup(path);
    return STATUS_OK;
}

static enum status open_db(void *store, struct history **out, struct strbuf *why)
{
    struct sqlite *db;
    enum status status = sqlite_open(store, BUSY_MS, &scribe_schema, &db, why);
    if (status != STATUS_OK)
        return status;
    *out = xcalloc(1, sizeof(**out));
    (*out)->db = db;
    return STATUS_OK;
}

static void close_db(struct history *h)
{
    sqlite_close(h->db);
    free(h);
}

/* The first column of the first row, `fallback` when there is none. */
static enum status scalar(struct history *h, const char *sql, const struct sql_value *values,
                          size_t n, int64_t fallback, int64_t *out)
{
    struct sqlite_rows *rows;
    bool more = false;
    *out = fallback;
    enum status status = sqlite_query(h->db, sql, values, n, &rows);
    if (status != STATUS_OK)
        return status;
    status = sqlite_next(rows, &more);
    if (status == STATUS_OK && more)
        *out = sqlite_i64(rows, 0);
    sqlite_rows_free(rows);
    return status;
}

static enum status ping(struct history *h)
{
    int64_t version;
    return scalar(h, "PRAGMA user_version", SQL_NONE, 0, &version);
}

struct work {
    enum status (*run)(void *ctx);
    void *ctx;
};

static enum status run_work(struct sqlite *db, void *ctx)
{
    (void)db;
    struct work *work = ctx;
    return work->run(work->ctx);
}

static enum status write_work(struct history *h, enum status (*run)(void *ctx), void *ctx)
{
    return sqlite_transaction(h->db, run_work, &(struct work){run, ctx});
}

static enum status head(struct history *h, const char *room, int64_t *out)
{
    return scalar(h, "SELECT max(seq) FROM messages WHERE room = ?", SQL(SQL_TEXT(room)), 0, out);
}

static enum status find(struct history *h, const struct message *m, int64_t *seq)
{
    return scalar(h, "SELECT seq FROM messages WHERE room = ? AND sender = ? AND client_id = ?",
                  SQL(SQL_TEXT(m->room), SQL_TEXT(m->sender), SQL_TEXT(m->client_id)), 0, seq);
}

static enum status insert(struct history *h, struct message *const *batch, size_t n, size_t *done)
{
    for (*done = 0; *done < n; (*done)++) {
        const struct message *m = batch[*done];
        enum status status =
            sqlite_exec(h->db,
                        "INSERT INTO messages (room, seq, sender, client_id, at_ms, text)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        SQL(SQL_TEXT(m->room), SQL_I64(m->seq), SQL_TEXT(m->sender),
                            SQL_TEXT(m->client_id), SQL_I64(m->at_ms), SQL_TEXT(m->text)),
                        NULL);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status mark_own(struct history *h, struct message *const *batch, size_t n)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = sqlite_exec(
            h->db, "UPDATE markers SET seq = seq + 1 WHERE room = ? AND user = ? AND seq = ?",
            SQL(SQL_TEXT(batch[i]->room), SQL_TEXT(batch[i]->sender), SQL_I64(batch[i]->seq - 1)),
            NULL);
    return status;
}

static enum status page_rows(struct sqlite_rows *rows, const char *room, history_row *row,
                             void *ctx)
{
    bool more;
    enum status status;
    while ((status = sqlite_next(rows, &more)) == STATUS_OK && more) {
        const struct message m = {
            .room = room,
            .seq = sqlite_i64(rows, 0),
            .sender = sqlite_text(rows, 1, NULL),
            .client_id = sqlite_text(rows, 2, NULL),
            .at_ms = sqlite_i64(rows, 3),
            .text = sqlite_text(rows, 4, NULL),
        };
        if (!row(ctx, &m))
            break;
    }
    sqlite_rows_free(rows);
    return status;
}

#define PAGE "SELECT seq, sender, client_id, at_ms, text FROM messages WHERE room = ? "

static enum status page(struct history *h, const struct page_query *q, history_row *row, void *ctx)
{
    struct sqlite_rows *rows;
    enum status status =
        q->after < 0
            ? sqlite_query(h->db, PAGE "AND seq < ? ORDER BY seq DESC LIMIT ?",
                           SQL(SQL_TEXT(q->room), SQL_I64(q->before), SQL_I64(q->limit)), &rows)
            : sqlite_query(
                  h->db, PAGE "AND seq > ? AND seq < ? ORDER BY seq LIMIT ?",
                  SQL(SQL_TEXT(q->room), SQL_I64(q->after), SQL_I64(q->before), SQL_I64(q->limit)),
                  &rows);
    return status == STATUS_OK ? page_rows(rows, q->room, row, ctx) : status;
}

static enum status heads(struct history *h, struct room_head *rooms, size_t n)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        int64_t found;
        status = head(h, rooms[i].room, &found);
        if (status == STATUS_OK && found > rooms[i].head)
            rooms[i].head = found;
    }
    return status;
}

static enum status marker(struct history *h, const char *room, const char *user, int64_t *out)
{
    return scalar(h, "SELECT seq FROM markers WHERE room = ? AND user = ?",
                  SQL(SQL_TEXT(room), SQL_TEXT(user)), -1, out);
}

struct visit {
    struct history *h;
    const char *room, *user;
    int64_t seq;
};

static enum status first_marker(struct sqlite *db, void *ctx)
{
    struct visit *v = ctx;
    enum status status = head(v->h, v->room, &v->seq);
    if (status != STATUS_OK)
        return status;
    return sqlite_exec(db,
                       "INSERT INTO markers (room, user, seq) VALUES (?, ?, ?)"
                       " ON CONFLICT DO NOTHING",
                       SQL(SQL_TEXT(v->room), SQL_TEXT(v->user), SQL_I64(v->seq)), NULL);
}

static enum status move_marker(struct sqlite *db, void *ctx)
{
    struct visit *v = ctx;
    return sqlite_exec(db,
                       "INSERT INTO markers (room, user, seq) VALUES (?, ?, ?)"
                       " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
                       SQL(SQL_TEXT(v->room), SQL_TEXT(v->user), SQL_I64(v->seq)), NULL);
}

static enum status join(struct history *h, const char *room, const char *user, int64_t *head_out,
                        int64_t *marker_out)
{
    enum status status = marker(h, room, user, marker_out);
    if (status == STATUS_OK && *marker_out < 0) {
        struct visit v = {h, room, user, 0};
        status = sqlite_transaction(h->db, first_marker, &v);
        if (status == STATUS_OK)
            status = marker(h, room, user, marker_out);
    }
    return status == STATUS_OK ? head(h, room, head_out) : status;
}

static enum status mark(struct history *h, const char *room, const char *user, int64_t seq,
                        int64_t *marker_out)
{
    struct visit v = {h, room, user, seq};
    enum status status = sqlite_transaction(h->db, move_marker, &v);
    return status == STATUS_OK ? marker(h, room, user, marker_out) : status;
}

const struct history_driver history_sqlite = {
    .scheme = SCHEME,
    .atomic = true,
    .store_new = store_new,
    .store_free = free,
    .open = open_db,
    .close = close_db,
    .ping = ping,
    .write = write_work,
    .head = head,
    .find = find,
    .insert = insert,
    .mark_own = mark_own,
    .page = page,
    .heads = heads,
    .join = join,
    .mark = mark,
};

/* History in one SQLite file, which the processes of one machine may share: sqlite:///path. */
#include "history.h"
#include "log.h"
#include "scribe_embed.h"
#include "sqlite.h"
#include <stdio.h>
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
            h->db, "UPDATE members SET seq = seq + 1 WHERE room = ? AND user = ? AND seq = ?",
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

/* A list of names, as JSON for json_each. They need no escapes. */
static void name_list(struct strbuf *out, const char *first, size_t stride, size_t n)
{
    for (size_t i = 0; i < n; i++)
        strbuf_addf(out, "%s\"%s\"", i > 0 ? "," : "[", first + i * stride);
    strbuf_addstr(out, n > 0 ? "]" : "[]");
}

static enum status heads(struct history *h, struct room_head *rooms, size_t n)
{
    struct strbuf names = STRBUF_INIT;
    struct sqlite_rows *rows;
    bool more;
    name_list(&names, rooms[0].room, sizeof(rooms[0]), n);
    enum status status =
        sqlite_query(h->db,
                     "SELECT key, (SELECT max(seq) FROM messages WHERE room = value),"
                     " (SELECT version FROM rooms WHERE room = value) FROM json_each(?)",
                     SQL(SQL_TEXT(strbuf_cstr(&names))), &rows);
    strbuf_release(&names);
    if (status != STATUS_OK)
        return status;
    while ((status = sqlite_next(rows, &more)) == STATUS_OK && more) {
        struct room_head *r = &rooms[sqlite_i64(rows, 0)];
        int64_t found = sqlite_i64(rows, 1), version = sqlite_i64(rows, 2);
        r->head = found > r->head ? found : r->head;
        r->version = version > r->version ? version : r->version;
    }
    sqlite_rows_free(rows);
    return status;
}

/* --- rooms and members ---------------------------------------------------------------------- */

static enum status place(struct history *h, const char *room, const char *user, struct place *out)
{
    struct sqlite_rows *rows;
    bool more = false;
    *out = (struct place){.marker = -1};
    enum status status = sqlite_query(
        h->db,
        "SELECT private, owner = ?2, version, seq, removed FROM rooms LEFT JOIN members"
        " ON members.room = rooms.room AND user = ?2 WHERE rooms.room = ?1",
        SQL(SQL_TEXT(room), SQL_TEXT(user)), &rows);
    if (status != STATUS_OK)
        return status;
    status = sqlite_next(rows, &more);
    if (status == STATUS_OK && more) {
        out->exists = true;
        out->private = sqlite_i64(rows, 0) != 0;
        out->owns = sqlite_i64(rows, 1) != 0;
        out->version = sqlite_i64(rows, 2);
        out->known = sqlite_text(rows, 3, NULL) != NULL;
        out->marker = out->known ? sqlite_i64(rows, 3) : -1;
        out->removed = out->known && sqlite_i64(rows, 4) != 0;
    }
    sqlite_rows_free(rows);
    return status;
}

static enum status add_room(struct history *h, const char *room, const char *owner, bool private)
{
    return sqlite_exec(h->db, "INSERT INTO rooms VALUES (?, ?, ?, 0)",
                       SQL(SQL_TEXT(room), SQL_I64(private), SQL_TEXT(owner)), NULL);
}

static enum status put_member(struct history *h, const char *room, const char *user, int64_t seq)
{
    return sqlite_exec(h->db,
                       "INSERT INTO members VALUES (?, ?, ?, 0)"
                       " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq), removed = 0",
                       SQL(SQL_TEXT(room), SQL_TEXT(user), SQL_I64(seq)), NULL);
}

static enum status marks(struct history *h, struct read_mark *marks, size_t n)
{
    enum { NOBODY = -2 };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        struct read_mark *m = &marks[i];
        status =
            scalar(h,
                   "UPDATE members SET seq = max(seq, ?) WHERE room = ? AND user = ?"
                   " RETURNING seq",
                   SQL(SQL_I64(m->seq), SQL_TEXT(m->room), SQL_TEXT(m->user)), NOBODY, &m->seq);
        m->known = m->seq != NOBODY;
    }
    return status;
}

static enum status drop_member(struct history *h, const char *room, const char *user)
{
    return sqlite_exec(h->db, "DELETE FROM members WHERE room = ? AND user = ?",
                       SQL(SQL_TEXT(room), SQL_TEXT(user)), NULL);
}

static enum status ban_member(struct history *h, const char *room, const char *user)
{
    return sqlite_exec(
        h->db, "INSERT INTO members VALUES (?, ?, -1, 1) ON CONFLICT DO UPDATE SET removed = 1",
        SQL(SQL_TEXT(room), SQL_TEXT(user)), NULL);
}

static enum status raise_version(struct history *h, const char *room, int64_t *version)
{
    enum status status = sqlite_exec(h->db, "UPDATE rooms SET version = version + 1 WHERE room = ?",
                                     SQL(SQL_TEXT(room)), NULL);
    return status == STATUS_OK ? scalar(h, "SELECT version FROM rooms WHERE room = ?",
                                        SQL(SQL_TEXT(room)), 0, version)
                               : status;
}

static enum status members(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                           size_t n, bool *are)
{
    struct place p;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        status = place(h, room, users[i], &p);
        are[i] = p.known && !p.removed;
    }
    return status;
}

static enum status rooms(struct history *h, const char *user, const char *after,
                         struct membership *out, size_t *n)
{
    struct sqlite_rows *rows;
    bool more;
    size_t max = *n;
    enum status status =
        sqlite_query(h->db,
                     "SELECT room, private, seq, (SELECT max(seq) FROM messages m"
                     " WHERE m.room = members.room) FROM members JOIN rooms USING (room)"
                     " WHERE user = ? AND room > ? AND NOT removed ORDER BY room LIMIT ?",
                     SQL(SQL_TEXT(user), SQL_TEXT(after), SQL_I64((int64_t)max)), &rows);
    *n = 0;
    if (status != STATUS_OK)
        return status;
    while ((status = sqlite_next(rows, &more)) == STATUS_OK && more) {
        struct membership *m = &out[(*n)++];
        snprintf(m->room, sizeof(m->room), "%s", sqlite_text(rows, 0, NULL));
        m->private = sqlite_i64(rows, 1) != 0;
        m->marker = sqlite_i64(rows, 2);
        m->head = sqlite_i64(rows, 3);
    }
    sqlite_rows_free(rows);
    return status;
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
    .place = place,
    .durable_head = head,
    .add_room = add_room,
    .put_member = put_member,
    .marks = marks,
    .drop_member = drop_member,
    .ban_member = ban_member,
    .raise_version = raise_version,
    .members = members,
    .rooms = rooms,
};

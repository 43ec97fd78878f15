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

/* A room and one user's place in it. */
struct place {
    bool exists, private, owns, known, removed; /* known: the user has a row */
    int64_t version, marker;
};

static enum status find_place(struct history *h, const char *room, const char *user,
                              struct place *out)
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

struct visit {
    struct history *h;
    const char *room, *user;
    bool private;
    int64_t seq;
    struct membership *out;
};

static enum status add_room(struct sqlite *db, const struct visit *v)
{
    return sqlite_exec(db, "INSERT INTO rooms VALUES (?, ?, ?, 0)",
                       SQL(SQL_TEXT(v->room), SQL_I64(v->private), SQL_TEXT(v->user)), NULL);
}

static enum status put_member(struct sqlite *db, const char *room, const char *user, int64_t seq)
{
    return sqlite_exec(db,
                       "INSERT INTO members VALUES (?, ?, ?, 0)"
                       " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq), removed = 0",
                       SQL(SQL_TEXT(room), SQL_TEXT(user), SQL_I64(seq)), NULL);
}

static enum status create_work(struct sqlite *db, void *ctx)
{
    const struct visit *v = ctx;
    enum status status = add_room(db, v);
    return status == STATUS_OK ? put_member(db, v->room, v->user, 0) : status;
}

static enum status create(struct history *h, const char *room, const char *owner, bool private)
{
    struct visit v = {.h = h, .room = room, .user = owner, .private = private};
    enum status status = sqlite_transaction(h->db, create_work, &v);
    return status == STATUS_DUPLICATE ? STATUS_CONFLICT : status;
}

static enum status refuse_join(const struct place *p)
{
    if (p->private && (p->removed || (!p->known && !p->owns)))
        return STATUS_NOT_FOUND;
    return p->removed ? STATUS_FORBIDDEN : STATUS_OK;
}

static enum status join_work(struct sqlite *db, void *ctx)
{
    struct visit *v = ctx;
    struct place p;
    enum status status = find_place(v->h, v->room, v->user, &p);
    if (status == STATUS_OK && !p.exists)
        status = add_room(db, v);
    if (status == STATUS_OK)
        status = refuse_join(&p);
    if (status == STATUS_OK)
        status = head(v->h, v->room, &v->out->head);
    if (status == STATUS_OK && p.marker < 0)
        status = put_member(db, v->room, v->user, v->out->head);
    v->out->marker = p.marker < 0 ? v->out->head : p.marker;
    v->out->private = p.private;
    v->out->version = p.version;
    return status;
}

/* Who is a member already needs no lock. */
static enum status join(struct history *h, const char *room, const char *user,
                        struct membership *out)
{
    struct visit v = {.h = h, .room = room, .user = user, .out = out};
    struct place p;
    enum status status = find_place(h, room, user, &p);
    if (status != STATUS_OK)
        return status;
    return p.marker < 0 ? sqlite_transaction(h->db, join_work, &v) : join_work(h->db, &v);
}

struct change {
    struct history *h;
    const struct member_change *c;
    int64_t version;
};

static enum status raise_version(struct change *change)
{
    enum status status =
        sqlite_exec(change->h->db, "UPDATE rooms SET version = version + 1 WHERE room = ?",
                    SQL(SQL_TEXT(change->c->room)), NULL);
    return status == STATUS_OK ? scalar(change->h, "SELECT version FROM rooms WHERE room = ?",
                                        SQL(SQL_TEXT(change->c->room)), 0, &change->version)
                               : status;
}

/* May `by` act in the room at all? */
static enum status find_actor(const struct change *change, struct place *p)
{
    enum status status = find_place(change->h, change->c->room, change->c->by, p);
    if (status != STATUS_OK)
        return status;
    if (p->known && !p->removed)
        return STATUS_OK;
    return p->exists && !p->private ? STATUS_FORBIDDEN : STATUS_NOT_FOUND;
}

static enum status invite_work(struct sqlite *db, void *ctx)
{
    struct change *change = ctx;
    struct place p;
    enum status status = find_actor(change, &p);
    if (status == STATUS_OK)
        status = put_member(db, change->c->room, change->c->user, -1);
    return status == STATUS_OK ? raise_version(change) : status;
}

static enum status remove_work(struct sqlite *db, void *ctx)
{
    struct change *change = ctx;
    const struct member_change *c = change->c;
    bool self = strcmp(c->by, c->user) == 0;
    struct place p;
    enum status status = find_actor(change, &p);
    if (status == STATUS_OK && !self && !p.owns)
        status = STATUS_FORBIDDEN;
    if (status != STATUS_OK)
        return status;
    status = self ? sqlite_exec(db, "DELETE FROM members WHERE room = ? AND user = ?",
                                SQL(SQL_TEXT(c->room), SQL_TEXT(c->user)), NULL)
                  : sqlite_exec(db, "UPDATE members SET removed = 1 WHERE room = ? AND user = ?",
                                SQL(SQL_TEXT(c->room), SQL_TEXT(c->user)), NULL);
    return status == STATUS_OK ? raise_version(change) : status;
}

static enum status change_member(struct history *h, const struct member_change *c,
                                 enum status (*work)(struct sqlite *, void *), int64_t *version)
{
    struct change change = {.h = h, .c = c};
    enum status status = sqlite_transaction(h->db, work, &change);
    *version = change.version;
    return status;
}

static enum status invite(struct history *h, const struct member_change *c, int64_t *version)
{
    return change_member(h, c, invite_work, version);
}

static enum status remove_member(struct history *h, const struct member_change *c, int64_t *version)
{
    return change_member(h, c, remove_work, version);
}

static enum status members(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                           size_t n, bool *are)
{
    struct place p;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        status = find_place(h, room, users[i], &p);
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

/* --- read markers --------------------------------------------------------------------------- */

static enum status move_marker(struct sqlite *db, void *ctx)
{
    struct visit *v = ctx;
    return sqlite_exec(db, "UPDATE members SET seq = max(seq, ?) WHERE room = ? AND user = ?",
                       SQL(SQL_I64(v->seq), SQL_TEXT(v->room), SQL_TEXT(v->user)), NULL);
}

static enum status mark(struct history *h, const char *room, const char *user, int64_t seq,
                        int64_t *marker)
{
    struct visit v = {.h = h, .room = room, .user = user, .seq = seq};
    struct place p;
    enum status status = sqlite_transaction(h->db, move_marker, &v);
    if (status == STATUS_OK)
        status = find_place(h, room, user, &p);
    if (status != STATUS_OK)
        return status;
    *marker = p.marker;
    return p.known ? STATUS_OK : STATUS_NOT_FOUND;
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
    .mark = mark,
    .create = create,
    .join = join,
    .invite = invite,
    .remove = remove_member,
    .members = members,
    .rooms = rooms,
};

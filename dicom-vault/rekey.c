#include "rekey.h"
#include "secret.h"
#include "wraps.h"
#include <string.h>

enum { BATCH = 128 };

struct rekey { /* what the work of one transaction is given */
    struct store *store;
    const struct audit_by *by;
    struct strbuf *why;
    uint32_t key_id;
};

static enum status audit(struct sqlite *db, const struct rekey *r, const char *action,
                         const void *object, size_t len)
{
    struct audit_entry entry = {*r->by, action, object, len, "ok"};
    return audit_append(db, store_keys(r->store), &entry);
}

/* --- rotate ---------------------------------------------------------------------------------- */

static enum status rotate(struct sqlite *db, void *ctx)
{
    struct rekey *r = ctx;
    struct keyring *keys = store_keys(r->store);
    uint32_t newest;
    enum status s = keyring_refresh(keys);
    if (s == STATUS_OK)
        s = wraps_newest(db, &newest);
    if (s != STATUS_OK)
        return s;
    r->key_id = keyring_newest(keys);
    if (r->key_id < newest) {
        strbuf_addstr(r->why, "the keyring is older than the index: put its newest copy back");
        return STATUS_CONFLICT;
    }
    if (r->key_id == newest) { /* else a crash came between file and index, and this is its key */
        s = keyring_add(keys, &r->key_id);
        if (s != STATUS_OK)
            strbuf_addstr(r->why, "the keyring is full: retire keys first");
        else
            s = store_save_keyring(r->store);
    }
    if (s == STATUS_OK)
        s = sqlite_exec(db, "INSERT INTO wrapping_keys (id, reserved) VALUES (?, 0)",
                        SQL(SQL_I64(r->key_id)), NULL);
    return s == STATUS_OK ? audit(db, r, "rotate", NULL, 0) : s;
}

enum status rekey_rotate(struct store *s, const struct audit_by *by, uint32_t *key_id,
                         struct strbuf *why)
{
    struct rekey r = {s, by, why, 0};
    enum status st = index_write(store_index(s), rotate, &r);
    *key_id = r.key_id;
    return st;
}

/* --- rewrap ---------------------------------------------------------------------------------- */

struct wrapped {
    int64_t seq;
    uint32_t key_id;
    uint8_t id[OBJECT_ID], key[WRAPPED_KEY];
};

struct batch {
    struct rekey rekey;
    int64_t after;
    size_t count;
    uint64_t done, bad;
    struct wrapped objects[BATCH];
};

/* A row that cannot be one stays behind as bad: its key does not open. */
static void take_row(const struct sqlite_rows *rows, struct wrapped *w)
{
    size_t id_len, key_len;
    const void *id = sqlite_blob(rows, 1, &id_len), *key = sqlite_blob(rows, 3, &key_len);
    *w = (struct wrapped){.seq = sqlite_i64(rows, 0), .key_id = (uint32_t)sqlite_i64(rows, 2)};
    if (id_len == OBJECT_ID && key_len == WRAPPED_KEY) {
        memcpy(w->id, id, OBJECT_ID);
        memcpy(w->key, key, WRAPPED_KEY);
    }
}

static enum status read_batch(struct sqlite *db, struct batch *b, uint32_t newest)
{
    bool more = true;
    struct sqlite_rows *rows = NULL;
    enum status s = sqlite_query(db,
                                 "SELECT seq, id, key_id, wrapped_key FROM objects "
                                 "WHERE seq > ? AND key_id <> ? ORDER BY seq LIMIT ?",
                                 SQL(SQL_I64(b->after), SQL_I64(newest), SQL_I64(BATCH)), &rows);
    b->count = 0;
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more)
        take_row(rows, &b->objects[b->count++]);
    sqlite_rows_free(rows);
    return s;
}

static enum status rewrap_one(struct sqlite *db, struct batch *b, const struct wrapped *w,
                              uint32_t newest)
{
    uint8_t data_key[KEY_SIZE], wrapped[WRAPPED_KEY];
    const struct keyring *keys = store_keys(b->rekey.store);
    enum status s = keyring_unwrap(keys, w->id, w->key_id, w->key, WRAPPED_KEY, data_key);
    if (s == STATUS_CORRUPT) {
        b->bad++;
        return STATUS_OK;
    }
    if (s == STATUS_OK)
        s = keyring_wrap(keys, newest, w->id, data_key, wrapped);
    secret_wipe(data_key, sizeof(data_key));
    if (s != STATUS_OK)
        return s;
    b->done++;
    return sqlite_exec(db, "UPDATE objects SET key_id = ?, wrapped_key = ? WHERE seq = ?",
                       SQL(SQL_I64(newest), SQL_BLOB(wrapped, WRAPPED_KEY), SQL_I64(w->seq)), NULL);
}

static enum status rewrap(struct sqlite *db, void *ctx)
{
    struct batch *b = ctx;
    uint32_t newest;
    enum status s = wraps_newest(db, &newest);
    b->done = b->bad = 0;
    if (s == STATUS_OK)
        s = read_batch(db, b, newest);
    if (s == STATUS_OK && b->count > 0)
        s = wraps_reserve(db, newest, (uint32_t)b->count);
    for (size_t i = 0; s == STATUS_OK && i < b->count; i++)
        s = rewrap_one(db, b, &b->objects[i], newest);
    return s == STATUS_OK && b->count > 0 ? audit(db, &b->rekey, "rewrap", NULL, 0) : s;
}

enum status rekey_rewrap(struct store *s, const struct audit_by *by, uint64_t *done, uint64_t *bad,
                         struct strbuf *why)
{
    struct batch b = {.rekey = {s, by, why, 0}, .after = INT64_MIN};
    *done = *bad = 0;
    do {
        enum status st = index_write(store_index(s), rewrap, &b);
        if (st != STATUS_OK)
            return st;
        *done += b.done;
        *bad += b.bad;
        if (b.count > 0)
            b.after = b.objects[b.count - 1].seq;
    } while (b.count == BATCH);
    return STATUS_OK;
}

/* --- retire ---------------------------------------------------------------------------------- */

/* The newest key stays, and what a crash of `rotate` left above it: so the keyring's last id never
 * falls, and no id is given to a second key. */
static enum status check_unused(struct sqlite *db, const struct rekey *r)
{
    int64_t users = 0;
    bool found = false;
    uint32_t newest;
    enum status s = wraps_newest(db, &newest);
    if (s == STATUS_OK)
        s = sqlite_query_i64(db, "SELECT COUNT(*) FROM objects WHERE key_id = ?",
                             SQL(SQL_I64(r->key_id)), &found, &users);
    if (s != STATUS_OK)
        return s;
    if (r->key_id >= newest)
        strbuf_addf(r->why, "key %u is not older than the newest, %u: rotate first", r->key_id,
                    newest);
    else if (users > 0)
        strbuf_addf(r->why, "%lld objects are wrapped under key %u: rewrap first", (long long)users,
                    r->key_id);
    return r->key_id >= newest || users > 0 ? STATUS_CONFLICT : STATUS_OK;
}

static enum status retire(struct sqlite *db, void *ctx)
{
    struct rekey *r = ctx;
    struct keyring *keys = store_keys(r->store);
    uint64_t changed = 0;
    enum status s = keyring_refresh(keys);
    if (s == STATUS_OK)
        s = check_unused(db, r);
    if (s == STATUS_OK)
        s = sqlite_exec(db, "DELETE FROM wrapping_keys WHERE id = ?", SQL(SQL_I64(r->key_id)),
                        &changed);
    if (s != STATUS_OK)
        return s;
    if (changed == 0 && !keyring_has(keys, r->key_id)) {
        strbuf_addf(r->why, "there is no key %u", r->key_id);
        return STATUS_NOT_FOUND;
    }
    keyring_remove(keys, r->key_id);
    s = store_save_keyring(r->store);
    return s == STATUS_OK ? audit(db, r, "retire", NULL, 0) : s;
}

enum status rekey_retire(struct store *s, const struct audit_by *by, uint32_t key_id,
                         struct strbuf *why)
{
    struct rekey r = {s, by, why, key_id};
    return index_write(store_index(s), retire, &r);
}

/* --- shred ----------------------------------------------------------------------------------- */

struct shred {
    struct rekey rekey;
    const uint8_t *id;
    bool was_there;
};

/* Which key wrapped its key: from its row, or from the note of its end. */
static enum status find_key(struct sqlite *db, struct shred *d, bool *known)
{
    int64_t key_id;
    enum status s = sqlite_query_i64(db, "SELECT key_id FROM objects WHERE id = ?",
                                     SQL(SQL_BLOB(d->id, OBJECT_ID)), &d->was_there, &key_id);
    *known = d->was_there;
    if (s == STATUS_OK && !*known)
        s = sqlite_query_i64(db, "SELECT key_id FROM deleted WHERE object = ?",
                             SQL(SQL_BLOB(d->id, OBJECT_ID)), known, &key_id);
    d->rekey.key_id = (uint32_t)key_id;
    return s;
}

static enum status shred(struct sqlite *db, void *ctx)
{
    struct shred *d = ctx;
    bool known = false;
    enum status s = find_key(db, d, &known);
    if (s == STATUS_OK && !known)
        return STATUS_NOT_FOUND;
    if (s != STATUS_OK || !d->was_there)
        return s;
    s = sqlite_exec(db, "DELETE FROM objects WHERE id = ?", SQL(SQL_BLOB(d->id, OBJECT_ID)), NULL);
    return s == STATUS_OK ? audit(db, &d->rekey, "delete", d->id, OBJECT_ID) : s;
}

/* The log still holds pages as they were. Every reader must be past them; the server's are short.
 */
static enum status empty_log(struct store *s)
{
    int64_t busy = 1;
    bool found;
    struct sqlite *db = index_borrow(store_index(s));
    enum status st =
        sqlite_query_i64(db, "PRAGMA wal_checkpoint(TRUNCATE)", SQL_NONE, &found, &busy);
    index_return(store_index(s), db);
    return st == STATUS_OK && busy ? STATUS_CONTENDED : st;
}

enum status rekey_shred(struct store *s, const struct audit_by *by, const uint8_t id[OBJECT_ID],
                        uint32_t *key_id, bool *complete, struct strbuf *why)
{
    struct shred d = {{s, by, why, 0}, id, false};
    enum status st = index_write(store_index(s), shred, &d);
    if (st != STATUS_OK)
        return st;
    st = store_unlink(s, id, true);
    if (st != STATUS_OK)
        strbuf_addstr(why, "deleted, but its payload could not be unlinked; shred it again");
    else
        st = empty_log(s);
    *key_id = d.rekey.key_id;
    /* Older keys may have wrapped it too, before a rewrap. */
    *complete = st == STATUS_OK && keyring_oldest(store_keys(s)) > d.rekey.key_id;
    return st;
}

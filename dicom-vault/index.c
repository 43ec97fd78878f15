#include "index.h"
#include "chunked.h"
#include "dicom-vault_embed.h"
#include "group.h"
#include "secret.h"
#include "wraps.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ROTATIONS_MAX: of the wrapping key while one row waits to be written. */
enum { BUSY_MS = 1000, ROTATIONS_MAX = 8, SEALED_ROW_MAX = OBJECT_ROW_MAX + SEAL_OVERHEAD };

struct write {
    struct group_entry entry; /* first */
    enum status (*work)(struct sqlite *db, void *ctx);
    void *ctx;
    enum status status;
};

struct index {
    const struct keyring *keys;
    int64_t quota; /* bytes of all payloads; 0 for none */
    struct wraps wraps;
    struct group writers; /* one at a time */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t returned;
    size_t free_count;
    size_t count;
    struct sqlite *connections[INDEX_CONNECTIONS_MAX]; /* [0, free_count) are free */
};

struct sqlite *index_borrow(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    while (ix->free_count == 0)
        pthread_cond_wait(&ix->returned, &ix->lock);
    struct sqlite *db = ix->connections[--ix->free_count];
    pthread_mutex_unlock(&ix->lock);
    return db;
}

void index_return(struct index *ix, struct sqlite *db)
{
    pthread_mutex_lock(&ix->lock);
    ix->connections[ix->free_count++] = db;
    pthread_cond_signal(&ix->returned);
    pthread_mutex_unlock(&ix->lock);
}

/* --- writing --------------------------------------------------------------------------------- */

static struct write *next_write(struct write *w)
{
    return (struct write *)w->entry.next;
}

static enum status run_all(struct sqlite *db, void *ctx)
{
    enum status s = STATUS_OK;
    for (struct write *w = ctx; w && s == STATUS_OK; w = next_write(w))
        s = w->status = w->work(db, w->ctx);
    return s;
}

static bool work_failed(struct write *w)
{
    while (w && w->status == STATUS_OK)
        w = next_write(w);
    return w != NULL;
}

/* All in one transaction. When one of them cannot be done, each in its own, so that it fails
 * alone; a lock that was not granted or a disk that is full is everybody's. */
static void commit(void *ctx, struct group_entry *first)
{
    struct index *ix = ctx;
    struct write *all = (struct write *)first;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_transaction(db, run_all, all);
    bool alone = s != STATUS_OK && first->next && work_failed(all);
    for (struct write *w = all; w; w = next_write(w))
        w->status = alone ? sqlite_transaction(db, w->work, w->ctx) : s;
    index_return(ix, db);
}

enum status index_write(struct index *ix, enum status (*work)(struct sqlite *db, void *ctx),
                        void *ctx)
{
    struct write w = {.work = work, .ctx = ctx};
    return group_join(&ix->writers, &w.entry, BUSY_MS) ? w.status : STATUS_CONTENDED;
}

struct statement {
    const char *sql;
    const struct sql_value *values;
    size_t n;
    uint64_t *changed;
    int64_t *rowid;
};

static enum status exec_one(struct sqlite *db, void *ctx)
{
    const struct statement *st = ctx;
    enum status s = sqlite_exec(db, st->sql, st->values, st->n, st->changed);
    if (st->rowid)
        *st->rowid = sqlite_insert_id(db);
    return s;
}

enum status index_exec(struct index *ix, const char *sql, const struct sql_value *values, size_t n,
                       uint64_t *changed, int64_t *rowid)
{
    struct statement st = {sql, values, n, changed, rowid};
    return index_write(ix, exec_one, &st);
}

enum status index_status(enum status s)
{
    return s == STATUS_CONTENDED ? STATUS_UNAVAILABLE : s;
}

/* An `init` that was killed left an index without content behind: it may be taken over. */
static enum status take_over(struct sqlite *db, void *ctx)
{
    const struct keyring *const *keys = ctx;
    bool found;
    int64_t used;
    enum status s = sqlite_query_i64(db,
                                     "SELECT EXISTS (SELECT 1 FROM objects) OR"
                                     " EXISTS (SELECT 1 FROM api_keys) OR"
                                     " EXISTS (SELECT 1 FROM audit)",
                                     SQL_NONE, &found, &used);
    if (s == STATUS_OK && used)
        return STATUS_CONFLICT;
    if (s == STATUS_OK)
        s = sqlite_exec(db, "DELETE FROM vault", SQL_NONE, NULL);
    if (s == STATUS_OK)
        s = sqlite_exec(db, "DELETE FROM wrapping_keys", SQL_NONE, NULL);
    if (s == STATUS_OK)
        s = sqlite_exec(db, "INSERT INTO vault (id) VALUES (?)",
                        SQL(SQL_BLOB(keyring_vault_id(*keys), VAULT_ID)), NULL);
    if (s == STATUS_OK)
        s = sqlite_exec(db, "INSERT INTO wrapping_keys (id, reserved) VALUES (?, 0)",
                        SQL(SQL_I64(keyring_newest(*keys))), NULL);
    return s;
}

enum status index_create(const char *path, const struct keyring *keys, struct strbuf *why)
{
    struct sqlite *db;
    enum status s = sqlite_open(path, BUSY_MS, &dicom_vault_schema, &db, why);
    if (s != STATUS_OK)
        return s;
    s = sqlite_transaction(db, take_over, &keys);
    if (s != STATUS_OK)
        strbuf_addf(why, "%s: %s", path,
                    s == STATUS_CONFLICT ? "an index with content, but its keyring is gone"
                                         : status_title(s));
    sqlite_close(db);
    return s;
}

static enum status check_vault(const struct index *ix, struct sqlite *db, struct strbuf *why)
{
    struct sqlite_rows *rows = NULL;
    bool found = false, same = false;
    enum status s = sqlite_query(db, "SELECT id FROM vault", SQL_NONE, &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &found);
    if (s == STATUS_OK && found) {
        size_t len;
        const void *theirs = sqlite_blob(rows, 0, &len);
        same = len == VAULT_ID && memcmp(theirs, keyring_vault_id(ix->keys), VAULT_ID) == 0;
    }
    sqlite_rows_free(rows);
    if (s != STATUS_OK || same)
        return s;
    strbuf_addstr(why, found ? "the index is of another vault than the keyring"
                             : "the index is empty: it is not the one that `init` made");
    return STATUS_UNPROCESSABLE;
}

enum status index_open(const char *path, const struct keyring *keys, size_t connections,
                       struct index **out, struct strbuf *why)
{
    enum status s = STATUS_OK;
    struct index *ix = xcalloc(1, sizeof(*ix));
    ix->keys = keys;
    wraps_init(&ix->wraps);
    group_init(&ix->writers, commit, ix);
    pthread_mutex_init(&ix->lock, NULL);
    pthread_cond_init(&ix->returned, NULL);
    for (; s == STATUS_OK && ix->count < connections; ix->count += s == STATUS_OK)
        s = sqlite_open(path, BUSY_MS, &dicom_vault_schema, &ix->connections[ix->count], why);
    ix->free_count = ix->count;
    if (s == STATUS_OK)
        s = check_vault(ix, ix->connections[0], why);
    /* What is deleted is overwritten, so that a wrapped key is gone when its row is. */
    for (size_t i = 0; s == STATUS_OK && i < ix->count; i++)
        s = sqlite_exec(ix->connections[i], "PRAGMA secure_delete = ON", SQL_NONE, NULL);
    if (s != STATUS_OK) {
        index_close(ix);
        ix = NULL;
    }
    *out = ix;
    return s;
}

void index_close(struct index *ix)
{
    if (!ix)
        return;
    for (size_t i = 0; i < ix->count; i++)
        sqlite_close(ix->connections[i]);
    pthread_cond_destroy(&ix->returned);
    pthread_mutex_destroy(&ix->lock);
    group_release(&ix->writers);
    wraps_release(&ix->wraps);
    free(ix);
}

const struct keyring *index_keys(const struct index *ix)
{
    return ix->keys;
}

void index_set_quota(struct index *ix, int64_t bytes)
{
    ix->quota = bytes;
}

void index_tag(const struct index *ix, const char *field, const void *value, size_t len,
               uint8_t tag[BLIND_TAG])
{
    struct strbuf text = STRBUF_INIT;
    strbuf_add(&text, field, strlen(field) + 1);
    strbuf_add(&text, value, len);
    secret_hmac_sha256(keyring_blind_key(ix->keys), KEY_SIZE, text.bytes, text.len, tag);
    strbuf_release(&text);
}

/* --- objects --------------------------------------------------------------------------------- */

static void row_key(const uint8_t data_key[KEY_SIZE], uint8_t out[KEY_SIZE])
{
    static const char label[] = "dicom-vault index row v1";
    hkdf_expand(data_key, label, sizeof(label) - 1, out, KEY_SIZE);
}

struct insert {
    struct index *ix;
    struct object *o;
    const uint8_t *data_key;
    struct index_with with;
    uint64_t stored;
    uint32_t key_id;
    uint8_t wrapped[WRAPPED_KEY];
    uint8_t sealed[SEALED_ROW_MAX];
    size_t sealed_len;
    const struct audit_by *by;
    bool stale; /* not done: another key is the newest by now */
    bool again; /* not done: `earlier` was stored under `once` before */
    uint8_t earlier[OBJECT_ID];
};

static enum status find_once(struct sqlite *db, struct insert *in)
{
    struct sqlite_rows *rows = NULL;
    size_t len;
    enum status s = sqlite_query(db, "SELECT object FROM once WHERE tag = ?",
                                 SQL(SQL_BLOB(in->with.once, BLIND_TAG)), &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &in->again);
    if (s == STATUS_OK && in->again) {
        const void *id = sqlite_blob(rows, 0, &len);
        if (len == OBJECT_ID)
            memcpy(in->earlier, id, len);
        else
            s = STATUS_CORRUPT;
    }
    sqlite_rows_free(rows);
    return s;
}

static enum status check_room(struct sqlite *db, const struct index *ix, uint64_t *room)
{
    bool found;
    int64_t used;
    enum status s = sqlite_query_i64(db, "SELECT stored FROM usage", SQL_NONE, &found, &used);
    *room = ix->quota > used ? (uint64_t)(ix->quota - used) : 0;
    return s;
}

static enum status insert_object(struct sqlite *db, struct insert *in)
{
    uint64_t changed = 0;
    enum status s = sqlite_exec(
        db,
        "INSERT INTO objects (id, key_id, wrapped_key, sealed, stored) SELECT ?, ?, ?, ?, ? "
        "WHERE ? = (SELECT MAX(id) FROM wrapping_keys)",
        SQL(SQL_BLOB(in->o->id, OBJECT_ID), SQL_I64(in->key_id), SQL_BLOB(in->wrapped, WRAPPED_KEY),
            SQL_BLOB(in->sealed, in->sealed_len), SQL_I64((int64_t)in->stored),
            SQL_I64(in->key_id)),
        &changed);
    in->stale = s == STATUS_OK && changed == 0;
    in->o->seq = sqlite_insert_id(db);
    in->o->key_id = in->key_id;
    return s;
}

/* What finds the object by its name, or by its Idempotency-Key. */
static enum status insert_tags(struct sqlite *db, const struct insert *in)
{
    uint8_t tag[BLIND_TAG];
    const struct object *o = in->o;
    enum status s = STATUS_OK;
    index_tag(in->ix, "name", o->name, strlen(o->name), tag);
    if (o->name[0])
        s = sqlite_exec(db, "INSERT INTO blind (tag, object) VALUES (?, ?)",
                        SQL(SQL_BLOB(tag, BLIND_TAG), SQL_BLOB(o->id, OBJECT_ID)), NULL);
    if (s == STATUS_OK && in->with.once)
        s = sqlite_exec(db, "INSERT INTO once (tag, object) VALUES (?, ?)",
                        SQL(SQL_BLOB(in->with.once, BLIND_TAG), SQL_BLOB(o->id, OBJECT_ID)), NULL);
    if (s == STATUS_OK && in->with.also)
        s = in->with.also(db, in->with.also_ctx, o, in->data_key);
    return s;
}

static enum status insert_row(struct sqlite *db, void *ctx)
{
    struct insert *in = ctx;
    uint64_t room = UINT64_MAX;
    enum status s = in->with.once ? find_once(db, in) : STATUS_OK;
    if (s == STATUS_OK && !in->again && in->ix->quota)
        s = check_room(db, in->ix, &room);
    if (s == STATUS_OK && in->stored > room)
        s = STATUS_STORAGE_FULL;
    if (s == STATUS_OK && !in->again)
        s = insert_object(db, in);
    if (s != STATUS_OK || in->stale)
        return s;
    s = in->again ? STATUS_OK : insert_tags(db, in);
    struct audit_entry e = {*in->by, "store", in->again ? in->earlier : in->o->id, OBJECT_ID,
                            status_slug(in->again ? STATUS_DUPLICATE : STATUS_OK)};
    return s == STATUS_OK ? audit_append(db, in->ix->keys, &e) : s;
}

static void seal_row(const struct index *ix, const struct object *o,
                     const uint8_t data_key[KEY_SIZE], struct insert *in)
{
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY], row[OBJECT_ROW_MAX];
    size_t len = object_row_write(o, row);
    object_identity(keyring_vault_id(ix->keys), o->id, identity);
    row_key(data_key, key);
    seal(key, identity, sizeof(identity), row, len, in->sealed);
    in->sealed_len = len + SEAL_OVERHEAD;
    secret_wipe(key, sizeof(key));
}

enum status index_insert(struct index *ix, struct object *o, const uint8_t data_key[KEY_SIZE],
                         const struct index_with *with, const struct audit_by *by)
{
    struct insert in = {.ix = ix, .o = o, .data_key = data_key, .by = by};
    enum status s = STATUS_OK;
    if (with)
        in.with = *with;
    in.stored = chunked_file_size(o->size);
    seal_row(ix, o, data_key, &in);
    for (int tries = 0; tries == 0 || (s == STATUS_OK && in.stale); tries++) {
        if (tries == ROTATIONS_MAX)
            return STATUS_UNAVAILABLE;
        if (in.stale)
            wraps_drop(&ix->wraps);
        in.stale = false;
        s = wraps_take(&ix->wraps, ix, &in.key_id);
        if (s == STATUS_OK)
            s = keyring_wrap(ix->keys, in.key_id, o->id, data_key, in.wrapped);
        if (s == STATUS_OK)
            s = index_write(ix, insert_row, &in);
    }
    if (s == STATUS_OK && in.again) {
        memcpy(o->id, in.earlier, OBJECT_ID);
        s = STATUS_DUPLICATE;
    }
    return s;
}

enum status index_room(struct index *ix, uint64_t *room)
{
    *room = UINT64_MAX;
    if (!ix->quota)
        return STATUS_OK;
    struct sqlite *db = index_borrow(ix);
    enum status s = check_room(db, ix, room);
    index_return(ix, db);
    return index_status(s);
}

/* Open the current row (id, seq, key_id, wrapped_key, sealed). */
static enum status read_row(const struct index *ix, const struct sqlite_rows *rows,
                            struct object *o, uint8_t data_key[KEY_SIZE])
{
    size_t id_len, wrapped_len, len;
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY], row[SEALED_ROW_MAX];
    const void *id = sqlite_blob(rows, 0, &id_len);
    const uint8_t *wrapped = sqlite_blob(rows, 3, &wrapped_len);
    const uint8_t *sealed = sqlite_blob(rows, 4, &len);
    int64_t key_id = sqlite_i64(rows, 2);
    *o = (struct object){.seq = sqlite_i64(rows, 1), .key_id = (uint32_t)key_id};
    if (id_len != OBJECT_ID)
        return STATUS_CORRUPT;
    memcpy(o->id, id, OBJECT_ID);
    if (key_id < 0 || key_id > UINT32_MAX || len < SEAL_OVERHEAD || len > SEALED_ROW_MAX)
        return STATUS_CORRUPT;
    enum status s =
        keyring_unwrap(ix->keys, o->id, (uint32_t)key_id, wrapped, wrapped_len, data_key);
    if (s != STATUS_OK)
        return s;
    object_identity(keyring_vault_id(ix->keys), o->id, identity);
    row_key(data_key, key);
    s = unseal(key, identity, sizeof(identity), sealed, len, row);
    secret_wipe(key, sizeof(key));
    return s == STATUS_OK ? object_row_read(row, len - SEAL_OVERHEAD, o) : s;
}

#define ROW "SELECT id, seq, key_id, wrapped_key, sealed FROM objects "

static enum status find_row(struct index *ix, const uint8_t id[OBJECT_ID], struct object *o,
                            uint8_t data_key[KEY_SIZE])
{
    bool found = false;
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query(db, ROW "WHERE id = ?", SQL(SQL_BLOB(id, OBJECT_ID)), &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &found);
    if (s == STATUS_OK)
        s = found ? read_row(ix, rows, o, data_key) : STATUS_NOT_FOUND;
    sqlite_rows_free(rows);
    index_return(ix, db);
    return s;
}

enum status index_find(struct index *ix, const uint8_t id[OBJECT_ID], struct object *o,
                       uint8_t data_key[KEY_SIZE])
{
    o->key_id = 0;
    enum status s = find_row(ix, id, o, data_key);
    /* The key was retired since the row was read? By now the row names another one. */
    if (s == STATUS_CORRUPT && !keyring_has(ix->keys, o->key_id))
        s = find_row(ix, id, o, data_key);
    return index_status(s);
}

enum status index_contains(struct index *ix, const uint8_t id[OBJECT_ID], bool *found)
{
    int64_t ignored;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query_i64(db, "SELECT 1 FROM objects WHERE id = ?",
                                     SQL(SQL_BLOB(id, OBJECT_ID)), found, &ignored);
    index_return(ix, db);
    return index_status(s);
}

struct removal {
    struct index *ix;
    const uint8_t *id;
    struct audit_entry entry;
    uint64_t changed;
};

static enum status delete_row(struct sqlite *db, void *ctx)
{
    struct removal *r = ctx;
    enum status s = sqlite_exec(db, "DELETE FROM objects WHERE id = ?",
                                SQL(SQL_BLOB(r->id, OBJECT_ID)), &r->changed);
    if (s != STATUS_OK || r->changed == 0)
        return s;
    return audit_append(db, r->ix->keys, &r->entry);
}

enum status index_delete(struct index *ix, const uint8_t id[OBJECT_ID], const struct audit_by *by)
{
    struct removal r = {ix, id, {*by, "delete", id, OBJECT_ID, "ok"}, 0};
    enum status s = index_write(ix, delete_row, &r);
    if (s == STATUS_OK && r.changed == 0)
        return STATUS_NOT_FOUND;
    return index_status(s);
}

static enum status list(struct index *ix, const char *sql, const struct sql_value *values, size_t n,
                        void (*each)(void *ctx, const struct object *o, bool sound), void *ctx)
{
    bool more = true;
    uint8_t data_key[KEY_SIZE];
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query(db, sql, values, n, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        struct object o;
        bool sound = read_row(ix, rows, &o, data_key) == STATUS_OK;
        each(ctx, &o, sound);
    }
    secret_wipe(data_key, sizeof(data_key));
    sqlite_rows_free(rows);
    index_return(ix, db);
    return index_status(s);
}

enum status index_list(struct index *ix, int64_t after, int64_t limit,
                       void (*each)(void *ctx, const struct object *o, bool sound), void *ctx)
{
    return list(ix, ROW "WHERE seq > ? ORDER BY seq LIMIT ?", SQL(SQL_I64(after), SQL_I64(limit)),
                each, ctx);
}

enum status index_search(struct index *ix, const uint8_t tag[BLIND_TAG], int64_t after,
                         int64_t limit, void (*each)(void *ctx, const struct object *o, bool sound),
                         void *ctx)
{
    return list(ix,
                ROW "WHERE id IN (SELECT object FROM blind WHERE tag = ?) AND seq > ? "
                    "ORDER BY seq LIMIT ?",
                SQL(SQL_BLOB(tag, BLIND_TAG), SQL_I64(after), SQL_I64(limit)), each, ctx);
}

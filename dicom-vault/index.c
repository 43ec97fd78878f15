#include "index.h"
#include "clock.h"
#include "dicom-vault_embed.h"
#include "secret.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 1000, SEALED_ROW_MAX = OBJECT_ROW_MAX + SEAL_OVERHEAD };

struct index {
    const struct keyring *keys;
    pthread_mutex_t lock; /* of what follows */
    bool writing;         /* one writer at a time */
    pthread_cond_t written;
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

static bool enter_writer(struct index *ix)
{
    int64_t deadline_ms = clock_mono_ms() + BUSY_MS;
    pthread_mutex_lock(&ix->lock);
    while (ix->writing && clock_cond_wait(&ix->written, &ix->lock, deadline_ms))
        ;
    bool entered = !ix->writing;
    ix->writing = true;
    pthread_mutex_unlock(&ix->lock);
    return entered;
}

static void leave_writer(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    ix->writing = false;
    pthread_cond_signal(&ix->written);
    pthread_mutex_unlock(&ix->lock);
}

enum status index_exec(struct index *ix, const char *sql, const struct sql_value *values, size_t n,
                       uint64_t *changed, int64_t *rowid)
{
    if (!enter_writer(ix))
        return STATUS_CONTENDED;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_exec(db, sql, values, n, changed);
    if (rowid)
        *rowid = sqlite_insert_id(db);
    index_return(ix, db);
    leave_writer(ix);
    return s;
}

enum status index_status(enum status s)
{
    return s == STATUS_CONTENDED ? STATUS_UNAVAILABLE : s;
}

static enum status check_vault(struct index *ix, struct sqlite *db, struct strbuf *why)
{
    struct sqlite_rows *rows = NULL;
    const uint8_t *ours = keyring_vault_id(ix->keys);
    bool found = false, same = false;
    enum status s = sqlite_query(db, "SELECT id FROM vault", SQL_NONE, &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &found);
    if (s == STATUS_OK && found) {
        size_t len;
        const void *theirs = sqlite_blob(rows, 0, &len);
        same = len == VAULT_ID && memcmp(theirs, ours, VAULT_ID) == 0;
    }
    sqlite_rows_free(rows);
    if (s == STATUS_OK && !found)
        return sqlite_exec(db, "INSERT INTO vault (id) VALUES (?)", SQL(SQL_BLOB(ours, VAULT_ID)),
                           NULL);
    if (s == STATUS_OK && !same) {
        strbuf_addstr(why, "the index is of another vault than the keyring");
        s = STATUS_UNPROCESSABLE;
    }
    return s;
}

enum status index_open(const char *path, const struct keyring *keys, size_t connections,
                       struct index **out, struct strbuf *why)
{
    enum status s = STATUS_OK;
    struct index *ix = xcalloc(1, sizeof(*ix));
    ix->keys = keys;
    pthread_mutex_init(&ix->lock, NULL);
    clock_cond_init(&ix->written);
    pthread_cond_init(&ix->returned, NULL);
    for (; s == STATUS_OK && ix->count < connections; ix->count += s == STATUS_OK)
        s = sqlite_open(path, BUSY_MS, &dicom_vault_schema, &ix->connections[ix->count], why);
    ix->free_count = ix->count;
    if (s == STATUS_OK)
        s = check_vault(ix, ix->connections[0], why);
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
    pthread_cond_destroy(&ix->written);
    free(ix);
}

static void row_key(const uint8_t data_key[KEY_SIZE], uint8_t out[KEY_SIZE])
{
    static const char label[] = "dicom-vault index row v1";
    hkdf_expand(data_key, label, sizeof(label) - 1, out, KEY_SIZE);
}

enum status index_insert(struct index *ix, struct object *o, const uint8_t data_key[KEY_SIZE])
{
    uint32_t key_id;
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY], wrapped[WRAPPED_KEY];
    uint8_t row[OBJECT_ROW_MAX], sealed[SEALED_ROW_MAX];
    size_t len = object_row_write(o, row);
    keyring_wrap(ix->keys, o->id, data_key, &key_id, wrapped);
    object_identity(keyring_vault_id(ix->keys), o->id, identity);
    row_key(data_key, key);
    seal(key, identity, sizeof(identity), row, len, sealed);
    secret_wipe(key, sizeof(key));
    return index_exec(ix,
                      "INSERT INTO objects (id, key_id, wrapped_key, sealed) VALUES (?, ?, ?, ?)",
                      SQL(SQL_BLOB(o->id, OBJECT_ID), SQL_I64(key_id),
                          SQL_BLOB(wrapped, WRAPPED_KEY), SQL_BLOB(sealed, len + SEAL_OVERHEAD)),
                      NULL, &o->seq);
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
    *o = (struct object){.seq = sqlite_i64(rows, 1)};
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

enum status index_find(struct index *ix, const uint8_t id[OBJECT_ID], struct object *o,
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
    return index_status(s);
}

enum status index_contains(struct index *ix, const uint8_t id[OBJECT_ID], bool *found)
{
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    enum status s =
        sqlite_query(db, "SELECT 1 FROM objects WHERE id = ?", SQL(SQL_BLOB(id, OBJECT_ID)), &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, found);
    sqlite_rows_free(rows);
    index_return(ix, db);
    return index_status(s);
}

enum status index_delete(struct index *ix, const uint8_t id[OBJECT_ID])
{
    uint64_t changed = 0;
    enum status s = index_exec(ix, "DELETE FROM objects WHERE id = ?", SQL(SQL_BLOB(id, OBJECT_ID)),
                               &changed, NULL);
    if (s == STATUS_OK && changed == 0)
        return STATUS_NOT_FOUND;
    return index_status(s);
}

enum status index_list(struct index *ix, int64_t after, int64_t limit,
                       void (*each)(void *ctx, const struct object *o, bool sound), void *ctx)
{
    bool more = true;
    uint8_t data_key[KEY_SIZE];
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query(db, ROW "WHERE seq > ? ORDER BY seq LIMIT ?",
                                 SQL(SQL_I64(after), SQL_I64(limit)), &rows);
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

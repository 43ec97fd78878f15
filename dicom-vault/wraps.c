#include "wraps.h"
#include "index.h"
#include "log.h"

void wraps_init(struct wraps *w)
{
    *w = (struct wraps){.left = 0};
    pthread_mutex_init(&w->lock, NULL);
}

void wraps_release(struct wraps *w)
{
    pthread_mutex_destroy(&w->lock);
}

enum status wraps_newest(struct sqlite *db, uint32_t *key_id)
{
    bool found;
    int64_t id;
    enum status s =
        sqlite_query_i64(db, "SELECT MAX(id) FROM wrapping_keys", SQL_NONE, &found, &id);
    *key_id = (uint32_t)id;
    return s;
}

enum status wraps_reserve(struct sqlite *db, uint32_t key_id, uint32_t n)
{
    uint64_t changed = 0;
    enum status s = sqlite_exec(
        db, "UPDATE wrapping_keys SET reserved = reserved + ? WHERE id = ? AND reserved <= ?",
        SQL(SQL_I64(n), SQL_I64(key_id), SQL_I64(WRAPS_MAX - n)), &changed);
    if (s != STATUS_OK || changed > 0)
        return s;
    log_error("wrapping_key_worn_out", F("key", key_id), F("do", "dicom-vault rotate"));
    return STATUS_UNAVAILABLE;
}

static enum status reserve_block(struct sqlite *db, void *ctx)
{
    struct wraps *w = ctx;
    enum status s = wraps_newest(db, &w->key_id);
    return s == STATUS_OK ? wraps_reserve(db, w->key_id, WRAPS_BLOCK) : s;
}

enum status wraps_take(struct wraps *w, struct index *ix, uint32_t *key_id)
{
    enum status s = STATUS_OK;
    pthread_mutex_lock(&w->lock);
    if (w->left == 0 && (s = index_write(ix, reserve_block, w)) == STATUS_OK)
        w->left = WRAPS_BLOCK;
    if (s == STATUS_OK) {
        w->left--;
        *key_id = w->key_id;
    }
    pthread_mutex_unlock(&w->lock);
    return s;
}

void wraps_drop(struct wraps *w)
{
    pthread_mutex_lock(&w->lock);
    w->left = 0;
    pthread_mutex_unlock(&w->lock);
}

/* The index: which objects there are, each with its wrapped key and a row sealed under a key of
 * its own, in SQLite. Row key: HKDF-Expand(data key, "dicom-vault index row v1"); associated data:
 * the object's identity.
 *
 * SQLite wants one thread a connection at a time, and has one writer at a time. So there are as
 * many connections as threads that may call, handed out for one operation each, and writers queue
 * here, not in SQLite's busy handler, which sleeps: the first of them runs the work of all that
 * wait in one transaction, with one fsync (group commit). Only other processes (the commands) are
 * met in the busy handler. Either wait ends after a second, so that a lock held elsewhere does not
 * pile up the worker threads, and reads go on. All calls block: worker
 * threads only. A lock held too long is UNAVAILABLE, a full disk STORAGE_FULL. */
#pragma once
#include "audit.h"
#include "keyring.h"
#include "object.h"
#include "sqlite.h"
#include <stdbool.h>

struct index;
enum { INDEX_CONNECTIONS_MAX = 256, BLIND_TAG = 32 };

/* Make the index of that keyring at `path`, or make one its own that has no content yet. CONFLICT
 * for one that has. */
enum status index_create(const char *path, const struct keyring *keys, struct strbuf *why);
/* Open the file at `path` for at most `connections` threads at a time. `keys` must outlive it.
 * UNPROCESSABLE when it is not the index that index_create made for that vault. */
enum status index_open(const char *path, const struct keyring *keys, size_t connections,
                       struct index **out, struct strbuf *why);
void index_close(struct index *ix); /* NULL is fine */
const struct keyring *index_keys(const struct index *ix);

/* Payloads may take that much of the disk, all together; 0: no limit. Before other threads. */
void index_set_quota(struct index *ix, int64_t bytes);
/* How much of it is left; UINT64_MAX without a quota. */
enum status index_room(struct index *ix, uint64_t *room);

/* By what a value is found again without standing in the index: an HMAC of it and its field's name,
 * which is NUL-terminated. */
void index_tag(const struct index *ix, const char *field, const void *value, size_t len,
               uint8_t tag[BLIND_TAG]);

/* What goes with an object into its transaction. */
struct index_with {
    const uint8_t *once; /* a tag that stores one object only; or NULL */
    /* Rows of its own for the object, which is in the index by then; may run twice. Or NULL. */
    enum status (*also)(struct sqlite *db, void *ctx, const struct object *o,
                        const uint8_t data_key[KEY_SIZE]);
    void *also_ctx;
};

/* Together with its audit entry, "store" by `by`. Durable when it returns OK; o->seq and o->key_id
 * are set. `with` may be NULL. DUPLICATE, and o->id is the earlier one, when with->once stored it
 * before. OUTCOME_UNKNOWN: a crash may bring the row to life. After any other failure it is not
 * there. */
enum status index_insert(struct index *ix, struct object *o, const uint8_t data_key[KEY_SIZE],
                         const struct index_with *with, const struct audit_by *by);
/* NOT_FOUND; CORRUPT when key or row fail their authentication. The caller wipes `data_key`. */
enum status index_find(struct index *ix, const uint8_t id[OBJECT_ID], struct object *o,
                       uint8_t data_key[KEY_SIZE]);
/* Is there a row of that id, sound or not? */
enum status index_contains(struct index *ix, const uint8_t id[OBJECT_ID], bool *found);
/* Together with its audit entry, "delete" by `by`. Durable when it returns OK; NOT_FOUND. */
enum status index_delete(struct index *ix, const uint8_t id[OBJECT_ID], const struct audit_by *by);
/* At most `limit` objects with seq > after, in order. `each` gets sound == false, with only id and
 * seq set, for a row that fails its authentication. */
enum status index_list(struct index *ix, int64_t after, int64_t limit,
                       void (*each)(void *ctx, const struct object *o, bool sound), void *ctx);
/* The same of those that have this tag: their name's, index_tag("name"). */
enum status index_search(struct index *ix, const uint8_t tag[BLIND_TAG], int64_t after,
                         int64_t limit, void (*each)(void *ctx, const struct object *o, bool sound),
                         void *ctx);

/* Run `work` inside a write transaction, others' work before and after it in the same one. Durable
 * when it returns OK. Work that fails is rolled back, alone, and its status comes back; CONTENDED
 * also when the writers before took too long. It may run twice. */
enum status index_write(struct index *ix, enum status (*work)(struct sqlite *db, void *ctx),
                        void *ctx);
/* One statement of it, as sqlite_exec. `changed` and `rowid` may be NULL. */
enum status index_exec(struct index *ix, const char *sql, const struct sql_value *values, size_t n,
                       uint64_t *changed, int64_t *rowid);
/* A connection to read with; give it back soon. */
struct sqlite *index_borrow(struct index *ix);
void index_return(struct index *ix, struct sqlite *db);
/* A failure of sqlite.h as callers shall see it: CONTENDED is UNAVAILABLE to them. */
enum status index_status(enum status s);

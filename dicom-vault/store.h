/* The store: objects that are there whole or not at all.
 *
 * Upload: a fresh data key; chunks sealed into tmp/<id>; fsync; a link in blobs/; fsync of that
 * folder; the row, which is the commit; the name in tmp/ goes. Delete: the row first, together with
 * a note of it; then the file. So the next start knows what a crash left, from tmp/ and from these
 * notes, and no other blob is ever unlinked, whatever index the folder has. All calls block: worker
 * threads only; an upload belongs to one thread at a time. */
#pragma once
#include "download.h"
#include "folder.h"
#include "index.h"
#include "keyring.h"
#include "object.h"

struct store;

/* A file outside the vault that opens it: the root key, or a passphrase that it is derived from. */
struct root_file {
    const char *path;
    bool passphrase;
};

/* Make a vault: folders, an empty index, a keyring sealed under the root key `from` that file.
 * CONFLICT when there is one already; reasons in `why`. */
enum status store_create(const char *path, struct root_file from, struct strbuf *why);

/* Open a vault for at most `threads` callers at a time. With `serve`, take its lock and sweep what
 * a crash left behind. UNPROCESSABLE for a root key that does not open the keyring: then nothing
 * was written. */
enum status store_open(const char *path, struct root_file from, size_t threads, bool serve,
                       struct store **out, struct strbuf *why);
void store_close(struct store *s); /* NULL is fine */
struct index *store_index(struct store *s);
const struct folder *store_folder(const struct store *s);
struct keyring *store_keys(const struct store *s);
/* Write the keyring's file, whole or not at all: for commands that change it, inside an
 * index_write, so that they exclude each other. */
enum status store_save_keyring(struct store *s);

/* Remove the payload of an object that was deleted, durably if `wait`, which is for a backup too:
 * without it CONTENDED while one is under way. What fails is logged, and store_collect's. */
enum status store_unlink(struct store *s, const uint8_t id[OBJECT_ID], bool wait);
/* Payloads may take `quota` bytes of the disk, all together (0: no limit), and leave `reserve`
 * bytes of it free: what reads must have recorded, and deletes. Before other threads. */
void store_set_limits(struct store *s, int64_t quota, int64_t reserve);

/* NOT_FOUND. Durable, and in the audit log as done by `by`, when it returns OK; downloads under way
 * go on. */
enum status store_delete(struct store *s, const uint8_t id[OBJECT_ID], const struct audit_by *by);

/* Unlink what was deleted and is still there, unless a backup holds the blobs, and note durably
 * what is gone. What is left the next one does. */
void store_collect(struct store *s);

/* --- upload ---------------------------------------------------------------------------------- */

struct upload;
/* STORAGE_FULL, UNAVAILABLE. */
enum status upload_new(struct store *s, struct upload **out);
/* Give up what is not finished: nothing of it stays. NULL is fine. */
void upload_free(struct upload *u);
/* As upload_new, TOO_LARGE too; after a failure only upload_free is left to call. */
enum status upload_write(struct upload *u, const uint8_t *bytes, size_t len);
/* Finish only what has this SHA-256; UNPROCESSABLE otherwise. */
void upload_expect(struct upload *u, const uint8_t sha256[32]);
/* Store one file only under `tag` (index_tag). */
void upload_once(struct upload *u, const uint8_t tag[BLIND_TAG]);
/* Write rows of the caller's own in the same transaction: see index_with. */
void upload_also(struct upload *u,
                 enum status (*also)(struct sqlite *db, void *ctx, const struct object *o,
                                     const uint8_t data_key[KEY_SIZE]),
                 void *ctx);
/* Commit, with the audit entry. `name` is "" or valid (object_name_valid). `o` is what the index
 * now has. When an earlier upload had the
 * tag nothing is stored: OK with *o that one, when it is the same file under the same name, else
 * CONFLICT. */
enum status upload_finish(struct upload *u, const char *name, const struct audit_by *by,
                          struct object *o);

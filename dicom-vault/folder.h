/* The vault's folder on disk.
 *
 *     keyring        sealed under the root key
 *     index.db       SQLite (-wal and -shm beside it)
 *     lock           held by the one process that may sweep
 *     backup.lock    held by a backup: until it ends no blob is unlinked
 *     tmp/<id>       uploads under way; also in blobs/ when they are all but committed
 *     blobs/a/b/<id> payloads, where a and b are the id's first two hex digits
 *
 * All 256 leaf folders are made at the start, so that no upload has to make one and wait until it
 * is durable. Any thread after folder_create or folder_open. */
#pragma once
#include "object.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <sys/types.h>

enum { FOLDER_LEAVES = 256 };

struct folder { /* file descriptors, -1 when not open */
    int top, tmp, lock;
    int leaf[FOLDER_LEAVES];
};

/* Make what is missing and take the lock. UNAVAILABLE with the reason in `why`, CONFLICT when
 * another process holds the lock. On failure nothing stays open. */
enum status folder_create(const char *path, struct folder *out, struct strbuf *why);
/* Open what folder_create made; with `lock`, take the lock too, and see that it can be written. */
enum status folder_open(const char *path, bool lock, struct folder *out, struct strbuf *why);
void folder_close(struct folder *f);

bool folder_has(const struct folder *f, const char *name);
/* Append the file's bytes; TOO_LARGE past `max`, or as folder_errno. */
enum status folder_read(const struct folder *f, const char *name, size_t max, struct strbuf *out);
/* Replace the file whole or not at all; durable when it returns OK. */
enum status folder_write(const struct folder *f, const char *name, const void *bytes, size_t len);
/* Up to the end, which a pipe gives in pieces, or to `max`. The bytes read, -1 with errno set. */
ssize_t read_to_end(int fd, char *bytes, size_t max);
/* Write all of it. */
enum status write_all(int fd, const void *bytes, size_t len);

/* STORAGE_FULL when fewer bytes than that are free on its disk. */
enum status folder_room(const struct folder *f, uint64_t bytes);

/* The leaf an object's blob is in, and its file name. */
int folder_leaf(const struct folder *f, const uint8_t id[OBJECT_ID]);

/* Blobs that are listed in a backup's index must be there until it has linked them. */
/* Wait for the unlinks under way and keep others from beginning; close() what comes back, -1 with
 * errno set. */
int folder_hold_unlinks(const struct folder *f);
/* The other side: may blobs be unlinked until this is closed? -1 while a backup holds them, unless
 * `wait`. */
int folder_begin_unlinks(const struct folder *f, bool wait);

/* Every name in `dir` that an upload gives. Stops at the first failure, also of each. */
enum status folder_list(int dir, enum status (*each)(void *ctx, const uint8_t id[OBJECT_ID]),
                        void *ctx);

/* What errno means to a caller: STORAGE_FULL for a full disk or quota, else UNAVAILABLE. Logged. */
enum status folder_errno(const char *what);

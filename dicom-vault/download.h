/* An object on its way out: the row says how long the file must be; its descriptor is kept to the
 * end; every chunk is authenticated before a byte of it is given out. A download belongs to one
 * thread at a time. All block, but for download_attempt. */
#pragma once
#include "object.h"
#include "status.h"
#include <stddef.h>
#include <stdint.h>

struct store;
struct download;
/* NOT_FOUND; CORRUPT (logged) when key, row, file length, commitment or last chunk are not what
 * was written. */
enum status download_new(struct store *s, const uint8_t id[OBJECT_ID], struct object *o,
                         struct download **out);
void download_free(struct download *d); /* wipes; NULL is fine */
/* The payload's header, as it stands on disk: salt and commitment. */
const uint8_t *download_header(const struct download *d);
/* Read bytes first to first + len - 1, all inside the object. The first chunk is opened now, so
 * that damage to it is known before the reply begins. */
enum status download_range(struct download *d, uint64_t first, uint64_t len);
/* 1 to `len` bytes, *n of them; 0 at the end. CORRUPT (logged), now and ever after, when a chunk
 * fails its authentication: the good ones before it were given out, nothing of it is. */
enum status download_read(struct download *d, uint8_t *out, size_t len, size_t *n);
/* The same without blocking, of what the system has in memory: NEEDS_POOL, and nothing was read,
 * for the rest and for every failure. */
enum status download_attempt(struct download *d, uint8_t *out, size_t len, size_t *n);

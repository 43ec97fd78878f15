#include "download.h"
#include "chunked.h"
#include "log.h"
#include "secret.h"
#include "store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RUN = 16 }; /* chunks read at once */

struct download {
    int fd;
    char id[OBJECT_ID_HEX + 1];
    uint64_t size;
    uint64_t at, end; /* plaintext still to give */
    struct chunked_opener *opener;
    uint8_t header[CHUNKED_HEADER];
    bool damaged;
    bool attempt;   /* read from the page cache only */
    uint64_t chunk; /* the one in `plain`, UINT64_MAX for none */
    uint8_t plain[CHUNKED_SEALED];
    uint8_t *sealed; /* RUN chunks, that go from here straight to the caller; NULL until needed */
};

static enum status damaged(struct download *d, const char *what)
{
    d->damaged = true;
    log_error("object_damaged", F("object", d->id), F("what", what));
    return STATUS_CORRUPT;
}

/* Fewer bytes than asked for is a file shorter than its row says. */
static enum status read_at(struct download *d, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        struct iovec piece = {out, len};
        ssize_t n = preadv2(d->fd, &piece, 1, (off_t)offset, d->attempt ? RWF_NOWAIT : 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && d->attempt)
            return STATUS_NEEDS_POOL;
        if (n < 0)
            return folder_errno("read");
        if (n == 0)
            return damaged(d, "file ends early");
        out += n;
        offset += (size_t)n;
        len -= (size_t)n;
    }
    return STATUS_OK;
}

static enum status load_chunk(struct download *d, uint64_t k)
{
    size_t len = chunked_length(d->size, k);
    if (d->chunk == k)
        return STATUS_OK;
    d->chunk = UINT64_MAX;
    enum status st = read_at(d, chunked_offset(k), d->plain, len);
    if (st == STATUS_OK && chunked_open(d->opener, k, d->plain, len, d->plain) != STATUS_OK)
        st = damaged(d, "chunk");
    if (st == STATUS_OK)
        d->chunk = k;
    return st;
}

static enum status check_file(struct download *d, uint64_t size,
                              const uint8_t identity[OBJECT_IDENTITY],
                              const uint8_t data_key[KEY_SIZE])
{
    struct stat file;
    d->size = size;
    if (fstat(d->fd, &file) != 0)
        return folder_errno("fstat");
    if (!S_ISREG(file.st_mode) || (uint64_t)file.st_size != chunked_file_size(size))
        return damaged(d, "file length");
    enum status st = read_at(d, 0, d->header, sizeof(d->header));
    if (st != STATUS_OK)
        return st;
    if (chunked_opener_new(data_key, identity, OBJECT_IDENTITY, d->header, &d->opener) != STATUS_OK)
        return damaged(d, "header");
    return load_chunk(d, size / CHUNKED_PLAIN); /* the last: an empty one is never read again */
}

static enum status open_blob(struct store *s, const struct object *o, struct download *d)
{
    d->fd = openat(folder_leaf(store_folder(s), o->id), d->id,
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC); /* it may be a pipe by now */
    if (d->fd >= 0)
        return STATUS_OK;
    if (errno != ENOENT)
        return folder_errno("open");
    bool found = true; /* deleted since the row was read, or lost? */
    enum status st = index_contains(store_index(s), o->id, &found);
    if (st != STATUS_OK)
        return st;
    return found ? damaged(d, "no file") : STATUS_NOT_FOUND;
}

enum status download_new(struct store *s, const uint8_t id[OBJECT_ID], struct object *o,
                         struct download **out)
{
    uint8_t identity[OBJECT_IDENTITY], data_key[KEY_SIZE];
    struct download *d = xcalloc(1, sizeof(*d));
    d->fd = -1;
    d->chunk = UINT64_MAX;
    object_id_format(id, d->id);
    object_identity(keyring_vault_id(store_keys(s)), id, identity);
    enum status st = index_find(store_index(s), id, o, data_key);
    if (st == STATUS_CORRUPT)
        damaged(d, "row");
    if (st == STATUS_OK)
        st = open_blob(s, o, d);
    if (st == STATUS_OK)
        st = check_file(d, o->size, identity, data_key);
    secret_wipe(data_key, sizeof(data_key));
    if (st != STATUS_OK) {
        download_free(d);
        d = NULL;
    }
    *out = d;
    return st;
}

void download_free(struct download *d)
{
    if (!d)
        return;
    chunked_opener_free(d->opener);
    if (d->fd >= 0)
        close(d->fd);
    free(d->sealed);
    secret_wipe(d, sizeof(*d));
    free(d);
}

const uint8_t *download_header(const struct download *d)
{
    return d->header;
}

enum status download_range(struct download *d, uint64_t first, uint64_t len)
{
    d->at = first;
    d->end = first + len;
    return len ? load_chunk(d, first / CHUNKED_PLAIN) : STATUS_OK;
}

/* Whole chunks from `at` on, opened into `out`: no more than fit, are wanted, or make a run. */
static enum status read_run(struct download *d, uint8_t *out, size_t chunks, size_t *n)
{
    uint64_t k = d->at / CHUNKED_PLAIN;
    if (chunks > RUN)
        chunks = RUN;
    if (!d->sealed)
        d->sealed = xmalloc(RUN * CHUNKED_SEALED);
    enum status st = read_at(d, chunked_offset(k), d->sealed, chunks * CHUNKED_SEALED);
    for (size_t i = 0; st == STATUS_OK && i < chunks; i++) {
        st = chunked_open(d->opener, k + i, d->sealed + i * CHUNKED_SEALED, CHUNKED_SEALED,
                          out + *n);
        if (st != STATUS_OK)
            return damaged(d, "chunk");
        *n += CHUNKED_PLAIN;
        d->at += CHUNKED_PLAIN;
    }
    return st;
}

/* What is wanted of one chunk, by way of `plain`. */
static enum status read_part(struct download *d, uint8_t *out, size_t len, size_t *n)
{
    size_t skip = d->at % CHUNKED_PLAIN, take = CHUNKED_PLAIN - skip;
    enum status st = load_chunk(d, d->at / CHUNKED_PLAIN);
    if (st != STATUS_OK)
        return st;
    if (take > d->end - d->at)
        take = (size_t)(d->end - d->at);
    if (take > len)
        take = len;
    memcpy(out + *n, d->plain + skip, take);
    *n += take;
    d->at += take;
    return STATUS_OK;
}

enum status download_read(struct download *d, uint8_t *out, size_t len, size_t *n)
{
    enum status st = d->damaged ? STATUS_CORRUPT : STATUS_OK;
    *n = 0;
    while (st == STATUS_OK && *n < len && d->at < d->end) {
        uint64_t wanted = d->end - d->at < len - *n ? d->end - d->at : len - *n;
        bool held = d->chunk == d->at / CHUNKED_PLAIN;
        if (d->at % CHUNKED_PLAIN == 0 && wanted >= CHUNKED_PLAIN && !held)
            st = read_run(d, out, (size_t)(wanted / CHUNKED_PLAIN), n);
        else
            st = read_part(d, out, len - *n, n);
    }
    return *n ? STATUS_OK : st;
}

enum status download_attempt(struct download *d, uint8_t *out, size_t len, size_t *n)
{
    d->attempt = true;
    enum status st = download_read(d, out, len, n);
    d->attempt = false;
    return st == STATUS_OK ? STATUS_OK : STATUS_NEEDS_POOL;
}

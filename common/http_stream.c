#include "http_internal.h"
#include "log.h"
#include <string.h>
#include <sys/socket.h>

void http_download_free(struct download *d)
{
    if (!d)
        return;
    if (d->release)
        d->release(d->state);
    free(d->piece);
    free(d);
}

enum status http_download_fill(struct download *d)
{
    d->taken = 0;
    d->len = 0;
    if (!d->piece)
        d->piece = xmalloc(d->piece_size);
    d->failure = d->read(d->state, d->piece, d->piece_size, &d->len);
    d->end = !d->failure && d->len == 0;
    if (d->failure)
        d->len = 0;
    return d->failure;
}

static void fill_job(void *arg)
{
    struct http_request *req = arg;
    log_set_request_id(req->id);
    if (atomic_load(&req->h->stopping))
        req->download->failure = STATUS_UNAVAILABLE;
    else
        http_download_fill(req->download);
    http_resume(req);
}

/* Reset the connection. A mere close would look like the end to an HTTP/1.0 client that was told
 * no length. */
ssize_t http_break_off(struct http_request *req, enum status why)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    log_error("reply_broken_off", F("route", req->match.route->pattern),
              F("why", status_slug(why)));
    connect(info->connect_fd, &nobody, sizeof(nobody));
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Bytes that are there without the pool; 0 when it must be asked. */
static size_t attempt(const struct download *d, char *out, size_t max)
{
    size_t n = 0;
    if (!d->attempt || d->end || d->failure)
        return 0;
    return d->attempt(d->state, (uint8_t *)out, max, &n) == STATUS_OK ? n : 0;
}

/* On the event thread, so it never blocks: it hands out what the pool has read, or what is there
 * at once, and suspends the connection while more is fetched. */
static ssize_t next_bytes(void *cls, uint64_t pos, char *out, size_t max)
{
    struct http_request *req = cls;
    struct download *d = req->download;
    if (d->taken < d->len) {
        size_t n = d->len - d->taken < max ? d->len - d->taken : max;
        memcpy(out, d->piece + d->taken, n);
        d->taken += n;
        return (ssize_t)n;
    }
    size_t at_once = attempt(d, out, max);
    if (at_once)
        return (ssize_t)at_once;
    if (d->end && d->size != UINT64_MAX && pos < d->size)
        d->failure = STATUS_INTERNAL; /* shorter than was promised */
    if (!d->failure && d->end)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (d->failure || !http_suspend(req, fill_job, true))
        return http_break_off(req, d->failure ? d->failure : STATUS_UNAVAILABLE);
    return 0;
}

struct MHD_Response *http_download_response(struct http_request *req)
{
    uint64_t size = req->download->size == UINT64_MAX ? MHD_SIZE_UNKNOWN : req->download->size;
    size_t block = req->download->piece_size < 65536 ? req->download->piece_size : 65536;
    return MHD_create_response_from_callback(size, block, next_bytes, req, NULL);
}

#include "clock.h"
#include "http_internal.h"
#include <string.h>

/* A body may take the idle time and a second for each KiB: who sends one byte at a time, each just
 * before the idle time is over, does not hold a connection for ever. */
static bool too_slow(const struct http_request *req)
{
    int64_t spent_us = clock_mono_us() - req->start_us - req->paused_us;
    int64_t allowed_s = (int64_t)req->h->timeout_s + (int64_t)(req->body_taken / 1024);
    return spent_us / 1000000 > allowed_s;
}

static enum status step_chunk(struct http_request *req)
{
    if (!req->on_pool)
        return STATUS_NEEDS_POOL;
    enum status s = req->stream->chunk(req, (const uint8_t *)req->body.bytes, req->body.len);
    strbuf_reset(&req->body);
    return s;
}

/* How much of the body may still be kept; 0 when it is over its limit. */
static enum status check_arrival(struct http_request *req, size_t len)
{
    uint64_t max = req->stream ? req->h->stream_max : req->h->body_max;
    if (too_slow(req))
        return STATUS_REQUEST_TIMEOUT;
    if (len > max - req->body_taken)
        return http_fail(req, STATUS_TOO_LARGE, "at most %llu bytes", (unsigned long long)max);
    return STATUS_OK;
}

static enum MHD_Result discard(struct http_request *req, size_t *len)
{
    req->discarded += *len;
    *len = 0;
    return req->discarded <= HTTP_DISCARD_MAX ? MHD_YES : MHD_NO;
}

enum MHD_Result http_refuse_body(struct http_request *req)
{
    if (req->body_left <= HTTP_DISCARD_MAX)
        return MHD_YES;
    req->close = true;
    http_send_raw(req);
    return MHD_YES;
}

/* Keep what there is room for, and hand a full chunk to the pool before taking more: bytes left
 * over make libmicrohttpd call again after the resume. */
static void take(struct http_request *req, const char *bytes, size_t *len)
{
    size_t n = *len;
    if (req->stream && req->body.size == 0) /* at once, not by doubling and copying */
        strbuf_reserve(&req->body, req->body_left < HTTP_CHUNK ? req->body_left : HTTP_CHUNK);
    if (req->stream && n > HTTP_CHUNK - req->body.len)
        n = HTTP_CHUNK - req->body.len;
    strbuf_add(&req->body, bytes, n);
    req->body_taken += n;
    *len -= n;
}

enum MHD_Result http_upload(struct http_request *req, const char *bytes, size_t *len)
{
    size_t offered = *len;
    if (!req->code) {
        enum status s = check_arrival(req, offered);
        if (s)
            http_settle(req, s);
    }
    if (req->code && !req->answered_raw)
        http_refuse_body(req);
    if (!req->code)
        take(req, bytes, len);
    if (!req->chunked)
        req->body_left -= offered - *len;
    if (req->code)
        return discard(req, len);
    if (*len)
        http_run(req, step_chunk);
    return MHD_YES;
}

/* What a multipart parser told, as text: "[type]content;" a part; an open one lacks the semicolon.
 */
#pragma once
#include "dicomweb_multipart.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

static inline enum status log_begin(void *ctx, const char *content_type)
{
    strbuf_addf(ctx, "[%s]", content_type);
    return STATUS_OK;
}

static inline enum status log_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    strbuf_add(ctx, bytes, len);
    return STATUS_OK;
}

static inline enum status log_end(void *ctx)
{
    strbuf_addch(ctx, ';');
    return STATUS_OK;
}

/* Parse `body`, cut into pieces of `piece` bytes, which stand alone on the heap. */
static inline enum status log_multipart(const char *boundary, const void *body, size_t len,
                                        size_t piece, struct strbuf *log)
{
    static const struct multipart_events events = {log_begin, log_bytes, log_end};
    struct multipart *m = multipart_new(boundary, &events, log);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        uint8_t *alone = xmalloc(n);
        memcpy(alone, (const uint8_t *)body + at, n);
        multipart_push(m, alone, n);
        free(alone);
    }
    enum status s = multipart_finish(m);
    multipart_free(m);
    return s;
}

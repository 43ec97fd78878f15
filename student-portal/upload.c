#include "upload.h"
#include "loader.h"
#include <string.h>
#include <strings.h>

static struct strbuf *body_of(const struct http_request *req)
{
    return &((struct visit *)http_state(req))->upload;
}

static enum status begin(struct http_request *req)
{
    (void)req;
    return STATUS_OK;
}

static enum status chunk(struct http_request *req, const uint8_t *bytes, size_t len)
{
    struct strbuf *body = body_of(req);
    if (len > UPLOAD_MAX - body->len)
        return http_fail(req, STATUS_TOO_LARGE, "at most %d bytes", UPLOAD_MAX);
    strbuf_add(body, bytes, len);
    return STATUS_OK;
}

const struct body_stream upload = {begin, chunk};

static bool is_type(const char *header, const char *type)
{
    size_t len = strlen(type);
    return header && strncasecmp(header, type, len) == 0 &&
           (header[len] == '\0' || header[len] == ';' || header[len] == ' ');
}

enum status upload_bytes(struct http_request *req, const char *type, const char **bytes,
                         size_t *len)
{
    if (!is_type(http_header(req, "Content-Type"), type))
        return http_fail(req, STATUS_UNSUPPORTED_MEDIA, "the body is %s", type);
    *bytes = strbuf_cstr(body_of(req));
    *len = body_of(req)->len;
    return STATUS_OK;
}

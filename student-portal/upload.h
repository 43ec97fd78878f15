/* Bodies larger than the server collects for everybody, for the few routes that need them: taken
 * in chunks, on the pool, from callers whose role was checked. */
#pragma once
#include "http.h"

enum { UPLOAD_MAX = 4 * 1024 * 1024 };

/* For the last column of the route table. Past UPLOAD_MAX: TOO_LARGE. */
extern const struct body_stream upload;

/* What came, NUL-terminated behind *len; of a media type that begins with `type`, or
 * UNSUPPORTED_MEDIA. Valid until the reply. */
enum status upload_bytes(struct http_request *req, const char *type, const char **bytes,
                         size_t *len);

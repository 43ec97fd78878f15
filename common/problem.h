/* Error bodies: application/problem+json (RFC 9457). Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"

/* Append {"type","title","status","detail","request_id"}; `type` is "/problems/<slug>". `detail`
 * and `request_id` may be NULL. Extra members: `extra` is NULL or the inside of a JSON object
 * such as `"state":"assigned"`, already valid JSON. */
void problem_write(struct strbuf *out, enum status s, const char *detail, const char *request_id,
                   const char *extra);

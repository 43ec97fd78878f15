/* The parts of a multipart body (RFC 2046, section 5.1) while it streams in. Memory: one line of
 * headers. A line that begins with the delimiter is one, as the RFC has it, and must then hold
 * nothing else but blanks: a body that two readers could cut in two ways is refused. Any thread; a
 * parser belongs to one thread at a time. */
#pragma once
#include "dicomweb_media.h"
#include <stddef.h>
#include <stdint.h>

enum { MULTIPART_LINE_MAX = 1024, MULTIPART_HEADERS_MAX = 4096 };

/* Not OK ends the parsing, with that status. */
struct multipart_events {
    enum status (*begin)(void *ctx, const char *content_type);         /* "" when there is none */
    enum status (*bytes)(void *ctx, const uint8_t *bytes, size_t len); /* 1 byte or more */
    enum status (*end)(void *ctx);
};

struct multipart;
/* `boundary` is 1 to BOUNDARY_MAX characters; `events` must outlive it. */
struct multipart *multipart_new(const char *boundary, const struct multipart_events *events,
                                void *ctx);
void multipart_free(struct multipart *m); /* NULL is fine */
/* BAD_REQUEST for a malformed body. */
enum status multipart_push(struct multipart *m, const uint8_t *bytes, size_t len);
/* BAD_REQUEST when the closing delimiter did not come. */
enum status multipart_finish(struct multipart *m);

#include "dicomweb_multipart.h"
#include "strbuf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state {
    PREAMBLE, /* before the first delimiter; thrown away */
    AFTER,    /* a delimiter came: "--" ends it all, else the line must be blank */
    HEADERS,  /* of a part, line by line */
    BODY,     /* of a part */
    EPILOGUE, /* after the last; thrown away */
};

struct multipart {
    const struct multipart_events *events;
    void *ctx;
    enum state state;
    enum status status;
    char delimiter[4 + BOUNDARY_MAX + 1]; /* CR LF "--" boundary */
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter that the input ends with so far */
    size_t unseen;  /* of these, at its beginning, that are no content if it is none */
    struct strbuf line;
    size_t headers_len;
    char content_type[MULTIPART_LINE_MAX + 1];
};

struct multipart *multipart_new(const char *boundary, const struct multipart_events *events,
                                void *ctx)
{
    struct multipart *m = xcalloc(1, sizeof(*m));
    m->events = events;
    m->ctx = ctx;
    snprintf(m->delimiter, sizeof(m->delimiter), "\r\n--%s", boundary);
    m->delimiter_len = strlen(m->delimiter);
    m->matched = m->unseen = 2; /* the body begins a line */
    return m;
}

void multipart_free(struct multipart *m)
{
    if (!m)
        return;
    strbuf_release(&m->line);
    free(m);
}

/* --- lines ----------------------------------------------------------------------------------- */

static enum status end_headers(struct multipart *m)
{
    m->state = BODY;
    m->matched = m->unseen = 2; /* an empty part's delimiter follows at once (RFC 2046, 5.1.1) */
    m->headers_len = 0;
    return m->events->begin(m->ctx, m->content_type);
}

static enum status take_header(struct multipart *m)
{
    static const char name[] = "content-type:";
    const char *line = m->line.bytes;
    if (!memchr(line, ':', m->line.len) || *line == ' ' || *line == '\t')
        return STATUS_BAD_REQUEST; /* folded lines too: obsolete, and read in two ways */
    if (strncasecmp(line, name, sizeof(name) - 1) != 0)
        return STATUS_OK;
    if (m->content_type[0] || strlen(line) != m->line.len)
        return STATUS_BAD_REQUEST;
    line += sizeof(name) - 1;
    snprintf(m->content_type, sizeof(m->content_type), "%s", line + strspn(line, " \t"));
    return STATUS_OK;
}

/* What stands on a delimiter's line behind the delimiter. */
static enum status take_after(struct multipart *m)
{
    const char *rest = strbuf_cstr(&m->line);
    if (strspn(rest, " \t") != m->line.len)
        return STATUS_BAD_REQUEST;
    m->state = HEADERS;
    m->content_type[0] = '\0';
    return STATUS_OK;
}

static enum status take_line(struct multipart *m)
{
    if (m->state == AFTER)
        return take_after(m);
    return m->line.len ? take_header(m) : end_headers(m);
}

/* Up to CR LF; a bare one of them is malformed. */
static enum status collect_line(struct multipart *m, const uint8_t *bytes, size_t len, size_t *n)
{
    const uint8_t *end = memchr(bytes, '\n', len);
    *n = end ? (size_t)(end - bytes) + 1 : len;
    m->headers_len += *n;
    strbuf_add(&m->line, bytes, *n < MULTIPART_LINE_MAX ? *n : MULTIPART_LINE_MAX);
    if (m->line.len > MULTIPART_LINE_MAX || m->headers_len > MULTIPART_HEADERS_MAX)
        return STATUS_BAD_REQUEST;
    if (m->state == AFTER && m->line.len >= 2 && memcmp(m->line.bytes, "--", 2) == 0) {
        m->state = EPILOGUE;
        return STATUS_OK;
    }
    if (!end)
        return STATUS_OK;
    size_t line_len = m->line.len;
    if (line_len < 2 || memchr(m->line.bytes, '\r', line_len) != m->line.bytes + line_len - 2)
        return STATUS_BAD_REQUEST;
    m->line.len = line_len - 2;
    m->line.bytes[m->line.len] = '\0';
    enum status s = take_line(m);
    strbuf_reset(&m->line);
    return s;
}

/* --- bodies ---------------------------------------------------------------------------------- */

static enum status give(struct multipart *m, const void *bytes, size_t len)
{
    return m->state == BODY && len > 0 ? m->events->bytes(m->ctx, bytes, len) : STATUS_OK;
}

static enum status delimiter_found(struct multipart *m)
{
    enum status s = m->state == BODY ? m->events->end(m->ctx) : STATUS_OK;
    m->state = AFTER;
    m->matched = m->unseen = 0;
    m->headers_len = 0;
    strbuf_reset(&m->line);
    return s;
}

/* Go on with a match that the bytes before began. When it fails it was content, which is known
 * without having been kept; it can only begin anew behind it, since a delimiter has one CR. */
static enum status go_on(struct multipart *m, const uint8_t *bytes, size_t len, size_t *n)
{
    enum status s = STATUS_OK;
    *n = 0;
    while (*n < len && m->matched < m->delimiter_len &&
           bytes[*n] == (uint8_t)m->delimiter[m->matched]) {
        ++*n;
        m->matched++;
    }
    if (m->matched == m->delimiter_len)
        return delimiter_found(m);
    if (*n == len)
        return STATUS_OK;
    if (m->matched > m->unseen)
        s = give(m, m->delimiter + m->unseen, m->matched - m->unseen);
    m->matched = m->unseen = 0;
    return s;
}

/* How many of the last bytes may be the beginning of a delimiter. */
static size_t beginning(const struct multipart *m, const uint8_t *bytes, size_t len)
{
    size_t most = len < m->delimiter_len ? len : m->delimiter_len - 1;
    const uint8_t *from = most ? memrchr(bytes + len - most, '\r', most) : NULL;
    size_t n = from ? (size_t)(bytes + len - from) : 0;
    return n > 0 && memcmp(from, m->delimiter, n) == 0 ? n : 0;
}

static enum status scan(struct multipart *m, const uint8_t *bytes, size_t len, size_t *n)
{
    if (m->matched > 0)
        return go_on(m, bytes, len, n);
    const uint8_t *found = memmem(bytes, len, m->delimiter, m->delimiter_len);
    size_t plain = found ? (size_t)(found - bytes) : len - beginning(m, bytes, len);
    enum status s = give(m, bytes, plain);
    *n = found ? plain + m->delimiter_len : len;
    if (s == STATUS_OK && found)
        return delimiter_found(m);
    m->matched = len - plain;
    return s;
}

enum status multipart_push(struct multipart *m, const uint8_t *bytes, size_t len)
{
    while (m->status == STATUS_OK && len > 0 && m->state != EPILOGUE) {
        size_t n = len;
        if (m->state == AFTER || m->state == HEADERS)
            m->status = collect_line(m, bytes, len, &n);
        else
            m->status = scan(m, bytes, len, &n);
        bytes += n;
        len -= n;
    }
    return m->status;
}

enum status multipart_finish(struct multipart *m)
{
    if (m->status == STATUS_OK && m->state != EPILOGUE)
        m->status = STATUS_BAD_REQUEST;
    return m->status;
}

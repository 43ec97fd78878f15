#include "reply.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void reply_begin(struct reply *r, bool to_head)
{
    *r = (struct reply){.bodyless = to_head};
}

static enum reply_state on_status(struct reply *r)
{
    bool fine = strncmp(r->line, "HTTP/1.", 7) == 0 && r->line_len >= 12 && r->line[8] == ' ';
    r->status = fine ? atoi(r->line + 9) : 0;
    return r->status >= 100 && r->status <= 999 ? REPLY_FIELD : REPLY_MALFORMED;
}

static enum reply_state on_head_end(struct reply *r)
{
    if (r->status < 200)
        return REPLY_STATUS; /* 100 Continue: the reply itself follows */
    if (r->bodyless || r->status == 204 || r->status == 304)
        return REPLY_DONE;
    if (r->chunked)
        return REPLY_CHUNK_SIZE;
    if (!r->sized)
        return REPLY_UNTIL_CLOSE;
    return r->left > 0 ? REPLY_BODY : REPLY_DONE;
}

static bool field(const struct reply *r, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncasecmp(r->line, name, n) != 0 || r->line[n] != ':')
        return false;
    *value = r->line + n + 1 + strspn(r->line + n + 1, " ");
    return true;
}

static enum reply_state on_field(struct reply *r)
{
    const char *value;
    if (r->line_len == 0)
        return on_head_end(r);
    if (field(r, "Content-Length", &value)) {
        r->left = strtoull(value, NULL, 10);
        r->sized = true;
    } else if (field(r, "Transfer-Encoding", &value))
        r->chunked = strcasecmp(value, "chunked") == 0;
    else if (field(r, "Connection", &value))
        r->close = strcasecmp(value, "close") == 0;
    return REPLY_FIELD;
}

static enum reply_state on_line(struct reply *r)
{
    char *end;
    switch (r->state) {
    case REPLY_STATUS:
        return on_status(r);
    case REPLY_FIELD:
        return on_field(r);
    case REPLY_CHUNK_SIZE:
        r->left = strtoull(r->line, &end, 16);
        if (end == r->line)
            return REPLY_MALFORMED;
        return r->left > 0 ? REPLY_CHUNK : REPLY_TRAILER;
    case REPLY_CHUNK_END:
        return r->line_len == 0 ? REPLY_CHUNK_SIZE : REPLY_MALFORMED;
    default:
        return r->line_len == 0 ? REPLY_DONE : REPLY_TRAILER;
    }
}

/* Of a line only its beginning is kept. */
static size_t take_line(struct reply *r, const char *bytes, size_t len)
{
    const char *newline = memchr(bytes, '\n', len);
    size_t n = newline ? (size_t)(newline - bytes) : len;
    size_t room = sizeof(r->line) - 1 - r->line_len, kept = n < room ? n : room;
    memcpy(r->line + r->line_len, bytes, kept);
    r->line_len += kept;
    if (!newline)
        return len;
    if (r->line_len > 0 && r->line[r->line_len - 1] == '\r')
        r->line_len--;
    r->line[r->line_len] = '\0';
    r->state = on_line(r);
    r->line_len = 0;
    return n + 1;
}

static size_t take_body(struct reply *r, size_t len)
{
    size_t n = len < r->left ? len : (size_t)r->left;
    r->left -= n;
    if (r->left == 0)
        r->state = r->state == REPLY_CHUNK ? REPLY_CHUNK_END : REPLY_DONE;
    return n;
}

size_t reply_feed(struct reply *r, const char *bytes, size_t len)
{
    size_t taken = 0;
    while (taken < len && r->state < REPLY_DONE) {
        if (r->state == REPLY_UNTIL_CLOSE)
            return len;
        if (r->state == REPLY_BODY || r->state == REPLY_CHUNK)
            taken += take_body(r, len - taken);
        else
            taken += take_line(r, bytes + taken, len - taken);
    }
    return taken;
}

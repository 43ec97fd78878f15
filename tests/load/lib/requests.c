#include "requests.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "%SERIAL%";
enum { MARK = sizeof(mark) - 1 };

/* 0 when there is no such field. */
static size_t content_length(const char *head, size_t len)
{
    static const char name[] = "\r\nContent-Length:";
    for (size_t i = 0; i + sizeof(name) < len; i++)
        if (strncasecmp(head + i, name, sizeof(name) - 1) == 0)
            return strtoul(head + i + sizeof(name) - 1, NULL, 10);
    return 0;
}

/* 0 when no whole request stands there. */
static size_t measure(const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - bytes) + 4, body = content_length(bytes, head);
    return body <= len - head ? head + body : 0;
}

static void add(struct requests *rs, const char *bytes, size_t len)
{
    if (rs->count == rs->size) {
        rs->size = rs->size ? 2 * rs->size : 64;
        rs->all = xrealloc(rs->all, rs->size * sizeof(rs->all[0]));
    }
    bool head = strncmp(bytes, "HEAD ", 5) == 0;
    rs->all[rs->count++] =
        (struct raw_request){bytes, len, head, memmem(bytes, len, mark, MARK) != NULL};
}

bool requests_parse(struct requests *rs, struct strbuf *text, size_t *where)
{
    *rs = (struct requests){.text = *text};
    *text = (struct strbuf)STRBUF_INIT;
    for (*where = 0; *where < rs->text.len;) {
        size_t n = measure(rs->text.bytes + *where, rs->text.len - *where);
        if (n == 0)
            return false;
        add(rs, rs->text.bytes + *where, n);
        *where += n;
    }
    return rs->count > 0;
}

void requests_release(struct requests *rs)
{
    free(rs->all);
    strbuf_release(&rs->text);
}

void requests_write(const struct raw_request *r, unsigned serial, struct strbuf *out)
{
    strbuf_reset(out);
    strbuf_add(out, r->bytes, r->len);
    char digits[16], *at = out->bytes;
    snprintf(digits, sizeof(digits), "%08u", serial % 100000000);
    while (r->has_serial && (at = memmem(at, (size_t)(out->bytes + out->len - at), mark, MARK))) {
        memcpy(at, digits, MARK);
        at += MARK;
    }
}

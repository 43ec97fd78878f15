#include "strbuf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(void)
{
    fputs("level=error event=out_of_memory\n", stderr);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *xstrdup(const char *s)
{
    size_t size = strlen(s) + 1;
    return memcpy(xmalloc(size), s, size);
}

void strbuf_release(struct strbuf *sb)
{
    free(sb->bytes);
    *sb = (struct strbuf)STRBUF_INIT;
}

void strbuf_reset(struct strbuf *sb)
{
    sb->len = 0;
    if (sb->bytes)
        sb->bytes[0] = '\0';
}

void strbuf_reserve(struct strbuf *sb, size_t extra)
{
    size_t need;
    if (__builtin_add_overflow(sb->len, extra, &need) || __builtin_add_overflow(need, 1, &need))
        out_of_memory();
    if (need <= sb->size)
        return;
    size_t grown = sb->size + sb->size / 2;
    sb->size = grown > need ? grown : need;
    sb->bytes = xrealloc(sb->bytes, sb->size);
    sb->bytes[sb->len] = '\0';
}

void strbuf_add(struct strbuf *sb, const void *bytes, size_t len)
{
    strbuf_reserve(sb, len);
    if (len)
        memcpy(sb->bytes + sb->len, bytes, len);
    sb->len += len;
    sb->bytes[sb->len] = '\0';
}

void strbuf_addstr(struct strbuf *sb, const char *s)
{
    strbuf_add(sb, s, strlen(s));
}

void strbuf_addch(struct strbuf *sb, char c)
{
    strbuf_add(sb, &c, 1);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t room = sb->bytes ? sb->size - sb->len : 0;
    int len = vsnprintf(room ? sb->bytes + sb->len : NULL, room, fmt, ap);
    if (len < 0)
        abort(); /* a format error is a bug of the program */
    if ((size_t)len >= room) {
        strbuf_reserve(sb, (size_t)len);
        vsnprintf(sb->bytes + sb->len, (size_t)len + 1, fmt, again);
    }
    sb->len += (size_t)len;
    va_end(again);
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(sb, fmt, ap);
    va_end(ap);
}

const char *strbuf_cstr(const struct strbuf *sb)
{
    return sb->bytes ? sb->bytes : "";
}

char *strbuf_detach(struct strbuf *sb, size_t *len)
{
    strbuf_reserve(sb, 0);
    char *bytes = sb->bytes;
    if (len)
        *len = sb->len;
    *sb = (struct strbuf)STRBUF_INIT;
    return bytes;
}

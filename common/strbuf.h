/* A growing byte buffer that is always NUL-terminated behind `len`.
 *
 * Bytes may include NUL. Allocation failure aborts the process (as in git): everything that a
 * client can size is bounded before it gets here. A strbuf is owned by one thread at a time.
 * STRBUF_INIT or {0} is a valid empty buffer; strbuf_release leaves it empty and reusable. */
#pragma once
#include <stdarg.h>
#include <stddef.h>

struct strbuf {
    char *bytes; /* NULL while nothing was ever added: read through strbuf_cstr */
    size_t len;
    size_t size;
};
#define STRBUF_INIT                                                                                \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void strbuf_release(struct strbuf *sb);
/* Empty it, keep its memory. */
void strbuf_reset(struct strbuf *sb);
/* Room for `extra` more bytes and the NUL. */
void strbuf_reserve(struct strbuf *sb, size_t extra);
void strbuf_add(struct strbuf *sb, const void *bytes, size_t len);
void strbuf_addstr(struct strbuf *sb, const char *s);
void strbuf_addch(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Never NULL; valid until the next change. */
const char *strbuf_cstr(const struct strbuf *sb);
/* The heap bytes, NUL-terminated, now the caller's to free(); `len` may be NULL. The buffer is
 * empty again. */
char *strbuf_detach(struct strbuf *sb, size_t *len);

/* malloc, calloc, realloc and strdup that abort when memory is out. free() what they return. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

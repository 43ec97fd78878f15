#include "log.h"
#include "clock.h"
#include "strbuf.h"
#include "utf8.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VALUE_MAX = 512 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static enum log_level threshold = LOG_INFO;
static _Thread_local char request_id[64];

struct log_field log_field_int(const char *key, long long value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_INT, .i = value};
}

struct log_field log_field_uint(const char *key, unsigned long long value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_UINT, .u = value};
}

struct log_field log_field_real(const char *key, double value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_REAL, .d = value};
}

struct log_field log_field_str(const char *key, const char *value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_STR, .s = value};
}

void log_set_level(enum log_level level)
{
    threshold = level;
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(level_names[i], name) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

void log_set_request_id(const char *id)
{
    size_t len = id ? strnlen(id, sizeof(request_id) - 1) : 0;
    memcpy(request_id, id ? id : "", len);
    request_id[len] = '\0';
}

/* The length of the plain character at `s`, 0 where it must be escaped. */
static size_t plain_char(const char *s, size_t len)
{
    uint32_t code;
    size_t n = utf8_next(s, len, &code);
    return n == 0 || utf8_is_control(code) || code == '"' || code == '\\' ? 0 : n;
}

static bool is_bare(const char *s, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = plain_char(s + i, len - i);
        if (n == 0 || s[i] == ' ' || s[i] == '=')
            return false;
    }
    return len > 0;
}

static void add_escaped(struct strbuf *out, char c)
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt";
    for (const char *p = shorts; *p; p += 2) {
        if (*p == c) {
            strbuf_addch(out, '\\');
            strbuf_addch(out, p[1]);
            return;
        }
    }
    strbuf_addf(out, "\\x%02x", (unsigned char)c);
}

/* At most VALUE_MAX bytes, and no part of a character at the cut. */
static size_t cut(const char *s)
{
    size_t len = strnlen(s, VALUE_MAX + 1);
    if (len <= VALUE_MAX)
        return len;
    len = VALUE_MAX;
    for (size_t back = 0; back < 3 && (s[len - back] & 0xC0) == 0x80; back++)
        if ((s[len - back - 1] & 0xC0) == 0xC0)
            return len - back - 1;
    return len;
}

static void add_text(struct strbuf *out, const char *s)
{
    size_t len = cut(s);
    if (is_bare(s, len)) {
        strbuf_add(out, s, len);
        return;
    }
    strbuf_addch(out, '"');
    for (size_t i = 0; i < len;) {
        size_t n = plain_char(s + i, len - i);
        if (n == 0)
            add_escaped(out, s[i++]);
        else
            strbuf_add(out, s + i, n);
        i += n;
    }
    strbuf_addch(out, '"');
}

static void add_field(struct strbuf *out, const struct log_field *f)
{
    strbuf_addf(out, " %s=", f->key);
    switch (f->type) {
    case LOG_FIELD_INT:
        strbuf_addf(out, "%lld", f->i);
        break;
    case LOG_FIELD_UINT:
        strbuf_addf(out, "%llu", f->u);
        break;
    case LOG_FIELD_REAL:
        strbuf_addf(out, "%g", f->d);
        break;
    case LOG_FIELD_STR:
        if (f->s)
            add_text(out, f->s);
        else
            strbuf_addstr(out, "null");
        break;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    if (level > threshold)
        return;
    char now[RFC3339_SIZE];
    rfc3339_format(clock_unix_ms(), now);
    struct strbuf line = STRBUF_INIT;
    strbuf_reserve(&line, 256); /* enough for most */
    strbuf_addf(&line, "ts=%s level=%s event=%s", now, level_names[level], event);
    if (request_id[0]) {
        struct log_field rid = log_field_str("rid", request_id);
        add_field(&line, &rid);
    }
    for (size_t i = 1; i < n; i++)
        add_field(&line, &fields[i]);
    strbuf_addch(&line, '\n');
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len);
    (void)written; /* nowhere to complain */
    strbuf_release(&line);
}

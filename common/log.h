/* Logging: one logfmt line an event on stderr, at four levels.
 *
 *     log_info("order_assigned", F("order", id), F("partner", partner));
 *     ts=2026-01-31T09:00:00.123Z level=info event=order_assigned rid=5f3c order=7 partner=p1
 *
 * A value is an integer, a double or a NUL-terminated string. Strings with blanks, quotes,
 * equals signs or control characters are quoted and escaped, so that no value from outside can
 * forge a line or a field; they are cut at 512 bytes. Nothing secret is passed here. One write(2)
 * a line; any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_field {
    const char *key;
    enum { LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_REAL, LOG_FIELD_STR } type;
    union {
        long long i;
        unsigned long long u;
        double d;
        const char *s; /* NULL prints as key=null */
    };
};

struct log_field log_field_int(const char *key, long long value);
struct log_field log_field_uint(const char *key, unsigned long long value);
struct log_field log_field_real(const char *key, double value);
struct log_field log_field_str(const char *key, const char *value);

#define F(key, value)                                                                              \
    _Generic((value),                                                                              \
        char *: log_field_str,                                                                     \
        const char *: log_field_str,                                                               \
        unsigned: log_field_uint,                                                                  \
        unsigned long: log_field_uint,                                                             \
        unsigned long long: log_field_uint,                                                        \
        float: log_field_real,                                                                     \
        double: log_field_real,                                                                    \
        default: log_field_int)(key, value)

/* Lines above this level are dropped; the default is LOG_INFO. Before threads start. */
void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug"; returns 0, or -1 for anything else. */
int log_level_parse(const char *name, enum log_level *out);
/* The request id that this thread's lines carry, until changed; NULL for none. The string is
 * copied (at most 63 bytes). */
void log_set_request_id(const char *id);

/* fields[0] is a placeholder (see the macro); n counts it. */
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

#define LOG_WRITE(level, event, ...)                                                               \
    log_write(level, event, (const struct log_field[]){{0}, __VA_ARGS__},                          \
              sizeof((const struct log_field[]){{0}, __VA_ARGS__}) / sizeof(struct log_field))
#define log_error(...) LOG_WRITE(LOG_ERROR, __VA_ARGS__, )
#define log_warn(...) LOG_WRITE(LOG_WARN, __VA_ARGS__, )
#define log_info(...) LOG_WRITE(LOG_INFO, __VA_ARGS__, )
#define log_debug(...) LOG_WRITE(LOG_DEBUG, __VA_ARGS__, )

#include "json.h"
#include "utf8.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* jansson quotes the input byte by byte and cuts at a length, and so through a character. */
static void add_reason(struct strbuf *why, const char *text)
{
    uint32_t code;
    for (size_t len = strlen(text), n; len > 0; text += n, len -= n) {
        n = utf8_next(text, len, &code);
        if (n > 0)
            strbuf_add(why, text, n);
        else
            strbuf_addstr(why, REPLACEMENT);
        n += n == 0;
    }
}

/* jansson's own limit is 2048, fixed when it is built. */
static bool too_deep(const char *s, size_t len)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string && s[i] == '\\')
            i++;
        else if (s[i] == '"')
            in_string = !in_string;
        else if (!in_string && (s[i] == '[' || s[i] == '{') && ++depth > JSON_DEPTH_MAX)
            return true;
        else if (!in_string && (s[i] == ']' || s[i] == '}') && depth > 0)
            depth--;
    }
    return false;
}

enum status json_parse(const void *bytes, size_t len, json_t **out, struct strbuf *why)
{
    *out = NULL;
    if (too_deep(bytes, len)) {
        strbuf_addf(why, "nested more than %d deep", JSON_DEPTH_MAX);
        return STATUS_BAD_REQUEST;
    }
    json_error_t error;
    *out = json_loadb(bytes, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (*out)
        return STATUS_OK;
    strbuf_addf(why, "line %d, column %d: ", error.line, error.column);
    add_reason(why, error.text);
    return STATUS_BAD_REQUEST;
}

enum status json_vtake(json_t *root, struct strbuf *why, const char *fmt, va_list members)
{
    json_error_t error;
    if (!json_vunpack_ex(root, &error, 0, fmt, members))
        return STATUS_OK;
    add_reason(why, error.text);
    return STATUS_UNPROCESSABLE;
}

enum status json_take(json_t *root, struct strbuf *why, const char *fmt, ...)
{
    va_list members;
    va_start(members, fmt);
    enum status s = json_vtake(root, why, fmt, members);
    va_end(members);
    return s;
}

static int add_bytes(const char *bytes, size_t len, void *out)
{
    strbuf_add(out, bytes, len);
    return 0;
}

void json_write(struct strbuf *out, const json_t *root)
{
    if (json_dump_callback(root, add_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        abort(); /* only a NULL root, a bug of the program */
}

void json_write_text(struct strbuf *out, const char *s)
{
    size_t len = strlen(s);
    uint32_t code;
    strbuf_addch(out, '"');
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = utf8_next(s + i, len - i, &code);
        if (n == 0)
            strbuf_addstr(out, REPLACEMENT);
        else if (code < 0x20 || code == '"' || code == '\\')
            strbuf_addf(out, "\\u%04x", code);
        else
            strbuf_add(out, s + i, n);
    }
    strbuf_addch(out, '"');
}

bool text_valid(const char *s, size_t len, size_t min, size_t max, bool multiline)
{
    if (len < min || len > max)
        return false;
    uint32_t code;
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_next(s + i, len - i, &code);
        if (n == 0)
            return false;
        if (utf8_is_control(code) && !(multiline && (code == '\n' || code == '\t')))
            return false;
    }
    return true;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool name_valid(const char *s, size_t max)
{
    if (!is_alnum(s[0]))
        return false;
    size_t len = 1;
    while (is_alnum(s[len]) || s[len] == '.' || s[len] == '_' || s[len] == '-')
        len++;
    return s[len] == '\0' && len <= max;
}

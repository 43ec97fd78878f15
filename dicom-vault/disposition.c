#include "disposition.h"
#include "secret.h"
#include <string.h>
#include <strings.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define TOKEN ALNUM "!#$%&'*+-.^_`|~"  /* RFC 9110, section 5.6.2 */
#define ATTR_CHAR ALNUM "!#$&+-.^_`|~" /* RFC 8187: what stands for itself in an ext-value */

struct parameter {
    const char *name;
    size_t name_len;
    struct strbuf value;
};

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

static bool named(const struct parameter *p, const char *name)
{
    return p->name_len == strlen(name) && strncasecmp(p->name, name, p->name_len) == 0;
}

/* Both return where they stopped, NULL when malformed. */
static const char *parse_quoted(const char *p, struct strbuf *value)
{
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && *++p == '\0')
            return NULL;
        strbuf_addch(value, *p);
    }
    return *p ? p + 1 : NULL;
}

static const char *parse_parameter(const char *p, struct parameter *out)
{
    out->name = p;
    out->name_len = strspn(p, TOKEN);
    p = skip_blanks(p + out->name_len);
    if (out->name_len == 0 || *p != '=')
        return NULL;
    p = skip_blanks(p + 1);
    strbuf_reset(&out->value);
    if (*p == '"')
        return parse_quoted(p, &out->value);
    size_t len = strspn(p, TOKEN);
    strbuf_add(&out->value, p, len);
    return len ? p + len : NULL;
}

/* UTF-8'language'percent-encoded -> bytes */
static enum status decode_extended(const char *text, struct strbuf *out)
{
    if (strncasecmp(text, "UTF-8'", 6) != 0)
        return STATUS_BAD_REQUEST;
    text = strchr(text + 6, '\'');
    for (text = text ? text + 1 : "%"; *text;) {
        uint8_t byte;
        size_t plain = strspn(text, ATTR_CHAR);
        strbuf_add(out, text, plain);
        text += plain;
        if (*text == '\0')
            break;
        if (*text != '%' || hex_decode(text + 1, strnlen(text + 1, 2), &byte, 1) != STATUS_OK)
            return STATUS_BAD_REQUEST;
        strbuf_add(out, &byte, 1);
        text += 3;
    }
    return STATUS_OK;
}

/* Keep the parameter's value where it is a name; each may come once. */
static enum status take_parameter(const struct parameter *p, struct strbuf *plain,
                                  struct strbuf *extended)
{
    if (named(p, "filename")) {
        if (plain->size)
            return STATUS_BAD_REQUEST;
        strbuf_add(plain, p->value.bytes, p->value.len);
    } else if (named(p, "filename*")) {
        if (extended->size)
            return STATUS_BAD_REQUEST;
        strbuf_reserve(extended, 1);
        return decode_extended(strbuf_cstr(&p->value), extended);
    }
    return STATUS_OK;
}

static enum status parse_all(const char *p, struct strbuf *plain, struct strbuf *extended)
{
    enum status s = STATUS_OK;
    struct parameter one = {NULL, 0, STRBUF_INIT};
    size_t type = strspn(p, TOKEN);
    p = type ? skip_blanks(p + type) : NULL;
    while (s == STATUS_OK && p && *p == ';') {
        p = parse_parameter(skip_blanks(p + 1), &one);
        if (p) {
            s = take_parameter(&one, plain, extended);
            p = skip_blanks(p);
        }
    }
    strbuf_release(&one.value);
    return s == STATUS_OK && p && *p == '\0' ? STATUS_OK : STATUS_BAD_REQUEST;
}

enum status disposition_parse(const char *header, char name[OBJECT_NAME_MAX + 1])
{
    struct strbuf plain = STRBUF_INIT, extended = STRBUF_INIT;
    name[0] = '\0';
    enum status s = header ? parse_all(skip_blanks(header), &plain, &extended) : STATUS_OK;
    const struct strbuf *found = extended.size ? &extended : &plain;
    if (s == STATUS_OK && found->size) {
        if (object_name_valid(found->bytes, found->len))
            memcpy(name, found->bytes, found->len + 1);
        else
            s = STATUS_BAD_REQUEST;
    }
    strbuf_release(&plain);
    strbuf_release(&extended);
    return s;
}

void disposition_write(const char *name, struct strbuf *out)
{
    size_t len = strlen(name);
    strbuf_addstr(out, "attachment");
    if (len && strspn(name, TOKEN " ()<>@,;:[]?={}") == len && !strchr(name, '%')) {
        strbuf_addf(out, "; filename=\"%s\"", name);
        return;
    }
    strbuf_addstr(out, len ? "; filename*=UTF-8''" : "");
    for (; *name; name++) {
        if (strchr(ATTR_CHAR, *name))
            strbuf_addch(out, *name);
        else
            strbuf_addf(out, "%%%02X", (unsigned char)*name);
    }
}

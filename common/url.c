#include "url.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decode `len` characters into out[size]; false when a byte is not allowed or they do not fit. */
static bool decode(const char *text, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];
        if (c == '%' && len - i > 2) {
            int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        } else if (c == '%' || c <= ' ' || c == 0x7F) {
            return false;
        }
        if (c == 0 || n + 1 >= size)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return true;
}

static bool take_scheme(const char **at, struct url *out)
{
    size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz0123456789+");
    if (len == 0 || strncmp(*at + len, "://", 3) != 0 ||
        !decode(*at, len, out->scheme, sizeof(out->scheme)))
        return false;
    *at += len + 3;
    return true;
}

static bool parse_user(const char *text, size_t len, struct url *out)
{
    const char *colon = memchr(text, ':', len);
    size_t user_len = colon ? (size_t)(colon - text) : len;
    return decode(text, user_len, out->user, sizeof(out->user)) &&
           (!colon || decode(colon + 1, len - user_len - 1, out->password, sizeof(out->password)));
}

static bool parse_port(const char *text, size_t len, struct url *out)
{
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
        if (port > UINT16_MAX)
            return false;
    }
    out->port = (uint16_t)port;
    return port > 0;
}

static bool parse_host(const char *text, size_t len, struct url *out)
{
    const char *end = text + len, *close = len && *text == '[' ? memchr(text, ']', len) : NULL;
    const char *host_end = close ? close + 1 : memchr(text, ':', len);
    if (len && *text == '[' && !close)
        return false;
    if (!host_end)
        host_end = end;
    if (host_end < end &&
        (*host_end != ':' || !parse_port(host_end + 1, (size_t)(end - host_end - 1), out)))
        return false;
    if (close)
        return decode(text + 1, (size_t)(close - text - 1), out->host, sizeof(out->host));
    return decode(text, (size_t)(host_end - text), out->host, sizeof(out->host));
}

static bool parse_param(const char *text, size_t len, struct url *out)
{
    const char *equals = memchr(text, '=', len);
    if (!equals || equals == text || out->param_count == URL_PARAMS_MAX)
        return false;
    struct url_param *p = &out->params[out->param_count];
    size_t name_len = (size_t)(equals - text);
    if (!decode(text, name_len, p->name, sizeof(p->name)) || url_param(out, p->name))
        return false;
    out->param_count++;
    return decode(equals + 1, len - name_len - 1, p->value, sizeof(p->value));
}

static bool parse_params(const char *text, struct url *out)
{
    for (;;) {
        size_t len = strcspn(text, "&");
        if (!parse_param(text, len, out))
            return false;
        if (text[len] == '\0')
            return true;
        text += len + 1;
    }
}

/* What is wrong with it, or NULL. */
static const char *parse(const char *at, struct url *out)
{
    if (!take_scheme(&at, out))
        return "a URL begins with scheme://";
    size_t len = strcspn(at, "/?#");
    const char *sign = memrchr(at, '@', len);
    if (sign && !parse_user(at, (size_t)(sign - at), out))
        return "the URL's user or password is too long, or not percent-encoded";
    const char *host = sign ? sign + 1 : at;
    if (!parse_host(host, (size_t)(at + len - host), out))
        return "the URL's host or port is malformed";
    at += len;
    len = strcspn(at, "?#");
    if (!decode(at, len, out->path, sizeof(out->path)))
        return "the URL's path is malformed";
    if (at[len] == '#')
        return "the URL has a fragment (a # in a password is written %23)";
    if (at[len] == '?' && (strchr(at + len, '#') || !parse_params(at + len + 1, out)))
        return "the URL's parameters are malformed";
    return NULL;
}

enum status url_parse(const char *text, struct url *out, struct strbuf *why)
{
    *out = (struct url){0};
    const char *wrong = parse(text, out);
    if (!wrong)
        return STATUS_OK;
    strbuf_addstr(why, wrong);
    return STATUS_UNPROCESSABLE;
}

const char *url_param(const struct url *url, const char *name)
{
    for (size_t i = 0; i < url->param_count; i++)
        if (strcmp(url->params[i].name, name) == 0)
            return url->params[i].value;
    return NULL;
}

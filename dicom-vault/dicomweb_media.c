#include "dicomweb_media.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char token_chars[] =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_token(const char **at, char *out, size_t max)
{
    size_t len = strspn(*at, token_chars);
    if (len == 0 || len > max)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len;
    return true;
}

static bool take_quoted(const char **at, char *out, size_t max)
{
    size_t len = 0;
    for (const char *p = *at + 1; *p; p++) {
        if (*p == '"') {
            out[len] = '\0';
            *at = p + 1;
            return true;
        }
        if (*p == '\\' && *++p == '\0')
            return false;
        if (len == max || ((unsigned char)*p < ' ' && *p != '\t'))
            return false;
        out[len++] = *p;
    }
    return false;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = (char)tolower((unsigned char)*s);
}

static bool take_name(const char **at, char out[MEDIA_NAME_MAX + 1])
{
    if (!take_token(at, out, MEDIA_NAME_MAX))
        return false;
    size_t len = strlen(out);
    if (len == MEDIA_NAME_MAX || !take(at, '/'))
        return false;
    out[len++] = '/';
    if (!take_token(at, out + len, MEDIA_NAME_MAX - len))
        return false;
    lower(out);
    return true;
}

/* A parameter that is looked at goes into its place, once. */
static bool keep(struct media *m, const char *name, char *value)
{
    const struct {
        const char *name;
        char *place;
        size_t max;
    } places[] = {
        {"type", m->type, MEDIA_NAME_MAX},
        {"boundary", m->boundary, BOUNDARY_MAX},
        {"transfer-syntax", m->syntax, sizeof(m->syntax) - 1},
    };
    if (strcasecmp(name, "q") == 0)
        m->refused = strtod(value, NULL) <= 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcasecmp(name, places[i].name) != 0)
            continue;
        size_t len = strlen(value);
        if (places[i].place[0] || len == 0 || len > places[i].max)
            return false;
        memcpy(places[i].place, value, len + 1);
    }
    return true;
}

static bool take_parameter(const char **at, struct media *m)
{
    char name[64], value[256];
    if (!take_token(at, name, sizeof(name) - 1) || !take(at, '='))
        return false;
    bool whole = **at == '"' ? take_quoted(at, value, sizeof(value) - 1)
                             : take_token(at, value, sizeof(value) - 1);
    return whole && keep(m, name, value);
}

enum status media_next(const char **at, struct media *out)
{
    memset(out, 0, sizeof(*out));
    skip_blanks(at);
    if (!**at)
        return STATUS_OK;
    if (!take_name(at, out->name))
        return STATUS_BAD_REQUEST;
    for (skip_blanks(at); take(at, ';'); skip_blanks(at)) {
        skip_blanks(at);
        if (**at && **at != ';' && **at != ',' && !take_parameter(at, out))
            return STATUS_BAD_REQUEST;
    }
    if (**at && !take(at, ','))
        return STATUS_BAD_REQUEST;
    lower(out->type);
    return STATUS_OK;
}

enum status media_parse(const char *field, struct media *out)
{
    const char *at = field ? field : "";
    enum status s = media_next(&at, out);
    return s == STATUS_OK && *at ? STATUS_BAD_REQUEST : s;
}

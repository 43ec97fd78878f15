#include "dicomweb_media.h"
#include <ctype.h>
#include <stdbool.h>
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

static bool take_quality(const char *value, int *thousandths)
{
    char *end;
    double quality = strtod(value, &end);
    *thousandths = quality >= 0 && quality <= 1 ? (int)(quality * 1000 + 0.5) : 0;
    return end > value && *end == '\0' && quality >= 0 && quality <= 1;
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
        return take_quality(value, &m->quality);
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
    *out = (struct media){.quality = 1000};
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

/* --- what is liked best ---------------------------------------------------------------------- */

/* How closely a range fits; 0: not. */
static int fit(const struct media *m, const struct offer *o)
{
    size_t kind = strcspn(o->name, "/") + 1;
    bool any_syntax = !m->syntax[0] || strcmp(m->syntax, "*") == 0;
    bool all = strcmp(m->name, "*/*") == 0, whole = strcmp(m->name, o->name) == 0;
    bool some = strncmp(m->name, o->name, kind) == 0 && strcmp(m->name + kind, "*") == 0;
    if (!all && !some && !whole)
        return 0;
    if (o->type && m->type[0] && strcmp(m->type, o->type) != 0)
        return 0;
    if (o->syntax && !any_syntax && strcmp(m->syntax, o->syntax) != 0)
        return 0;
    return (all ? 4 : some ? 8 : 12) + (m->type[0] ? 2 : 0) + !any_syntax;
}

struct rating {
    int fit, quality;
    size_t place; /* in the field */
};

static enum status rate(const char *accept, const struct offer *o, struct rating *out)
{
    struct media m;
    *out = (struct rating){0, 0, 0};
    for (size_t place = 0; *accept; place++) {
        if (media_next(&accept, &m) != STATUS_OK)
            return STATUS_BAD_REQUEST;
        int closely = fit(&m, o);
        if (closely > out->fit || (closely == out->fit && closely && m.quality > out->quality))
            *out = (struct rating){closely, m.quality, place};
    }
    return STATUS_OK;
}

enum status media_choose(const char *accept, const struct offer *offers, size_t n, size_t *which)
{
    struct rating best = {0, 0, 0};
    *which = 0;
    for (size_t i = 0; i < n; i++) {
        struct rating r;
        if (rate(accept ? accept : "*/*", &offers[i], &r) != STATUS_OK)
            return STATUS_BAD_REQUEST;
        if (r.quality > best.quality ||
            (r.quality > 0 && r.quality == best.quality && r.place < best.place)) {
            best = r;
            *which = i;
        }
    }
    return best.quality > 0 ? STATUS_OK : STATUS_NOT_ACCEPTABLE;
}

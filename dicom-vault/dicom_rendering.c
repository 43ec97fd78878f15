#include "dicom_render.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 6 };

/* A decimal number as DICOM's DS writes it: nothing of strtod's hex, infinity or blanks. */
static enum status read_number(const char *text, double *out)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789+-.eE")])
        return STATUS_BAD_REQUEST;
    *out = strtod(text, &end);
    return *end || !isfinite(*out) ? STATUS_BAD_REQUEST : STATUS_OK;
}

static enum status read_count(const char *text, unsigned most, unsigned *out)
{
    size_t len = strlen(text);
    if (len < 1 || len > 5 || text[strspn(text, "0123456789")])
        return STATUS_BAD_REQUEST;
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out >= 1 && *out <= most ? STATUS_OK : STATUS_BAD_REQUEST;
}

/* A copy of the list cut at its commas, or NULL when it has more fields than FIELDS_MAX. The fields
 * that aren't there are NULL. The caller's to free. */
static char *split(const char *value, char *fields[FIELDS_MAX])
{
    char *copy = xstrdup(value), *rest = copy;
    for (size_t i = 0; i < FIELDS_MAX; i++)
        fields[i] = strsep(&rest, ",");
    if (!rest)
        return copy;
    free(copy);
    return NULL;
}

enum status rendering_viewport(const char *value, struct rendering *r)
{
    char *fields[FIELDS_MAX], *copy = split(value, fields);
    struct rendering got = *r;
    double *const part[] = {&got.x, &got.y, &got.width, &got.height};
    enum status s = copy && fields[1] ? STATUS_OK : STATUS_BAD_REQUEST;
    if (s == STATUS_OK)
        s = read_count(fields[0], RENDER_VIEWPORT_MAX, &got.box_width);
    if (s == STATUS_OK)
        s = read_count(fields[1], RENDER_VIEWPORT_MAX, &got.box_height);
    got.x = got.y = got.width = got.height = 0;
    for (size_t i = 0; s == STATUS_OK && i < 4; i++)
        if (fields[i + 2] && *fields[i + 2])
            s = read_number(fields[i + 2], part[i]);
    free(copy);
    if (s == STATUS_OK)
        *r = got;
    return s;
}

static enum status read_shape(const char *name, enum voi_shape *out)
{
    static const char *const names[] = {
        [VOI_LINEAR] = "linear", [VOI_LINEAR_EXACT] = "linear-exact", [VOI_SIGMOID] = "sigmoid"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum voi_shape)i;
            return STATUS_OK;
        }
    return STATUS_BAD_REQUEST;
}

enum status rendering_window(const char *value, struct rendering *r)
{
    char *fields[FIELDS_MAX], *copy = split(value, fields);
    struct voi voi = {0, 0, VOI_LINEAR};
    enum status s = copy && fields[1] && !fields[3] ? STATUS_OK : STATUS_BAD_REQUEST;
    if (s == STATUS_OK && fields[2])
        s = read_shape(fields[2], &voi.shape);
    if (s == STATUS_OK)
        s = read_number(fields[0], &voi.center);
    if (s == STATUS_OK)
        s = read_number(fields[1], &voi.width);
    free(copy);
    if (s == STATUS_OK && !voi_valid(&voi))
        s = STATUS_BAD_REQUEST;
    if (s != STATUS_OK)
        return s;
    r->voi = voi;
    r->has_voi = true;
    return STATUS_OK;
}

enum status rendering_quality(const char *value, struct rendering *r)
{
    unsigned quality;
    enum status s = read_count(value, 100, &quality);
    if (s == STATUS_OK)
        r->quality = quality;
    return s;
}

/* Media types with parameters, as Content-Type and Accept have them (RFC 9110, section 8.3). Any
 * thread. */
#pragma once
#include "status.h"
#include <stddef.h>

enum { MEDIA_NAME_MAX = 80, BOUNDARY_MAX = 70 };

struct media {
    char name[MEDIA_NAME_MAX + 1]; /* "multipart/related", lower case */
    char type[MEDIA_NAME_MAX + 1]; /* parameters; "" when absent. Lower case */
    char boundary[BOUNDARY_MAX + 1];
    char syntax[65]; /* transfer-syntax: a UID or "*" */
    int quality;     /* q in thousandths; 0: refused */
};

/* Take the first of a comma-separated list and move *at past it; other parameters than these are
 * skipped. OK with an empty name at the end of the list. BAD_REQUEST for what is malformed, too
 * long or has a parameter of these twice. */
enum status media_next(const char **at, struct media *out);
/* The same of a field that has one media type. */
enum status media_parse(const char *field, struct media *out);

/* What a reply can be. */
struct offer {
    const char *name;   /* its media type */
    const char *type;   /* multipart/related: of its parts; else NULL */
    const char *syntax; /* its transfer syntax, "" when it has no single one; NULL: not looked at */
};
/* The offer that the field Accept (NULL: whatever) likes best: of the greatest quality, which is
 * that of the most specific range that fits it (RFC 9110, 12.5.1); of several the one that comes
 * first in the field, then in `offers`. NOT_ACCEPTABLE, BAD_REQUEST. */
enum status media_choose(const char *accept, const struct offer *offers, size_t n, size_t *which);

#include "etag.h"
#include <stdio.h>
#include <string.h>

void etag_format(int64_t version, char out[ETAG_SIZE])
{
    snprintf(out, ETAG_SIZE, "\"v%lld\"", (long long)version);
}

bool etag_matches(const char *if_none_match, const char *etag)
{
    const char *p = if_none_match;
    size_t len = strlen(etag);
    if (p && strcmp(p, "*") == 0)
        return true;
    while (p && *p) {
        p += strspn(p, " \t,");
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        if (strncmp(p, etag, len) == 0 && strchr(", \t", p[len]))
            return true;
        p += strcspn(p, ",");
    }
    return false;
}

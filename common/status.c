#include "status.h"

struct entry {
    int http;
    const char *slug;
    const char *title;
};

static const struct entry entries[STATUS_COUNT] = {
#define STATUS(name, http, slug, title) [STATUS_##name] = {http, slug, title},
    STATUS_LIST(STATUS)
#undef STATUS
};

static const struct entry *entry_of(enum status s)
{
    return &entries[(unsigned)s < STATUS_COUNT ? s : STATUS_INTERNAL];
}

int status_http(enum status s)
{
    return entry_of(s)->http;
}

const char *status_slug(enum status s)
{
    return entry_of(s)->slug;
}

const char *status_title(enum status s)
{
    return entry_of(s)->title;
}

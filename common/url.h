/* The URL of a store: scheme://user:password@host:port/path?name=value&... Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdint.h>

enum { URL_PARAMS_MAX = 4 };

/* Percent-decoded and NUL-terminated; a part that is not there is "" (port: 0). */
struct url {
    char scheme[16];
    char user[128], password[512];
    char host[256]; /* an IPv6 address without its brackets */
    uint16_t port;
    char path[1024]; /* with its first slash */
    struct url_param {
        char name[16], value[1024];
    } params[URL_PARAMS_MAX];
    size_t param_count;
};

/* UNPROCESSABLE, with the reason in `why` (which never holds a part of the URL), for what is
 * malformed: no scheme, a part over its size, a bad escape, %00, blanks and control characters,
 * a port that is none, a parameter without a value or given twice, a fragment. */
enum status url_parse(const char *text, struct url *out, struct strbuf *why);
/* The value of a parameter, or NULL. */
const char *url_param(const struct url *url, const char *name);

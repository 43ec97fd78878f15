#include "consistency.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "Consistency-Token"

void consistency_set(struct http_request *req, int64_t order, int64_t version)
{
    char token[48];
    snprintf(token, sizeof(token), "%lld:%lld", (long long)order, (long long)version);
    http_set_header(req, HEADER, token);
}

static bool parse_number(const char **text, char end, int64_t *out)
{
    size_t len = strspn(*text, "0123456789");
    if (len == 0 || len > 18 || (*text)[len] != end)
        return false;
    *out = strtoll(*text, NULL, 10);
    *text += len + 1;
    return true;
}

enum status consistency_take(struct http_request *req, int64_t order, int64_t *least, bool *given)
{
    const char *token = http_header(req, HEADER);
    int64_t of, version;
    *least = 0;
    if (given)
        *given = token != NULL;
    if (!token)
        return STATUS_OK;
    if (!parse_number(&token, ':', &of) || !parse_number(&token, '\0', &version))
        return http_fail(req, STATUS_BAD_REQUEST, HEADER " is what a write's reply had");
    if (of == order)
        *least = version;
    return STATUS_OK;
}

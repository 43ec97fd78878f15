#include "request.h"
#include <stdlib.h>
#include <string.h>

struct actor request_actor(const struct http_request *req)
{
    const struct principal *p = http_principal(req);
    return (struct actor){p->id, p->roles};
}

enum status request_order(struct http_request *req, int64_t *id)
{
    const char *text = http_param(req, "order");
    size_t len = strlen(text);
    if (len > 18 || text[0] == '0' || strspn(text, "0123456789") != len)
        return http_fail(req, STATUS_NOT_FOUND, "there is no such order");
    *id = strtoll(text, NULL, 10);
    return STATUS_OK;
}

enum status store_failed(struct http_request *req, enum status st)
{
    switch (st) {
    case STATUS_UNAVAILABLE:
        return http_fail(req, st, "the order database does not answer; nothing was changed");
    case STATUS_OVERLOADED:
        return http_fail(req, st, "too many want the same at once; nothing was changed");
    case STATUS_OUTCOME_UNKNOWN:
        return http_fail(req, st,
                         "the database went away while it committed: read the order, or send this "
                         "again with its Idempotency-Key");
    case STATUS_PRECONDITION_REQUIRED:
        return http_fail(req, st, "the body must quote the order's fence");
    case STATUS_NOT_FOUND:
        return http_fail(req, st, "there is no such order");
    default:
        return st;
    }
}

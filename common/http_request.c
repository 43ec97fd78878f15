#include "http_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *http_param(const struct http_request *req, const char *name)
{
    return route_param(&req->match, name);
}

const struct route *http_route(const struct http_request *req)
{
    return req->match.route;
}

enum method http_method(const struct http_request *req)
{
    return req->method;
}

const char *http_header(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

const char *http_query_string(const struct http_request *req)
{
    return req->match.query;
}

enum status http_query(struct http_request *req, const char *name, struct strbuf *out, bool *found)
{
    strbuf_reset(out);
    if (query_get(req->match.query, name, out, found))
        return http_fail(req, STATUS_BAD_REQUEST, "query: %s", name);
    return STATUS_OK;
}

static bool parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

enum status http_query_int(struct http_request *req, const char *name, int64_t min, int64_t max,
                           int64_t fallback, int64_t *out)
{
    struct strbuf text = STRBUF_INIT;
    bool found, good;
    int64_t value = fallback;
    enum status s = http_query(req, name, &text, &found);
    good =
        !s && (!found || (text.len == strlen(strbuf_cstr(&text)) &&
                          parse_int(strbuf_cstr(&text), &value) && value >= min && value <= max));
    strbuf_release(&text);
    if (!good)
        return http_fail(req, STATUS_BAD_REQUEST, "query: %s is a whole number from %lld to %lld",
                         name, (long long)min, (long long)max);
    *out = value;
    return STATUS_OK;
}

enum status http_query_only(struct http_request *req, const char *const *known)
{
    struct strbuf why = STRBUF_INIT;
    enum status s = query_only(req->match.query, known, &why);
    if (s)
        http_fail(req, s, "%s", strbuf_cstr(&why));
    strbuf_release(&why);
    return s;
}

const uint8_t *http_body(const struct http_request *req, size_t *len)
{
    *len = req->body.len;
    return (const uint8_t *)strbuf_cstr(&req->body);
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    if (!type || strncasecmp(type, json, sizeof(json) - 1) != 0)
        return false;
    const char *rest = type + sizeof(json) - 1;
    rest += strspn(rest, " \t");
    return *rest == '\0' || *rest == ';';
}

enum status http_body_json(struct http_request *req, json_t **out)
{
    if (!is_json(http_header(req, "Content-Type")))
        return http_fail(req, STATUS_UNSUPPORTED_MEDIA, "the body must be application/json");
    if (!req->json) {
        struct strbuf why = STRBUF_INIT;
        enum status s = json_parse(strbuf_cstr(&req->body), req->body.len, &req->json, &why);
        if (s)
            http_fail(req, s, "%s", strbuf_cstr(&why));
        strbuf_release(&why);
        if (s)
            return s;
    }
    if (!json_is_object(req->json))
        return http_fail(req, STATUS_UNPROCESSABLE, "the body must be a JSON object");
    *out = req->json;
    return STATUS_OK;
}

enum status http_body_take(struct http_request *req, const char *fmt, ...)
{
    json_t *root = NULL;
    struct strbuf why = STRBUF_INIT;
    enum status s = http_body_json(req, &root);
    if (s)
        return s;
    va_list members;
    va_start(members, fmt);
    s = json_vtake(root, &why, fmt, members);
    va_end(members);
    if (s)
        http_fail(req, s, "%s", strbuf_cstr(&why));
    strbuf_release(&why);
    return s;
}

const struct principal *http_principal(const struct http_request *req)
{
    return &req->who;
}

const char *http_request_id(const struct http_request *req)
{
    return req->id;
}

bool http_is_tls(const struct http_request *req)
{
    return req->tls;
}

void http_set_state(struct http_request *req, void *state, void (*release)(void *state))
{
    if (req->state && req->state_release)
        req->state_release(req->state);
    req->state = state;
    req->state_release = release;
}

void *http_state(const struct http_request *req)
{
    return req->state;
}

bool http_on_pool(const struct http_request *req)
{
    return req->on_pool;
}

bool http_is_head(const struct http_request *req)
{
    return req->method == HEAD;
}

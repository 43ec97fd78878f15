#include "http_internal.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- framing -------------------------------------------------------------------------------- */

/* Fields that say one thing. Two of them, and two parties may read two requests
 * (RFC 9112, section 11.2). */
#define FIELD(name)                                                                                \
    {                                                                                              \
        name, sizeof(name) - 1                                                                     \
    }
static const struct {
    const char *name;
    size_t len;
} singletons[] = {
    FIELD("Host"),
    FIELD("Content-Length"),
    FIELD("Transfer-Encoding"),
    FIELD("Content-Type"),
    FIELD("Authorization"),
    FIELD("Idempotency-Key"),
    FIELD("Expect"),
    FIELD("Origin"),
    FIELD("Content-Digest"),
    FIELD("Repr-Digest"),
    FIELD("Content-Disposition"),
    FIELD("Range"),
    FIELD("If-Range"),
    FIELD("If-Match"),
    FIELD("If-None-Match"),
};
enum { SINGLETONS = sizeof(singletons) / sizeof(singletons[0]) };

struct field_check {
    unsigned seen; /* a bit for each of the singletons */
    const char *fault;
};

static bool is_token(const char *s, size_t len)
{
    static const char token_chars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    return len > 0 && strspn(s, token_chars) == len;
}

/* libmicrohttpd 0.9.75 joins a folded line to the name of the field before, not to its value: these
 * two must not hide so behind a longer name. */
static bool hides_framing(const char *name)
{
    static const char *const fields[] = {"Content-Length", "Transfer-Encoding"};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(fields[i]);
        if (strncasecmp(name, fields[i], len) == 0 && name[len])
            return true;
    }
    return false;
}

static enum MHD_Result check_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    struct field_check *check = cls;
    (void)kind;
    if (!is_token(name, name_len) || hides_framing(name))
        check->fault = "header field name";
    if (value && memchr(value, '\0', value_len))
        check->fault = "NUL in a header field";
    for (size_t i = 0; i < SINGLETONS; i++) {
        if (name_len != singletons[i].len || strcasecmp(name, singletons[i].name) != 0)
            continue;
        if (check->seen & 1U << i)
            check->fault = "header field given twice";
        check->seen |= 1U << i;
    }
    return check->fault ? MHD_NO : MHD_YES;
}

static bool parse_length(const char *text, uint64_t *out)
{
    *out = 0;
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    for (; *text; text++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*text - '0'), out))
            return false;
    return *out < UINT64_MAX;
}

/* libmicrohttpd 0.9.75 ends the target at a NUL, though the request line goes on. The version
 * stands behind the line's target in the same buffer, so the gap between them tells. */
static bool target_is_cut(const struct http_request *req, const char *url, const char *version)
{
    uintptr_t gap = (uintptr_t)version - (uintptr_t)url;
    return gap > strlen(req->target) + 1 && gap < req->h->connection_memory;
}

/* What the body's length is, or what is wrong. */
static const char *framing_fault(struct http_request *req, const char *url, const char *version)
{
    struct field_check check = {0, NULL};
    if (target_is_cut(req, url, version))
        return "NUL in the target";
    MHD_get_connection_values_n(req->conn, MHD_HEADER_KIND, check_field, &check);
    if (check.fault)
        return check.fault;
    bool http_1_1 = strcmp(version, "HTTP/1.1") == 0;
    if (!http_1_1 && strcmp(version, "HTTP/1.0") != 0)
        return "HTTP version";
    if (http_1_1 && !http_header(req, "Host"))
        return "the Host is missing";

    const char *encoding = http_header(req, "Transfer-Encoding");
    const char *length = http_header(req, "Content-Length");
    const char *expect = http_header(req, "Expect");
    if (encoding && (length || !http_1_1 || strcasecmp(encoding, "chunked") != 0))
        return "Transfer-Encoding";
    if (length && !parse_length(length, &req->body_left))
        return "Content-Length";
    req->chunked = encoding != NULL;
    if (req->chunked)
        req->body_left = UINT64_MAX;
    req->has_body = req->body_left > 0;
    req->expects_continue = req->has_body && expect && strcasecmp(expect, "100-continue") == 0;
    return NULL;
}

/* --- route ---------------------------------------------------------------------------------- */

/* "<prefix>-<number in hex>" */
static void number_request(struct http_request *req)
{
    unsigned long long n = atomic_fetch_add(&req->h->id_next, 1);
    int shift = 60;
    char *p = stpcpy(req->id, req->h->id_prefix);
    *p++ = '-';
    while (shift && !(n >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *p++ = "0123456789abcdef"[n >> shift & 15];
    *p = '\0';
}

static void choose_request_id(struct http_request *req)
{
    const char *given = http_header(req, "X-Request-Id");
    if (given && name_valid(given, sizeof(req->id) - 1))
        snprintf(req->id, sizeof(req->id), "%s", given);
    else
        number_request(req);
}

static enum method method_of(const struct route_match *m, const char *method)
{
    if (m->head)
        return HEAD;
    return strcmp(method, "OPTIONS") == 0 ? OPTIONS : m->route->method;
}

static enum status find_route(struct http_request *req, const char *method)
{
    struct strbuf why = STRBUF_INIT, allow = STRBUF_INIT;
    enum status s = router_match(&req->h->router, method, req->target, &req->match, &why);
    if (s)
        http_fail(req, s, "%s", strbuf_cstr(&why));
    if (!s)
        req->method = method_of(&req->match, method);
    if (s == STATUS_METHOD_NOT_ALLOWED) {
        router_allow(req->match.allow, &allow);
        http_set_header(req, "Allow", strbuf_cstr(&allow));
    }
    if (!s && req->method != OPTIONS)
        req->stream = req->match.route->body;
    strbuf_release(&why);
    strbuf_release(&allow);
    return s;
}

static enum status check_size(struct http_request *req)
{
    uint64_t max = req->stream ? req->h->stream_max : req->h->body_max;
    if (!req->has_body || req->chunked || req->body_left <= max)
        return STATUS_OK;
    return http_fail(req, STATUS_TOO_LARGE, "at most %llu bytes", (unsigned long long)max);
}

/* --- who ------------------------------------------------------------------------------------ */

static bool is_preflight(const struct http_request *req)
{
    return req->method == OPTIONS && http_cors_origin(req) &&
           http_header(req, "Access-Control-Request-Method");
}

/* From the route table alone: browsers send no credentials with it. */
static enum status reply_preflight(struct http_request *req)
{
    struct strbuf allow = STRBUF_INIT;
    router_allow(req->match.allow, &allow);
    http_set_header(req, "Access-Control-Allow-Methods", strbuf_cstr(&allow));
    http_set_header(req, "Access-Control-Allow-Headers",
                    "Accept, Authorization, Consistency-Token, Content-Type, Idempotency-Key, "
                    "If-Match, If-None-Match, Last-Event-ID, Range, X-Request-Id");
    http_set_header(req, "Access-Control-Max-Age", "600");
    strbuf_release(&allow);
    return http_reply(req, 204, NULL, NULL, 0);
}

static enum status check_roles(struct http_request *req)
{
    roles who = req->match.route->who;
    if (who & ANYONE || !req->h->authenticate)
        return who & ANYONE ? STATUS_OK : STATUS_UNAUTHENTICATED;
    enum status s = req->h->authenticate(req, &req->who);
    if (s)
        return s;
    if (!req->who.id[0])
        return STATUS_UNAUTHENTICATED;
    return who == ANY_ROLE || who & req->who.roles ? STATUS_OK : STATUS_FORBIDDEN;
}

enum status http_admit(struct http_request *req)
{
    if (is_preflight(req))
        return reply_preflight(req);
    enum status s = check_roles(req);
    if (s || !req->stream)
        return s;
    return req->on_pool ? req->stream->begin(req) : STATUS_NEEDS_POOL;
}

/* --- the first look ------------------------------------------------------------------------- */

void http_receive(struct http_request *req, const char *url, const char *method,
                  const char *version)
{
    choose_request_id(req);
    http_peer_find(req);
    const char *fault = framing_fault(req, url, version);
    if (fault) {
        /* Where this request ends, and the next one begins, is anybody's guess. */
        req->close = true;
        http_settle(req, http_fail(req, STATUS_BAD_REQUEST, "framing: %s", fault));
        return;
    }
    enum status s = find_route(req, method);
    if (!s)
        s = check_size(req);
    if (s)
        http_settle(req, s);
}

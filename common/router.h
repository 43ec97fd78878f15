/* Which handler serves a request, who may, and where it runs: one table a service.
 *
 * Only canonical paths are routed. Anything else is refused with BAD_REQUEST, never rewritten,
 * since a rewritten path is a way around a policy: an encoded slash or backslash, NUL or other
 * control character, a dot segment (plain or encoded), an empty segment (`//`, or a slash at the
 * end), an encoded character that need not be, lower-case hex, bytes that are not UTF-8 after
 * decoding, a path over ROUTER_PATH_MAX, an absolute-form or asterisk target. So are blanks,
 * control characters, '#' and bytes over 0x7E in the query. Segments are decoded after the match.
 * The first pattern that fits a path is the path's, whatever its methods.
 *
 * The router knows neither libmicrohttpd nor the service: bytes in, a match out. Any thread
 * after router_init. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum method { GET = 1, HEAD, POST, PUT, PATCH, DELETE, OPTIONS };
enum {
    ROUTER_ROUTES_MAX = 128,
    ROUTER_PATH_MAX = 1024,
    ROUTER_PARAMS_MAX = 4,
    ROUTER_PARAM_MAX = 128
};

struct http_request;
typedef enum status http_handler(struct http_request *req);

/* Roles are bits that a service names; a route without any does not start. */
typedef uint32_t roles;
#define ANYONE ((roles)1 << 31)      /* no session needed */
#define ANY_ROLE ((roles)0x7FFFFFFF) /* any authenticated caller */

enum run {
    INLINE = 1,     /* on the event thread; from process memory only */
    BLOCKING,       /* on the worker pool */
    INLINE_OR_POOL, /* on the event thread; when it returns NEEDS_POOL, again on the pool */
};

struct body_stream; /* see http.h */

struct route {
    enum method method;  /* GET serves HEAD too; OPTIONS is answered from the table */
    const char *pattern; /* "/orders/{order}/accept": a {name} is one whole segment */
    roles who;
    http_handler *visible; /* object check, after the role check, before the handler; or NULL */
    enum run run;
    http_handler *handler;
    const struct body_stream *body; /* NULL: the body is collected before the handler runs */
};

struct router {
    const struct route *routes;
    size_t n;
    uint8_t first[ROUTER_ROUTES_MAX]; /* of each row: the first one with its pattern */
};

struct route_match {
    const struct route *route; /* for OPTIONS: the GET of the path, or else its first row */
    bool head;                 /* the request is HEAD and `route` is a GET */
    unsigned allow;            /* bit (1 << method) for every method the path has */
    size_t params;
    struct route_param {
        const char *name; /* in the pattern: not NUL-terminated, name_len bytes */
        size_t name_len;
        char value[ROUTER_PARAM_MAX + 1]; /* decoded, no NUL inside */
    } param[ROUTER_PARAMS_MAX];
    const char *query; /* inside the target: raw bytes after '?', "" when none */
};

/* Check the table, of ROUTER_ROUTES_MAX rows at most: every row has a method (not HEAD or OPTIONS),
 * roles, a place to run and a handler, a streamed body is for BLOCKING, patterns are canonical,
 * their literals of unreserved characters, no two rows are the same, and a literal segment stands
 * before a {name} that could shadow it. UNPROCESSABLE with the row and the reason in `why`: the
 * service does not start. */
enum status router_init(struct router *r, const struct route *routes, size_t n, struct strbuf *why);
/* Match a request target as it came over the wire. `method` is the request's token. OK;
 * BAD_REQUEST (also for a {name} over ROUTER_PARAM_MAX bytes); NOT_FOUND; METHOD_NOT_ALLOWED
 * (m->route and m->allow are set). `why` says why. */
enum status router_match(const struct router *r, const char *method, const char *target,
                         struct route_match *m, struct strbuf *why);
/* The decoded parameter, or NULL when the pattern has none of that name. */
const char *route_param(const struct route_match *m, const char *name);
/* "GET, HEAD, POST, OPTIONS" for an Allow header. */
void router_allow(unsigned allow, struct strbuf *out);

/* The value of `name` in a query string, percent-decoded into `out` ('+' is a plus sign). OK with
 * *found false when it is not there. BAD_REQUEST when it is there twice, badly encoded, not UTF-8
 * or has a NUL. */
enum status query_get(const char *query, const char *name, struct strbuf *out, bool *found);
/* BAD_REQUEST when the query has a name that is not in `known` (NULL-terminated). */
enum status query_only(const char *query, const char *const *known, struct strbuf *why);

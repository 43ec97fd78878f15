/* HTTP/1.1 server on libmicrohttpd: epoll event threads, and a bounded worker pool for what may
 * block.
 *
 * A request goes: canonical path and route -> authenticate -> roles -> body -> object check ->
 * handler -> reply. When a step before the body fails, nothing of the body is kept: one of up to
 * 64 KiB that comes anyway is thrown away and the connection lives on; otherwise the answer goes
 * out at once and the connection closes. A step that cannot answer from memory returns
 * NEEDS_POOL on the event thread and is run again on the pool (the connection is suspended
 * meanwhile); a full pool is answered 503 with Retry-After. That is decided once: a request whose
 * body streams in, or whose reply streams out, is not turned away half way. Handlers of one
 * request never run at the same time.
 *
 * A handler replies once, by one of the http_reply functions, and returns OK; or it returns
 * another status, and the caller gets that status as application/problem+json with the detail
 * set by http_fail. Failures of 500 and above are logged there; the detail of a 500 is for the
 * log alone. */
#pragma once
#include "embed.h"
#include "json.h"
#include "router.h"
#include "status.h"
#include "strbuf.h"
#include "workers.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

/* Who calls. Filled by the service's authenticate. */
struct principal {
    char id[128];    /* "" for nobody */
    roles roles;     /* bits of the service's own roles */
    int64_t session; /* for the service's use, such as a session generation */
};

/* A body that is worked on as it arrives, in constant memory. All three run on the pool, one at a
 * time, and hold no thread between chunks, so that slow senders cost no worker. */
struct body_stream {
    /* Before the first byte: set http_state. Not OK: that is the reply, no byte is read. */
    enum status (*begin)(struct http_request *req);
    /* 1 byte up to HTTP_CHUNK bytes. Not OK: that is the reply, the rest is not read. */
    enum status (*chunk)(struct http_request *req, const uint8_t *bytes, size_t len);
};
enum { HTTP_CHUNK = 256 * 1024 };

struct http_options {
    const char *listen; /* "127.0.0.1:8200" or "[::1]:8200" */
    const struct route *routes;
    size_t route_count;
    /* OK with *who filled (an anonymous caller is OK with id ""), UNAUTHENTICATED for bad
     * credentials, NEEDS_POOL when it must block. NULL: everybody is anonymous. Not asked for a
     * route of ANYONE, which so depends on no store of sessions: everybody is anonymous there. */
    enum status (*authenticate)(struct http_request *req, struct principal *who);
    struct workers *workers;
    size_t connections_max; /* 0: 20000 */
    /* Bytes of the buffer of each connection, which takes a request's headers whole. It is cleared
     * after each request, at a few us for 64 KiB; 0: 64 KiB, the best for small uploads. */
    size_t connection_memory;
    size_t body_max;     /* bytes of a collected body; 0: 64 KiB */
    uint64_t stream_max; /* bytes of a streamed body; 0: 16 GiB */
    /* Idle in either direction; 0: 30. Headers may take twice as long, a body this long and a
     * second for each KiB. It does not run while a request is with the pool: there the stores' own
     * time limits do. */
    unsigned timeout_s;
    const char *cors_origins;    /* exact ones by comma, whose pages may call; or NULL */
    const char *trusted_proxies; /* comma-separated addresses or CIDR, or NULL */
    const char *warning;         /* static text for X-Warning of every reply, or NULL */
};

/* Routes /healthz, /readyz and /metrics are added to the service's own. INTERNAL with the reason
 * in `why`: a bad table, an address in use. On OK the server accepts. Main thread. */
enum status http_start(const struct http_options *options, struct http **out, struct strbuf *why);
/* The port in use (for listen port 0). */
uint16_t http_port(const struct http *h);
/* Stop accepting, finish what is in flight within `grace_ms`, then end the rest: queued jobs do
 * not run any more, but one that runs is waited for. Every suspended connection is resumed, the
 * daemon stopped, all freed. The workers are the caller's and still run; free them after. */
void http_stop(struct http *h, int grace_ms);

/* --- the request; valid inside a handler, on its thread ------------------------------------- */

const char *http_param(const struct http_request *req, const char *name); /* of the pattern */
const struct route *http_route(const struct http_request *req);           /* the row that matched */
enum method http_method(const struct http_request *req); /* as it came: HEAD, OPTIONS too */
/* NULL when absent. Names without regard to case. Valid until the reply. */
const char *http_header(const struct http_request *req, const char *name);
/* The raw query, "" when there is none: for query_get where names may come twice. */
const char *http_query_string(const struct http_request *req);
/* Query value into `out` (emptied first). BAD_REQUEST as query_get says. */
enum status http_query(struct http_request *req, const char *name, struct strbuf *out, bool *found);
/* A whole number in min..max from the query, `fallback` when absent; BAD_REQUEST otherwise. */
enum status http_query_int(struct http_request *req, const char *name, int64_t min, int64_t max,
                           int64_t fallback, int64_t *out);
/* Refuse queries with names outside the NULL-terminated list. */
enum status http_query_only(struct http_request *req, const char *const *known);
const uint8_t *http_body(const struct http_request *req, size_t *len);
/* The body as a JSON object: content type application/json (415), strict (400), an object (422).
 * Owned by the request. */
enum status http_body_json(struct http_request *req, json_t **out);
/* Its members, as json_take says; strings point into the body. The reason of a failure is set. */
enum status http_body_take(struct http_request *req, const char *fmt, ...);
const struct principal *http_principal(const struct http_request *req);
const char *http_request_id(const struct http_request *req); /* also in X-Request-Id */
/* The caller's address as text, through TRUSTED_PROXIES; and whether TLS ended in front. */
const char *http_client_ip(const struct http_request *req);
bool http_is_tls(const struct http_request *req);
/* Whom to count tries by: of an IPv6 address its network, "2001:db8::/64", in which anybody has
 * 2^64 addresses; anything else as it is. */
enum { HTTP_NETWORK = 64 };
void http_network(const char *address, char out[HTTP_NETWORK]);
/* Memory of the request's own, freed with it by `release` (after the reply was sent or failed);
 * NULL until set. `release` runs on an unstated thread and must not block. */
void http_set_state(struct http_request *req, void *state, void (*release)(void *state));
void *http_state(const struct http_request *req);
bool http_on_pool(const struct http_request *req);
/* Go on with `next` on another pool, for work with a bound of its own, such as password hashing:
 * `return http_continue(req, hashing, next);` from a handler on the pool. No worker waits
 * meanwhile. When that pool is full the reply is OVERLOADED, and `next` does not run. Returns
 * NEEDS_POOL. */
enum status http_continue(struct http_request *req, struct workers *pool, http_handler *next);
/* Leave the request with `keep`, which answers it together with others: `return http_leave(req,
 * keep, ctx);` from authenticate or a handler. No thread waits meanwhile. keep(ctx, req) runs last
 * on the calling thread, must not block, and returns OK to hold the request until http_go_on, which
 * must follow, also when the server stops; any other status is the reply. Set no header before.
 * Returns NEEDS_POOL. */
enum status http_leave(struct http_request *req,
                       enum status (*keep)(void *ctx, struct http_request *req), void *ctx);
/* Run the step that left the request again, on this thread, with http_on_pool true, and send the
 * reply or go on. The request is the server's again. Any thread but the event threads. */
void http_go_on(struct http_request *req);
/* Is this the GET handler run for HEAD? Replies drop the body by themselves. */
bool http_is_head(const struct http_request *req);

/* --- the reply ------------------------------------------------------------------------------ */

/* Add a header to whatever reply follows, errors included. Control characters are refused. */
void http_set_header(struct http_request *req, const char *name, const char *value);
/* The detail of the problem, then `return http_fail(req, STATUS_CONFLICT, "order is %s", s);`.
 * Returns `s`. Overwrites an earlier detail. OVERLOADED, UNAVAILABLE, TIMEOUT, RATE_LIMITED and
 * OUTCOME_UNKNOWN get Retry-After: 1 unless set. */
enum status http_fail(struct http_request *req, enum status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A member of the problem, such as "state" -> "assigned" (a JSON string). */
void http_fail_member(struct http_request *req, const char *name, const char *value);

/* Bytes are copied. `type` may be NULL (204). All return OK. */
enum status http_reply(struct http_request *req, int code, const char *type, const void *bytes,
                       size_t len);
/* Static bytes, not copied. */
enum status http_reply_static(struct http_request *req, int code, const char *type,
                              const void *bytes, size_t len);
/* The file of `folder` that the route's pattern names ("/app.js"; "/" is index.html), under the
 * Content-Security-Policy `csp`. NOT_FOUND when there is none. */
enum status http_reply_page(struct http_request *req, const struct embed_folder *folder,
                            const char *csp);
/* Takes `root` over (decref'd also on failure). */
enum status http_reply_json(struct http_request *req, int code, json_t *root);
/* A body of `size` bytes (UINT64_MAX: unknown, chunked) read on the pool as the client takes it.
 * `read` fills 1..len bytes, sets *n, *n = 0 at the end; not OK breaks the connection, so that a
 * client never takes a part for the whole. `state` is released as with http_set_state. From the
 * pool, the first bytes are read at once: when that fails its status is returned, and the reply
 * can still be another one. */
enum status http_reply_stream(struct http_request *req, int code, const char *type, uint64_t size,
                              enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                              void *state, void (*release)(void *state));

/* The same for what may be in memory already, such as a file in the page cache. No byte is read
 * before the reply; then `attempt` is asked on the event thread first, so it never blocks, and
 * fills 1..len bytes; with anything but OK the pool is asked for the same bytes by `read`, failures
 * and the end included. */
enum status
http_reply_attempt(struct http_request *req, int code, const char *type, uint64_t size,
                   enum status (*attempt)(void *state, uint8_t *out, size_t len, size_t *n),
                   enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                   void *state, void (*release)(void *state));

struct http_live;
/* A body that has no end in sight, such as server-sent events. `read` runs on the event thread, so
 * from process memory only: OK with 1..len bytes; OK with none at the end; NEEDS_POOL when there is
 * nothing now: the connection sleeps, holding no thread, until http_live_wake; anything else breaks
 * the connection off. A client that does not take its bytes is not read for; whether it fell too
 * far behind is for `read` to say. A sleeping connection notices the client's end at the next
 * bytes only, so send some now and then. *out is to be woken until `release` was entered: take a
 * lock in both. It is woken when the server drains (health_draining), and must then end. Event
 * thread or pool. */
enum status http_reply_live(struct http_request *req, const char *type,
                            enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                            void *state, void (*release)(void *state), struct http_live **out);
/* There may be something to read. Returns at once. Any thread. */
void http_live_wake(struct http_live *live);

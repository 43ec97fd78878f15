#include "http_internal.h"
#include "log.h"
#include "problem.h"
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* --- headers -------------------------------------------------------------------------------- */

typedef void emit_header(void *to, const char *name, const char *value);

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7F)
            return true;
    return false;
}

void http_set_header(struct http_request *req, const char *name, const char *value)
{
    if (!*name || has_control(name) || has_control(value)) {
        log_error("header_refused", F("name", name));
        return;
    }
    strbuf_add(&req->headers, name, strlen(name) + 1);
    strbuf_add(&req->headers, value, strlen(value) + 1);
}

static void each_set_header(const struct http_request *req, emit_header *emit, void *to)
{
    const char *s = strbuf_cstr(&req->headers), *end = s + req->headers.len;
    while (s < end) {
        const char *value = s + strlen(s) + 1;
        emit(to, s, value);
        s = value + strlen(value) + 1;
    }
}

struct wanted {
    const char *name;
    bool found;
};

static void compare_name(void *to, const char *name, const char *value)
{
    struct wanted *wanted = to;
    (void)value;
    wanted->found = wanted->found || strcasecmp(name, wanted->name) == 0;
}

bool http_has_reply_header(const struct http_request *req, const char *name)
{
    struct wanted wanted = {name, false};
    each_set_header(req, compare_name, &wanted);
    return wanted.found;
}

const char *http_cors_origin(const struct http_request *req)
{
    const char *at = req->h->cors_origins;
    const char *origin = at ? http_header(req, "Origin") : NULL;
    size_t len = origin ? strlen(origin) : 0;
    while (at && len > 0) {
        at += strspn(at, ", ");
        size_t one = strcspn(at, ", ");
        if (one == len && memcmp(at, origin, len) == 0)
            return origin;
        at = one > 0 ? at + one : NULL;
    }
    return NULL;
}

static void emit_cors(const struct http_request *req, emit_header *emit, void *to)
{
    const char *origin = http_cors_origin(req);
    if (req->h->cors_origins)
        emit(to, "Vary", "Origin");
    if (!origin)
        return;
    emit(to, "Access-Control-Allow-Origin", origin);
    emit(to, "Access-Control-Expose-Headers",
         "Consistency-Token, ETag, Link, Location, Retry-After, Warning, X-Request-Id");
}

static void each_header(const struct http_request *req, emit_header *emit, void *to)
{
    if (req->type[0])
        emit(to, "Content-Type", req->type);
    each_set_header(req, emit, to);
    emit(to, "X-Request-Id", req->id);
    emit(to, "X-Content-Type-Options", "nosniff");
    if (!http_has_reply_header(req, "Cache-Control"))
        emit(to, "Cache-Control", "no-store");
    if (req->h->warning)
        emit(to, "X-Warning", req->h->warning);
    emit_cors(req, emit, to);
    if (req->close || atomic_load(&req->h->draining))
        emit(to, "Connection", "close");
}

/* --- what a handler says -------------------------------------------------------------------- */

void http_reply_clear(struct http_request *req)
{
    req->code = 0;
    req->type[0] = '\0';
    req->bytes = NULL;
    req->len = 0;
    strbuf_reset(&req->out);
    http_download_free(req->download);
    req->download = NULL;
    http_live_free(req->live);
    req->live = NULL;
}

void http_reply_begin(struct http_request *req, int code, const char *type)
{
    http_reply_clear(req);
    req->code = code;
    if (type && !has_control(type) && strlen(type) < sizeof(req->type))
        strcpy(req->type, type);
}

static enum status reply_with(struct http_request *req, const void *bytes, size_t len)
{
    req->bytes = bytes;
    req->len = len;
    return STATUS_OK;
}

enum status http_reply(struct http_request *req, int code, const char *type, const void *bytes,
                       size_t len)
{
    http_reply_begin(req, code, type);
    strbuf_add(&req->out, bytes, len);
    return reply_with(req, req->out.bytes, req->out.len);
}

enum status http_reply_static(struct http_request *req, int code, const char *type,
                              const void *bytes, size_t len)
{
    http_reply_begin(req, code, type);
    return reply_with(req, bytes, len);
}

enum status http_reply_page(struct http_request *req, const struct embed_folder *folder,
                            const char *csp)
{
    const char *name = http_route(req)->pattern + 1;
    const struct embed_file *file = embed_find(folder, *name ? name : "index.html");
    if (!file)
        return STATUS_NOT_FOUND;
    http_set_header(req, "Content-Security-Policy", csp);
    return http_reply_static(req, 200, embed_type(file->name), file->bytes, file->len);
}

enum status http_reply_json(struct http_request *req, int code, json_t *root)
{
    http_reply_begin(req, code, "application/json");
    json_write(&req->out, root);
    json_decref(root);
    return reply_with(req, req->out.bytes, req->out.len);
}

enum status
http_reply_attempt(struct http_request *req, int code, const char *type, uint64_t size,
                   enum status (*attempt)(void *state, uint8_t *out, size_t len, size_t *n),
                   enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                   void *state, void (*release)(void *state))
{
    http_reply_begin(req, code, type);
    struct download *d = req->download = xcalloc(1, sizeof(*d));
    d->attempt = attempt;
    d->read = read;
    d->state = state;
    d->release = release;
    d->size = size;
    d->piece_size = size < HTTP_CHUNK ? (size_t)size + 1 : HTTP_CHUNK; /* never of 0 bytes */
    return STATUS_OK;
}

enum status http_reply_stream(struct http_request *req, int code, const char *type, uint64_t size,
                              enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                              void *state, void (*release)(void *state))
{
    http_reply_attempt(req, code, type, size, NULL, read, state, release);
    /* The first piece here: when it cannot be had, there is still time for another reply. */
    if (!req->on_pool || req->method == HEAD || size == 0)
        return STATUS_OK;
    return http_download_fill(req->download);
}

enum status http_reply_allow(struct http_request *req)
{
    struct strbuf allow = STRBUF_INIT;
    router_allow(req->match.allow, &allow);
    http_set_header(req, "Allow", strbuf_cstr(&allow));
    strbuf_release(&allow);
    return http_reply(req, 204, NULL, NULL, 0);
}

/* --- failures ------------------------------------------------------------------------------- */

enum status http_fail(struct http_request *req, enum status s, const char *fmt, ...)
{
    va_list ap;
    strbuf_reset(&req->detail);
    va_start(ap, fmt);
    strbuf_vaddf(&req->detail, fmt, ap);
    va_end(ap);
    return s;
}

void http_fail_member(struct http_request *req, const char *name, const char *value)
{
    strbuf_addf(&req->members, "%s\"%s\":", req->members.len ? "," : "", name);
    json_write_text(&req->members, value);
}

static bool is_retryable(enum status s)
{
    return s == STATUS_OVERLOADED || s == STATUS_UNAVAILABLE || s == STATUS_TIMEOUT ||
           s == STATUS_RATE_LIMITED || s == STATUS_OUTCOME_UNKNOWN;
}

static void set_default_header(struct http_request *req, const char *name, const char *value)
{
    if (!http_has_reply_header(req, name))
        http_set_header(req, name, value);
}

static void log_failure(const struct http_request *req, enum status s)
{
    const char *detail = strbuf_cstr(&req->detail);
    if (is_retryable(s))
        log_warn("request_refused", F("why", status_slug(s)), F("detail", detail));
    else
        log_error("request_failed", F("why", status_slug(s)), F("detail", detail));
}

void http_settle(struct http_request *req, enum status s)
{
    if (!s && req->phase == PHASE_HANDLE && !req->code)
        s = http_fail(req, STATUS_INTERNAL, "the handler did not reply");
    if (!s)
        return;
    if (status_http(s) >= 500)
        log_failure(req, s);
    http_reply_begin(req, status_http(s), "application/problem+json");
    if (is_retryable(s))
        set_default_header(req, "Retry-After", "1");
    if (s == STATUS_UNAUTHENTICATED)
        set_default_header(req, "WWW-Authenticate", "Bearer");
    bool tell = req->detail.len && status_http(s) != 500;
    problem_write(&req->out, s, tell ? strbuf_cstr(&req->detail) : NULL, req->id,
                  strbuf_cstr(&req->members));
    reply_with(req, req->out.bytes, req->out.len);
}

/* --- on the wire ---------------------------------------------------------------------------- */

static void add_to_response(void *to, const char *name, const char *value)
{
    MHD_add_response_header(to, name, value);
}

enum MHD_Result http_send(struct http_request *req)
{
    if (req->answered_raw)
        return MHD_NO;
    /* The bytes live as long as the request, and that is longer than the sending. */
    struct MHD_Response *r =
        req->download ? http_download_response(req)
        : req->live   ? http_live_response(req)
                      : MHD_create_response_from_buffer(req->len, (void *)(uintptr_t)req->bytes,
                                                        MHD_RESPMEM_PERSISTENT);
    if (!r)
        return MHD_NO;
    each_header(req, add_to_response, r);
    enum MHD_Result queued = MHD_queue_response(req->conn, (unsigned)req->code, r);
    MHD_destroy_response(r);
    return queued;
}

static void add_to_text(void *to, const char *name, const char *value)
{
    strbuf_addf(to, "%s: %s\r\n", name, value);
}

void http_send_raw(struct http_request *req)
{
    struct strbuf text = STRBUF_INIT;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    strbuf_addf(&text, "HTTP/1.1 %d %s\r\n", req->code,
                MHD_get_reason_phrase_for((unsigned)req->code));
    each_header(req, add_to_text, &text);
    strbuf_addf(&text, "Content-Length: %zu\r\n\r\n", req->len);
    if (req->method != HEAD)
        strbuf_add(&text, req->bytes, req->len);
    /* Nothing else was sent on the connection, so it fits into the socket's buffer. */
    if (send(info->connect_fd, text.bytes, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("reply_lost");
    shutdown(info->connect_fd, SHUT_WR);
    req->answered_raw = true;
    strbuf_release(&text);
}

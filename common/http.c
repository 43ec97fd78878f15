#include "clock.h"
#include "fault.h"
#include "health.h"
#include "http_internal.h"
#include "listen.h"
#include "log.h"
#include "secret.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, POLL_MS = 5, TARGET_USUAL = 256, SPARE_MAX = 8 * 1024 };

/* --- the routes of every service ------------------------------------------------------------ */

static enum status get_healthz(struct http_request *req)
{
    static const char alive[] = "{\"status\":\"alive\"}";
    return http_reply_static(req, 200, "application/json", alive, sizeof(alive) - 1);
}

static enum status get_readyz(struct http_request *req)
{
    struct strbuf body = STRBUF_INIT;
    int code = health_ready(&body) ? 503 : 200;
    if (code == 503)
        http_set_header(req, "Retry-After", "1");
    http_reply(req, code, "application/json", body.bytes, body.len);
    strbuf_release(&body);
    return STATUS_OK;
}

static enum status get_metrics(struct http_request *req)
{
    struct strbuf body = STRBUF_INIT;
    metrics_render(&body);
    http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", body.bytes, body.len);
    strbuf_release(&body);
    return STATUS_OK;
}

static enum status post_crash(struct http_request *req)
{
    enum status s = fault_check(http_header(req, "Authorization"));
    if (s)
        return s;
    fault_crash();
}

static const struct route own_routes[] = {
    {GET, "/healthz", ANYONE, NULL, INLINE, get_healthz, NULL},
    {GET, "/readyz", ANYONE, NULL, INLINE, get_readyz, NULL},
    {GET, "/metrics", ANYONE, NULL, INLINE, get_metrics, NULL},
    {POST, "/demo/crash", ANYONE, NULL, INLINE, post_crash, NULL}, /* only with DEMO_FAULTS */
};
enum { OWN_ROUTES = sizeof(own_routes) / sizeof(own_routes[0]) };

static enum status mount_routes(struct http *h, const struct http_options *o, struct strbuf *why)
{
    size_t n = o->route_count + OWN_ROUTES - !fault_on();
    h->routes = xcalloc(n, sizeof(*h->routes));
    for (size_t i = 0; i < n; i++)
        h->routes[i] = i < o->route_count ? o->routes[i] : own_routes[i - o->route_count];
    if (router_init(&h->router, h->routes, n, why))
        return STATUS_INTERNAL;
    h->metrics = http_metrics_new(h->routes, n);
    return STATUS_OK;
}

/* --- the life of a request ------------------------------------------------------------------ */

void http_request_free(struct http_request *req)
{
    if (!req)
        return;
    strbuf_release(&req->headers);
    strbuf_release(&req->out);
    free(req);
}

/* All zero, with room for a target of that size. A connection's requests follow one another: what
 * the one before left is taken, with the room of its reply. */
static struct http_request *request_new(struct MHD_Connection *conn, size_t target_size)
{
    struct http_request **spare = http_guard_spare(conn), *req = *spare;
    if (target_size > TARGET_USUAL || !req)
        return xcalloc(1, sizeof(*req) +
                              (target_size > TARGET_USUAL ? target_size : (size_t)TARGET_USUAL));
    struct strbuf headers = req->headers, out = req->out;
    *spare = NULL;
    memset(req, 0, sizeof(*req));
    req->headers = headers;
    req->out = out;
    strbuf_reset(&req->headers);
    strbuf_reset(&req->out);
    return req;
}

static void request_spare(struct http_request *req)
{
    struct http_request **spare = http_guard_spare(req->conn);
    bool small =
        strlen(req->target) < TARGET_USUAL && req->headers.size + req->out.size < SPARE_MAX;
    http_request_free(*spare);
    *spare = small ? req : NULL;
    if (!small)
        http_request_free(req);
}

/* The request line is here, as it came: the only call that shows it so. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *conn)
{
    struct http *h = cls;
    size_t size = target ? strlen(target) + 1 : 1;
    struct http_request *req = request_new(conn, size);
    memcpy(req->target, target ? target : "", size);
    req->h = h;
    req->conn = conn;
    req->start_us = clock_mono_us();
    atomic_fetch_add(&h->in_flight, 1);
    metric_add(h->in_flight_gauge, 1);
    return req;
}

static void on_end(void *cls, struct MHD_Connection *conn, void **ctx,
                   enum MHD_RequestTerminationCode why)
{
    struct http *h = cls;
    struct http_request *req = *ctx;
    (void)why;
    if (!req)
        return;
    *ctx = NULL;
    http_guard_mark(conn, false);
    log_set_request_id(req->id);
    http_account(req);
    log_set_request_id(NULL);
    http_set_state(req, NULL, NULL);
    http_download_free(req->download);
    http_live_free(req->live);
    json_decref(req->json);
    strbuf_release(&req->members);
    strbuf_release(&req->body);
    strbuf_release(&req->detail);
    request_spare(req);
    metric_add(h->in_flight_gauge, -1);
    atomic_fetch_sub(&h->in_flight, 1);
}

enum status http_handle(struct http_request *req)
{
    const struct route *route = req->match.route;
    if (route->run == BLOCKING && !req->on_pool)
        return STATUS_NEEDS_POOL;
    enum status s = STATUS_OK;
    if (req->stream && req->body.len)
        s = req->stream->chunk(req, (const uint8_t *)req->body.bytes, req->body.len);
    if (!s && route->visible)
        s = route->visible(req);
    if (s)
        return s;
    return req->method == OPTIONS ? http_reply_allow(req) : route->handler(req);
}

/* libmicrohttpd calls without body bytes once for the headers, once when the whole request is
 * here, and again after each resume. */
static enum MHD_Result advance(struct http_request *req, const char *url, const char *method,
                               const char *version)
{
    if (req->phase == PHASE_HEADERS) {
        http_receive(req, url, method, version);
        req->phase = PHASE_ADMIT;
        if (!req->code && !http_run(req, http_admit))
            return MHD_YES;
    }
    if (req->phase == PHASE_ADMIT) {
        req->phase = PHASE_BODY;
        if (req->code && (req->close || req->expects_continue))
            return http_send(req);
        return req->code && req->has_body ? http_refuse_body(req) : MHD_YES;
    }
    if (req->phase == PHASE_BODY) {
        req->phase = PHASE_HANDLE;
        if (!req->code && !http_run(req, http_handle))
            return MHD_YES;
    }
    return http_send(req);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **ctx)
{
    struct http *h = cls;
    struct http_request *req = *ctx;
    if (!req || atomic_load(&h->stopping))
        return MHD_NO;
    log_set_request_id(req->id);
    http_guard_mark(conn, true);
    req->suspended = false;
    enum MHD_Result result =
        *upload_len ? http_upload(req, upload, upload_len) : advance(req, url, method, version);
    if (req->phase == PHASE_BODY && !req->suspended)
        http_guard_mark(conn, false); /* the client's turn */
    log_set_request_id(NULL);
    return result;
}

/* --- the daemon ----------------------------------------------------------------------------- */

/* A socket of our own, since libmicrohttpd does not say why it could not have one. */
static enum status open_listener(struct http *h, const char *listen_on, struct strbuf *why)
{
    struct sockaddr_storage address;
    socklen_t len;
    const int on = 1;
    if (!listen_parse(listen_on, &address, &len)) {
        strbuf_addf(why, "listen address %s: not like 127.0.0.1:8200 or [::1]:8200", listen_on);
        return STATUS_INTERNAL;
    }
    int fd = h->listener = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&address, &len)) {
        strbuf_addf(why, "listen address %s: %s", listen_on, strerror(errno));
        return STATUS_INTERNAL;
    }
    h->port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                 : ((struct sockaddr_in6 *)&address)->sin6_port);
    return STATUS_OK;
}

/* Connections are refused from here on. Not by MHD_quiesce_daemon: under load it races with the
 * event threads for the listener's place in their epoll sets, and whoever comes second ends the
 * process (libmicrohttpd 0.9.75 to 1.0.1). A descriptor without events takes the listener's place:
 * the kernel closes the socket and takes it out of every set. */
static void stop_listening(struct http *h)
{
    dup3(h->silence, h->listener, O_CLOEXEC);
}

/* Left encoded: it would decode %2F, and cut at %00, before the router sees them. */
static size_t leave_escapes(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls;
    (void)conn;
    return strlen(s);
}

__attribute__((format(printf, 2, 0))) static void on_library_message(void *cls, const char *fmt,
                                                                     va_list ap)
{
    struct strbuf text = STRBUF_INIT;
    (void)cls;
    strbuf_vaddf(&text, fmt, ap);
    log_debug("libmicrohttpd", F("text", strbuf_cstr(&text)));
    strbuf_release(&text);
}

static struct MHD_Daemon *start_daemon(struct http *h, size_t connections)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_library_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, h->listener, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)(cpus > 2 ? cpus : 2), MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
        MHD_OPTION_CONNECTION_TIMEOUT, h->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        h->connection_memory, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, h, MHD_OPTION_NOTIFY_COMPLETED,
        on_end, h, MHD_OPTION_NOTIFY_CONNECTION, http_guard_notify, h->guard, MHD_OPTION_END);
}

static void http_free(struct http *h)
{
    http_guard_free(h->guard);
    if (h->listener >= 0)
        close(h->listener);
    close(h->silence);
    pthread_mutex_destroy(&h->live_lock);
    free(h->metrics);
    free(h->routes);
    free(h->proxies);
    free(h->cors_origins);
    free(h);
}

static struct http *http_new(const struct http_options *o)
{
    struct http *h = xcalloc(1, sizeof(*h));
    pthread_mutex_init(&h->live_lock, NULL);
    h->listener = -1;
    h->silence = eventfd(0, EFD_CLOEXEC);
    h->workers = o->workers;
    h->authenticate = o->authenticate;
    h->connection_memory = o->connection_memory ? o->connection_memory : HTTP_CONNECTION_MEMORY;
    h->body_max = o->body_max ? o->body_max : 64 * 1024;
    h->stream_max = o->stream_max ? o->stream_max : (uint64_t)16 << 30;
    h->timeout_s = o->timeout_s ? o->timeout_s : 30;
    h->cors_origins = o->cors_origins && *o->cors_origins ? xstrdup(o->cors_origins) : NULL;
    h->warning = o->warning;
    h->in_flight_gauge = metric_gauge("http_requests_in_flight", "", "Requests not yet answered.");
    random_hex(h->id_prefix, sizeof(h->id_prefix) / 2);
    return h;
}

enum status http_start(const struct http_options *options, struct http **out, struct strbuf *why)
{
    struct http *h = http_new(options);
    enum status s = mount_routes(h, options, why);
    if (!s)
        s = http_proxies_parse(options->trusted_proxies, h, why);
    if (!s)
        s = open_listener(h, options->listen, why);
    if (s)
        goto out;
    h->guard = http_guard_new(2 * h->timeout_s);
    h->daemon = start_daemon(h, options->connections_max ? options->connections_max : 20000);
    if (!h->daemon) {
        h->listener = -1; /* closed by it */
        strbuf_addstr(why, "the event threads did not start");
        s = STATUS_INTERNAL;
    }
out:
    if (s)
        http_free(h);
    else
        *out = h;
    return s;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

static void wait_for_zero(atomic_size_t *count, int64_t until_ms)
{
    const struct timespec pause = {0, POLL_MS * 1000000L};
    while (atomic_load(count) > 0 && clock_mono_ms() < until_ms)
        nanosleep(&pause, NULL);
}

/* A job that runs is waited for past the grace, since it works on its request: what bounds it are
 * the time limits of the stores, and at last that of the process (service_wait). */
void http_stop(struct http *h, int grace_ms)
{
    atomic_store(&h->draining, true);
    stop_listening(h);
    http_live_wake_all(h);
    wait_for_zero(&h->in_flight, clock_mono_ms() + grace_ms);
    atomic_store(&h->stopping, true);
    http_live_wake_all(h);
    wait_for_zero(&h->suspended, INT64_MAX);
    MHD_stop_daemon(h->daemon);
    h->listener = -1; /* closed by it */
    http_free(h);
}

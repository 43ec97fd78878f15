#include "server.h"
#include "clock.h"
#include "health.h"
#include "log.h"
#include "site.h"
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <uv.h>

enum {
    SCRATCH = 32 * 1024,
    RX_CHUNK = 1024, /* a buffer of this size is every connection's */
    BODY_MAX = 4096,
    PATH_MAX_LEN = 256,
    HTTP_TIMEOUT_S = 10,
    WRITES_PER_MS = 128,
    WRITES_A_TURN = 64,
    SPARE_DESCRIPTORS = 256,
};

struct server {
    struct server_options options;
    struct chat *chat;
    struct lws_context *context; /* libwebsockets clears it at its very end */
    uv_loop_t loop;
    uv_prepare_t before_wait;
    lws_sorted_usec_list_t tick;
    lws_retry_bo_t heartbeat;
    pthread_t thread;
    atomic_bool draining;
    atomic_llong stop_at_ms;
    TAILQ_HEAD(, connection) due; /* those with something to send, in order */
    size_t due_count;
    uv_idle_t more; /* active: the loop is not to wait */
    unsigned char scratch[SCRATCH];
};

/* libwebsockets zeroes one for each connection and frees it when the protocol is bound anew. */
struct connection {
    struct session *session;
    struct strbuf inbox; /* a message in fragments, or the body of a request */
    TAILQ_ENTRY(connection) next_due;
    bool due;
    int64_t due_ms;  /* since when */
    bool ended;      /* the client sent a close frame: nothing follows ours */
    size_t body_len; /* what the request declared */
};

static struct server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

/* --- HTTP ----------------------------------------------------------------------------------- */

#define SECURITY_HEADERS                                                                           \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "                    \
    "frame-ancestors 'none'; require-trusted-types-for 'script'\r\n"                               \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"                          \
    "Cross-Origin-Opener-Policy: same-origin\r\nCache-Control: no-cache\r\n"

static void write_head(struct strbuf *out, const struct site_reply *r)
{
    strbuf_addf(out, "HTTP/1.1 %d %s\r\n" SECURITY_HEADERS, r->code,
                r->code < 400 ? "OK" : "Error");
    if (r->type)
        strbuf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", r->type, r->body.len);
    if (r->allow[0])
        strbuf_addf(out, "Allow: %s\r\n", r->allow);
    if (r->retry_after)
        strbuf_addstr(out, "Retry-After: 1\r\n");
    strbuf_addstr(out, "Connection: close\r\n\r\n");
}

/* Releases the reply. Returns -1, libwebsockets' word for the end of the connection, which comes
 * when all is sent: nothing behind a request is ever read as another one. What libwebsockets 4.1
 * makes of a second request that came along with the first cannot be relied on (it takes a POST's
 * own head for its body, and then never lets go of the connection). */
static int send_reply(struct lws *wsi, struct site_reply *r)
{
    struct strbuf out = STRBUF_INIT;
    write_head(&out, r);
    if (!r->head_only)
        strbuf_add(&out, r->body.bytes, r->body.len);
    lws_write(wsi, (unsigned char *)out.bytes, out.len, LWS_WRITE_HTTP_FINAL);
    strbuf_release(&out);
    site_reply_release(r);
    return -1;
}

static const char *get_method(struct lws *wsi, char path[PATH_MAX_LEN])
{
    static const char *const names[] = {
        [LWSHUMETH_GET] = "GET",         [LWSHUMETH_POST] = "POST",
        [LWSHUMETH_OPTIONS] = "OPTIONS", [LWSHUMETH_PUT] = "PUT",
        [LWSHUMETH_PATCH] = "PATCH",     [LWSHUMETH_DELETE] = "DELETE",
        [LWSHUMETH_CONNECT] = "CONNECT", [LWSHUMETH_HEAD] = "HEAD",
    };
    char *uri = NULL;
    int len = 0, method = lws_http_get_uri_and_method(wsi, &uri, &len);
    bool known = method >= 0 && (size_t)method < sizeof(names) / sizeof(names[0]);
    if (!known || len >= PATH_MAX_LEN)
        return NULL;
    memcpy(path, uri, (size_t)len);
    path[len] = '\0';
    return names[method];
}

static int answer(struct lws *wsi, const struct strbuf *body)
{
    char path[PATH_MAX_LEN], authorization[256];
    struct site_reply r = {0};
    const char *method = get_method(wsi, path);
    bool authorized =
        lws_hdr_copy(wsi, authorization, sizeof(authorization), WSI_TOKEN_HTTP_AUTHORIZATION) > 0;
    if (method)
        site_answer(method, path, authorized ? authorization : NULL, strbuf_cstr(body), body->len,
                    &r);
    else
        site_problem(&r, STATUS_BAD_REQUEST, "the method is unknown or the path too long");
    return send_reply(wsi, &r);
}

static int refuse(struct lws *wsi, enum status status, const char *detail)
{
    struct site_reply r = {0};
    site_problem(&r, status, detail);
    return send_reply(wsi, &r);
}

/* Digits alone; libwebsockets takes what atoll makes of it, and of two fields one ("4,40" here). */
static bool parse_length(const char *text, size_t *out)
{
    *out = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        *out = *out > BODY_MAX ? *out : *out * 10 + (size_t)(*c - '0');
    }
    return *text != '\0';
}

/* Without a body the answer follows at once; otherwise when the body is complete. */
static int on_request(struct lws *wsi, struct connection *c)
{
    char text[24];
    int n = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH);
    bool post = lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return refuse(wsi, STATUS_LENGTH_REQUIRED, "want Content-Length, not chunks");
    if (n == 0 && post)
        return refuse(wsi, STATUS_LENGTH_REQUIRED, "");
    if (n < 0)
        return refuse(wsi, STATUS_TOO_LARGE, "");
    if (n > 0 && !parse_length(text, &c->body_len))
        return refuse(wsi, STATUS_BAD_REQUEST, "Content-Length");
    if (c->body_len > BODY_MAX)
        return refuse(wsi, STATUS_TOO_LARGE, "");
    return c->body_len > 0 ? 0 : answer(wsi, &c->inbox);
}

/* Counted here: of a body that comes with another method than POST libwebsockets 4.3 loses count,
 * hands out what follows it too and never says that it is complete. */
static int on_body(struct lws *wsi, struct connection *c, const char *in, size_t len)
{
    size_t owed = c->body_len - c->inbox.len;
    strbuf_add(&c->inbox, in, len < owed ? len : owed);
    return len < owed ? 0 : answer(wsi, &c->inbox);
}

/* --- upgrade -------------------------------------------------------------------------------- */

static bool offers_subprotocol(struct lws *wsi)
{
    char list[256], *rest = list;
    if (lws_hdr_copy(wsi, list, sizeof(list), WSI_TOKEN_PROTOCOL) <= 0)
        return false;
    for (const char *name; (name = strsep(&rest, ", \t")) != NULL;)
        if (strcmp(name, SUBPROTOCOL) == 0)
            return true;
    return false;
}

static bool header_is(struct lws *wsi, enum lws_token_indexes header, const char *want)
{
    char value[64];
    return lws_hdr_copy(wsi, value, sizeof(value), header) > 0 && strcmp(value, want) == 0;
}

static bool listed(const char *list, const char *origin)
{
    size_t len = strlen(origin);
    if (strchr(origin, ','))
        return false;
    for (const char *at = list; (at = strstr(at, origin)) != NULL; at += len)
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    return false;
}

/* Browsers alone send one, and let every site's page connect (RFC 6455, section 10.2). */
static bool origin_allowed(struct lws *wsi)
{
    char origin[256], host[256];
    int n = lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN);
    if (n == 0)
        return true;
    if (n < 0 || lws_hdr_copy(wsi, host, sizeof(host), WSI_TOKEN_HOST) <= 0)
        return false;
    const char *own = strstr(origin, "://");
    return (own && strcasecmp(own + 3, host) == 0) ||
           listed(server_of(wsi)->options.origins, origin);
}

/* 16 bytes in base64. */
static bool key_valid(struct lws *wsi)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char key[25];
    return lws_hdr_copy(wsi, key, sizeof(key), WSI_TOKEN_KEY) == 24 && strspn(key, base64) == 22 &&
           strcmp(key + 22, "==") == 0;
}

/* RFC 6455, section 4.2.1; libwebsockets is more lenient. */
static enum status check_upgrade(struct lws *wsi, const char *to, const char **detail)
{
    const struct server *server = server_of(wsi);
    struct strbuf ignored = STRBUF_INIT;
    enum status ready = health_ready(&ignored);
    strbuf_release(&ignored);
    *detail = "";
    if (!header_is(wsi, WSI_TOKEN_GET_URI, "/ws"))
        return STATUS_NOT_FOUND;
    *detail = "want HTTP/1.1, Upgrade: websocket, Sec-WebSocket-Version: 13 and a key";
    if (!header_is(wsi, WSI_TOKEN_HTTP, "HTTP/1.1") || strcasecmp(to, "websocket") != 0 ||
        !header_is(wsi, WSI_TOKEN_VERSION, "13") || !key_valid(wsi))
        return STATUS_BAD_REQUEST;
    *detail = "want Sec-WebSocket-Protocol: " SUBPROTOCOL;
    if (!offers_subprotocol(wsi))
        return STATUS_BAD_REQUEST;
    *detail = "this origin may not connect";
    if (!origin_allowed(wsi))
        return STATUS_FORBIDDEN;
    *detail = "not ready";
    if (ready != STATUS_OK)
        return STATUS_UNAVAILABLE;
    *detail = "too many connections";
    if (chat_sessions(server->chat) >= server->options.connections_max)
        return STATUS_OVERLOADED;
    return STATUS_OK;
}

static int on_upgrade(struct lws *wsi, const char *to)
{
    const char *detail;
    enum status status = check_upgrade(wsi, to, &detail);
    return status == STATUS_OK ? 0 : refuse(wsi, status, detail);
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    struct connection *c = user;
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(wsi, in);
    case LWS_CALLBACK_HTTP:
        return on_request(wsi, c);
    case LWS_CALLBACK_HTTP_BODY:
        return on_body(wsi, c, in, len);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (c)
            strbuf_release(&c->inbox);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        chat_wake(server_of(wsi)->chat);
        return 0;
    default:
        return 0;
    }
}

/* --- WebSocket ------------------------------------------------------------------------------ */

static void add_due(struct server *server, struct connection *c)
{
    if (c->due || c->ended)
        return;
    c->due = true;
    c->due_ms = clock_mono_ms();
    TAILQ_INSERT_TAIL(&server->due, c, next_due);
    server->due_count++;
}

static void drop_due(struct server *server, struct connection *c)
{
    if (!c->due)
        return;
    c->due = false;
    TAILQ_REMOVE(&server->due, c, next_due);
    server->due_count--;
}

static void wake(struct session *s)
{
    if (s->transport)
        add_due(server_of(s->transport), lws_wsi_user(s->transport));
}

static void on_receive(struct lws *wsi, struct connection *c, const char *in, size_t len)
{
    struct chat *chat = server_of(wsi)->chat;
    if (c->session->close_code)
        return;
    if (lws_frame_is_binary(wsi))
        session_end(c->session, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, "text only");
    else if (c->inbox.len + len + lws_remaining_packet_payload(wsi) > FRAME_MAX)
        session_end(c->session, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "message too large");
    else if (c->inbox.len == 0 && lws_is_final_fragment(wsi))
        chat_receive(chat, c->session, in, len);
    else {
        strbuf_add(&c->inbox, in, len);
        if (!lws_is_final_fragment(wsi))
            return;
        chat_receive(chat, c->session, c->inbox.bytes, c->inbox.len);
        strbuf_release(&c->inbox);
    }
}

/* Everything due goes out in one write. The frames are framed already and whole, so that a ping or
 * pong of libwebsockets, which comes between two writes, cannot land inside one. Our close frame
 * goes this way too: Debian 12 and 13 build libwebsockets with _DEBUG, where a callback that asks
 * it to close on libuv's loop is carried out twice, the second time without the frame. */
static int write_some(struct server *server, struct session *s)
{
    struct frame *big;
    size_t n = session_take(s, server->scratch, SCRATCH, &big);
    int written = 0;
    if (big)
        written = lws_write(s->transport, big->bytes, big->len, LWS_WRITE_RAW);
    else if (n > 0)
        written = lws_write(s->transport, server->scratch, n, LWS_WRITE_RAW);
    frame_unref(big);
    return written < 0 ? -1 : 0;
}

/* What the socket does not take libwebsockets keeps, and says WRITEABLE when it is gone: until then
 * the queue is left alone. */
static int write_due(struct server *server, struct connection *c)
{
    struct session *s = c->session;
    while (s->count > 0 && !lws_partial_buffered(s->transport))
        if (write_some(server, s) != 0)
            return -1;
    if (s->count == 0)
        chat_drained(server->chat, s);
    return 0;
}

static void cut(struct session *s)
{
    lws_set_timeout(s->transport, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

/* While the store is at the next messages the writes may wait for them, to carry more each, but no
 * longer than they will take. */
static bool hold_back(const struct server *server)
{
    int64_t writes_ms = (int64_t)server->due_count / WRITES_PER_MS;
    return writes_ms > 0 && clock_mono_ms() - TAILQ_FIRST(&server->due)->due_ms < writes_ms &&
           chat_writing(server->chat);
}

static void go_on(uv_idle_t *more)
{
    (void)more; /* being active is all it does */
}

/* Each turn of the loop, before it waits: who has waited longest is written to, once for all that
 * came meanwhile. Between the writes to a large room what its members send is read, and the store
 * is at it while the next are written to. To ask for WRITEABLE instead costs four epoll_ctl for
 * each write. */
static void flush_due(uv_prepare_t *before_wait)
{
    struct server *server = before_wait->data;
    bool hold = hold_back(server);
    struct connection *c;
    for (int n = 0; !hold && n < WRITES_A_TURN && (c = TAILQ_FIRST(&server->due)) != NULL; n++) {
        drop_due(server, c);
        if (write_due(server, c) != 0)
            cut(c->session);
    }
    if (hold || server->due_count == 0)
        uv_idle_stop(&server->more);
    else
        uv_idle_start(&server->more, go_on);
}

/* libwebsockets answers with the same payload, also with half a code (section 5.5.1). */
static int on_close(struct server *server, struct connection *c, size_t len)
{
    struct session *s = c->session;
    if (len == 1 && !s->close_code && !lws_partial_buffered(s->transport)) {
        session_abandon(s, LWS_CLOSE_STATUS_PROTOCOL_ERR, "");
        write_some(server, s);
    }
    c->ended = true;
    drop_due(server, c);
    return s->close_code ? -1 : 0; /* it answers ours: done */
}

static int on_websocket(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                        size_t len)
{
    struct connection *c = user;
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        c->session = chat_open(server_of(wsi)->chat, wsi, wake);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        on_receive(wsi, c, in, len);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return on_close(server_of(wsi), c, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_due(server_of(wsi), c);
    case LWS_CALLBACK_CLOSED:
        drop_due(server_of(wsi), c);
        strbuf_release(&c->inbox);
        if (c->session)
            chat_close(server_of(wsi)->chat, c->session);
        c->session = NULL;
        return 0;
    default:
        return 0;
    }
}

/* --- the loop ------------------------------------------------------------------------------- */

static void on_tick(lws_sorted_usec_list_t *tick)
{
    struct server *server = lws_container_of(tick, struct server, tick);
    if (atomic_load(&server->draining)) {
        chat_drain(server->chat);
        if (chat_sessions(server->chat) == 0 || clock_mono_ms() > server->stop_at_ms)
            uv_stop(&server->loop);
    }
    chat_tick(server->chat, cut);
    lws_sul_schedule(server->context, 0, tick, on_tick, CHAT_TICK_MS * LWS_US_PER_MS);
}

static void wake_loop(void *ctx)
{
    struct server *server = ctx;
    lws_cancel_service(server->context);
}

static void *run(void *arg)
{
    struct server *server = arg;
    uv_run(&server->loop, UV_RUN_DEFAULT);
    chat_set_wake(server->chat, NULL, NULL);
    uv_close((uv_handle_t *)&server->before_wait, NULL);
    uv_close((uv_handle_t *)&server->more, NULL);
    /* On a loop that is not its own libwebsockets ends in steps, and the loop must close its
     * handles between them; at the last one it clears `context`. */
    while (server->context) {
        lws_context_destroy(server->context);
        uv_run(&server->loop, UV_RUN_DEFAULT);
    }
    return NULL;
}

static void log_line(int level, const char *line)
{
    char text[256];
    size_t len = strcspn(line, "\n");
    snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1), line);
    if (level == LLL_ERR)
        log_warn("libwebsockets", F("text", text));
    else
        log_debug("libwebsockets", F("text", text));
}

/* --- start and stop ------------------------------------------------------------------------- */

/* libwebsockets sizes its tables by the limit of descriptors, and stops accepting there. */
static void limit_descriptors(size_t connections_max)
{
    struct rlimit limit;
    rlim_t want = connections_max + SPARE_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= want)
        return;
    limit.rlim_cur = want;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Take apart "127.0.0.1:8101" or "[::1]:8101", which the configuration has checked. */
static int split_listen(const char *listen, char *host, size_t size)
{
    const char *colon = strrchr(listen, ':');
    bool v6 = listen[0] == '[';
    snprintf(host, size, "%.*s", (int)(colon - listen) - 2 * v6, listen + v6);
    return (int)strtol(colon + 1, NULL, 10);
}

/* False when it cannot listen. With a vhost of its own libwebsockets would only log that. */
static bool create_context(struct server *server, const char *host, int port)
{
    static const struct lws_protocols protocols[] = {
        {"http", on_http, sizeof(struct connection), 0, 0, NULL, SCRATCH},
        {SUBPROTOCOL, on_websocket, sizeof(struct connection), RX_CHUNK, 0, NULL, SCRATCH},
        {0},
    };
    void *loops[] = {&server->loop};
    struct lws_context_creation_info info = {
        .iface = host,
        .port = port,
        .protocols = protocols,
        .user = server,
        .foreign_loops = loops,
        .pcontext = &server->context,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   (strchr(host, ':') ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6),
        .timeout_secs = HTTP_TIMEOUT_S,
        .retry_and_idle_policy = &server->heartbeat,
    };
    server->context = lws_create_context(&info);
    return server->context && lws_create_vhost(server->context, &info);
}

enum status server_start(const struct server_options *options, struct chat *chat,
                         struct server **out, struct strbuf *why)
{
    char host[64];
    int port = split_listen(options->listen, host, sizeof(host));
    struct server *server = xcalloc(1, sizeof(*server));
    server->options = *options;
    server->chat = chat;
    server->heartbeat.secs_since_valid_ping = (uint16_t)options->heartbeat_s;
    server->heartbeat.secs_since_valid_hangup = (uint16_t)(options->heartbeat_s * 3 / 2);
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    limit_descriptors(options->connections_max);
    uv_loop_init(&server->loop);
    uv_prepare_init(&server->loop, &server->before_wait);
    server->before_wait.data = server;
    TAILQ_INIT(&server->due);
    uv_idle_init(&server->loop, &server->more);
    uv_prepare_start(&server->before_wait, flush_due);
    if (!create_context(server, host, port)) {
        strbuf_addf(why, "cannot listen on %s: address wrong or in use", options->listen);
        return STATUS_INTERNAL;
    }
    lws_sul_schedule(server->context, 0, &server->tick, on_tick, 1);
    chat_set_wake(chat, wake_loop, server);
    if (pthread_create(&server->thread, NULL, run, server) != 0)
        abort();
    *out = server;
    return STATUS_OK;
}

void server_stop(struct server *server, int64_t grace_ms)
{
    server->stop_at_ms = clock_mono_ms() + grace_ms;
    atomic_store(&server->draining, true);
    pthread_join(server->thread, NULL);
    uv_loop_close(&server->loop);
    free(server);
}

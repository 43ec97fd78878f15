/* The server over real sockets, spoken to byte by byte. */
#include "clock.h"
#include "http.h"
#include "log.h"
#include "secret.h"
#include <setjmp.h>
#include <stdarg.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 2, QUEUE = 2, WAIT_MS = 20000, USER = 1, ADMIN = 2 };

static struct workers *workers;
static struct http *server;

/* --- a gate that handlers wait at ----------------------------------------------------------- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static int gate_waiting;

static void gate_pass(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_waiting++;
    pthread_cond_broadcast(&gate_changed);
    while (!gate_open)
        pthread_cond_wait(&gate_changed, &gate_lock);
    gate_waiting--;
    pthread_mutex_unlock(&gate_lock);
}

static void gate_set(bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

__attribute__((unused)) static bool gate_wait_for(int n)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&gate_lock);
    while (gate_waiting != n && rc == 0)
        rc = pthread_cond_timedwait(&gate_changed, &gate_lock, &until);
    bool reached = gate_waiting == n;
    pthread_mutex_unlock(&gate_lock);
    return reached;
}

/* --- the service under test ----------------------------------------------------------------- */

static atomic_int begun, chunks, released, read_calls, authenticated;
static atomic_size_t uploaded;

static enum status get_inline(struct http_request *req)
{
    return http_reply_static(req, 200, "text/plain", "inline", 6);
}

static enum status get_where(struct http_request *req)
{
    return http_reply(req, 200, "text/plain", http_on_pool(req) ? "pool" : "event",
                      http_on_pool(req) ? 4 : 5);
}

static enum status get_either(struct http_request *req)
{
    struct strbuf cached = STRBUF_INIT;
    bool found;
    enum status s = http_query(req, "cached", &cached, &found);
    strbuf_release(&cached);
    if (s)
        return s;
    if (!found && !http_on_pool(req)) {
        http_set_header(req, "X-Attempt", "half-done");
        return STATUS_NEEDS_POOL;
    }
    return get_where(req);
}

static enum status get_gate(struct http_request *req)
{
    gate_pass();
    return get_where(req);
}

static enum status post_echo(struct http_request *req)
{
    size_t len;
    const uint8_t *body = http_body(req, &len);
    return http_reply(req, 201, "application/octet-stream", body, len);
}

static enum status post_json(struct http_request *req)
{
    json_t *root;
    enum status s = http_body_json(req, &root);
    return s ? s : http_reply_json(req, 200, json_deep_copy(root));
}

static enum status item_visible(struct http_request *req)
{
    if (strcmp(http_param(req, "item"), "hidden") == 0)
        return STATUS_NOT_FOUND;
    return strcmp(http_param(req, "item"), "slow") == 0 && !http_on_pool(req) ? STATUS_NEEDS_POOL
                                                                              : STATUS_OK;
}

static enum status get_item(struct http_request *req)
{
    const char *item = http_param(req, "item");
    return http_reply(req, 200, "text/plain", item, strlen(item));
}

static enum status get_fail(struct http_request *req)
{
    http_set_header(req, "X-Kept", "yes");
    http_set_header(req, "X-Forged", "a\r\nSet-Cookie: b");
    http_fail_member(req, "state", "say \"no\"");
    return http_fail(req, STATUS_CONFLICT, "the order is %s", "taken");
}

static enum status get_mute(struct http_request *req)
{
    (void)req;
    return STATUS_OK;
}

static enum status get_broken(struct http_request *req)
{
    http_reply(req, 200, "text/plain", "half", 4);
    return http_fail(req, STATUS_CONTENDED, "inner secret");
}

static enum status get_who(struct http_request *req)
{
    const struct principal *who = http_principal(req);
    return http_reply(req, 200, "text/plain", who->id, strlen(who->id));
}

static enum status get_peer(struct http_request *req)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s %s", http_client_ip(req),
                     http_is_tls(req) ? "tls" : "plain");
    return http_reply(req, 200, "text/plain", text, (size_t)n);
}

static enum status get_page(struct http_request *req)
{
    int64_t limit;
    static const char *const known[] = {"limit", NULL};
    enum status s = http_query_only(req, known);
    if (!s)
        s = http_query_int(req, "limit", 1, 100, 20, &limit);
    if (s)
        return s;
    char text[32];
    int n = snprintf(text, sizeof(text), "%lld", (long long)limit);
    return http_reply(req, 200, "text/plain", text, (size_t)n);
}

static enum status get_nothing(struct http_request *req)
{
    return http_reply(req, 204, NULL, NULL, 0);
}

static enum status hop_end(struct http_request *req)
{
    return get_where(req);
}

static struct workers *other_pool;

static enum status get_hop(struct http_request *req)
{
    return http_continue(req, other_pool, hop_end);
}

/* The upload: "fail-begin", "fail-chunk" and "gate" in X-Test make it misbehave. */
static bool test_asks(const struct http_request *req, const char *what)
{
    const char *test = http_header(req, "X-Test");
    return test && strcmp(test, what) == 0;
}

static void release_upload(void *state)
{
    free(state);
    atomic_fetch_add(&released, 1);
}

static enum status upload_begin(struct http_request *req)
{
    atomic_fetch_add(&begun, 1);
    if (test_asks(req, "fail-begin"))
        return http_fail(req, STATUS_UNSUPPORTED_MEDIA, "not of that kind");
    http_set_state(req, xcalloc(1, sizeof(uint64_t)), release_upload);
    return STATUS_OK;
}

static enum status upload_chunk(struct http_request *req, const uint8_t *bytes, size_t len)
{
    uint64_t *sum = http_state(req);
    atomic_fetch_add(&chunks, 1);
    atomic_fetch_add(&uploaded, len);
    if (!http_on_pool(req) || len == 0 || len > HTTP_CHUNK)
        abort();
    if (test_asks(req, "gate"))
        gate_pass();
    if (test_asks(req, "fail-chunk"))
        return http_fail(req, STATUS_UNPROCESSABLE, "no such stuff");
    for (size_t i = 0; i < len; i++)
        *sum = *sum * 31 + bytes[i];
    return STATUS_OK;
}

static enum status post_upload(struct http_request *req)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "%llu", *(unsigned long long *)http_state(req));
    return http_reply(req, 201, "text/plain", text, (size_t)n);
}

static const struct body_stream upload = {upload_begin, upload_chunk};

/* The download: byte i is (uint8_t)(i * 7); it fails at `fail_at`. */
struct source {
    uint64_t at, size, fail_at;
    bool gated;
};

static enum status source_read(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct source *source = state;
    atomic_fetch_add(&read_calls, 1);
    if (source->gated && source->at > 0)
        gate_pass();
    uint64_t end = source->fail_at < source->size ? source->fail_at : source->size;
    if (source->at == source->fail_at)
        return STATUS_CORRUPT;
    *n = end - source->at < len ? (size_t)(end - source->at) : len;
    for (size_t i = 0; i < *n; i++)
        out[i] = (uint8_t)((source->at + i) * 7);
    source->at += *n;
    return STATUS_OK;
}

static void release_source(void *state)
{
    free(state);
    atomic_fetch_add(&released, 1);
}

static enum status get_download(struct http_request *req)
{
    int64_t size, fail_at, chunked, gated, claim;
    if (http_query_int(req, "size", 0, INT64_MAX, 0, &size) ||
        http_query_int(req, "claim", 0, INT64_MAX, size, &claim) ||
        http_query_int(req, "fail_at", 0, INT64_MAX, INT64_MAX, &fail_at) ||
        http_query_int(req, "chunked", 0, 1, 0, &chunked) ||
        http_query_int(req, "gated", 0, 1, 0, &gated))
        return STATUS_BAD_REQUEST;
    struct source *source = xcalloc(1, sizeof(*source));
    source->size = (uint64_t)size;
    source->fail_at = (uint64_t)fail_at;
    source->gated = gated;
    http_set_header(req, "Cache-Control", "private");
    return http_reply_stream(req, 200, "application/octet-stream",
                             chunked ? UINT64_MAX : (uint64_t)claim, source_read, source,
                             release_source);
}

static enum status authenticate(struct http_request *req, struct principal *who)
{
    const char *token = http_header(req, "Authorization");
    atomic_fetch_add(&authenticated, 1);
    if (!token)
        return STATUS_OK;
    if (strcmp(token, "down") == 0)
        return http_fail(req, STATUS_UNAVAILABLE, "the session store is down");
    if (strncmp(token, "pool-", 5) == 0 && !http_on_pool(req))
        return STATUS_NEEDS_POOL;
    if (strncmp(token, "pool-", 5) == 0)
        token += 5;
    if (strcmp(token, "user") != 0 && strcmp(token, "admin") != 0)
        return STATUS_UNAUTHENTICATED;
    snprintf(who->id, sizeof(who->id), "%s", token);
    who->roles = strcmp(token, "admin") == 0 ? ADMIN : USER;
    return STATUS_OK;
}

static const struct route routes[] = {
    {GET, "/inline", ANYONE, NULL, INLINE, get_inline, NULL},
    {POST, "/inline", USER, NULL, INLINE, post_echo, NULL},
    {GET, "/where", ANYONE, NULL, BLOCKING, get_where, NULL},
    {GET, "/either", ANYONE, NULL, INLINE_OR_POOL, get_either, NULL},
    {GET, "/gate", ANYONE, NULL, BLOCKING, get_gate, NULL},
    {GET, "/hop", ANYONE, NULL, BLOCKING, get_hop, NULL},
    {POST, "/echo", ANYONE, NULL, BLOCKING, post_echo, NULL},
    {POST, "/json", ANYONE, NULL, INLINE, post_json, NULL},
    {GET, "/items/{item}", ANYONE, item_visible, INLINE_OR_POOL, get_item, NULL},
    {GET, "/fail", ANYONE, NULL, INLINE, get_fail, NULL},
    {GET, "/mute", ANYONE, NULL, BLOCKING, get_mute, NULL},
    {GET, "/broken", ANYONE, NULL, INLINE, get_broken, NULL},
    {GET, "/who", ANY_ROLE, NULL, INLINE, get_who, NULL},
    {GET, "/admin", ADMIN, NULL, INLINE, get_who, NULL},
    {DELETE, "/admin", ADMIN, NULL, INLINE, get_nothing, NULL},
    {GET, "/peer", ANYONE, NULL, INLINE, get_peer, NULL},
    {GET, "/page", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/nothing", ANYONE, NULL, INLINE, get_nothing, NULL},
    {POST, "/upload", USER, NULL, BLOCKING, post_upload, &upload},
    {GET, "/download", ANYONE, NULL, BLOCKING, get_download, NULL},
};

static void start_server(void)
{
    struct strbuf why = STRBUF_INIT;
    const struct http_options options = {
        .listen = "127.0.0.1:0",
        .routes = routes,
        .route_count = sizeof(routes) / sizeof(routes[0]),
        .authenticate = authenticate,
        .workers = workers,
        .body_max = 100 * 1024,
        .stream_max = 8 << 20,
        .timeout_s = 5,
        .cors_origin = "https://app.example",
        .trusted_proxies = "127.0.0.1, 10.0.0.0/8",
    };
    if (http_start(&options, &server, &why))
        fail_msg("%s", strbuf_cstr(&why));
}

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    gate_set(true);
    workers = workers_new("test", THREADS, QUEUE);
    other_pool = workers_new("other", 1, 1);
    start_server();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gate_set(true);
    if (server)
        http_stop(server, 1000);
    server = NULL;
    workers_free(workers);
    workers_free(other_pool);
    return 0;
}

/* --- the client ----------------------------------------------------------------------------- */

static int dial_port(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {WAIT_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static int dial(void)
{
    return dial_port(http_port(server));
}

static bool put(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void say(int fd, const char *text)
{
    assert_true(put(fd, text, strlen(text)));
}

enum ending { WHOLE, CLOSED, CUT };

struct reply {
    int code;
    struct strbuf head, body;
    enum ending ending; /* WHOLE: by its framing; CUT: before that; CLOSED: nothing came */
};

static void reply_release(struct reply *r)
{
    strbuf_release(&r->head);
    strbuf_release(&r->body);
    *r = (struct reply){0};
}

/* One byte at a time would be slow: peek for the end, then take. */
static bool get_until(int fd, const char *mark, struct strbuf *out)
{
    size_t mark_len = strlen(mark);
    for (;;) {
        char c;
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        strbuf_addch(out, c);
        if (out->len >= mark_len && memcmp(out->bytes + out->len - mark_len, mark, mark_len) == 0)
            return true;
    }
}

static bool get_exactly(int fd, struct strbuf *out, size_t len)
{
    strbuf_reserve(out, len);
    while (len > 0) {
        char buf[16384];
        ssize_t n = recv(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);
        if (n <= 0)
            return false;
        strbuf_add(out, buf, (size_t)n);
        len -= (size_t)n;
    }
    return true;
}

static const char *field(const struct reply *r, const char *name)
{
    static char value[512];
    struct strbuf wanted = STRBUF_INIT;
    strbuf_addf(&wanted, "\r\n%s: ", name);
    const char *at = strcasestr(strbuf_cstr(&r->head), wanted.bytes);
    if (at) {
        at += wanted.len;
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    }
    strbuf_release(&wanted);
    return at ? value : NULL;
}

static bool get_chunks(int fd, struct strbuf *out)
{
    for (;;) {
        struct strbuf line = STRBUF_INIT;
        bool good = get_until(fd, "\r\n", &line);
        size_t size = good ? strtoul(line.bytes, NULL, 16) : 0;
        strbuf_release(&line);
        if (!good)
            return false;
        if (!get_exactly(fd, out, size))
            return false;
        good = get_until(fd, "\r\n", &line);
        strbuf_release(&line);
        if (!good || size == 0)
            return good;
    }
}

static struct reply hear(int fd, bool head_request)
{
    struct reply r = {0};
    r.ending = CLOSED;
    if (!get_until(fd, "\r\n\r\n", &r.head)) {
        if (r.head.len)
            r.ending = CUT;
        return r;
    }
    sscanf(r.head.bytes, "HTTP/1.1 %d", &r.code);
    const char *length = field(&r, "Content-Length");
    bool whole = true;
    if (head_request || r.code == 204 || r.code == 304 || r.code == 100)
        whole = true;
    else if (length)
        whole = get_exactly(fd, &r.body, strtoul(length, NULL, 10));
    else if (field(&r, "Transfer-Encoding"))
        whole = get_chunks(fd, &r.body);
    else
        whole = get_exactly(fd, &r.body, SIZE_MAX / 2) || errno == 0;
    r.ending = whole ? WHOLE : CUT;
    return r;
}

/* Does the other side close? Bytes before that are passed over: libmicrohttpd 0.9.75 sends its own
 * reply to a broken Content-Length twice. */
static bool is_closed(int fd)
{
    char rest[1024];
    ssize_t n;
    while ((n = recv(fd, rest, sizeof(rest), 0)) > 0)
        ;
    return n == 0 || errno == ECONNRESET || errno == EPIPE;
}

static struct reply ask_on(int fd, const char *text)
{
    say(fd, text);
    return hear(fd, strncmp(text, "HEAD ", 5) == 0);
}

static struct reply ask(const char *text)
{
    int fd = dial();
    struct reply r = ask_on(fd, text);
    close(fd);
    return r;
}

/* "GET /x" -> the whole request, with `headers` behind Host. */
static struct reply ask_for(const char *line, const char *headers)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", line, headers);
    struct reply r = ask(text.bytes);
    strbuf_release(&text);
    return r;
}

static void expect(const char *line, const char *headers, int code, const char *body)
{
    struct reply r = ask_for(line, headers);
    if (r.code != code || r.ending != WHOLE || (body && strcmp(strbuf_cstr(&r.body), body) != 0))
        fail_msg("%s %s: %d (ending %d) %s", line, headers, r.code, (int)r.ending,
                 strbuf_cstr(&r.body));
    reply_release(&r);
}

/* --- plain requests ------------------------------------------------------------------------- */

static void answers_where_told(void **state)
{
    (void)state;
    expect("GET /inline", "", 200, "inline");
    expect("GET /where", "", 200, "pool");
    expect("GET /either", "", 200, "pool");
    expect("GET /either?cached=1", "", 200, "event");
    expect("GET /hop", "", 200, "pool");
    expect("GET /nothing", "", 204, "");
    expect("GET /items/a%20b", "", 200, "a b");
    expect("GET /items/hidden", "", 404, NULL);
    expect("GET /items/slow", "", 200, "slow");
    expect("GET /healthz", "", 200, "{\"status\":\"alive\"}");
}

static void first_attempt_leaves_nothing(void **state)
{
    (void)state;
    struct reply r = ask_for("GET /either", "");
    assert_int_equal(r.code, 200);
    assert_null(field(&r, "X-Attempt"));
    reply_release(&r);
}

static void replies_carry_the_common_headers(void **state)
{
    (void)state;
    struct reply r = ask_for("GET /inline", "X-Request-Id: abc-1\r\n");
    assert_string_equal(field(&r, "X-Request-Id"), "abc-1");
    assert_string_equal(field(&r, "X-Content-Type-Options"), "nosniff");
    assert_string_equal(field(&r, "Cache-Control"), "no-store");
    assert_string_equal(field(&r, "Content-Type"), "text/plain");
    assert_null(field(&r, "Connection"));
    reply_release(&r);
    r = ask_for("GET /inline", "X-Request-Id: \"><script>\r\n");
    assert_null(strchr(field(&r, "X-Request-Id"), '<'));
    reply_release(&r);
    r = ask_for("GET /download?size=3", "");
    assert_string_equal(field(&r, "Cache-Control"), "private");
    reply_release(&r);
}

static void failures_are_problems(void **state)
{
    (void)state;
    struct reply r = ask_for("GET /fail", "X-Request-Id: rid7\r\n");
    assert_int_equal(r.code, 409);
    assert_string_equal(field(&r, "Content-Type"), "application/problem+json");
    assert_string_equal(field(&r, "X-Kept"), "yes");
    assert_null(field(&r, "X-Forged"));
    assert_null(field(&r, "Set-Cookie"));
    json_t *problem;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(json_parse(r.body.bytes, r.body.len, &problem, &why), STATUS_OK);
    assert_string_equal(json_string_value(json_object_get(problem, "type")), "/problems/conflict");
    assert_string_equal(json_string_value(json_object_get(problem, "detail")),
                        "the order is taken");
    assert_string_equal(json_string_value(json_object_get(problem, "request_id")), "rid7");
    assert_string_equal(json_string_value(json_object_get(problem, "state")), "say \"no\"");
    json_decref(problem);
    reply_release(&r);
}

/* What went wrong inside stays inside. */
static void inner_failures_say_little(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /mute", "GET /broken"};
    for (size_t i = 0; i < 2; i++) {
        struct reply r = ask_for(lines[i], "");
        assert_int_equal(r.code, 500);
        assert_non_null(strstr(r.body.bytes, "/problems/internal"));
        assert_null(strstr(r.body.bytes, "secret"));
        assert_null(strstr(r.body.bytes, "half"));
        reply_release(&r);
    }
}

static void queries_are_checked(void **state)
{
    (void)state;
    expect("GET /page", "", 200, "20");
    expect("GET /page?limit=100", "", 200, "100");
    static const char *const bad[] = {
        "limit=0",
        "limit=101",
        "limit=",
        "limit=1x",
        "limit=%201",
        "limit=+1",
        "limit=0x1",
        "limit=1.0",
        "limit=-",
        "limit=1%00",
        "limit=--1",
        "limit=1&limit=1",
        "other=1",
        "limit=%",
        "limit=1&l%69mit=1",
        "limit=99999999999999999999",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "GET /page?%s", bad[i]);
        expect(line, "", 400, NULL);
    }
}

/* --- paths ---------------------------------------------------------------------------------- */

static void raw_targets_reach_the_router(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "/items/a%2fb",  "/items/a%2Fb",    "/items/a%00",
        "/items/%2e%2e", "//inline",        "/inline/",
        "/x/../inline",  "http://x/inline", "*",
        "/items/%c3%a9", "/items/%41",      "/items/a\\b",
        "/items/%C0%AF", "/./inline",       "/inline#x",
        "/inline%00",    "inline",          "/inline?a=\xC3\xA9",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "GET %s", bad[i]);
        expect(line, "", 400, NULL);
    }
    expect("GET /items/%C3%A9", "", 200, "\xC3\xA9");
    expect("GET /items/a+b;c", "", 200, "a+b;c");
    expect("GET /Inline", "", 404, NULL);
}

static void methods_follow_the_table(void **state)
{
    (void)state;
    struct reply r = ask_for("DELETE /inline", "");
    assert_int_equal(r.code, 405);
    assert_string_equal(field(&r, "Allow"), "GET, HEAD, POST, OPTIONS");
    reply_release(&r);
    expect("get /inline", "", 405, NULL);
    expect("TRACE /inline", "", 405, NULL);
    expect("BREW /pot", "", 404, NULL);
}

static void head_is_get_without_the_body(void **state)
{
    (void)state;
    int fd = dial();
    struct reply r = ask_on(fd, "HEAD /inline HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 200);
    assert_string_equal(field(&r, "Content-Length"), "6");
    reply_release(&r);
    r = ask_on(fd, "HEAD /download?size=1000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 200);
    assert_string_equal(field(&r, "Content-Length"), "1000000");
    reply_release(&r);
    r = ask_on(fd, "HEAD /admin HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 401);
    reply_release(&r);
    r = ask_on(fd, "HEAD /fail HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 409);
    reply_release(&r);
    r = ask_on(fd, "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_string_equal(r.body.bytes, "inline"); /* nothing stray stood before it */
    reply_release(&r);
    close(fd);
}

/* --- who ------------------------------------------------------------------------------------ */

static void roles_are_checked(void **state)
{
    (void)state;
    expect("GET /who", "", 401, NULL);
    expect("GET /who", "Authorization: nonsense\r\n", 401, NULL);
    expect("GET /who", "Authorization: user\r\n", 200, "user");
    expect("GET /who", "Authorization: pool-user\r\n", 200, "user");
    expect("GET /who", "Authorization: pool-nonsense\r\n", 401, NULL);
    expect("GET /who", "Authorization: down\r\n", 503, NULL);
    expect("GET /admin", "Authorization: user\r\n", 403, NULL);
    expect("GET /admin", "Authorization: pool-user\r\n", 403, NULL);
    expect("GET /admin", "Authorization: admin\r\n", 200, "admin");
    expect("GET /admin", "Authorization: user\r\nAuthorization: admin\r\n", 400, NULL);
    struct reply r = ask_for("GET /who", "");
    assert_string_equal(field(&r, "WWW-Authenticate"), "Bearer");
    reply_release(&r);
    r = ask_for("GET /who", "Authorization: down\r\n");
    assert_string_equal(field(&r, "Retry-After"), "1");
    reply_release(&r);
}

/* Public pages must not depend on the store of sessions. */
static void public_routes_ask_nobody(void **state)
{
    (void)state;
    int before = atomic_load(&authenticated);
    expect("GET /inline", "Authorization: down\r\n", 200, "inline");
    expect("GET /healthz", "Authorization: down\r\n", 200, NULL);
    assert_int_equal(atomic_load(&authenticated), before);
    expect("GET /who", "Authorization: user\r\n", 200, "user");
    assert_int_equal(atomic_load(&authenticated), before + 1);
}

static void options_pass_the_same_checks(void **state)
{
    (void)state;
    expect("OPTIONS /admin", "", 401, NULL);
    expect("OPTIONS /admin", "Authorization: user\r\n", 403, NULL);
    expect("OPTIONS /items/hidden", "", 404, NULL);
    expect("OPTIONS /none", "", 404, NULL);
    struct reply r = ask_for("OPTIONS /admin", "Authorization: admin\r\n");
    assert_int_equal(r.code, 204);
    assert_string_equal(field(&r, "Allow"), "GET, HEAD, DELETE, OPTIONS");
    reply_release(&r);
    r = ask_for("OPTIONS /upload", "Authorization: user\r\n");
    assert_int_equal(r.code, 204);
    assert_string_equal(field(&r, "Allow"), "POST, OPTIONS");
    reply_release(&r);
}

static void preflights_need_the_configured_origin(void **state)
{
    (void)state;
    static const char method[] = "Access-Control-Request-Method: DELETE\r\n";
    char headers[256];
    snprintf(headers, sizeof(headers), "Origin: https://app.example\r\n%s", method);
    struct reply r = ask_for("OPTIONS /admin", headers);
    assert_int_equal(r.code, 204);
    assert_string_equal(field(&r, "Access-Control-Allow-Origin"), "https://app.example");
    assert_string_equal(field(&r, "Access-Control-Allow-Methods"), "GET, HEAD, DELETE, OPTIONS");
    reply_release(&r);
    snprintf(headers, sizeof(headers), "Origin: https://app.example.evil\r\n%s", method);
    r = ask_for("OPTIONS /admin", headers);
    assert_int_equal(r.code, 401);
    assert_null(field(&r, "Access-Control-Allow-Origin"));
    reply_release(&r);
    expect("OPTIONS /admin", "Origin: https://app.example\r\n", 401, NULL);
    r = ask_for("GET /inline", "Origin: https://app.example\r\n");
    assert_string_equal(field(&r, "Access-Control-Allow-Origin"), "https://app.example");
    assert_string_equal(field(&r, "Vary"), "Origin");
    reply_release(&r);
}

static void proxies_are_believed_when_trusted(void **state)
{
    (void)state;
    expect("GET /peer", "", 200, "127.0.0.1 plain");
    expect("GET /peer", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", 200,
           "192.0.2.1 tls");
    expect("GET /peer", "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.1.2.3\r\n", 200,
           "192.0.2.1 plain");
    expect("GET /peer", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", 200,
           "192.0.2.1 plain");
    expect("GET /peer", "X-Forwarded-For: 2001:db8::1\r\n", 200, "2001:db8::1 plain");
    expect("GET /peer", "X-Forwarded-For: 192.0.2.1, rubbish\r\n", 200, "127.0.0.1 plain");
    expect("GET /peer", "X-Forwarded-For:\r\n", 200, "127.0.0.1 plain");
}

/* --- framing -------------------------------------------------------------------------------- */

static void bodies_arrive(void **state)
{
    (void)state;
    expect("POST /echo", "Content-Length: 0\r\n", 201, "");
    expect("POST /echo", "", 201, "");
    struct reply r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_string_equal(r.body.bytes, "hello");
    reply_release(&r);
    r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n");
    assert_int_equal(r.code, 201);
    assert_string_equal(r.body.bytes, "hello");
    reply_release(&r);
}

static void doubtful_framing_closes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n",
        "Host: x\r\nContent-Length: 1, 1\r\n",
        "Host: x\r\nContent-Length: +1\r\n",
        "Host: x\r\nContent-Length: -1\r\n",
        "Host: x\r\nContent-Length: 0x1\r\n",
        "Host: x\r\nContent-Length:\r\n",
        "Host: x\r\nContent-Length : 1\r\n",
        "Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Host: x\r\nTransfer-Encoding: gzip\r\n",
        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Host: x\r\nTransfer-Encoding: xchunked\r\n",
        "Host: x\r\nHost: y\r\n",
        "",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];
        int fd = dial();
        snprintf(text, sizeof(text), "POST /echo HTTP/1.1\r\n%s\r\n", bad[i]);
        struct reply r = ask_on(fd, text);
        if (r.code != 400 || !is_closed(fd))
            fail_msg("%s: %d", bad[i], r.code);
        reply_release(&r);
        close(fd);
    }
}

static void json_bodies_are_strict(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
        int code;
    } cases[] = {
        {"application/json", "{\"a\":1}", 200},
        {"Application/JSON; charset=utf-8", "{}", 200},
        {"text/plain", "{}", 415},
        {"application/jsonp", "{}", 415},
        {"application/json", "[]", 422},
        {"application/json", "{\"a\":1,\"a\":2}", 400},
        {"application/json", "{\"a\":1} x", 400},
        {"application/json", "", 400},
        {"application/json", "{", 400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(
            text, sizeof(text),
            "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
            cases[i].type, strlen(cases[i].body), cases[i].body);
        struct reply r = ask(text);
        if (r.code != cases[i].code)
            fail_msg("%s %s: %d", cases[i].type, cases[i].body, r.code);
        reply_release(&r);
    }
    expect("POST /json", "", 415, NULL);
}

static void one_connection_serves_many(void **state)
{
    (void)state;
    int fd = dial();
    say(fd,
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
        "GET /where HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
        "GET /inline HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    static const char *const bodies[] = {"one", "pool", NULL, "two", "inline"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct reply r = hear(fd, false);
        assert_int_equal(r.ending, WHOLE);
        if (bodies[i])
            assert_string_equal(r.body.bytes, bodies[i]);
        else
            assert_int_equal(r.code, 404);
        reply_release(&r);
    }
    assert_true(is_closed(fd));
    close(fd);
}

static void slow_bytes_make_a_request(void **state)
{
    (void)state;
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n";
    int fd = dial();
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        assert_true(put(fd, text + i, 1));
    struct reply r = hear(fd, false);
    assert_string_equal(strbuf_cstr(&r.body), "hello");
    reply_release(&r);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_where_told),
        cmocka_unit_test(first_attempt_leaves_nothing),
        cmocka_unit_test(replies_carry_the_common_headers),
        cmocka_unit_test(failures_are_problems),
        cmocka_unit_test(inner_failures_say_little),
        cmocka_unit_test(queries_are_checked),
        cmocka_unit_test(raw_targets_reach_the_router),
        cmocka_unit_test(methods_follow_the_table),
        cmocka_unit_test(head_is_get_without_the_body),
        cmocka_unit_test(roles_are_checked),
        cmocka_unit_test(public_routes_ask_nobody),
        cmocka_unit_test(options_pass_the_same_checks),
        cmocka_unit_test(preflights_need_the_configured_origin),
        cmocka_unit_test(proxies_are_believed_when_trusted),
        cmocka_unit_test(bodies_arrive),
        cmocka_unit_test(doubtful_framing_closes),
        cmocka_unit_test(json_bodies_are_strict),
        cmocka_unit_test(one_connection_serves_many),
        cmocka_unit_test(slow_bytes_make_a_request),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

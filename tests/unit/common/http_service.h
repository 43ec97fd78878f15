/* The service that the tests of http speak to: a route for each thing that can happen, and a gate
 * that keeps a worker busy as long as a test wants. */
#pragma once
#include "clock.h"
#include "http.h"
#include "http_client.h"
#include "log.h"
#include "metrics.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 2, QUEUE = 2, USER = 1, ADMIN = 2 };

static struct workers *workers;
static struct http *server;

/* --- a gate that handlers wait at ----------------------------------------------------------- */

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static int gate_waiting;

static inline void gate_pass(void)
{
    pthread_mutex_lock(&gate_lock);
    gate_waiting++;
    pthread_cond_broadcast(&gate_changed);
    while (!gate_open)
        pthread_cond_wait(&gate_changed, &gate_lock);
    gate_waiting--;
    pthread_mutex_unlock(&gate_lock);
}

static inline void gate_set(bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate_open = open;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate_lock);
}

static inline bool gate_wait_for(int n)
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

static atomic_int begun, chunks, released, read_calls, attempts, authenticated;
static atomic_size_t uploaded;

static inline enum status get_inline(struct http_request *req)
{
    return http_reply_static(req, 200, "text/plain", "inline", 6);
}

static inline enum status get_where(struct http_request *req)
{
    return http_reply(req, 200, "text/plain", http_on_pool(req) ? "pool" : "event",
                      http_on_pool(req) ? 4 : 5);
}

static inline enum status get_either(struct http_request *req)
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

static inline enum status get_gate(struct http_request *req)
{
    gate_pass();
    return get_where(req);
}

static inline enum status post_echo(struct http_request *req)
{
    size_t len;
    const uint8_t *body = http_body(req, &len);
    return http_reply(req, 201, "application/octet-stream", body, len);
}

static inline enum status post_json(struct http_request *req)
{
    json_t *root;
    enum status s = http_body_json(req, &root);
    return s ? s : http_reply_json(req, 200, json_deep_copy(root));
}

static inline enum status item_visible(struct http_request *req)
{
    if (strcmp(http_param(req, "item"), "hidden") == 0)
        return STATUS_NOT_FOUND;
    return strcmp(http_param(req, "item"), "slow") == 0 && !http_on_pool(req) ? STATUS_NEEDS_POOL
                                                                              : STATUS_OK;
}

static inline enum status get_item(struct http_request *req)
{
    const char *item = http_param(req, "item");
    return http_reply(req, 200, "text/plain", item, strlen(item));
}

static inline enum status get_fail(struct http_request *req)
{
    http_set_header(req, "X-Kept", "yes");
    http_set_header(req, "X-Forged", "a\r\nSet-Cookie: b");
    http_fail_member(req, "state", "say \"no\"");
    return http_fail(req, STATUS_CONFLICT, "the order is %s", "taken");
}

static inline enum status get_mute(struct http_request *req)
{
    (void)req;
    return STATUS_OK;
}

static inline enum status get_broken(struct http_request *req)
{
    http_reply(req, 200, "text/plain", "half", 4);
    return http_fail(req, STATUS_CONTENDED, "inner secret");
}

static inline enum status get_who(struct http_request *req)
{
    const struct principal *who = http_principal(req);
    return http_reply(req, 200, "text/plain", who->id, strlen(who->id));
}

static inline enum status get_peer(struct http_request *req)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "%s %s", http_client_ip(req),
                     http_is_tls(req) ? "tls" : "plain");
    return http_reply(req, 200, "text/plain", text, (size_t)n);
}

static inline enum status get_page(struct http_request *req)
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

static inline enum status get_nothing(struct http_request *req)
{
    return http_reply(req, 204, NULL, NULL, 0);
}

static inline enum status hop_end(struct http_request *req)
{
    return get_where(req);
}

static struct workers *other_pool;

static inline enum status get_hop(struct http_request *req)
{
    return http_continue(req, other_pool, hop_end);
}

/* The upload: "fail-begin", "fail-chunk" and "gate" in X-Test make it misbehave. */
static inline bool test_asks(const struct http_request *req, const char *what)
{
    const char *test = http_header(req, "X-Test");
    return test && strcmp(test, what) == 0;
}

/* Held, and gone on with by a thread of the other pool; "full" in X-Test: not taken. */
static inline void go_on_held(void *req)
{
    http_go_on(req);
}

static inline enum status hold(void *ctx, struct http_request *req)
{
    (void)ctx;
    return test_asks(req, "full") ? STATUS_OVERLOADED : workers_submit(other_pool, go_on_held, req);
}

static inline enum status get_held(struct http_request *req)
{
    int *times = http_state(req);
    if (!times) {
        times = calloc(1, sizeof(*times));
        http_set_state(req, times, free);
    }
    return (*times)++ < 2 ? http_leave(req, hold, NULL) : get_where(req);
}

static inline void release_upload(void *state)
{
    free(state);
    atomic_fetch_add(&released, 1);
}

static inline enum status upload_begin(struct http_request *req)
{
    atomic_fetch_add(&begun, 1);
    if (test_asks(req, "fail-begin"))
        return http_fail(req, STATUS_UNSUPPORTED_MEDIA, "not of that kind");
    http_set_state(req, xcalloc(1, sizeof(uint64_t)), release_upload);
    return STATUS_OK;
}

static inline enum status upload_chunk(struct http_request *req, const uint8_t *bytes, size_t len)
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

static inline enum status post_upload(struct http_request *req)
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

static inline enum status source_read(void *state, uint8_t *out, size_t len, size_t *n)
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

/* What is there at once: every other piece, and never the end or a failure. */
static inline enum status source_attempt(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct source *source = state;
    if (atomic_fetch_add(&attempts, 1) % 2 || source->at >= source->size)
        return STATUS_NEEDS_POOL;
    return source_read(state, out, len / 2 + 1, n) ? STATUS_NEEDS_POOL : STATUS_OK;
}

static inline void release_source(void *state)
{
    free(state);
    atomic_fetch_add(&released, 1);
}

static inline enum status get_download(struct http_request *req)
{
    int64_t size, fail_at, chunked, gated, claim, attempt;
    if (http_query_int(req, "size", 0, INT64_MAX, 0, &size) ||
        http_query_int(req, "claim", 0, INT64_MAX, size, &claim) ||
        http_query_int(req, "fail_at", 0, INT64_MAX, INT64_MAX, &fail_at) ||
        http_query_int(req, "chunked", 0, 1, 0, &chunked) ||
        http_query_int(req, "attempt", 0, 1, 0, &attempt) ||
        http_query_int(req, "gated", 0, 1, 0, &gated))
        return STATUS_BAD_REQUEST;
    struct source *source = xcalloc(1, sizeof(*source));
    source->size = (uint64_t)size;
    source->fail_at = (uint64_t)fail_at;
    source->gated = gated;
    http_set_header(req, "Cache-Control", "private");
    uint64_t length = chunked ? UINT64_MAX : (uint64_t)claim;
    if (attempt)
        return http_reply_attempt(req, 200, "application/octet-stream", length, source_attempt,
                                  source_read, source, release_source);
    return http_reply_stream(req, 200, "application/octet-stream", length, source_read, source,
                             release_source);
}

static inline enum status authenticate(struct http_request *req, struct principal *who)
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
    {GET, "/held", ANYONE, NULL, INLINE_OR_POOL, get_held, NULL},
    {GET, "/held/pool", ANYONE, NULL, BLOCKING, get_held, NULL},
    {POST, "/echo", ANYONE, NULL, BLOCKING, post_echo, NULL},
    {POST, "/json", ANYONE, NULL, INLINE, post_json, NULL},
    {GET, "/items/{item}", ANYONE, item_visible, INLINE_OR_POOL, get_item, NULL},
    {GET, "/fail", ANYONE, NULL, INLINE, get_fail, NULL},
    {GET, "/mute", ANYONE, NULL, BLOCKING, get_mute, NULL},
    {GET, "/broken", ANYONE, NULL, INLINE, get_broken, NULL},
    {GET, "/who", ANY_ROLE, NULL, INLINE, get_who, NULL},
    {GET, "/mine", USER, NULL, INLINE_OR_POOL, get_where, NULL},
    {GET, "/admin", ADMIN, NULL, INLINE, get_who, NULL},
    {DELETE, "/admin", ADMIN, NULL, INLINE, get_nothing, NULL},
    {GET, "/peer", ANYONE, NULL, INLINE, get_peer, NULL},
    {GET, "/page", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/nothing", ANYONE, NULL, INLINE, get_nothing, NULL},
    {POST, "/upload", USER, NULL, BLOCKING, post_upload, &upload},
    {GET, "/download", ANYONE, NULL, BLOCKING, get_download, NULL},
};

static inline struct http *start(unsigned timeout_s)
{
    struct http *h;
    struct strbuf why = STRBUF_INIT;
    const struct http_options options = {
        .listen = "127.0.0.1:0",
        .routes = routes,
        .route_count = COUNT(routes),
        .authenticate = authenticate,
        .workers = workers,
        .body_max = 100 * 1024,
        .stream_max = 8 << 20,
        .timeout_s = timeout_s,
        .cors_origins = "https://viewer.example, https://app.example",
        .trusted_proxies = "127.0.0.1, 10.0.0.0/8",
    };
    if (http_start(&options, &h, &why))
        fail_msg("%s", strbuf_cstr(&why));
    return h;
}

static inline void start_server(void)
{
    server = start(5);
}

static inline int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    gate_set(true);
    workers = workers_new("test", THREADS, QUEUE);
    other_pool = workers_new("other", 1, 1);
    start_server();
    return 0;
}

static inline int tear_down(void **state)
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

/* --- what the tests do with it --------------------------------------------------------------- */

static inline int dial(void)
{
    return dial_port(http_port(server));
}

static inline struct reply ask(const char *text)
{
    int fd = dial();
    struct reply r = ask_on(fd, text);
    close(fd);
    return r;
}

/* "GET /x" -> the whole request, with `headers` behind Host. */
static inline struct reply ask_for(const char *line, const char *headers)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", line, headers);
    struct reply r = ask(text.bytes);
    strbuf_release(&text);
    return r;
}

static inline void expect(const char *line, const char *headers, int code, const char *body)
{
    struct reply r = ask_for(line, headers);
    if (r.code != code || r.ending != WHOLE || (body && strcmp(strbuf_cstr(&r.body), body) != 0))
        fail_msg("%s %s: %d (ending %d) %s", line, headers, r.code, (int)r.ending,
                 strbuf_cstr(&r.body));
    reply_release(&r);
}

/* No request is in flight, so that what the last test left is counted. */
static inline void settle(void)
{
    struct metric *in_flight = metric_gauge("http_requests_in_flight", "", "");
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        if (metric_value(in_flight) == 0)
            return;
        sched_yield();
    }
    fail_msg("requests never ended");
}

static inline bool reaches(atomic_int *count, int value)
{
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end; sched_yield())
        if (atomic_load(count) >= value)
            return true;
    return false;
}

static inline bool queue_reaches(size_t depth)
{
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end; sched_yield())
        if (workers_depth(workers) >= depth)
            return true;
    return false;
}

static inline uint8_t pattern_byte(uint64_t i)
{
    return (uint8_t)(i * 7);
}

static inline void fill_pattern(uint8_t *out, uint64_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = pattern_byte(from + i);
}

static inline void expect_sum(const struct reply *r, size_t size)
{
    uint64_t sum = 0;
    char text[32];
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + pattern_byte(i);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)sum);
    assert_int_equal(r->code, 201);
    assert_string_equal(strbuf_cstr(&r->body), text);
}

/* The head of an upload; `size` SIZE_MAX: chunked. */
static inline void begin_upload(int fd, size_t size, const char *headers)
{
    char text[512], length[64];
    snprintf(length, sizeof(length),
             size == SIZE_MAX ? "Transfer-Encoding: chunked" : "Content-Length: %zu", size);
    snprintf(text, sizeof(text),
             "POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: pool-user\r\n%s%s\r\n\r\n",
             headers, length);
    say(fd, text);
}

static inline bool put_pattern(int fd, uint64_t from, size_t len)
{
    uint8_t buf[16384];
    for (size_t n; len > 0; len -= n, from += n) {
        n = len < sizeof(buf) ? len : sizeof(buf);
        fill_pattern(buf, from, n);
        if (!put(fd, buf, n))
            return false;
    }
    return true;
}

static inline bool put_chunk(int fd, uint64_t from, size_t len)
{
    char head[32];
    int n = snprintf(head, sizeof(head), "%zx\r\n", len);
    return put(fd, head, (size_t)n) && put_pattern(fd, from, len) && put(fd, "\r\n", 2);
}

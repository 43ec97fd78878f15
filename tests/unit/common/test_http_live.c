/* Replies without an end in sight: who sleeps, who wakes whom, and how they end. */
#include "clock.h"
#include "http.h"
#include "http_client.h"
#include "log.h"
#include "metrics.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { LINE = 16, LAG_MAX = 100000 };

static struct workers *workers;
static struct http *server;

/* --- the service: everybody gets every line, numbered from 0 ---------------------------------- */

struct listener {
    struct http_live *live;
    int64_t next_line;
    struct listener *next, **back;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct listener *listeners;
static int64_t published;
static bool over;
static atomic_int listening, reads;

static enum status read_lines(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct listener *l = state;
    enum status st = STATUS_OK;
    atomic_fetch_add(&reads, 1);
    pthread_mutex_lock(&lock);
    if (published - l->next_line > LAG_MAX)
        st = STATUS_OVERLOADED;
    while (!st && l->next_line < published && *n + LINE <= len) {
        char line[32];
        snprintf(line, sizeof(line), "line %010lld\n", (long long)l->next_line++);
        memcpy(out + *n, line, LINE);
        *n += LINE;
    }
    if (!st && *n == 0 && !over)
        st = STATUS_NEEDS_POOL;
    pthread_mutex_unlock(&lock);
    return st;
}

static void leave(void *state)
{
    struct listener *l = state;
    pthread_mutex_lock(&lock);
    *l->back = l->next;
    if (l->next)
        l->next->back = l->back;
    pthread_mutex_unlock(&lock);
    free(l);
    atomic_fetch_sub(&listening, 1);
}

static enum status get_lines(struct http_request *req)
{
    struct listener *l = xcalloc(1, sizeof(*l));
    pthread_mutex_lock(&lock);
    l->next_line = published;
    http_reply_live(req, "text/plain", read_lines, l, leave, &l->live);
    l->next = listeners;
    l->back = &listeners;
    if (l->next)
        l->next->back = &l->next;
    listeners = l;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&listening, 1);
    return STATUS_OK;
}

static void publish(int64_t lines)
{
    pthread_mutex_lock(&lock);
    published += lines;
    for (struct listener *l = listeners; l; l = l->next)
        http_live_wake(l->live);
    pthread_mutex_unlock(&lock);
}

static enum status get_where(struct http_request *req)
{
    return http_reply_static(req, 200, "text/plain", "pool", 4);
}

static const struct route routes[] = {
    {GET, "/lines", ANYONE, NULL, INLINE, get_lines, NULL},
    {GET, "/lines/pool", ANYONE, NULL, BLOCKING, get_lines, NULL},
    {GET, "/where", ANYONE, NULL, BLOCKING, get_where, NULL},
};

static int start(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_INIT;
    over = false;
    const struct http_options options = {.listen = "127.0.0.1:0",
                                         .routes = routes,
                                         .route_count = COUNT(routes),
                                         .workers = workers,
                                         .timeout_s = 2};
    return (int)http_start(&options, &server, &why);
}

static int stop(void **state)
{
    (void)state;
    pthread_mutex_lock(&lock);
    over = true;
    pthread_mutex_unlock(&lock);
    http_stop(server, WAIT_MS);
    assert_int_equal(atomic_load(&listening), 0);
    assert_null(listeners);
    return 0;
}

/* --- the clients ------------------------------------------------------------------------------ */

static bool falls_to(atomic_int *count, int value)
{
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end; sched_yield())
        if (atomic_load(count) == value)
            return true;
    return false;
}

/* Connected, and the head of the reply read. */
static int listen_to(const char *path)
{
    struct strbuf text = STRBUF_INIT, head = STRBUF_INIT;
    int fd = dial_port(http_port(server)), before = atomic_load(&listening);
    strbuf_addf(&text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    say(fd, text.bytes);
    assert_true(get_until(fd, "\r\n\r\n", &head));
    assert_non_null(strstr(head.bytes, "200 OK"));
    assert_non_null(strstr(head.bytes, "Transfer-Encoding: chunked"));
    assert_true(falls_to(&listening, before + 1));
    strbuf_release(&text);
    strbuf_release(&head);
    return fd;
}

/* The next `lines` lines are those from `first`; chunk boundaries fall anywhere between lines. */
static void expect_lines(int fd, int64_t first, int64_t lines)
{
    struct strbuf got = STRBUF_INIT;
    while (got.len < (size_t)lines * LINE) {
        struct strbuf size = STRBUF_INIT;
        assert_true(get_until(fd, "\r\n", &size));
        size_t n = strtoul(size.bytes, NULL, 16);
        strbuf_release(&size);
        assert_true(n > 0 && get_exactly(fd, &got, n));
        assert_true(get_until(fd, "\r\n", &size));
        strbuf_release(&size);
    }
    for (int64_t i = 0; i < lines; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %010lld\n", (long long)(first + i));
        assert_memory_equal(got.bytes + i * LINE, line, LINE);
    }
    assert_int_equal(got.len, lines * LINE);
    strbuf_release(&got);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void lines_come_as_they_are_published(void **state)
{
    (void)state;
    int a = listen_to("/lines"), b = listen_to("/lines/pool");
    int64_t first = published;
    for (int i = 0; i < 50; i++) {
        publish(1);
        expect_lines(a, first + i, 1);
        expect_lines(b, first + i, 1);
    }
    publish(5000); /* many pieces */
    expect_lines(a, first + 50, 5000);
    expect_lines(b, first + 50, 5000);
    close(a);
    close(b);
}

static void sleepers_hold_no_worker_and_cost_nothing(void **state)
{
    (void)state;
    int fd[20], before = atomic_load(&reads) + (int)COUNT(fd);
    for (size_t i = 0; i < COUNT(fd); i++)
        fd[i] = listen_to("/lines");
    assert_true(falls_to(&reads, before)); /* each found nothing, once */
    for (int i = 0; i < 200; i++) {
        int other = dial_port(http_port(server));
        struct reply r = ask_on(other, "GET /where HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(r.code, 200);
        reply_release(&r);
        close(other);
    }
    assert_int_equal(atomic_load(&reads), before); /* nobody looks again and again */
    for (size_t i = 0; i < COUNT(fd); i++)
        close(fd[i]);
}

static void a_client_that_left_is_noticed_at_the_next_bytes(void **state)
{
    (void)state;
    int fd[10];
    for (size_t i = 0; i < COUNT(fd); i++)
        fd[i] = listen_to("/lines");
    int stays = listen_to("/lines");
    for (size_t i = 0; i < COUNT(fd); i++)
        close(fd[i]);
    int64_t first = published, lines = 0;
    for (int64_t end = clock_mono_ms() + WAIT_MS; atomic_load(&listening) > 1; lines++) {
        assert_true(clock_mono_ms() < end);
        publish(1);
        expect_lines(stays, first + lines, 1);
    }
    close(stays);
}

static void a_slow_client_is_cut_off(void **state)
{
    (void)state;
    struct strbuf got = STRBUF_INIT;
    int slow = listen_to("/lines"), fast = listen_to("/lines");
    int64_t first = published;
    /* More than any socket buffers, and than the listener may lag. */
    for (int i = 0; i < 150; i++) {
        publish(10000);
        expect_lines(fast, first + i * 10000, 10000);
    }
    assert_false(get_chunks(slow, &got)); /* it ends, and not as a whole */
    assert_true(got.len < 1500000U * LINE);
    strbuf_release(&got);
    assert_true(falls_to(&listening, 1));
    close(slow);
    close(fast);
}

static void an_end_is_whole_and_the_connection_lives_on(void **state)
{
    (void)state;
    int fd = listen_to("/lines");
    struct strbuf rest = STRBUF_INIT;
    pthread_mutex_lock(&lock);
    over = true;
    pthread_mutex_unlock(&lock);
    publish(1);
    assert_true(get_chunks(fd, &rest));
    assert_int_equal(rest.len, LINE);
    struct reply r = ask_on(fd, "GET /where HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 200);
    reply_release(&r);
    r = ask_on(fd, "HEAD /lines HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 200);
    reply_release(&r);
    strbuf_release(&rest);
    close(fd);
}

/* Even when the service's read would go on for ever. */
static void stopping_wakes_everybody(void **state)
{
    int fd[8];
    for (size_t i = 0; i < COUNT(fd); i++)
        fd[i] = listen_to(i % 2 ? "/lines" : "/lines/pool");
    http_stop(server, 0);
    assert_int_equal(atomic_load(&listening), 0);
    for (size_t i = 0; i < COUNT(fd); i++) {
        assert_true(is_closed(fd[i]));
        close(fd[i]);
    }
    start(state);
}

static atomic_bool storm_over;

static void *publish_all_the_time(void *arg)
{
    (void)arg;
    while (!atomic_load(&storm_over)) {
        publish(1);
        sched_yield();
    }
    return NULL;
}

static void *come_and_go(void *arg)
{
    uint16_t port = *(uint16_t *)arg;
    while (!atomic_load(&storm_over)) {
        char some[512];
        int fd = dial_port(port);
        if (put(fd, "GET /lines HTTP/1.1\r\nHost: x\r\n\r\n", 30))
            (void)!recv(fd, some, sizeof(some), 0);
        close(fd);
    }
    return NULL;
}

static void wakes_from_every_side(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint16_t port = http_port(server);
    atomic_store(&storm_over, false);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_create(&threads[i], NULL, i < 2 ? publish_all_the_time : come_and_go, &port);
    int fd = listen_to("/lines");
    struct strbuf got = STRBUF_INIT;
    assert_true(get_exactly(fd, &got, 200000));
    atomic_store(&storm_over, true);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    strbuf_release(&got);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    workers = workers_new("test", 1, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    workers_free(workers);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_as_they_are_published, start, stop),
        cmocka_unit_test_setup_teardown(sleepers_hold_no_worker_and_cost_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_client_that_left_is_noticed_at_the_next_bytes, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_slow_client_is_cut_off, start, stop),
        cmocka_unit_test_setup_teardown(an_end_is_whole_and_the_connection_lives_on, start, stop),
        cmocka_unit_test_setup_teardown(stopping_wakes_everybody, start, stop),
        cmocka_unit_test_setup_teardown(wakes_from_every_side, start, stop),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

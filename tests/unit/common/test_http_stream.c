/* Bodies that stream in and out, and clients that do not keep up. */
#include "http_service.h"
#include <poll.h>

/* --- bodies that stream in ------------------------------------------------------------------ */

static void uploads_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, HTTP_CHUNK - 1, HTTP_CHUNK, HTTP_CHUNK + 1, 3 * HTTP_CHUNK + 7};
    int fd = dial();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        begin_upload(fd, sizes[i], "");
        assert_true(put_pattern(fd, 0, sizes[i]));
        struct reply r = hear(fd, false);
        expect_sum(&r, sizes[i]);
        reply_release(&r);
        begin_upload(fd, SIZE_MAX, "");
        for (size_t at = 0, n; at < sizes[i]; at += n) {
            n = at % 3 ? 70001 : 11;
            n = n < sizes[i] - at ? n : sizes[i] - at;
            assert_true(put_chunk(fd, at, n));
        }
        say(fd, "0\r\n\r\n");
        r = hear(fd, false);
        expect_sum(&r, sizes[i]);
        reply_release(&r);
    }
    close(fd);
}

static void uploads_wait_for_the_checks(void **state)
{
    (void)state;
    settle();
    int fd = dial(), before = atomic_load(&begun);
    struct reply r = ask_on(fd, "POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                                "Content-Length: 5\r\n\r\n");
    assert_int_equal(r.code, 401); /* and not 100 */
    assert_int_equal(atomic_load(&begun), before);
    reply_release(&r);
    close(fd);

    fd = dial();
    begin_upload(fd, 5, "Expect: 100-continue\r\n");
    r = hear(fd, false);
    assert_int_equal(r.code, 100);
    reply_release(&r);
    assert_true(put_pattern(fd, 0, 5));
    r = hear(fd, false);
    expect_sum(&r, 5);
    reply_release(&r);
    close(fd);

    fd = dial();
    begin_upload(fd, 5, "X-Test: fail-begin\r\nExpect: 100-continue\r\n");
    r = hear(fd, false);
    assert_int_equal(r.code, 415);
    reply_release(&r);
    close(fd);
}

/* Such a client gets the reply and no reset, though it never looked up from its sending. */
static void refused_uploads_still_get_the_reply(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        bool chunked;
        size_t size;
        int code;
    } cases[] = {
        {"X-Test: fail-begin\r\n", false, 1000, 415},
        {"X-Test: fail-begin\r\n", false, 65537, 415},
        {"X-Test: fail-begin\r\n", true, 50000, 415},
        {"X-Test: fail-chunk\r\n", false, 1000, 422},
        {"X-Test: fail-chunk\r\n", false, 310000, 422},
        {"X-Test: fail-chunk\r\n", true, 310000, 422},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int fd = dial();
        begin_upload(fd, cases[i].chunked ? SIZE_MAX : cases[i].size, cases[i].headers);
        if (cases[i].chunked)
            assert_true(put_chunk(fd, 0, cases[i].size));
        else
            assert_true(put_pattern(fd, 0, cases[i].size));
        struct reply r = hear(fd, false);
        if (r.code != cases[i].code || r.ending != WHOLE)
            fail_msg("%s %zu: %d", cases[i].headers, cases[i].size, r.code);
        assert_non_null(strstr(r.body.bytes, "request_id"));
        reply_release(&r);
        if (!cases[i].chunked && cases[i].size == 1000) {
            r = ask_on(fd, "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_int_equal(r.code, 200);
            reply_release(&r);
        } else {
            assert_true(is_closed(fd));
        }
        close(fd);
    }
}

/* A sender without end is cut off, whatever it was told. */
static void refused_uploads_do_not_go_on(void **state)
{
    (void)state;
    int fd = dial();
    begin_upload(fd, 7 << 20, "X-Test: fail-chunk\r\n");
    size_t sent = 0;
    while (sent < 7 << 20 && put_pattern(fd, sent, 65536))
        sent += 65536;
    assert_true(sent < 7 << 20);
    close(fd);
}

static void sizes_are_limited(void **state)
{
    (void)state;
    settle();
    int before = atomic_load(&begun);
    int fd = dial();
    begin_upload(fd, (8 << 20) + 1, "");
    struct reply r = hear(fd, false);
    assert_int_equal(r.code, 413);
    assert_int_equal(atomic_load(&begun), before);
    reply_release(&r);
    close(fd);

    fd = dial();
    begin_upload(fd, SIZE_MAX, "");
    for (size_t i = 0; i < 8; i++)
        assert_true(put_chunk(fd, i << 20, 1 << 20));
    say(fd, "1\r\nx\r\n");
    r = hear(fd, false);
    assert_int_equal(r.code, 413);
    assert_int_equal(r.ending, WHOLE);
    reply_release(&r);
    close(fd);

    expect("POST /echo", "Content-Length: 102401\r\n", 413, NULL);
    expect("POST /echo", "Content-Length: 99999999999999999999999\r\n", 413, NULL);
    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(put_chunk(fd, 0, 102401));
    r = hear(fd, false);
    assert_int_equal(r.code, 413);
    reply_release(&r);
    close(fd);

    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_true(put_chunk(fd, 0, 102400));
    say(fd, "0\r\n\r\n");
    r = hear(fd, false);
    assert_int_equal(r.code, 201);
    assert_int_equal(r.body.len, 102400);
    reply_release(&r);
    close(fd);
}

static void small_refused_bodies_cost_no_connection(void **state)
{
    (void)state;
    int fd = dial();
    struct reply r = ask_on(fd, "POST /inline HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
                                "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 401);
    reply_release(&r);
    r = hear(fd, false);
    assert_string_equal(r.body.bytes, "inline");
    reply_release(&r);
    close(fd);
}

/* Uploads between two chunks hold no worker; those under way are not turned away. */
static void waiting_uploads_hold_no_worker(void **state)
{
    (void)state;
    settle();
    enum { N = 12 };
    int fd[N], before = atomic_load(&chunks);
    for (int i = 0; i < N; i++) {
        fd[i] = dial();
        begin_upload(fd[i], HTTP_CHUNK * 2, "");
        assert_true(put_pattern(fd[i], 0, HTTP_CHUNK + 1));
        assert_true(reaches(&chunks, before + i + 1));
    }
    expect("GET /where", "", 200, "pool");
    gate_set(false);
    int held[THREADS + QUEUE];
    for (int i = 0; i < THREADS + QUEUE; i++) {
        held[i] = dial();
        say(held[i], "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < THREADS)
            assert_true(gate_wait_for(i + 1));
    }
    assert_true(queue_reaches(QUEUE));
    for (int i = 0; i < N; i++)
        assert_true(put_pattern(fd[i], HTTP_CHUNK + 1, HTTP_CHUNK - 1));
    assert_true(queue_reaches(QUEUE + N));
    expect("GET /where", "", 503, NULL);
    gate_set(true);
    for (int i = 0; i < N; i++) {
        struct reply r = hear(fd[i], false);
        expect_sum(&r, HTTP_CHUNK * 2);
        reply_release(&r);
        close(fd[i]);
    }
    for (int i = 0; i < THREADS + QUEUE; i++) {
        struct reply r = hear(held[i], false);
        assert_string_equal(r.body.bytes, "pool");
        reply_release(&r);
        close(held[i]);
    }
}

static void full_pool_says_so_at_once(void **state)
{
    (void)state;
    gate_set(false);
    int held[THREADS + QUEUE];
    for (int i = 0; i < THREADS + QUEUE; i++) {
        held[i] = dial();
        say(held[i], "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < THREADS)
            assert_true(gate_wait_for(i + 1));
    }
    assert_true(queue_reaches(QUEUE));
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        struct reply r = ask_on(fd, "GET /where HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(r.code, 503);
        assert_string_equal(field(&r, "Retry-After"), "1");
        assert_non_null(strstr(r.body.bytes, "/problems/overloaded"));
        reply_release(&r);
        r = ask_on(fd, "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_int_equal(r.code, 200);
        reply_release(&r);
        r = ask_on(fd, "GET /who HTTP/1.1\r\nHost: x\r\nAuthorization: pool-user\r\n\r\n");
        assert_int_equal(r.code, 503);
        reply_release(&r);
    }
    close(fd);
    gate_set(true);
    for (int i = 0; i < THREADS + QUEUE; i++) {
        struct reply r = hear(held[i], false);
        assert_int_equal(r.code, 200);
        reply_release(&r);
        close(held[i]);
    }
}

/* --- replies that stream out ---------------------------------------------------------------- */

static struct reply fetch(const char *query, const char *version)
{
    char text[256];
    snprintf(text, sizeof(text), "GET /download?%s HTTP/%s\r\nHost: x\r\n\r\n", query, version);
    return ask(text);
}

static void expect_pattern(const struct strbuf *body, size_t size)
{
    assert_int_equal(body->len, size);
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)body->bytes[i] != pattern_byte(i))
            fail_msg("byte %zu differs", i);
}

static void downloads_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, HTTP_CHUNK - 1, HTTP_CHUNK, HTTP_CHUNK + 1, 3 * HTTP_CHUNK + 7};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        static const char *const versions[] = {"1.1", "1.0"};
        for (size_t v = 0; v < 8; v++) {
            char query[64];
            snprintf(query, sizeof(query), "size=%zu&chunked=%zu&attempt=%zu", sizes[i], v / 2 % 2,
                     v / 4);
            struct reply r = fetch(query, versions[v % 2]);
            assert_int_equal(r.code, 200);
            assert_int_equal(r.ending, WHOLE);
            expect_pattern(&r.body, sizes[i]);
            reply_release(&r);
        }
    }
    assert_in_range(atomic_load(&attempts), 8, 1000); /* both ways were gone, in turns */
}

static void a_part_is_never_taken_for_the_whole(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "size=1000000&fail_at=600000",           "size=1000000&fail_at=524288",
        "size=1000000&fail_at=600000&chunked=1", "size=600000&claim=1000000",
        "size=1000000&fail_at=600000&attempt=1", "size=600000&claim=1000000&attempt=1",
    };
    static const char *const versions[] = {"1.1", "1.0"};
    for (size_t i = 0; i < 2 * COUNT(queries); i++) {
        struct reply r = fetch(queries[i / 2], versions[i % 2]);
        if (r.code != 200 || r.ending != CUT || r.body.len > 600000)
            fail_msg("%s: %d, ending %d after %zu", queries[i / 2], r.code, (int)r.ending,
                     r.body.len);
        reply_release(&r);
    }
}

static void a_failure_before_the_first_byte_is_a_problem(void **state)
{
    (void)state;
    settle();
    int before = atomic_load(&released);
    struct reply r = fetch("size=1000000&fail_at=0", "1.1");
    assert_int_equal(r.code, 500);
    assert_non_null(strstr(r.body.bytes, "/problems/corrupt"));
    assert_true(reaches(&released, before + 1));
    reply_release(&r);
}

/* Asks until the pool has room; the head of the reply is read, nothing of the body. */
static int open_download(void)
{
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        struct strbuf head = STRBUF_INIT;
        int fd = dial();
        say(fd, "GET /download?size=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(get_until(fd, "\r\n\r\n", &head));
        bool accepted = strncmp(head.bytes, "HTTP/1.1 200", 12) == 0;
        strbuf_release(&head);
        if (accepted)
            return fd;
        close(fd);
    }
    fail_msg("the pool never had room");
    return -1;
}

static void slow_readers_hold_no_worker(void **state)
{
    (void)state;
    settle();
    enum { N = 12 };
    int fd[N], before = atomic_load(&released);
    for (int i = 0; i < N; i++)
        fd[i] = open_download();
    struct reply r; /* 503 while the pool still fills the sockets' buffers */
    int64_t end = clock_mono_ms() + WAIT_MS;
    while ((r = ask_for("GET /where", "")).code == 503 && clock_mono_ms() < end)
        reply_release(&r);
    assert_int_equal(r.code, 200);
    reply_release(&r);
    for (int i = 0; i < N; i++)
        close(fd[i]);
    assert_true(reaches(&released, before + N));
}

/* --- clients that go away ------------------------------------------------------------------- */

static void leaving_clients_leave_nothing_behind(void **state)
{
    (void)state;
    settle();
    int before = atomic_load(&released);
    int fd = dial();
    begin_upload(fd, HTTP_CHUNK, "");
    assert_true(put_pattern(fd, 0, 1000));
    close(fd); /* in the middle of the body */
    assert_true(reaches(&released, before + 1));

    gate_set(false);
    fd = dial();
    begin_upload(fd, HTTP_CHUNK + 1, "X-Test: gate\r\n");
    assert_true(put_pattern(fd, 0, HTTP_CHUNK + 1));
    assert_true(gate_wait_for(1));
    close(fd); /* while a worker has the chunk */
    gate_set(true);
    assert_true(reaches(&released, before + 2));

    gate_set(false);
    fd = dial();
    say(fd, "GET /download?size=10000000&gated=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(gate_wait_for(1));
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd); /* while a worker reads the next piece */
    gate_set(true);
    assert_true(reaches(&released, before + 3));

    gate_set(false);
    fd = dial();
    say(fd, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(gate_wait_for(1));
    close(fd);
    gate_set(true);
    expect("GET /inline", "", 200, "inline");
}

/* One byte every 50 ms, well within the idle time, until the other side has had enough. */
static bool dribble_until_cut(int fd, const char *head)
{
    assert_true(put(fd, head, strlen(head)));
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 50) > 0 || !put(fd, "a", 1))
            return true;
    }
    return false;
}

static void dribblers_are_cut_off(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "GET /",
        "GET /inline HTTP/1.1\r\nHost: x\r\nX: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    };
    struct http *strict = start(1);
    for (size_t i = 0; i < COUNT(heads); i++) {
        int fd = dial_port(http_port(strict));
        if (!dribble_until_cut(fd, heads[i]))
            fail_msg("%s was never cut", heads[i]);
        assert_true(is_closed(fd));
        close(fd);
    }

    int body = dial_port(http_port(strict));
    assert_true(dribble_until_cut(body, "POST /echo HTTP/1.1\r\nHost: x\r\n"
                                        "Content-Length: 100000\r\n\r\n"));
    struct reply r = hear(body, false);
    assert_int_equal(r.code, 408);
    reply_release(&r);
    close(body);
    http_stop(strict, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_arrive_whole),
        cmocka_unit_test(uploads_wait_for_the_checks),
        cmocka_unit_test(refused_uploads_still_get_the_reply),
        cmocka_unit_test(refused_uploads_do_not_go_on),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(small_refused_bodies_cost_no_connection),
        cmocka_unit_test(waiting_uploads_hold_no_worker),
        cmocka_unit_test(full_pool_says_so_at_once),
        cmocka_unit_test(downloads_arrive_whole),
        cmocka_unit_test(a_part_is_never_taken_for_the_whole),
        cmocka_unit_test(a_failure_before_the_first_byte_is_a_problem),
        cmocka_unit_test(slow_readers_hold_no_worker),
        cmocka_unit_test(leaving_clients_leave_nothing_behind),
        cmocka_unit_test(dribblers_are_cut_off),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

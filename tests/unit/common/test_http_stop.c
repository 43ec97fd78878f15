/* Stopping: at rest, with requests in flight, under load. */
#include "http_service.h"

/* --- the end -------------------------------------------------------------------------------- */

static void *stop_server(void *grace_ms)
{
    http_stop(server, *(int *)grace_ms);
    return NULL;
}

static bool refuses_connections(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int rc = connect(fd, (struct sockaddr *)&to, sizeof(to));
        close(fd);
        if (rc != 0)
            return true;
    }
    return false;
}

static void stopping_finishes_what_is_in_flight(void **state)
{
    (void)state;
    int grace = WAIT_MS, busy = dial(), idle = dial(), upload_fd = dial();
    uint16_t port = http_port(server);
    pthread_t stopper;
    struct reply r = ask_on(idle, "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
    reply_release(&r);
    gate_set(false);
    say(busy, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(gate_wait_for(1));
    int before = atomic_load(&begun);
    begin_upload(upload_fd, 5, "");
    assert_true(reaches(&begun, before + 1));
    pthread_create(&stopper, NULL, stop_server, &grace);
    assert_true(refuses_connections(port));
    r = ask_on(idle, "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(r.code, 200);
    assert_string_equal(field(&r, "Connection"), "close");
    reply_release(&r);
    gate_set(true);
    r = hear(busy, false);
    assert_int_equal(r.code, 200);
    assert_string_equal(field(&r, "Connection"), "close");
    reply_release(&r);
    assert_true(put_pattern(upload_fd, 0, 5));
    r = hear(upload_fd, false);
    expect_sum(&r, 5);
    reply_release(&r);
    pthread_join(stopper, NULL);
    assert_true(is_closed(busy) && is_closed(idle) && is_closed(upload_fd));
    close(busy);
    close(idle);
    close(upload_fd);
    start_server();
}

/* No grace: what a worker runs is waited for, what waits in the queue does not run. */
static void stopping_ends_what_is_suspended(void **state)
{
    (void)state;
    settle();
    enum { HELD = THREADS + QUEUE };
    int grace = 0, fd[HELD], download = dial(), before = atomic_load(&released);
    pthread_t stopper;
    uint16_t port = http_port(server);
    gate_set(false);
    say(download, "GET /download?size=10000000&gated=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(gate_wait_for(1));
    for (int i = 0; i < HELD; i++) {
        fd[i] = dial();
        say(fd[i], "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(gate_wait_for(i + 2 < THREADS ? i + 2 : THREADS));
    }
    int lazy = dial();
    say(lazy, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    pthread_create(&stopper, NULL, stop_server, &grace);
    assert_true(refuses_connections(port));
    gate_set(true);
    pthread_join(stopper, NULL);
    assert_int_equal(atomic_load(&released), before + 1);
    for (int i = 0; i < HELD; i++) {
        assert_true(is_closed(fd[i]));
        close(fd[i]);
    }
    assert_true(is_closed(download) && is_closed(lazy));
    close(download);
    close(lazy);
    start_server();
}

/* Traffic of every kind while the server goes down, again and again. */
static atomic_bool storm_over;

static void *storm(void *arg)
{
    static const char *const requests[] = {
        "GET /inline HTTP/1.1\r\nHost: x\r\n\r\n",
        ("GET /where HTTP/1.1\r\nHost: x\r\n\r\nGET /hop HTTP/1.1\r\nHost: x\r\n\r\n"
         "GET /held HTTP/1.1\r\nHost: x\r\n\r\n"),
        "GET /download?size=700000 HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        ("POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: pool-user\r\n"
         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), /* the last: never answered */
    };
    uint16_t port = *(uint16_t *)arg;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; !atomic_load(&storm_over); i++) {
        char buf[4096];
        size_t kind = i % COUNT(requests);
        const char *text = requests[kind];
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && put(fd, text, strlen(text)) &&
            kind + 1 < COUNT(requests) && i % 3)
            (void)!recv(fd, buf, sizeof(buf), 0);
        close(fd);
    }
    return NULL;
}

static void stopping_under_load_is_clean(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        pthread_t clients[3];
        uint16_t port = http_port(server);
        int before = atomic_load(&released);
        atomic_store(&storm_over, false);
        for (size_t i = 0; i < 3; i++)
            pthread_create(&clients[i], NULL, storm, &port);
        assert_true(reaches(&released, before + 20));
        http_stop(server, round % 2 ? 50 : 0);
        atomic_store(&storm_over, true);
        for (size_t i = 0; i < 3; i++)
            pthread_join(clients[i], NULL);
        start_server();
    }
    expect("GET /inline", "", 200, "inline");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopping_finishes_what_is_in_flight),
        cmocka_unit_test(stopping_ends_what_is_suspended),
        cmocka_unit_test(stopping_under_load_is_clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

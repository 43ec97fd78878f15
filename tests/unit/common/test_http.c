/* Requests over real sockets, byte by byte: where they run, who may, what is refused. */
#include "http_service.h"

/* --- plain requests ------------------------------------------------------------------------- */

static void answers_where_told(void **state)
{
    (void)state;
    expect("GET /inline", "", 200, "inline");
    expect("GET /where", "", 200, "pool");
    expect("GET /either", "", 200, "pool");
    expect("GET /either?cached=1", "", 200, "event");
    expect("GET /hop", "", 200, "pool");
    for (int i = 0; i < 2; i++) {
        const char *line = i ? "GET /held/pool" : "GET /held";
        expect(line, "", 200, "pool");
        expect(line, "X-Test: full\r\n", 503, NULL);
    }
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
    for (size_t i = 0; i < COUNT(bad); i++) {
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
    for (size_t i = 0; i < COUNT(bad); i++) {
        char line[128];
        snprintf(line, sizeof(line), "GET %s", bad[i]);
        expect(line, "", 400, NULL);
    }
    expect("GET /items/%C3%A9", "", 200, "\xC3\xA9");
    expect("GET /items/a+b;c", "", 200, "a+b;c");
    expect("GET /Inline", "", 404, NULL);
}

static void a_nul_in_the_target_is_refused(void **state)
{
    (void)state;
    static const char *const targets[] = {"/inline", "/inline?a", "/inline?a=b&c"};
    for (size_t i = 0; i < 3; i++) {
        int fd = dial();
        say(fd, "GET ");
        assert_true(put(fd, targets[i], strlen(targets[i]) + 1));
        say(fd, "/../x HTTP/1.1\r\nHost: x\r\n\r\n");
        struct reply r = hear(fd, false);
        assert_true(r.code == 400 || r.ending == CLOSED);
        assert_true(is_closed(fd));
        reply_release(&r);
        close(fd);
    }
    expect("GET /inline?a=b&c", "", 200, "inline");
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
    expect("GET /mine", "Authorization: user\r\n", 200, "event");
    expect("GET /mine", "Authorization: pool-user\r\n", 200, "pool"); /* and not back first */
    expect("POST /inline", "Authorization: pool-user\r\nContent-Length: 0\r\n", 201, "");
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
            "3\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n");
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
        "Host: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n",
        "Host: x\r\nContent-Length: 5\r\n 0\r\n",
        "Host: x\r\nX-Y: z\r\n Content-Length: 5\r\n",
        "",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
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
    for (size_t i = 0; i < COUNT(cases); i++) {
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
    for (size_t i = 0; i < COUNT(bodies); i++) {
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

/* --- what is told about it ------------------------------------------------------------------ */

static void bad_starts_say_why(void **state)
{
    (void)state;
    static const struct route open_row[] = {{GET, "/x", 0, NULL, INLINE, get_inline, NULL}};
    char taken[32];
    snprintf(taken, sizeof(taken), "127.0.0.1:%u", http_port(server));
    const struct {
        struct http_options options;
        const char *why;
    } cases[] = {
        {{.listen = taken}, "in use"},
        {{.listen = "localhost"}, "not like"},
        {{.listen = "127.0.0.1:99999"}, "not like"},
        {{.listen = "127.0.0.1:"}, "not like"},
        {{.listen = "[::1:80"}, "not like"},
        {{.listen = "127.0.0.1:0", .routes = open_row, .route_count = 1}, "no roles"},
        {{.listen = "127.0.0.1:0", .trusted_proxies = "10.0.0.0/33"}, "10.0.0.0"},
        {{.listen = "127.0.0.1:0", .trusted_proxies = "proxy"}, "proxy"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct strbuf why = STRBUF_INIT;
        struct http *h;
        assert_int_equal(http_start(&cases[i].options, &h, &why), STATUS_INTERNAL);
        if (!strstr(strbuf_cstr(&why), cases[i].why))
            fail_msg("%s", strbuf_cstr(&why));
        strbuf_release(&why);
    }
}

static void requests_are_counted(void **state)
{
    (void)state;
    expect("GET /items/one", "", 200, "one");
    expect("GET /items/two", "", 200, "two");
    for (int64_t end = clock_mono_ms() + WAIT_MS; clock_mono_ms() < end;) {
        struct reply r = ask_for("GET /metrics", "");
        assert_int_equal(r.code, 200);
        const char *text = strbuf_cstr(&r.body);
        bool there = strstr(text, "http_requests_total{method=\"GET\","
                                  "route=\"/items/{item}\",status=\"200\"}") &&
                     strstr(text, "\nhttp_requests_in_flight 1\n") && !strstr(text, "/items/one");
        reply_release(&r);
        if (there)
            return;
    }
    fail_msg("the counters never came");
}

/* Requests of one connection share their memory. */
static void a_request_has_nothing_of_the_one_before(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 2; i++) {
        struct reply r = ask_on(fd, "GET /fail HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_string_equal(field(&r, "X-Kept"), "yes");
        reply_release(&r);
        r = ask_on(fd, "GET /who HTTP/1.1\r\nHost: a\r\nAuthorization: user\r\n\r\n");
        assert_string_equal(strbuf_cstr(&r.body), "user");
        assert_null(field(&r, "X-Kept"));
        reply_release(&r);
        r = ask_on(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(r.code, 401);
        reply_release(&r);
        r = ask_on(fd, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(r.code, 204);
        assert_null(field(&r, "WWW-Authenticate"));
        assert_null(field(&r, "Content-Type"));
        reply_release(&r);
    }
    char far[600];
    snprintf(far, sizeof(far), "GET /items/%.*s?%0300d HTTP/1.1\r\nHost: a\r\n\r\n", 60,
             "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij", 0);
    for (int i = 0; i < 2; i++) {
        struct reply r = ask_on(fd, far);
        assert_int_equal(r.body.len, 60);
        reply_release(&r);
        r = ask_on(fd, "GET /items/short HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_string_equal(strbuf_cstr(&r.body), "short");
        reply_release(&r);
    }
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
        cmocka_unit_test(a_nul_in_the_target_is_refused),
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
        cmocka_unit_test(a_request_has_nothing_of_the_one_before),
        cmocka_unit_test(slow_bytes_make_a_request),
        cmocka_unit_test(bad_starts_say_why),
        cmocka_unit_test(requests_are_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#include "../unit.h"
#include "router.h"
#include <stdio.h>

static enum status handler(struct http_request *req)
{
    (void)req;
    return STATUS_OK;
}

#define ROW(method, pattern)                                                                       \
    {                                                                                              \
        method, pattern, ANYONE, NULL, INLINE, handler, NULL                                       \
    }

static const struct route routes[] = {
    ROW(GET, "/"),
    ROW(GET, "/orders"),
    ROW(POST, "/orders"),
    ROW(GET, "/orders/open"),
    ROW(GET, "/orders/{order}"),
    ROW(DELETE, "/orders/{id}"),
    ROW(POST, "/orders/{order}/accept"),
    ROW(PUT, "/public/{name}"),
    ROW(PATCH, "/protected"),
    ROW(GET, "/{a}/{b}/{c}/{d}"),
};

static struct router router;

static int set_up(void **state)
{
    struct strbuf why = STRBUF_INIT;
    (void)state;
    return router_init(&router, routes, COUNT(routes), &why) != STATUS_OK;
}

static enum status match(const char *method, const char *target, struct route_match *m)
{
    struct strbuf why = STRBUF_INIT;
    enum status s = router_match(&router, method, target, m, &why);
    if (!s != !why.len)
        fail_msg("%s: %d without a word", target, (int)s);
    strbuf_release(&why);
    return s;
}

static void expect_row(const char *method, const char *target, size_t row)
{
    struct route_match m;
    enum status s = match(method, target, &m);
    if (s || m.route != &routes[row])
        fail_msg("%s %s: %d, not row %zu", method, target, (int)s, row);
}

static void expect_status(const char *method, const char *target, enum status want)
{
    struct route_match m;
    enum status s = match(method, target, &m);
    if (s != want)
        fail_msg("%s %s: %d, not %d", method, target, (int)s, (int)want);
}

/* --- matching ------------------------------------------------------------------------------- */

static void finds_the_row(void **state)
{
    (void)state;
    expect_row("GET", "/", 0);
    expect_row("GET", "/?x=1", 0);
    expect_row("GET", "/orders", 1);
    expect_row("POST", "/orders", 2);
    expect_row("GET", "/orders/open", 3);
    expect_row("GET", "/orders/opens", 4);
    expect_row("GET", "/orders/ope", 4);
    expect_row("DELETE", "/orders/7", 5);
    expect_row("POST", "/orders/7/accept", 6);
    expect_row("GET", "/a/b/c/d", 9);
}

static void says_what_is_missing(void **state)
{
    (void)state;
    expect_status("GET", "/order", STATUS_NOT_FOUND);
    expect_status("GET", "/Orders", STATUS_NOT_FOUND);
    expect_status("GET", "/orders/7/accept/x/y", STATUS_NOT_FOUND);
    expect_status("GET", "/orders/7/accept", STATUS_METHOD_NOT_ALLOWED);
    expect_status("PUT", "/", STATUS_METHOD_NOT_ALLOWED);
    expect_status("TRACE", "/orders", STATUS_METHOD_NOT_ALLOWED);
    expect_status("get", "/orders", STATUS_METHOD_NOT_ALLOWED);
    expect_status("", "/orders", STATUS_METHOD_NOT_ALLOWED);
    expect_status("TRACE", "/none", STATUS_NOT_FOUND);
}

/* What a literal has is not borrowed from the parameter that it shadows. */
static void the_first_pattern_owns_its_path(void **state)
{
    (void)state;
    expect_status("DELETE", "/orders/open", STATUS_METHOD_NOT_ALLOWED);
    expect_row("DELETE", "/orders/opened", 5);
}

static void head_and_options_follow_get(void **state)
{
    (void)state;
    struct route_match m;
    assert_int_equal(match("HEAD", "/orders", &m), STATUS_OK);
    assert_true(m.head && m.route == &routes[1]);
    assert_int_equal(match("GET", "/orders", &m), STATUS_OK);
    assert_false(m.head);
    assert_int_equal(match("OPTIONS", "/orders/7", &m), STATUS_OK);
    assert_ptr_equal(m.route, &routes[4]);
    assert_int_equal(match("OPTIONS", "/orders/7/accept", &m), STATUS_OK);
    assert_ptr_equal(m.route, &routes[6]);
    expect_status("HEAD", "/orders/7/accept", STATUS_METHOD_NOT_ALLOWED);
    expect_status("OPTIONS", "/none", STATUS_NOT_FOUND);
}

static void expect_allow(const char *target, const char *want)
{
    struct route_match m;
    struct strbuf allow = STRBUF_INIT;
    assert_int_equal(match("TRACE", target, &m), STATUS_METHOD_NOT_ALLOWED);
    router_allow(m.allow, &allow);
    assert_string_equal(strbuf_cstr(&allow), want);
    strbuf_release(&allow);
}

static void allow_lists_the_paths_methods(void **state)
{
    (void)state;
    expect_allow("/orders", "GET, HEAD, POST, OPTIONS");
    expect_allow("/orders/7", "GET, HEAD, DELETE, OPTIONS");
    expect_allow("/orders/open", "GET, HEAD, OPTIONS");
    expect_allow("/orders/7/accept", "POST, OPTIONS");
    expect_allow("/protected", "PATCH, OPTIONS");
}

static void parameters_are_decoded(void **state)
{
    (void)state;
    struct route_match m;
    assert_int_equal(match("DELETE", "/orders/a%20%C3%A9%25b+c;d", &m), STATUS_OK);
    assert_string_equal(route_param(&m, "id"), "a \xC3\xA9%b+c;d");
    assert_null(route_param(&m, "order")); /* the name of another row */
    assert_null(route_param(&m, "i"));
    assert_null(route_param(&m, ""));
    assert_int_equal(match("GET", "/1/2/3/4?q", &m), STATUS_OK);
    assert_string_equal(route_param(&m, "a"), "1");
    assert_string_equal(route_param(&m, "d"), "4");
    assert_string_equal(m.query, "q");
    assert_int_equal(match("GET", "/1/2/3/4", &m), STATUS_OK);
    assert_string_equal(m.query, "");
}

/* --- paths that are refused ----------------------------------------------------------------- */

static void only_canonical_paths_pass(void **state)
{
    (void)state;
    static const char *const bad[] = {
        /* no path */
        "",
        "orders",
        "*",
        "http://host/orders",
        "?x",
        "x/orders",
        "%2Forders",
        /* empty segments */
        "//",
        "//orders",
        "/orders/",
        "/orders//open",
        "/orders/7//accept",
        "///",
        /* dots, plain and encoded */
        "/.",
        "/..",
        "/./orders",
        "/public/../protected",
        "/orders/..",
        "/orders/.",
        "/public/%2e%2e/protected",
        "/public/%2E%2E/protected",
        "/public/.%2E/protected",
        "/orders/%2E",
        "/%2e",
        /* slashes in disguise */
        "/orders/a%2fb",
        "/orders/a%2Fb",
        "/orders%2Fopen",
        "/orders/a%5Cb",
        "/orders/a\\b",
        "/orders/%255c\\",
        "/public/..%2Fprotected",
        /* control characters */
        "/orders/%00",
        "/orders/a%00b",
        "/orders%00",
        "/orders/%0A",
        "/orders/%0D%0A",
        "/orders/%1F",
        "/orders/%7F",
        "/orders/a\tb",
        "/orders/a b",
        "/orders/%C2%85",
        /* two spellings of one character */
        "/orders/%61",
        "/%6Frders",
        "/orders/%41",
        "/orders/%30",
        "/orders/%2D",
        "/orders/%7E",
        "/orders/%5F",
        "/orders/%c3%a9",
        "/orders/%C3%a9",
        "/orders/%e2%82%ac",
        /* broken encoding */
        "/orders/%",
        "/orders/%4",
        "/orders/%G1",
        "/orders/%1G",
        "/orders/%%20",
        "/orders/% 0",
        "/orders/%-1",
        "/orders/%u0041",
        /* not UTF-8 once decoded: overlong, surrogate, out of range, cut, lone */
        "/orders/%C0%AF",
        "/orders/%C0%80",
        "/orders/%E0%80%AF",
        "/orders/%F0%80%80%AF",
        "/orders/%ED%A0%80",
        "/orders/%F4%90%80%80",
        "/orders/%C3",
        "/orders/%80",
        "/orders/%FF",
        "/orders/%E2%82",
        "/orders/%C3/%A9",
        /* raw bytes that must be encoded */
        "/orders/\xC3\xA9",
        "/orders/\"",
        "/orders/<",
        "/orders/>",
        "/orders/^",
        "/orders/`",
        "/orders/{x}",
        "/orders/|",
        "/orders/[1]",
        "/orders#x",
        "/orders/#",
        /* queries */
        "/orders?a b",
        "/orders?a=\x01",
        "/orders?\xC3\xA9",
        "/orders?a#b",
        "/orders?\x7F",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_status("GET", bad[i], STATUS_BAD_REQUEST);
}

/* The control: next to each trick stands a harmless path of the same look. */
static void odd_but_canonical_paths_pass(void **state)
{
    (void)state;
    static const char *const good[] = {
        "/orders/...",       "/orders/..a",          "/orders/a..",      "/orders/.a",
        "/orders/%25",       "/orders/%252F",        "/orders/%252e",    "/orders/a;b=c",
        "/orders/a%3Bb",     "/orders/-._~",         "/orders/!$&'()*+", "/orders/,;=:@",
        "/orders/%E2%82%AC", "/orders/%F0%9F%98%80", "/orders/%20",      "/orders/a?//../%2f",
        "/orders/a??",       "/orders/%7B%7D",
    };
    for (size_t i = 0; i < COUNT(good); i++)
        expect_row("GET", good[i], 4);
}

static void lengths_are_limited(void **state)
{
    (void)state;
    char target[ROUTER_PATH_MAX + 64] = "/orders/";
    size_t head = strlen(target);
    struct route_match m;
    memset(target + head, 'a', ROUTER_PARAM_MAX);
    assert_int_equal(match("GET", target, &m), STATUS_OK);
    assert_int_equal(strlen(route_param(&m, "order")), ROUTER_PARAM_MAX);
    target[head + ROUTER_PARAM_MAX] = 'a';
    expect_status("GET", target, STATUS_BAD_REQUEST);

    memset(target + head, 'a', ROUTER_PATH_MAX - head);
    target[4] = '/'; /* /ord/rs/aaa: no such path, but a path */
    expect_status("GET", target, STATUS_NOT_FOUND);
    target[ROUTER_PATH_MAX] = 'a';
    expect_status("GET", target, STATUS_BAD_REQUEST);
    target[ROUTER_PATH_MAX] = '?'; /* the query does not count */
    target[ROUTER_PATH_MAX + 1] = 'q';
    expect_status("GET", target, STATUS_NOT_FOUND);
}

/* --- tables that do not start --------------------------------------------------------------- */

static void expect_refused(const struct route *table, size_t n, const char *reason)
{
    struct router r;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(router_init(&r, table, n, &why), STATUS_UNPROCESSABLE);
    if (!strstr(strbuf_cstr(&why), reason))
        fail_msg("\"%s\" and not \"%s\"", strbuf_cstr(&why), reason);
    strbuf_release(&why);
}

static void a_table_has_its_size(void **state)
{
    (void)state;
    static char patterns[ROUTER_ROUTES_MAX + 1][8];
    struct route table[ROUTER_ROUTES_MAX + 1];
    struct router r;
    struct strbuf why = STRBUF_INIT;
    for (size_t i = 0; i < COUNT(table); i++) {
        snprintf(patterns[i], sizeof(patterns[i]), "/r%zu", i);
        table[i] = (struct route){GET, patterns[i], ANYONE, NULL, INLINE, handler, NULL};
    }
    expect_refused(table, COUNT(table), "too many rows");
    assert_int_equal(router_init(&r, table, ROUTER_ROUTES_MAX, &why), STATUS_OK);
}

static void incomplete_rows_do_not_start(void **state)
{
    (void)state;
    static const struct {
        struct route row;
        const char *reason;
    } cases[] = {
        {{0, "/x", ANYONE, NULL, INLINE, handler, NULL}, "method"},
        {{HEAD, "/x", ANYONE, NULL, INLINE, handler, NULL}, "method"},
        {{OPTIONS, "/x", ANYONE, NULL, INLINE, handler, NULL}, "method"},
        {{GET, NULL, ANYONE, NULL, INLINE, handler, NULL}, "no path"},
        {{GET, "/x", 0, NULL, INLINE, handler, NULL}, "no roles"},
        {{GET, "/x", ANYONE, NULL, 0, handler, NULL}, "no place"},
        {{GET, "/x", ANYONE, NULL, INLINE, NULL, NULL}, "no handler"},
        {{POST, "/x", ANYONE, NULL, INLINE, handler, (const struct body_stream *)routes},
         "streamed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_refused(&cases[i].row, 1, cases[i].reason);
}

static void odd_patterns_do_not_start(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "x",     "//",      "/x/",    "/x//y", "/./x",      "/x/..",
        "/a b",  "/%41",  "/%C3%A9", "/x?y",   "/{",    "/{}",       "/{a",
        "/x{a}", "/{a}x", "/{a/b}",  "/{{a}}", "/a:b",  "/\xC3\xA9", "/*",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const struct route row = ROW(GET, bad[i]);
        expect_refused(&row, 1, "the pattern");
    }
    const struct route five = ROW(GET, "/{a}/{b}/{c}/{d}/{e}");
    expect_refused(&five, 1, "too many");
}

static void clashing_rows_do_not_start(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second, *reason;
    } cases[] = {
        {"/x", "/x", "same"},
        {"/x/{a}", "/x/{b}", "same"},
        {"/x/{a}", "/x/y", "shadows"},
        {"/{a}/x", "/y/{b}", "shadows"},
        {"/{a}/{b}", "/x/y", "shadows"},
        {"/{a}", "/x", "shadows"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct route table[] = {ROW(GET, cases[i].first), ROW(GET, cases[i].second)};
        expect_refused(table, 2, cases[i].reason);
    }
    static const char *const fine[][2] = {
        {"/x/y", "/x/{a}"}, {"/y/{b}", "/{a}/x"}, {"/{a}", "/"},
        {"/{a}", "/x/y"},   {"/x/{a}", "/y/z"},
    };
    for (size_t i = 0; i < COUNT(fine); i++) {
        const struct route table[] = {ROW(GET, fine[i][0]), ROW(GET, fine[i][1])};
        struct router r;
        struct strbuf why = STRBUF_INIT;
        if (router_init(&r, table, 2, &why))
            fail_msg("%s, %s: %s", fine[i][0], fine[i][1], strbuf_cstr(&why));
    }
}

static void an_empty_parameter_matches_nothing(void **state)
{
    (void)state;
    const struct route table[] = {ROW(GET, "/{a}")};
    struct router r;
    struct route_match m;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(router_init(&r, table, 1, &why), STATUS_OK);
    assert_int_equal(router_match(&r, "GET", "/", &m, &why), STATUS_NOT_FOUND);
    strbuf_release(&why);
}

/* --- queries -------------------------------------------------------------------------------- */

static void queries_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        enum status status;
        const char *value; /* NULL: not found */
    } cases[] = {
        {"", STATUS_OK, NULL},
        {"b=1", STATUS_OK, NULL},
        {"aa=1&ba=2&A=3", STATUS_OK, NULL},
        {"a=1", STATUS_OK, "1"},
        {"&&b=2&a=1&", STATUS_OK, "1"},
        {"a", STATUS_OK, ""},
        {"a=", STATUS_OK, ""},
        {"a==b=c", STATUS_OK, "=b=c"},
        {"a=1+1", STATUS_OK, "1+1"},
        {"a=%2B%26%3D%25", STATUS_OK, "+&=%"},
        {"a=%c3%A9", STATUS_OK, "\xC3\xA9"},
        {"%61=x", STATUS_OK, "x"},
        {"a%3Db=1", STATUS_OK, NULL},
        {"a%00=1", STATUS_OK, NULL},
        {"%a=1", STATUS_OK, NULL},
        {"a=1&a=1", STATUS_BAD_REQUEST, NULL},
        {"a=1&%61=2", STATUS_BAD_REQUEST, NULL},
        {"a&a", STATUS_BAD_REQUEST, NULL},
        {"a=%", STATUS_BAD_REQUEST, NULL},
        {"a=%4", STATUS_BAD_REQUEST, NULL},
        {"a=%4&b=1", STATUS_BAD_REQUEST, NULL},
        {"a=%zz", STATUS_BAD_REQUEST, NULL},
        {"a=x%00y", STATUS_BAD_REQUEST, NULL},
        {"a=%C0%AF", STATUS_BAD_REQUEST, NULL},
        {"a=%FF", STATUS_BAD_REQUEST, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct strbuf out = STRBUF_INIT;
        bool found = true;
        enum status s = query_get(cases[i].query, "a", &out, &found);
        if (s != cases[i].status || (!s && found != (cases[i].value != NULL)) ||
            (!s && found && strcmp(strbuf_cstr(&out), cases[i].value) != 0))
            fail_msg("%s: %d, %d, %s", cases[i].query, (int)s, found, strbuf_cstr(&out));
        strbuf_release(&out);
    }
}

static void unknown_names_are_found(void **state)
{
    (void)state;
    static const char *const known[] = {"after", "limit", NULL};
    static const char *const good[] = {"", "&", "limit=1", "after=x&limit=1", "%61fter"};
    static const char *const bad[] = {"x",        "limi=1", "limit=1&limits=2", "=1",
                                      "limit%00", "%=1",    "limit=1&%",        "Limit=1"};
    struct strbuf why = STRBUF_INIT;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(query_only(good[i], known, &why), STATUS_OK);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (query_only(bad[i], known, &why) != STATUS_BAD_REQUEST)
            fail_msg("%s passed", bad[i]);
    strbuf_release(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_row),
        cmocka_unit_test(says_what_is_missing),
        cmocka_unit_test(the_first_pattern_owns_its_path),
        cmocka_unit_test(head_and_options_follow_get),
        cmocka_unit_test(allow_lists_the_paths_methods),
        cmocka_unit_test(parameters_are_decoded),
        cmocka_unit_test(only_canonical_paths_pass),
        cmocka_unit_test(odd_but_canonical_paths_pass),
        cmocka_unit_test(lengths_are_limited),
        cmocka_unit_test(a_table_has_its_size),
        cmocka_unit_test(incomplete_rows_do_not_start),
        cmocka_unit_test(odd_patterns_do_not_start),
        cmocka_unit_test(clashing_rows_do_not_start),
        cmocka_unit_test(an_empty_parameter_matches_nothing),
        cmocka_unit_test(queries_are_decoded),
        cmocka_unit_test(unknown_names_are_found),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

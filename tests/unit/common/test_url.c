#include "../unit.h"
#include "url.h"

static void every_part(void **state)
{
    (void)state;
    struct url u;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(
        url_parse("mysql://a%40b:p%3A%2f%25%C3%A9@db.example:3307/shop?tls=1&ca=%2Fx", &u, &why),
        STATUS_OK);
    assert_string_equal(u.scheme, "mysql");
    assert_string_equal(u.user, "a@b");
    assert_string_equal(u.password, "p:/%\xC3\xA9");
    assert_string_equal(u.host, "db.example");
    assert_int_equal(u.port, 3307);
    assert_string_equal(u.path, "/shop");
    assert_int_equal(u.param_count, 2);
    assert_string_equal(url_param(&u, "tls"), "1");
    assert_string_equal(url_param(&u, "ca"), "/x");
    assert_null(url_param(&u, "t"));
    assert_int_equal(why.len, 0);
}

/* Parts that may be missing, or look like others. */
static void odd_but_good(void **state)
{
    (void)state;
    static const struct {
        const char *text, *user, *password, *host, *path;
        int port;
    } cases[] = {
        {"redis://h", "", "", "h", "", 0},
        {"redis://h/", "", "", "h", "/", 0},
        {"redis://:p@h", "", "p", "h", "", 0},
        {"redis://u@h:1", "u", "", "h", "", 1},
        {"redis://u:a:b@c@h:65535/0", "u", "a:b@c", "h", "/0", 65535},
        {"redis://[::1]:6379/2", "", "", "::1", "/2", 6379},
        {"redis://[fe80::1]", "", "", "fe80::1", "", 0},
        {"sqlite:///var/lib/x.db", "", "", "", "/var/lib/x.db", 0},
        {"mysql://root@/d?socket=/tmp/s", "root", "", "", "/d", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct url u;
        struct strbuf why = STRBUF_INIT;
        print_message("%s\n", cases[i].text);
        assert_int_equal(url_parse(cases[i].text, &u, &why), STATUS_OK);
        assert_string_equal(u.user, cases[i].user);
        assert_string_equal(u.password, cases[i].password);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.path, cases[i].path);
        assert_int_equal(u.port, cases[i].port);
    }
}

static void malformed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "://h",
        "redis:/h",
        "redis//h",
        "Redis://h",
        "re dis://h",
        "abcdefghijklmnopq://h", /* the scheme does not fit */
        "redis://h:",            /* a colon without a port */
        "redis://h:0",           /* no port */
        "redis://h:65536",       /* over */
        "redis://h:4294967297",  /* over, and 1 in 32 bits */
        "redis://h:18446744073709551617",
        "redis://h:-1",
        "redis://h:+1",
        "redis://h:1x",
        "redis://h: 1",
        "redis://[::1",
        "redis://[::1]x",
        "redis://[::1]:",
        "redis://a:secret@b:1:2",
        "redis://h%",
        "redis://h%4",
        "redis://h%4/g",
        "redis://h%zz",
        "redis://h%00",
        "redis://:secret%00@h",
        "redis://:secret%0@h",
        "redis://h/a b",
        "redis://h/\n",
        "redis://h/\x7F",
        "redis://h/%",
        "redis://h/p#f",
        "redis://h#f",
        "redis://:secret#x@h", /* an unescaped # in a password */
        "redis://h?",
        "redis://h?a",
        "redis://h?=b",
        "redis://h?a=1&",
        "redis://h?a=1&&b=2",
        "redis://h?a=1&a=2",
        "redis://h?a=1&%61=2", /* the same name, spelt differently */
        "redis://h?a=1&b=2&c=3&d=4&e=5",
        "redis://h?a=%",
        "redis://h?a=1#f",
        "redis://h?abcdefghijklmnopq=1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct url u;
        struct strbuf why = STRBUF_INIT;
        print_message("%s\n", texts[i]);
        assert_int_equal(url_parse(texts[i], &u, &why), STATUS_UNPROCESSABLE);
        assert_true(why.len > 0);
        assert_null(strstr(why.bytes, "secret"));
        strbuf_release(&why);
    }
}

static enum status parse_with(const char *before, size_t len, const char *behind)
{
    struct url u;
    struct strbuf text = STRBUF_INIT, why = STRBUF_INIT;
    strbuf_addstr(&text, before);
    for (size_t i = 0; i < len; i++)
        strbuf_addch(&text, 'x');
    strbuf_addstr(&text, behind);
    enum status st = url_parse(text.bytes, &u, &why);
    strbuf_release(&text);
    strbuf_release(&why);
    return st;
}

/* Each part at its limit and one over. */
static void bounded(void **state)
{
    (void)state;
    struct url u;
    static const struct {
        const char *before, *behind;
        size_t size;
    } parts[] = {
        {"r://", "@h", sizeof(u.user)},
        {"r://u:", "@h", sizeof(u.password)},
        {"r://", "/", sizeof(u.host)},
        {"r://[", "]", sizeof(u.host)},
        {"r://h/", "", sizeof(u.path) - 1},
        {"r://h?a=", "", sizeof(u.params[0].value)},
        {"r://h?", "=1", sizeof(u.params[0].name)},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        assert_int_equal(parse_with(parts[i].before, parts[i].size - 1, parts[i].behind),
                         STATUS_OK);
        assert_int_equal(parse_with(parts[i].before, parts[i].size, parts[i].behind),
                         STATUS_UNPROCESSABLE);
        assert_int_equal(parse_with(parts[i].before, 1 << 20, parts[i].behind),
                         STATUS_UNPROCESSABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part),
        cmocka_unit_test(odd_but_good),
        cmocka_unit_test(malformed),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

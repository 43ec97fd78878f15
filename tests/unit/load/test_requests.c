#include "../unit.h"
#include "requests.h"
#include <stdio.h>

static bool parse(struct requests *rs, const char *text, size_t *where)
{
    struct strbuf sb = STRBUF_INIT;
    strbuf_addstr(&sb, text);
    return requests_parse(rs, &sb, where);
}

static void test_requests_are_parted_by_their_length(void **state)
{
    struct requests rs;
    size_t where;
    (void)state;
    assert_true(parse(&rs,
                      "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
                      "POST /b HTTP/1.1\r\ncontent-length: 4\r\n\r\n\r\n\r\n"
                      "HEAD /c HTTP/1.1\r\n\r\n",
                      &where));
    assert_int_equal(rs.count, 3);
    assert_memory_equal(rs.all[1].bytes, "POST /b", 7);
    assert_int_equal(rs.all[1].len, 43);
    assert_false(rs.all[1].head);
    assert_memory_equal(rs.all[2].bytes, "HEAD /c", 7);
    assert_true(rs.all[2].head);
    requests_release(&rs);
}

static void test_what_is_cut_off_is_refused(void **state)
{
    static const struct {
        const char *text;
        size_t where;
    } bad[] = {
        {"", 0},
        {"GET / HTTP/1.1\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\nGET", 18},
        {"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nfour", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct requests rs;
        size_t where;
        assert_false(parse(&rs, bad[i].text, &where));
        assert_int_equal(where, bad[i].where);
        requests_release(&rs);
    }
}

static void test_a_serial_is_filled_in_everywhere(void **state)
{
    struct requests rs;
    struct strbuf out = STRBUF_INIT;
    size_t where;
    (void)state;
    assert_true(parse(&rs, "GET /%SERIAL% HTTP/1.1\r\nKey: %SERIAL%\r\n\r\n", &where));
    for (unsigned i = 41; i < 43; i++) {
        char want[64];
        snprintf(want, sizeof(want), "GET /%08u HTTP/1.1\r\nKey: %08u\r\n\r\n", i, i);
        requests_write(&rs.all[0], i, &out);
        assert_string_equal(strbuf_cstr(&out), want);
        assert_int_equal(out.len, rs.all[0].len);
    }
    strbuf_release(&out);
    requests_release(&rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_parted_by_their_length),
        cmocka_unit_test(test_what_is_cut_off_is_refused),
        cmocka_unit_test(test_a_serial_is_filled_in_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

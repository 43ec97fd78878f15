#include "../unit.h"
#include "multipart_log.h"

#define PART "Content-Type: a/b\r\n\r\n"
#define FIRST "--xx\r\n" PART

static const struct {
    const char *body, *parts; /* parts NULL: refused */
} cases[] = {
    {FIRST "one\r\n--xx--\r\n", "[a/b]one;"},
    {FIRST "one\r\n--xx--", "[a/b]one;"},
    {"\r\n" FIRST "one\r\n--xx--", "[a/b]one;"},
    {"words\r\nbefore\r\n" FIRST "one\r\n--xx--words\r\nbehind\r\n--xx\r\n", "[a/b]one;"},
    {FIRST "one\r\n--xx\r\n\r\ntwo\r\n--xx--", "[a/b]one;[]two;"},
    {FIRST "\r\n--xx--", "[a/b];"},
    {FIRST "--xx--", "[a/b];"}, /* RFC 2046, 5.1.1: an empty body has no CR LF before it */
    {FIRST "--xx\r\n" PART "--xx--", "[a/b];[a/b];"},
    {"--xx \t\r\n" PART "one\r\n--xx--", "[a/b]one;"},
    {"--xx\r\nX: y\r\ncontent-type:\t a/b\r\n\r\none\r\n--xx--", "[a/b]one;"},
    {"--xx\r\n\r\none\r\n--xx--", "[]one;"},

    /* almost a delimiter */
    {FIRST "\r\n--x\r\n-\r\n--\r\r\n--xx--", "[a/b]\r\n--x\r\n-\r\n--\r;"},
    {FIRST "--x\r\n--xx--", "[a/b]--x;"},
    {FIRST "a--xx\r\n--xx--", "[a/b]a--xx;"},
    {FIRST "\n--xx\r\n--xx--", "[a/b]\n--xx;"},
    {FIRST "\r--xx\r\n--xx--", "[a/b]\r--xx;"},
    {FIRST "\r\r\n--x\r\n\r\n--xx--", "[a/b]\r\r\n--x\r\n;"},

    /* two readers could read these in two ways, or they break off */
    {"", NULL},
    {"--xx", NULL},
    {"--xx--", "" /* no part at all */},
    {"--xx\r\n", NULL},
    {FIRST "one", NULL},
    {FIRST "one\r\n--xx", NULL},
    {FIRST "one\r\n--xx-", NULL},
    {FIRST "one\r\n--xx\r\n", NULL},
    {FIRST "one\r\n--xxx--", NULL},
    {FIRST "one\r\n--xx -- \r\n", NULL},
    {"--xx\n" PART "one\r\n--xx--", NULL},
    {"--xx\r\nContent-Type: a/b\n\r\none\r\n--xx--", NULL},
    {"--xx\r\nContent-Type: a/b\r\r\n\r\none\r\n--xx--", NULL},
    {"--xx\r\nContent-Type\r\n\r\none\r\n--xx--", NULL},
    {"--xx\r\n folded: y\r\n\r\none\r\n--xx--", NULL},
    {"--xx\r\nContent-Type: a/b\r\nContent-type: a/b\r\n\r\none\r\n--xx--", NULL},
};

/* Wherever the body is cut, the same is told. */
static void every_case_in_pieces_of_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = strlen(cases[i].body);
        for (size_t piece = 1; piece <= len + 1; piece++) {
            struct strbuf log = STRBUF_INIT;
            enum status s = log_multipart("xx", cases[i].body, len, piece, &log);
            bool same = !cases[i].parts || strcmp(strbuf_cstr(&log), cases[i].parts) == 0;
            if (s != (cases[i].parts ? STATUS_OK : STATUS_BAD_REQUEST) || !same)
                fail_msg("%s, by %zu: %d %s", cases[i].body, piece, (int)s, strbuf_cstr(&log));
            strbuf_release(&log);
        }
    }
}

/* Headers are the only thing that is held: they are bounded, line by line and together. */
static void long_headers(void **state)
{
    (void)state;
    for (size_t extra = 0; extra < 4; extra++) {
        struct strbuf body = STRBUF_INIT, log = STRBUF_INIT;
        strbuf_addstr(&body, "--xx\r\nX: ");
        for (size_t i = 0; i < MULTIPART_LINE_MAX - 6 + extra; i++)
            strbuf_addch(&body, 'y');
        strbuf_addstr(&body, "\r\n\r\none\r\n--xx--");
        enum status s = log_multipart("xx", body.bytes, body.len, body.len, &log);
        assert_int_equal(s, extra < 2 ? STATUS_OK : STATUS_BAD_REQUEST);
        strbuf_release(&body);
        strbuf_release(&log);
    }
    struct strbuf many = STRBUF_INIT, log = STRBUF_INIT;
    strbuf_addstr(&many, "--xx\r\n");
    for (size_t i = 0; i < MULTIPART_HEADERS_MAX / 6 + 1; i++)
        strbuf_addstr(&many, "X: y\r\n");
    strbuf_addstr(&many, "\r\none\r\n--xx--");
    assert_int_equal(log_multipart("xx", many.bytes, many.len, 7, &log), STATUS_BAD_REQUEST);
    strbuf_release(&many);
    strbuf_release(&log);
}

/* A NUL and a value of the whole range are content as any other. */
static void any_byte_is_content(void **state)
{
    (void)state;
    struct strbuf body = STRBUF_INIT, log = STRBUF_INIT;
    strbuf_addstr(&body, "--xx\r\n\r\n");
    for (int i = 0; i < 256; i++)
        strbuf_addch(&body, (char)i);
    strbuf_addstr(&body, "\r\n--xx--");
    assert_int_equal(log_multipart("xx", body.bytes, body.len, 3, &log), STATUS_OK);
    assert_int_equal(log.len, 2 + 256 + 1);
    for (int i = 0; i < 256; i++)
        assert_int_equal((uint8_t)log.bytes[2 + i], i);
    strbuf_release(&body);
    strbuf_release(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_in_pieces_of_every_length),
        cmocka_unit_test(long_headers),
        cmocka_unit_test(any_byte_is_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

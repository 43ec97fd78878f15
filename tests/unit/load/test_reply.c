#include "../unit.h"
#include "reply.h"
#include <stdio.h>

struct expect {
    const char *bytes;
    bool to_head;
    enum reply_state state;
    int status;
    size_t left_over;
    bool close;
};

static const struct expect cases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, REPLY_DONE, 200, 0, false},
    {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", false, REPLY_BODY, 200, 0, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", false, REPLY_DONE, 200, 4, false},
    {"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false, REPLY_DONE, 404, 0,
     true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true, REPLY_DONE, 200, 0, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, REPLY_DONE, 204, 0, false},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, REPLY_DONE, 304, 0, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", false,
     REPLY_DONE, 201, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n"
     "\r\n",
     false, REPLY_DONE, 200, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\nmore", false,
     REPLY_DONE, 200, 4, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", false, REPLY_CHUNK_END, 200,
     0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", false, REPLY_MALFORMED,
     200, 0, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, REPLY_MALFORMED, 200, 0,
     false},
    {"HTTP/1.0 200 OK\r\n\r\nto the end", false, REPLY_UNTIL_CLOSE, 200, 0, false},
    {"HTTP/1.1 2x0 OK\r\n\r\n", false, REPLY_MALFORMED, 2, 2, false},
    {"SSH-2.0-OpenSSH\r\n", false, REPLY_MALFORMED, 0, 0, false},
    {"HTTP/1.1\r\n", false, REPLY_MALFORMED, 0, 0, false},
};

/* Each whole, and in pieces of every size: the same must come of it. */
static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct expect *want = &cases[i];
        size_t len = strlen(want->bytes);
        for (size_t piece = 1; piece <= len; piece++) {
            struct reply r;
            size_t at = 0, taken = 1;
            reply_begin(&r, want->to_head);
            for (; at < len && taken > 0; at += taken)
                taken = reply_feed(&r, want->bytes + at, len - at < piece ? len - at : piece);
            assert_int_equal(r.state, want->state);
            if (want->state == REPLY_MALFORMED)
                continue;
            assert_int_equal(r.status, want->status);
            assert_int_equal(len - at, want->left_over);
            assert_int_equal(r.close, want->close);
        }
    }
}

static void test_a_long_line_is_skipped(void **state)
{
    char bytes[5000];
    struct reply r;
    (void)state;
    int n = snprintf(bytes, sizeof(bytes),
                     "HTTP/1.1 200 OK\r\nX-Long: %04000d\r\nContent-Length: 2\r\n\r\nok", 0);
    reply_begin(&r, false);
    assert_int_equal(reply_feed(&r, bytes, (size_t)n), n);
    assert_int_equal(r.state, REPLY_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_a_long_line_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

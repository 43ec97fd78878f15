/* Frames and the queue of a session. */
#include "session.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned wakes;

static void wake(struct session *s)
{
    (void)s;
    wakes++;
}

static struct session *open_session(size_t bytes_max)
{
    wakes = 0;
    return session_new(bytes_max, NULL, wake);
}

static struct frame *filled(size_t len)
{
    char *text = xmalloc(len);
    memset(text, 'x', len);
    struct frame *f = frame_new(text, len);
    free(text);
    return f;
}

/* RFC 6455, section 5.2: the three lengths, at their edges. */
static void test_frame_headers(void **state)
{
    (void)state;
    static const struct {
        size_t len, header;
        unsigned char bytes[10];
    } want[] = {
        {1, 2, {0x81, 1}},
        {125, 2, {0x81, 125}},
        {126, 4, {0x81, 126, 0, 126}},
        {65535, 4, {0x81, 126, 0xff, 0xff}},
        {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct frame *f = filled(want[i].len);
        size_t len;
        assert_memory_equal(f->bytes, want[i].bytes, want[i].header);
        assert_int_equal(f->len, want[i].header + want[i].len);
        frame_text(f, &len);
        assert_int_equal(len, want[i].len);
        frame_unref(f);
    }
}

static void test_plain_text(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    struct frame *f = frame_plain("{\"name\":\"%s\",\"seq\":%d}", name, 7);
    size_t len;
    const char *text = frame_text(f, &len);
    assert_int_equal(len, 18 + 299 + 1);
    assert_memory_equal(text, "{\"name\":\"nnn", 12);
    assert_memory_equal(text + len - 11, "n\",\"seq\":7}", 11);
    frame_unref(f);
}

static void test_one_buffer_for_all(void **state)
{
    (void)state;
    struct frame *f = filled(10);
    struct session *sessions[100];
    for (size_t i = 0; i < 100; i++) {
        sessions[i] = open_session(1000);
        assert_true(session_offer(sessions[i], f));
    }
    assert_int_equal(f->refs, 101);
    for (size_t i = 0; i < 100; i++)
        session_unref(sessions[i]);
    assert_int_equal(f->refs, 1);
    frame_unref(f);
}

static void test_bounded_in_bytes(void **state)
{
    (void)state;
    struct session *s = open_session(100);
    struct frame *small = filled(38), *large = filled(500);
    assert_true(session_offer(s, small)); /* 40 with its header */
    assert_true(session_offer(s, small));
    assert_false(session_offer(s, small));
    assert_int_equal(s->bytes, 80);
    assert_int_equal(wakes, 1); /* only when it was empty */

    unsigned char out[64];
    struct frame *big;
    assert_int_equal(session_take(s, out, sizeof(out), &big), 40); /* whole frames only */
    assert_null(big);
    assert_int_equal(session_take(s, out, sizeof(out), &big), 40);
    assert_true(session_idle(s));
    assert_true(session_offer(s, large)); /* an empty queue always has room */
    assert_int_equal(session_take(s, out, sizeof(out), &big), 0);
    assert_ptr_equal(big, large);
    frame_unref(big);
    assert_int_equal(session_take(s, out, sizeof(out), &big), 0);
    assert_null(big);
    frame_unref(small);
    frame_unref(large);
    session_unref(s);
}

static void test_order_through_growth(void **state)
{
    (void)state;
    struct session *s = open_session(1 << 20);
    unsigned char out[7], expected = 0;
    struct frame *big;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 7; i++) {
            struct frame *f = frame_new(&(char){(char)(round * 7 + i)}, 1);
            assert_true(session_offer(s, f));
            frame_unref(f);
        }
        assert_int_equal(session_take(s, out, sizeof(out), &big), 6); /* two of three bytes */
        assert_int_equal(out[2], expected++);
        assert_int_equal(out[5], expected++);
    }
    while (session_take(s, out, sizeof(out), &big) > 0)
        assert_int_equal(out[2], expected), expected = (unsigned char)(expected + 2);
    session_unref(s);
}

/* A slow reader's queue is at its bound all the time, and it may ask nevertheless. */
static void test_replies_have_room_beside_messages(void **state)
{
    (void)state;
    struct session *s = open_session(100);
    struct frame *large = filled(500), *small = filled(10);
    assert_true(session_offer(s, large));
    for (size_t i = 0; i < 1000; i++)
        session_reply(s, filled(100));
    assert_int_equal(s->close_code, 0);
    assert_int_equal(s->count, 1001);
    assert_false(session_offer(s, small));
    frame_unref(large);
    frame_unref(small);
    session_unref(s);
}

static void test_replies_end_who_does_not_read(void **state)
{
    (void)state;
    struct session *s = open_session(100);
    session_reply(s, filled(1 << 20));
    assert_int_equal(s->close_code, 0);
    session_reply(s, filled(100)); /* one may be over */
    assert_int_equal(s->close_code, 0);
    session_reply(s, filled(10));
    assert_int_equal(s->close_code, 1008);
    session_reply(s, filled(10)); /* is not leaked */
    assert_int_equal(s->count, 1);
    assert_memory_equal(s->ring[s->first]->bytes, "\x88\x0f\x03\xf0slow_consumer", 17);
    session_unref(s);
}

static void test_the_end(void **state)
{
    (void)state;
    struct session *s = open_session(100);
    struct frame *f = filled(10);
    session_reply(s, frame_ref(f));
    session_end(s, 1001, "draining");
    session_end(s, 1008, "too late");
    assert_int_equal(s->close_code, 1001);
    assert_false(session_offer(s, f));
    assert_false(session_idle(s));
    unsigned char out[64];
    struct frame *big;
    assert_int_equal(session_take(s, out, sizeof(out), &big), 12 + 12); /* still sent, then: */
    assert_memory_equal(out + 12,
                        "\x88\x0a\x03\xe9"
                        "draining",
                        12);
    assert_false(session_idle(s));
    session_unref(s);
    assert_int_equal(f->refs, 1);
    frame_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_headers),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_one_buffer_for_all),
        cmocka_unit_test(test_bounded_in_bytes),
        cmocka_unit_test(test_order_through_growth),
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_replies_have_room_beside_messages),
        cmocka_unit_test(test_replies_end_who_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

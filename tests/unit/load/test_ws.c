#include "../unit.h"
#include "ws.h"

static const size_t lengths[] = {0, 1, 125, 126, 127, 65535, 65536, 70000};

/* What one side writes the other reads, at every length of the header and in pieces. */
static void test_frames_of_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(lengths); i++) {
        struct strbuf out = STRBUF_INIT;
        struct ws_frame f;
        size_t len = lengths[i / 2];
        char *payload = xmalloc(len + 1);
        memset(payload, 'a', len);
        ws_add(&out, WS_TEXT, payload, len, i % 2);
        ws_add(&out, WS_PING, "next", 4, i % 2);
        size_t first = ws_parse(out.bytes, out.len, &f);
        assert_int_equal(f.opcode, WS_TEXT);
        assert_int_equal(f.len, len);
        assert_memory_equal(f.payload, payload, len);
        assert_int_equal(ws_parse(out.bytes + first, out.len - first, &f), out.len - first);
        assert_int_equal(f.opcode, WS_PING);
        for (size_t cut = 0; cut < first; cut += cut < 20 ? 1 : 997)
            assert_int_equal(ws_parse(out.bytes, cut, &f), 0);
        free(payload);
        strbuf_release(&out);
    }
}

/* RFC 6455, section 5.7: "a single-frame masked text message". */
static void test_a_mask_is_taken_off(void **state)
{
    char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    struct ws_frame f;
    (void)state;
    assert_int_equal(ws_parse(bytes, sizeof(bytes) - 1, &f), sizeof(bytes) - 1);
    assert_int_equal(f.len, 5);
    assert_memory_equal(f.payload, "Hello", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_of_every_length),
        cmocka_unit_test(test_a_mask_is_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

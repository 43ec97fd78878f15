#include "json.h"
#include "protocol.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum status parse_bytes(const char *bytes, size_t len, struct request *r)
{
    struct strbuf why = STRBUF_INIT;
    char *copy = xmalloc(len + 1); /* of the exact size, so that a byte too far is seen */
    memcpy(copy, bytes, len);
    copy = xrealloc(copy, len > 0 ? len : 1);
    enum status status = request_parse(copy, len, r, &why);
    assert_true(status == STATUS_OK || why.len > 0);
    strbuf_release(&why);
    free(copy);
    return status;
}

static enum status parse(const char *text, struct request *r)
{
    return parse_bytes(text, strlen(text), r);
}

static void assert_refused(const char *text, enum status status)
{
    struct request r;
    if (parse(text, &r) != status)
        fail_msg("not %s: %s", status_slug(status), text);
    request_release(&r);
}

static void test_every_type(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum request_type type;
    } good[] = {
        {"{\"type\":\"hello\",\"token\":\"a.b.c\"}", REQUEST_HELLO},
        {"{\"type\":\"join\",\"room\":\"r\"}", REQUEST_JOIN},
        {"{\"type\":\"join\",\"room\":\"r\",\"after\":0}", REQUEST_JOIN},
        {"{\"type\":\"leave\",\"room\":\"r\"}", REQUEST_LEAVE},
        {"{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\",\"text\":\"x\"}", REQUEST_SEND},
        {"{\"type\":\"history\",\"room\":\"r\"}", REQUEST_HISTORY},
        {"{\"type\":\"history\",\"room\":\"r\",\"before\":9,\"limit\":200}", REQUEST_HISTORY},
        {"{\"type\":\"read\",\"room\":\"r\",\"seq\":9007199254740992}", REQUEST_READ},
        {"{\"type\":\"create\",\"room\":\"r\"}", REQUEST_CREATE},
        {"{\"type\":\"create\",\"room\":\"r\",\"private\":true}", REQUEST_CREATE},
        {"{\"type\":\"invite\",\"room\":\"r\",\"user\":\"ada\"}", REQUEST_INVITE},
        {"{\"type\":\"remove\",\"room\":\"r\",\"user\":\"ada\"}", REQUEST_REMOVE},
        {"{\"type\":\"rooms\"}", REQUEST_ROOMS},
        {"{\"type\":\"rooms\",\"room\":\"r\"}", REQUEST_ROOMS},
        {"{\"type\":\"presence\",\"room\":\"r\"}", REQUEST_PRESENCE},
        {"{\"type\":\"typing\",\"room\":\"r\"}", REQUEST_TYPING},
        {"{\"type\":\"ping\"}", REQUEST_PING},
        {"{\"type\":\"ping\",\"id\":\"a-b_c.D\"}", REQUEST_PING},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct request r;
        assert_int_equal(parse(good[i].text, &r), STATUS_OK);
        assert_int_equal(r.type, good[i].type);
        assert_non_null(request_name(r.type));
        request_release(&r);
    }
}

static void test_fields_arrive(void **state)
{
    (void)state;
    struct request r;
    assert_int_equal(parse("{\"type\":\"send\",\"room\":\"r.1\",\"id\":\"x\","
                           "\"text\":\"a\\n\\\"\\u00e9\\ud83d\\ude00\"}",
                           &r),
                     STATUS_OK);
    assert_string_equal(r.room, "r.1");
    assert_string_equal(r.id, "x");
    assert_string_equal(r.text, "a\n\"\xc3\xa9\xf0\x9f\x98\x80");
    assert_null(r.token);
    assert_int_equal(r.after, -1);
    request_release(&r);
}

static void test_no_json_object(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "nul",
        "{\"type\":\"ping\"",
        "{\"type\":\"ping\"}x",
        "{'type':'ping'}",
        "{\"type\":\"ping\",}",
        "[\"ping\"]",
        "\"ping\"",
        "null",
        "1",
        "{\"type\":\"ping\"}{}",
        "{\"type\":\"ping\",\"type\":\"ping\"}",
        "{\"type\":\"\xff\"}",
        "{\"type\":\"pi\\u0000ng\"}",
        "{\"type\":\"\xed\xa0\x80\"}",
        "{\"type\":\"ping\",\"id\":\"\\ud800\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i], STATUS_BAD_REQUEST);
    char deep[JSON_DEPTH_MAX * 2 + 16];
    memset(deep, '[', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    assert_refused(deep, STATUS_BAD_REQUEST);
    struct request r;
    assert_int_equal(parse_bytes("{\"type\":\"ping\0\"}", 16, &r), STATUS_BAD_REQUEST);
    request_release(&r);
}

static void test_wrong_fields(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"type\":1}",
        "{\"type\":null}",
        "{\"type\":\"Ping\"}",
        "{\"type\":\"ack\"}",
        "{\"type\":\"ping\",\"x\":1}",
        "{\"type\":\"ping\",\"room\":\"r\"}", /* a field, but not of this type */
        "{\"type\":\"join\"}",
        "{\"type\":\"join\",\"room\":null}",
        "{\"type\":\"join\",\"room\":1}",
        "{\"type\":\"join\",\"room\":[\"r\"]}",
        "{\"type\":\"join\",\"room\":\"\"}",
        "{\"type\":\"join\",\"room\":\"../r\"}",
        "{\"type\":\"join\",\"room\":\"a/b\"}",
        "{\"type\":\"join\",\"room\":\"a b\"}",
        "{\"type\":\"join\",\"room\":\"r\\n\"}",
        "{\"type\":\"join\",\"room\":\"\xc3\xa9\"}",
        "{\"type\":\"join\",\"room\":\"r\",\"after\":\"0\"}",
        "{\"type\":\"join\",\"room\":\"r\",\"after\":-1}",
        "{\"type\":\"join\",\"room\":\"r\",\"after\":1.0}",
        "{\"type\":\"join\",\"room\":\"r\",\"after\":true}",
        "{\"type\":\"join\",\"room\":\"r\",\"after\":9007199254740993}",
        "{\"type\":\"create\",\"room\":\"r\",\"private\":1}",
        "{\"type\":\"create\",\"room\":\"r\",\"private\":null}",
        "{\"type\":\"create\",\"room\":\"r\",\"private\":\"true\"}",
        "{\"type\":\"invite\",\"room\":\"r\"}",
        "{\"type\":\"remove\",\"room\":\"r\",\"user\":\"\"}",
        "{\"type\":\"history\",\"room\":\"r\",\"limit\":0}",
        "{\"type\":\"history\",\"room\":\"r\",\"limit\":201}",
        "{\"type\":\"history\",\"room\":\"r\",\"before\":0}",
        "{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\"}",
        "{\"type\":\"send\",\"room\":\"r\",\"text\":\"x\"}",
        "{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\",\"text\":\"\"}",
        "{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\",\"text\":\"\\u001b[2J\"}",
        "{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\",\"text\":\"\\u0085\"}",
        "{\"type\":\"hello\",\"token\":\"\"}",
        "{\"type\":\"hello\",\"token\":{}}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(bad[i], STATUS_UNPROCESSABLE);
    assert_refused("{\"type\":\"join\",\"room\":\"r\",\"after\":99999999999999999999}",
                   STATUS_BAD_REQUEST); /* not a number of C's */
}

static enum status send_text(const char *character, size_t bytes)
{
    struct strbuf text = STRBUF_INIT;
    struct request r;
    strbuf_addstr(&text, "{\"type\":\"send\",\"room\":\"r\",\"id\":\"1\",\"text\":\"");
    for (size_t n = 0; n < bytes; n += strlen(character))
        strbuf_addstr(&text, character);
    strbuf_addstr(&text, "\"}");
    enum status status = parse_bytes(text.bytes, text.len, &r);
    request_release(&r);
    strbuf_release(&text);
    return status;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(send_text("x", TEXT_MAX), STATUS_OK);
    assert_int_equal(send_text("x", TEXT_MAX + 1), STATUS_UNPROCESSABLE);
    assert_int_equal(send_text("\xf0\x9f\x98\x80", TEXT_MAX),
                     STATUS_OK); /* bytes, not characters */
    assert_int_equal(send_text("\xf0\x9f\x98\x80", TEXT_MAX + 4), STATUS_UNPROCESSABLE);
    char name[NAME_MAX_LEN + 2], text[128];
    for (size_t len = NAME_MAX_LEN; len <= NAME_MAX_LEN + 1; len++) {
        memset(name, 'a', len);
        name[len] = '\0';
        snprintf(text, sizeof(text), "{\"type\":\"leave\",\"room\":\"%s\"}", name);
        struct request r;
        assert_int_equal(parse(text, &r), len > NAME_MAX_LEN ? STATUS_UNPROCESSABLE : STATUS_OK);
        request_release(&r);
    }
}

static void test_a_bad_send_can_be_named(void **state)
{
    (void)state;
    struct request r;
    assert_int_equal(parse("{\"type\":\"send\",\"room\":\"r\",\"id\":\"42\",\"text\":7}", &r),
                     STATUS_UNPROCESSABLE);
    assert_int_equal(r.type, REQUEST_SEND);
    assert_string_equal(r.id, "42");
    assert_null(r.text);
    request_release(&r);
}

static void test_message_frame(void **state)
{
    (void)state;
    const struct message m = {.room = "r",
                              .sender = "ada",
                              .client_id = "1",
                              .text = "\"\\\n</script>\xff",
                              .seq = 9007199254740992,
                              .at_ms = 0};
    struct frame *f = message_frame(&m);
    size_t len;
    const char *text = frame_text(f, &len);
    struct strbuf why = STRBUF_INIT;
    json_t *root;
    assert_int_equal(json_parse(text, len, &root, &why), STATUS_OK);
    assert_string_equal(json_string_value(json_object_get(root, "text")),
                        "\"\\\n</script>\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(root, "seq")), m.seq);
    assert_string_equal(json_string_value(json_object_get(root, "at")), "1970-01-01T00:00:00.000Z");
    json_decref(root);
    frame_unref(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),     cmocka_unit_test(test_fields_arrive),
        cmocka_unit_test(test_no_json_object), cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_bounds),         cmocka_unit_test(test_a_bad_send_can_be_named),
        cmocka_unit_test(test_message_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

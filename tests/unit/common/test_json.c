#include "../unit.h"
#include "json.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

struct text {
    const char *bytes;
    size_t len;
};

/* Parse a copy of exactly that size, so that reading past it is seen. */
static enum status parse(const char *bytes, size_t len, json_t **out, struct strbuf *why)
{
    char *copy = memcpy(xmalloc(len), bytes, len);
    enum status s = json_parse(copy, len, out, why);
    free(copy);
    return s;
}

static void good_texts(void **state)
{
    (void)state;
    static const struct text good[] = {
        TEXT("{}"),
        TEXT(" [ ] \r\n\t"),
        TEXT("1"),
        TEXT("\"\\u00e9\xC3\xA9\""),
        TEXT("{\"a\":{\"a\":1},\"b\":1}"),
        TEXT("9223372036854775807"),
        TEXT("-9223372036854775808"),
        TEXT("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""),
        TEXT("\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""),
        TEXT("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
             "[],[],[],[],[],[],[],[],[],[],[],[],[]]"),
        TEXT("\"\\ud83d\\ude00\""),
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        json_t *root = NULL;
        struct strbuf why = STRBUF_INIT;
        if (parse(good[i].bytes, good[i].len, &root, &why) != STATUS_OK)
            fail_msg("%s: %s", good[i].bytes, strbuf_cstr(&why));
        assert_non_null(root);
        assert_int_equal(why.len, 0);
        json_decref(root);
    }
}

static const struct text not_json[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("{"),
    TEXT("}"),
    TEXT("]["),
    TEXT("\""),
    TEXT("\"\\"),
    TEXT("nul"),
    TEXT("{}x"), /* trailing bytes */
    TEXT("{}{}"),
    TEXT("{} 1"),
    TEXT("{}\0"),
    TEXT("{}\0{}"),
    TEXT("\0{}"),
    TEXT("{\"a\":1,\"a\":1}"), /* duplicate keys, at any depth, however spelled */
    TEXT("[{\"a\":{\"b\":1,\"c\":2,\"b\":1}}]"),
    TEXT("{\"a\":1,\"\\u0061\":1}"),
    TEXT("{\"a\0b\":1}"), /* NUL, plain and escaped */
    TEXT("\"a\0b\""),
    TEXT("\"a\\u0000b\""),
    TEXT("{\"a\\u0000\":1}"),
    TEXT("\"\n\""), /* control characters */
    TEXT("\"\x1F\""),
    TEXT("\"\xC0\xAF\""), /* overlong */
    TEXT("\"\xE0\x80\xAF\""),
    TEXT("\"\xF0\x80\x80\xAF\""),
    TEXT("\"\xED\xA0\x80\""), /* surrogates */
    TEXT("\"\\ud800\""),
    TEXT("\"\\ude00\\ud83d\""),
    TEXT("\"\xF4\x90\x80\x80\""),
    TEXT("\"\x80\""),
    TEXT("\"\xC3"),
    TEXT("\"\xFF\""),
    TEXT("\xEF\xBB\xBF{}"), /* byte order mark */
    TEXT("9223372036854775808"),
    TEXT("-9223372036854775809"),
    TEXT("1e999"),
    TEXT("01"),
    TEXT("+1"),
    TEXT(".5"),
    TEXT("1."),
    TEXT("0x1"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("[1,]"),
    TEXT("{\"a\":1,}"),
    TEXT("{a:1}"),
    TEXT("{'a':1}"),
    TEXT("{1:1}"),
    TEXT("[1 2]"),
    TEXT("// x\n{}"),
    TEXT("/**/{}"),
};

static void bad_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(not_json); i++) {
        json_t *root = (json_t *)&root;
        struct strbuf why = STRBUF_INIT;
        if (parse(not_json[i].bytes, not_json[i].len, &root, &why) != STATUS_BAD_REQUEST)
            fail_msg("accepted: %s", not_json[i].bytes);
        assert_null(root);
        assert_int_not_equal(why.len, 0);
        strbuf_release(&why);
    }
}

/* A reply quotes the reason, and a JSON string must be UTF-8. */
static void reasons_are_text(void **state)
{
    static const char *const texts[] = {"{\"\\u\u20AC\":1}", "[\"\\u12\U0001F600\"]", "\u00E9",
                                        "[\"\xFF\"]", "[\"\xE2\x82"};
    struct strbuf key = STRBUF_INIT, why = STRBUF_INIT;
    json_t *root;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        strbuf_reset(&why);
        assert_int_equal(parse(texts[i], strlen(texts[i]), &root, &why), STATUS_BAD_REQUEST);
        assert_true(text_valid(why.bytes, why.len, 1, 1000, false));
    }
    /* An unknown member's name is quoted, and cut somewhere: try every place. */
    for (size_t before = 0; before < 200; before++) {
        strbuf_reset(&key);
        strbuf_reset(&why);
        for (size_t i = 0; i < before; i++)
            strbuf_addch(&key, 'x');
        for (size_t i = 0; i < 60; i++)
            strbuf_addstr(&key, "\u20AC");
        root = json_pack("{s:i}", key.bytes, 1);
        assert_int_equal(json_take(root, &why, "{!}"), STATUS_UNPROCESSABLE);
        assert_true(text_valid(why.bytes, why.len, 1, 1000, false));
        json_decref(root);
    }
    strbuf_release(&key);
    strbuf_release(&why);
}

/* `depth` arrays or objects inside one another. */
static enum status parse_nested(size_t depth, const char *open, const char *close)
{
    struct strbuf text = STRBUF_INIT, why = STRBUF_INIT;
    json_t *root;
    for (size_t i = 0; i < depth; i++)
        strbuf_addstr(&text, open);
    strbuf_addstr(&text, "1");
    for (size_t i = 0; i < depth; i++)
        strbuf_addstr(&text, close);
    enum status s = parse(text.bytes, text.len, &root, &why);
    json_decref(root);
    strbuf_release(&text);
    strbuf_release(&why);
    return s;
}

static void depth(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(JSON_DEPTH_MAX, "[", "]"), STATUS_OK);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX + 1, "[", "]"), STATUS_BAD_REQUEST);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX, "{\"a\":", "}"), STATUS_OK);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX + 1, "{\"a\":", "}"), STATUS_BAD_REQUEST);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX / 2, "[{\"\\\"\":", "}]"), STATUS_OK);
    assert_int_equal(parse_nested(JSON_DEPTH_MAX / 2 + 1, "[{\"\\\"\":", "}]"), STATUS_BAD_REQUEST);
    assert_int_equal(parse_nested(200000, "[", "]"), STATUS_BAD_REQUEST);
}

static enum status take_room(const char *text, struct strbuf *why, int *after)
{
    json_t *root;
    const char *room = NULL;
    assert_int_equal(parse(text, strlen(text), &root, why), STATUS_OK);
    enum status s = json_take(root, why, "{s:s, s?i !}", "room", &room, "after", after);
    if (s == STATUS_OK)
        assert_string_equal(room, "lobby");
    json_decref(root);
    return s;
}

static void takes_apart(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_INIT;
    int after = 7;
    assert_int_equal(take_room("{\"room\":\"lobby\"}", &why, &after), STATUS_OK);
    assert_int_equal(after, 7);
    assert_int_equal(take_room("{\"after\":9,\"room\":\"lobby\"}", &why, &after), STATUS_OK);
    assert_int_equal(after, 9);
    assert_int_equal(why.len, 0);

    static const char *const bad[] = {
        "{}",
        "{\"room\":1}",
        "{\"room\":null}",
        "{\"room\":\"lobby\",\"after\":\"9\"}",
        "{\"room\":\"lobby\",\"after\":9.0}",
        "{\"room\":\"lobby\",\"extra\":1}",
        "[]",
        "\"room\"",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        strbuf_reset(&why);
        assert_int_equal(take_room(bad[i], &why, &after), STATUS_UNPROCESSABLE);
        assert_int_not_equal(why.len, 0);
    }
    strbuf_release(&why);
}

static void writes_compactly(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    json_t *root = json_pack("{s:[i,b,n,s]}", "a", 1, 1, "\n\xC3\xA9");
    strbuf_addstr(&out, "> ");
    json_write(&out, root);
    assert_string_equal(out.bytes, "> {\"a\":[1,true,null,\"\\n\xC3\xA9\"]}");
    json_decref(root);
    strbuf_release(&out);
}

/* Whatever the bytes, what is written is JSON, and good text comes back the same. */
static void text_becomes_a_string(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"\"\\/\b\n\x01\x7F", "\"\\/\b\n\x01\x7F"},
        {"\xC3\xA9\xF0\x9F\x98\x80", "\xC3\xA9\xF0\x9F\x98\x80"},
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"\xC3", "\xEF\xBF\xBD"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\",\"admin\":true", "\",\"admin\":true"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct strbuf out = STRBUF_INIT, why = STRBUF_INIT;
        json_t *back;
        json_write_text(&out, pairs[i][0]);
        assert_int_equal(json_parse(out.bytes, out.len, &back, &why), STATUS_OK);
        assert_string_equal(json_string_value(back), pairs[i][1]);
        json_decref(back);
        strbuf_release(&out);
    }
}

static void valid_text(void **state)
{
    (void)state;
    assert_true(text_valid("", 0, 0, 0, false));
    assert_false(text_valid("", 0, 1, 9, false));
    assert_true(text_valid("abc", 3, 3, 3, false));
    assert_false(text_valid("abc", 3, 1, 2, false));
    assert_true(text_valid("\xF0\x9F\x98\x80 \xC3\xA9", 7, 1, 7, false));
    assert_false(text_valid("\xF0\x9F\x98\x80", 3, 1, 9, false)); /* cut */
    assert_false(text_valid("a\0b", 3, 1, 9, true));
    assert_true(text_valid("a\n\tb", 4, 1, 9, true));
    assert_false(text_valid("a\nb", 3, 1, 9, false));
    assert_false(text_valid("a\tb", 3, 1, 9, false));
    assert_false(text_valid("a\rb", 3, 1, 9, true));
    assert_false(text_valid("\x1B[31m", 5, 1, 9, true));
    assert_false(text_valid("\x7F", 1, 1, 9, true));
    assert_false(text_valid("\xC2\x9B", 2, 1, 9, true)); /* C1: CSI */
    assert_false(text_valid("\xC0\xAF", 2, 1, 9, true));
}

static void valid_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "Z9", "7", "a.b", "a_b-c", "12345678"};
    static const char *const bad[] = {"",    ".",   "..",  "-a",  "_a",       ".a",       "a b",
                                      "a/b", "a%b", "a\n", "a:b", "\xC3\xA9", "123456789"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(name_valid(good[i], 8));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(name_valid(bad[i], 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts),
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(reasons_are_text),
        cmocka_unit_test(depth),
        cmocka_unit_test(takes_apart),
        cmocka_unit_test(writes_compactly),
        cmocka_unit_test(text_becomes_a_string),
        cmocka_unit_test(valid_text),
        cmocka_unit_test(valid_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

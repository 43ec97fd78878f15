#include "../unit.h"
#include "utf8.h"

static const struct {
    const char *bytes;
    size_t len;
    uint32_t code; /* for valid ones */
} valid[] = {
    {"\0", 1, 0},
    {"a", 1, 'a'},
    {"\x7F", 1, 0x7F},
    {"\xC2\x80", 2, 0x80},
    {"\xDF\xBF", 2, 0x7FF},
    {"\xE0\xA0\x80", 3, 0x800},
    {"\xED\x9F\xBF", 3, 0xD7FF},
    {"\xEE\x80\x80", 3, 0xE000},
    {"\xEF\xBF\xBF", 3, 0xFFFF},
    {"\xF0\x90\x80\x80", 4, 0x10000},
    {"\xF4\x8F\xBF\xBF", 4, 0x10FFFF},
};

static const char *const invalid[] = {
    "",
    "\x80", /* a continuation alone */
    "\xBF",
    "\xC2", /* cut short */
    "\xC2 ",
    "\xC2\xC2",
    "\xE2\x82",
    "\xF0\x9F\x98",
    "\xF0\x9F\x98 ",
    "\xC0\x80", /* overlong */
    "\xC0\xAF",
    "\xC1\xBF",
    "\xE0\x80\xAF",
    "\xE0\x9F\xBF",
    "\xF0\x80\x80\xAF",
    "\xF0\x8F\xBF\xBF",
    "\xED\xA0\x80", /* surrogates */
    "\xED\xBF\xBF",
    "\xF4\x90\x80\x80", /* past U+10FFFF */
    "\xF7\xBF\xBF\xBF",
    "\xF8\x88\x80\x80\x80",
    "\xFE",
    "\xFF",
};

static void valid_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        uint32_t code = 0xDEAD;
        assert_int_equal(utf8_next(valid[i].bytes, valid[i].len, &code), valid[i].len);
        assert_int_equal(code, valid[i].code);
        assert_int_equal(utf8_next(valid[i].bytes, valid[i].len - 1, &code), 0);
    }
}

static void invalid_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(invalid); i++) {
        uint32_t code;
        assert_int_equal(utf8_next(invalid[i], strlen(invalid[i]), &code), 0);
    }
}

static size_t encode(uint32_t c, char *out)
{
    static const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
    static const unsigned leads[] = {0, 0xC0, 0xE0, 0xF0};
    size_t n = 0;
    while (c >= limits[n])
        n++;
    for (size_t i = n; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(leads[n] | c);
    return n + 1;
}

/* Every code point there is, and nothing in place of the surrogates. */
static void all_code_points(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        uint32_t code = 0;
        size_t len = encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_next(bytes, len, &code), surrogate ? 0 : len);
        if (!surrogate)
            assert_int_equal(code, c);
    }
}

/* Two bytes are valid in as many ways as there are code points of two bytes. */
static void all_pairs_of_bytes(void **state)
{
    (void)state;
    unsigned two = 0;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        const char bytes[2] = {(char)(pair >> 8), (char)pair};
        uint32_t code;
        two += utf8_next(bytes, 2, &code) == 2;
    }
    assert_int_equal(two, 0x800 - 0x80);
}

static void controls(void **state)
{
    (void)state;
    const uint32_t yes[] = {0, '\n', 0x1B, 0x1F, 0x7F, 0x80, 0x9B, 0x9F};
    const uint32_t no[] = {' ', '~', 0xA0, 0xAD, 0x2028, 0x10FFFF};
    for (size_t i = 0; i < COUNT(yes); i++)
        assert_true(utf8_is_control(yes[i]));
    for (size_t i = 0; i < COUNT(no); i++)
        assert_false(utf8_is_control(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_characters), cmocka_unit_test(invalid_characters),
        cmocka_unit_test(all_code_points),  cmocka_unit_test(all_pairs_of_bytes),
        cmocka_unit_test(controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

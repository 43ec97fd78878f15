#include "../unit.h"
#include "dicom_text.h"

static void expect_text(const char *charset, const char *value, const char *wanted)
{
    struct strbuf out = STRBUF_INIT;
    enum dicom_charset set = dicom_charset((const uint8_t *)charset, strlen(charset));
    dicom_text(set, (const uint8_t *)value, strlen(value), false, &out);
    assert_string_equal(strbuf_cstr(&out), wanted);
    strbuf_release(&out);
}

static void character_sets(void **state)
{
    (void)state;
    expect_text("", "plain", "plain");
    expect_text("", "M\xFCller", "M\xEF\xBF\xBDller");
    expect_text("ISO_IR 100", "M\xFCller ", "M\xC3\xBCller");
    expect_text("ISO 2022 IR 100", "M\xFCller", "M\xC3\xBCller");
    expect_text("ISO_IR 192 ", "\xE5\xB1\xB1", "\xE5\xB1\xB1");
    expect_text("ISO_IR 192", "a\xFF\xE5\xB1", "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    expect_text("ISO_IR 100\\ISO 2022 IR 87", "a\x1B$B;3\xFC", "a\xEF\xBF\xBD$B;3\xEF\xBF\xBD");
    expect_text("ISO_IR 144", "a\xB1", "a\xEF\xBF\xBD");
}

static void padding_and_controls(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    dicom_text(CHARSET_ASCII, (const uint8_t *)"a\0 \0", 4, false, &out);
    assert_string_equal(strbuf_cstr(&out), "a");
    strbuf_reset(&out);
    dicom_text(CHARSET_ASCII, (const uint8_t *)"a\r\nb\0c", 6, true, &out);
    assert_string_equal(strbuf_cstr(&out), "a\r\nb\xEF\xBF\xBD"
                                           "c");
    strbuf_release(&out);
    expect_text("", "a\nb\x7F",
                "a\xEF\xBF\xBD"
                "b\xEF\xBF\xBD");
}

static void names(void **state)
{
    static const struct {
        const char *name, *wanted;
    } cases[] = {
        {"Doe^John", "DOE^JOHN"},
        {"DOE^JOHN^^^", "DOE^JOHN"},
        {"  Doe  de  la ^ John ^ ", "DOE DE LA^JOHN"},
        {"^John", "^JOHN"},
        {"M\xC3\xBCller^\xC3\xA4nne=x=y", "M\xC3\x9CLLER^\xC3\x84NNE"},
        {"\xC3\xB7\xC3\xBF\xC3\xBE", "\xC3\xB7\xC3\xBF\xC3\x9E"},
        {"=ideographic only", ""},
        {" ^ ^ ", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct strbuf out = STRBUF_INIT;
        dicom_name_normalise(cases[i].name, strlen(cases[i].name), &out);
        assert_string_equal(strbuf_cstr(&out), cases[i].wanted);
        strbuf_release(&out);
    }
}

static void uids(void **state)
{
    char longest[66];
    (void)state;
    memset(longest, '1', 65);
    longest[65] = '\0';
    assert_false(dicom_uid_valid(longest));
    assert_true(dicom_uid_valid(longest + 1));
    assert_false(dicom_uid_valid(""));
    assert_false(dicom_uid_valid("1.2/3"));
    assert_false(dicom_uid_valid("1.2 "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(character_sets),
        cmocka_unit_test(padding_and_controls),
        cmocka_unit_test(names),
        cmocka_unit_test(uids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

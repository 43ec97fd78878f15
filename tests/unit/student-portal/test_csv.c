#include "csv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The records as text: fields between bars, "line!fault" for a faulty one, each on a line. */
static void read_all(const char *bytes, size_t len, struct strbuf *out)
{
    struct csv csv;
    csv_init(&csv, bytes, len);
    while (csv_next(&csv)) {
        strbuf_addf(out, "%zu", csv.line);
        for (size_t i = 0; i < csv.n; i++)
            strbuf_addf(out, "|%s", csv_field(&csv, i));
        strbuf_addf(out, "%s%s\n", csv.fault ? "!" : "", csv.fault ? csv.fault : "");
        assert_null(csv_field(&csv, csv.n));
    }
    csv_release(&csv);
}

static void check(const char *text, const char *expected)
{
    struct strbuf got = STRBUF_INIT;
    read_all(text, strlen(text), &got);
    assert_string_equal(strbuf_cstr(&got), expected);
    strbuf_release(&got);
}

static void reads_records(void **state)
{
    (void)state;
    check("", "");
    check("\xEF\xBB\xBF", "");
    check("\n\r\n\n", "");
    check("a", "1|a\n");
    check("a,b\nc,d\n", "1|a|b\n2|c|d\n");
    check("a,b\r\nc,d\r\n", "1|a|b\n2|c|d\n");
    check("\n\na\n\nb", "3|a\n5|b\n");
    check(",", "1||\n");
    check(",,x,", "1|||x|\n");
    check("\"\"", "1|\n");
    check("\"a,b\",c", "1|a,b|c\n");
    check("\"say \"\"x\"\"\"\n\"\"\"\"", "1|say \"x\"\n2|\"\n");
    check("\"two\nlines\",b\nc", "1|two\nlines|b\n3|c\n");
    check("\"two\r\nlines\"\r\nc", "1|two\r\nlines\n3|c\n");
    check("a\rb\n", "1|a\rb\n"); /* CR alone ends nothing */
    check("\xEF\xBB\xBFZo\xC3\xAB\n", "1|Zo\xC3\xAB\n");
    check("a ,  b \n", "1|a |  b \n"); /* blanks are part of a field */
}

static void says_what_is_wrong_and_goes_on(void **state)
{
    (void)state;
    check("a\"b\nc", "1!a quote inside a field without quotes\n2|c\n");
    check("\"a\"b\nc", "1!text behind the closing quote\n2|c\n");
    check("\"a\" ,b\nc", "1!text behind the closing quote\n2|c\n");
    check("a\n\"b\nc\n", "1|a\n2!a quote is not closed\n");
    check("\xFF\nc", "1!not UTF-8\n2|c\n");
    check("\"\xC0\xAF\"\nc", "1!not UTF-8\n2|c\n");
    check("\xE2\x82", "1!not UTF-8\n");
    check("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\nc", "1!too many fields\n2|c\n");
    check("\"a\nb\"x\nc", "1!text behind the closing quote\n3|c\n");
}

static void a_nul_is_no_end(void **state)
{
    (void)state;
    struct strbuf got = STRBUF_INIT;
    read_all("a\0b\nc", 5, &got);
    assert_string_equal(got.bytes, "1!a NUL\n2|c\n");
    strbuf_release(&got);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "", "a,b", "say \"x\"", "two\nlines", "Zo\xC3\xAB"};
    struct strbuf out = STRBUF_INIT;
    struct csv csv;
    for (size_t i = 0; i < 6; i++)
        csv_put(&out, texts[i]);
    csv_put_number(&out, -7);
    csv_end(&out);
    csv_init(&csv, out.bytes, out.len);
    assert_true(csv_next(&csv));
    assert_int_equal(csv.n, 7);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(csv_field(&csv, i), texts[i]);
    assert_string_equal(csv_field(&csv, 6), "-7");
    assert_false(csv_next(&csv));
    csv_release(&csv);
    strbuf_release(&out);
}

static void writes_no_formula(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } cases[] = {
        {"=1+1", "\"'=1+1\""},       {"+1", "\"'+1\""},
        {"-1", "\"'-1\""},           {"@A1", "\"'@A1\""},
        {"\t=1", "\"'\t=1\""},       {"\r=1", "\"'\r=1\""},
        {"\n=1", "\"'\n=1\""},       {"\uFF1D1", "\"'\uFF1D1\""},
        {"\uFF0B1", "\"'\uFF0B1\""}, {"\uFF0D1", "\"'\uFF0D1\""},
        {"\uFF20A", "\"'\uFF20A\""}, {"\uFF081", "\"\uFF081\""},
        {"a=1", "\"a=1\""},          {"", "\"\""},
        {"'=1", "\"'=1\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct strbuf out = STRBUF_INIT;
        csv_put(&out, cases[i].text);
        assert_string_equal(out.bytes, cases[i].written);
        strbuf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_records),     cmocka_unit_test(says_what_is_wrong_and_goes_on),
        cmocka_unit_test(a_nul_is_no_end),   cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_no_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

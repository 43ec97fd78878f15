#include "../unit.h"
#include "disposition.h"

static const struct {
    const char *header, *name; /* name NULL: refused */
} cases[] = {
    {NULL, ""},
    {"attachment", ""},
    {"inline", ""},
    {"  attachment\t", ""},
    {"attachment; filename=scan.dcm", "scan.dcm"},
    {"attachment;filename=scan.dcm", "scan.dcm"},
    {"ATTACHMENT; FILENAME=scan.dcm", "scan.dcm"},
    {"attachment ; filename = \"scan.dcm\" ", "scan.dcm"},
    {"form-data; name=\"f\"; filename=\"a b.dcm\"", "a b.dcm"},
    {"attachment; filename=\"a;b=c.dcm\"", "a;b=c.dcm"},
    {"attachment; filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"},
    {"attachment; filename=\"r\xC3\xB6ntgen\"", "r\xC3\xB6ntgen"},
    {"attachment; filename*=UTF-8''r%C3%B6ntgen", "r\xC3\xB6ntgen"},
    {"attachment; filename*=utf-8'de'r%c3%b6ntgen", "r\xC3\xB6ntgen"},
    {"attachment; filename=plain; filename*=UTF-8''better", "better"},
    {"attachment; filename*=UTF-8''better; filename=plain", "better"},
    {"attachment; size=5; filename=x", "x"},
    {"attachment; filename=\"a%2Fb\"", "a%2Fb"}, /* percent means nothing in a plain filename */

    {"", NULL},
    {" ", NULL},
    {";", NULL},
    {"; filename=x", NULL},
    {"attachment;", NULL},
    {"attachment; ", NULL},
    {"attachment; filename", NULL},
    {"attachment; filename=", NULL},
    {"attachment; filename=;", NULL},
    {"attachment; filename=\"", NULL},
    {"attachment; filename=\"x", NULL},
    {"attachment; filename=\"x\\", NULL},
    {"attachment; filename=\"x\"y", NULL},
    {"attachment; filename=x y", NULL},
    {"attachment filename=x", NULL},
    {"attachment; =x", NULL},
    {"attachment; filename=\"\"", NULL},
    {"attachment; filename=x; filename=y", NULL},
    {"attachment; filename=\"\"; filename=y", NULL},
    {"attachment; filename*=UTF-8''x; filename*=UTF-8''y", NULL},
    {"attachment; filename*=UTF-8''; filename*=UTF-8''y", NULL},
    {"attachment; filename=ok; filename*=UTF-8''", NULL},
    {"attachment; filename*=ISO-8859-1''x", NULL},
    {"attachment; filename*=UTF-8'x", NULL},
    {"attachment; filename*=UTF-8", NULL},
    {"attachment; filename*=''x", NULL},
    {"attachment; filename*=UTF-8''a%", NULL},
    {"attachment; filename*=UTF-8''a%4", NULL},
    {"attachment; filename*=UTF-8''a%zz", NULL},
    {"attachment; filename*=UTF-8''a%00b", NULL},
    {"attachment; filename*=UTF-8''a%0Ab", NULL},
    {"attachment; filename*=UTF-8''a%2Fb", NULL},
    {"attachment; filename*=UTF-8''%C0%AF", NULL},
    {"attachment; filename*=UTF-8''%2E%2E", NULL},
    {"attachment; filename*=UTF-8''%FF", NULL},
    {"attachment; filename=\"../x\"", NULL},
    {"attachment; filename=\"..\"", NULL},
    {"attachment; filename=\"a\\\\b\"", NULL},
    {"attachment; filename=\"a\tb\"", NULL},
};

static void every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[OBJECT_NAME_MAX + 1];
        enum status s = disposition_parse(cases[i].header, name);
        if (s != (cases[i].name ? STATUS_OK : STATUS_BAD_REQUEST))
            fail_msg("%s", cases[i].header);
        assert_string_equal(name, cases[i].name ? cases[i].name : "");
    }
}

static void bounds(void **state)
{
    (void)state;
    char name[OBJECT_NAME_MAX + 1];
    for (size_t len = OBJECT_NAME_MAX - 1; len <= OBJECT_NAME_MAX + 1; len++) {
        struct strbuf header = STRBUF_INIT;
        strbuf_addstr(&header, "attachment; filename=");
        for (size_t i = 0; i < len; i++)
            strbuf_addch(&header, 'n');
        assert_int_equal(disposition_parse(header.bytes, name),
                         len <= OBJECT_NAME_MAX ? STATUS_OK : STATUS_BAD_REQUEST);
        strbuf_release(&header);
    }
}

/* Every name that may be kept comes back by its own header. */
static void written_names_parse(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",         "scan.dcm", "a b;c=d.dcm", "say \"hi\"",   "100%.txt",         "r\xC3\xB6ntgen",
        "'quoted'", "a*b",      "(x) [y] {z}", "~tilde|pipe`", "\xF0\x9F\x98\x80",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        struct strbuf header = STRBUF_INIT;
        char name[OBJECT_NAME_MAX + 1];
        disposition_write(names[i], &header);
        assert_int_equal(disposition_parse(strbuf_cstr(&header), name), STATUS_OK);
        assert_string_equal(name, names[i]);
        strbuf_release(&header);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(bounds),
        cmocka_unit_test(written_names_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

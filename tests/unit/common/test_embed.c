#include "../unit.h"
#include "embed.h"

#define FILE_OF(name, text)                                                                        \
    {                                                                                              \
        name, (const unsigned char *)(text), sizeof(text) - 1                                      \
    }
static const struct embed_file files[] = {
    FILE_OF("001.sql", "SELECT 1"),
    FILE_OF("app.js", ""),
    FILE_OF("index.html", "<p>\0</p>"),
};
static const struct embed_folder folder = {files, COUNT(files)};

static void found_by_exact_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++)
        assert_ptr_equal(embed_find(&folder, files[i].name), &files[i]);
    assert_int_equal(embed_find(&folder, "index.html")->len, 8);
}

static void not_found(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", "index", "INDEX.HTML", "/index.html", "index.html ", "../001.sql"};
    for (size_t i = 0; i < COUNT(names); i++)
        assert_null(embed_find(&folder, names[i]));
    const struct embed_folder empty = {files, 0};
    assert_null(embed_find(&empty, "001.sql"));
}

static void types_by_ending(void **state)
{
    (void)state;
    static const char octets[] = "application/octet-stream";
    assert_string_equal(embed_type("index.html"), "text/html; charset=utf-8");
    assert_string_equal(embed_type("a.min.js"), "text/javascript; charset=utf-8");
    assert_string_equal(embed_type("openapi.json"), "application/json");
    assert_string_equal(embed_type("x.html.gz"), octets);
    assert_string_equal(embed_type("html"), octets);
    assert_string_equal(embed_type("x."), octets);
    assert_string_equal(embed_type(""), octets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_exact_name),
        cmocka_unit_test(not_found),
        cmocka_unit_test(types_by_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

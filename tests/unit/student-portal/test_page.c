#include "page.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct class_session sessions[] = {
    {7, 71, "a\"1", "Caf\xc3\xa9 <b>", "2026-01-05T09:00:00Z"},
    {7, 72, "a\"1", "Caf\xc3\xa9 <b>", "2026-01-07T09:00:00Z"},
    {5, 0, "b2", "Empty", NULL},
    {9, 91, "c3", "Not theirs", "2026-01-05T09:00:00Z"},
};
static const struct timetable timetable = {sessions, 4};

static void expect(const char *courses, const char *marks, const char *body)
{
    const struct attendance_page page = {
        .courses = courses, .marks = marks, .timetable = &timetable};
    struct strbuf out = STRBUF_INIT;
    page_write(&out, &page);
    assert_string_equal(strbuf_cstr(&out), body);
    strbuf_release(&out);
}

#define COURSE_7(first, second, rest)                                                              \
    "{\"course\":\"a\\u00221\",\"title\":\"Caf\xc3\xa9 <b>\",\"sessions\":["                       \
    "{\"session\":\"71\",\"starts_at\":\"2026-01-05T09:00:00Z\",\"mark\":" first "},"              \
    "{\"session\":\"72\",\"starts_at\":\"2026-01-07T09:00:00Z\",\"mark\":" second "}"              \
    "],\"totals\":" rest "}"
#define COURSE_5                                                                                   \
    "{\"course\":\"b2\",\"title\":\"Empty\",\"sessions\":[],\"totals\":{\"present\":0,\"late\":0," \
    "\"absent\":0,\"excused\":0,\"unmarked\":0},\"percentage\":null,\"below_75\":false}"

static void writes_what_is_theirs(void **state)
{
    (void)state;
    expect(NULL, NULL, "{\"courses\":[]}");
    expect("8", "71 1", "{\"courses\":[]}");
    expect("5", NULL, "{\"courses\":[" COURSE_5 "]}");
    /* In the order of the timetable, whatever the order of the ids. */
    expect("5,7", "91 1,72 3,71 2",
           "{\"courses\":[" COURSE_7(
               "\"late\"", "\"absent\"",
               "{\"present\":0,\"late\":1,\"absent\":1,\"excused\":0,"
               "\"unmarked\":0},\"percentage\":50,\"below_75\":true") "," COURSE_5 "]}");
    /* A mark of a newer schema counts as none. */
    expect(
        "7", "71 4,72 9",
        "{\"courses\":[" COURSE_7("\"excused\"", "null",
                                  "{\"present\":0,\"late\":0,\"absent\":0,\"excused\":1,"
                                  "\"unmarked\":1},\"percentage\":null,\"below_75\":false") "]}");
}

static void writes_one_course(void **state)
{
    (void)state;
    const struct attendance_page page = {.courses = "7,5", .timetable = &timetable};
    struct strbuf out = STRBUF_INIT;
    assert_false(page_write_course(&out, &page, "c3"));
    assert_false(page_write_course(&out, &page, "none"));
    assert_int_equal(out.len, 0);
    assert_true(page_write_course(&out, &page, "b2"));
    assert_string_equal(out.bytes, COURSE_5);
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_is_theirs),
        cmocka_unit_test(writes_one_course),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

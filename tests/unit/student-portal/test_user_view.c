#include "user_view.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct user ana = {.id = 77,
                                .account = "ana",
                                .name = "Ana",
                                .role = STUDENT,
                                .session_gen = 5,
                                .attendance_gen = 9};

static void shows(roles viewer, const char *expected)
{
    struct strbuf text = STRBUF_INIT;
    json_t *view = user_view(&ana, viewer);
    json_write(&text, view);
    assert_string_equal(text.bytes, expected);
    json_decref(view);
    strbuf_release(&text);
}

static void each_sees_their_fields(void **state)
{
    (void)state;
    shows(STUDENT, "{}");
    shows(0, "{}");
    shows(FACULTY, "{\"student\":\"ana\",\"name\":\"Ana\"}");
    shows(ADMIN, "{\"account\":\"ana\",\"name\":\"Ana\",\"role\":\"student\",\"disabled\":false}");
    shows(ONESELF, "{\"account\":\"ana\",\"name\":\"Ana\",\"role\":\"student\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_sees_their_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

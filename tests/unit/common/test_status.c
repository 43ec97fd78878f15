#include "../unit.h"
#include "json.h"
#include "status.h"

static void every_status_is_complete(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        enum status s = (enum status)i;
        assert_true(status_http(s) == 200 || (status_http(s) >= 400 && status_http(s) < 600));
        assert_true(name_valid(status_slug(s), 40));
        assert_true(strlen(status_title(s)) > 1);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(status_slug(s), status_slug((enum status)j));
    }
}

static void known_values(void **state)
{
    (void)state;
    assert_int_equal(STATUS_OK, 0);
    assert_int_equal(status_http(STATUS_OK), 200);
    assert_int_equal(status_http(STATUS_TOO_LARGE), 413);
    assert_string_equal(status_slug(STATUS_PRECONDITION_FAILED), "precondition-failed");
    assert_string_equal(status_title(STATUS_NOT_FOUND), "No such resource");
}

static void anything_else_is_internal(void **state)
{
    (void)state;
    const unsigned strangers[] = {STATUS_COUNT, STATUS_COUNT + 1, 404, UINT32_MAX};
    for (size_t i = 0; i < COUNT(strangers); i++) {
        assert_int_equal(status_http((enum status)strangers[i]), 500);
        assert_string_equal(status_slug((enum status)strangers[i]), "internal");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_is_complete),
        cmocka_unit_test(known_values),
        cmocka_unit_test(anything_else_is_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

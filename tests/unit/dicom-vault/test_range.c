#include "../unit.h"
#include "range.h"

#define MAX_ "18446744073709551615"

static const struct {
    const char *header;
    uint64_t size;
    enum status status;
    bool partial;
    uint64_t first, len;
} cases[] = {
    {NULL, 10, STATUS_OK, false, 0, 10},
    {"bytes=0-9", 10, STATUS_OK, true, 0, 10},
    {"bytes=0-0", 10, STATUS_OK, true, 0, 1},
    {"bytes=3-5", 10, STATUS_OK, true, 3, 3},
    {"Bytes=3-5", 10, STATUS_OK, true, 3, 3},
    {"bytes=9-9", 10, STATUS_OK, true, 9, 1},
    {"bytes=3-", 10, STATUS_OK, true, 3, 7},
    {"bytes=3-10", 10, STATUS_OK, true, 3, 7},
    {"bytes=3-" MAX_, 10, STATUS_OK, true, 3, 7},
    {"bytes=0-99999999999999999999999999", 10, STATUS_OK, true, 0, 10},
    {"bytes=-1", 10, STATUS_OK, true, 9, 1},
    {"bytes=-10", 10, STATUS_OK, true, 0, 10},
    {"bytes=-11", 10, STATUS_OK, true, 0, 10},
    {"bytes=-" MAX_, 10, STATUS_OK, true, 0, 10},
    {"bytes=-99999999999999999999999999", 10, STATUS_OK, true, 0, 10},
    {"bytes=10-", 10, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=10-20", 10, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=" MAX_ "-", 10, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=-0", 10, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=0-", 0, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=-5", 0, STATUS_RANGE_NOT_SATISFIABLE, true, 0, 0},
    {"bytes=5-3", 10, STATUS_OK, false, 0, 10},
    {"bytes=0-1,3-4", 10, STATUS_OK, false, 0, 10},
    {"bytes=", 10, STATUS_OK, false, 0, 10},
    {"bytes=-", 10, STATUS_OK, false, 0, 10},
    {"bytes=3", 10, STATUS_OK, false, 0, 10},
    {"bytes=3-x", 10, STATUS_OK, false, 0, 10},
    {"bytes=+3-5", 10, STATUS_OK, false, 0, 10},
    {"bytes= 3-5", 10, STATUS_OK, false, 0, 10},
    {"bytes=3-5 ", 10, STATUS_OK, false, 0, 10},
    {"bytes=--5", 10, STATUS_OK, false, 0, 10},
    {"bytes 3-5", 10, STATUS_OK, false, 0, 10},
    {"lines=3-5", 10, STATUS_OK, false, 0, 10},
    {"", 10, STATUS_OK, false, 0, 10},
};

static void every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t first, len;
        bool partial;
        enum status s = range_parse(cases[i].header, cases[i].size, &first, &len, &partial);
        if (s != cases[i].status || partial != cases[i].partial)
            fail_msg("%s", cases[i].header);
        if (s == STATUS_OK && (first != cases[i].first || len != cases[i].len))
            fail_msg("%s: %lu %lu", cases[i].header, first, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

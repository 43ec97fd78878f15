#include "../unit.h"
#include "clock.h"

static const struct {
    const char *text;
    int64_t ms;
} good[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00.001Z", 1},
    {"1969-12-31T23:59:59.999Z", -1},
    {"2026-01-31T09:00:00.123Z", 1769850000123},
    {"2026-01-31t09:00:00.123z", 1769850000123},
    {"2026-01-31T09:00:00.1Z", 1769850000100},
    {"2026-01-31T09:00:00.12Z", 1769850000120},
    {"2026-01-31T09:00:00.123999999Z", 1769850000123},
    {"2026-01-31T14:30:00.123+05:30", 1769850000123},
    {"2026-01-30T21:00:00.123-12:00", 1769850000123},
    {"2026-01-31T09:00:00.123-00:00", 1769850000123},
    {"2000-02-29T00:00:00Z", 951782400000}, /* leap: divisible by 400 */
    {"2024-02-29T00:00:00Z", 1709164800000},
    {"2038-01-19T03:14:08Z", 2147483648000},
    {"0000-01-01T00:00:00Z", -62167219200000},
    {"0000-02-29T00:00:00Z", -62162121600000},
    {"9999-12-31T23:59:59.999Z", 253402300799999},
    {"0001-01-01T00:00:00+23:59", -62135683140000},
};

static const char *const bad[] = {
    "",
    "2026-01-31",
    "2026-01-31T09:00Z",
    "2026-01-31T09:00:00",
    "2026-01-31 09:00:00Z",
    "2026-01-31T09:00:00Z ",
    " 2026-01-31T09:00:00Z",
    "2026-01-31T09:00:00ZZ",
    "2026-1-31T09:00:00Z",
    "26-01-31T09:00:00Z",
    "+026-01-31T09:00:00Z",
    "-026-01-31T09:00:00Z",
    "12026-01-31T09:00:00Z",
    "2026-00-31T09:00:00Z",
    "2026-13-31T09:00:00Z",
    "2026-01-00T09:00:00Z",
    "2026-01-32T09:00:00Z",
    "2026-04-31T09:00:00Z",
    "2026-02-29T09:00:00Z",
    "2024-02-30T09:00:00Z",
    "1900-02-29T00:00:00Z", /* not leap: divisible by 100 alone */
    "2100-02-29T00:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T09:60:00Z",
    "2026-01-31T09:00:60Z", /* leap seconds have no place on the Unix time line */
    "2016-12-31T23:59:60Z",
    "2026-01-31T09:00:00.Z",
    "2026-01-31T09:00:00.1234567890Z",
    "2026-01-31T09:00:00,123Z",
    "2026-01-31T09:00:00.-1Z",
    "2026-01-31T09:00:00+5:30",
    "2026-01-31T09:00:00+0530",
    "2026-01-31T09:00:00+24:00",
    "2026-01-31T09:00:00+05:60",
    "2026-01-31T09:00:00+05",
    "2026-01-31T09:00:00*05:00",
    "2026-01-31T0\xd9:00:00Z",
};

static void good_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t ms = 42;
        assert_int_equal(rfc3339_parse(good[i].text, &ms), STATUS_OK);
        assert_true(ms == good[i].ms);
    }
}

static void bad_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t ms;
        if (rfc3339_parse(bad[i], &ms) != STATUS_BAD_REQUEST)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void cut_anywhere_is_bad(void **state)
{
    (void)state;
    static const char whole[] = "2026-01-31T09:00:00+01:00";
    int64_t ms;
    assert_int_equal(rfc3339_parse(whole, &ms), STATUS_OK);
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char *text = strndup(whole, len); /* on the heap: reading past it is seen */
        assert_int_equal(rfc3339_parse(text, &ms), STATUS_BAD_REQUEST);
        free(text);
    }
}

static void formats(void **state)
{
    (void)state;
    char text[RFC3339_SIZE];
    rfc3339_format(1769850000123, text);
    assert_string_equal(text, "2026-01-31T09:00:00.123Z");
    rfc3339_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    rfc3339_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    rfc3339_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

/* Across every month of 10,000 years, what was formatted reads back. */
static void there_and_back(void **state)
{
    (void)state;
    for (int64_t ms = -62167219200000; ms <= 253402300799999; ms += 2629746123) {
        char text[RFC3339_SIZE];
        int64_t back;
        rfc3339_format(ms, text);
        assert_int_equal(strlen(text), RFC3339_SIZE - 1);
        assert_int_equal(rfc3339_parse(text, &back), STATUS_OK);
        assert_true(back == ms);
    }
}

static void clocks_agree_on_units(void **state)
{
    (void)state;
    int64_t us = clock_mono_us(), ms = clock_mono_ms();
    assert_true(ms >= us / 1000);
    assert_true(clock_mono_us() / 1000 >= ms);
    assert_true(clock_unix_ms() > 1700000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_times),          cmocka_unit_test(bad_times),
        cmocka_unit_test(cut_anywhere_is_bad), cmocka_unit_test(formats),
        cmocka_unit_test(there_and_back),      cmocka_unit_test(clocks_agree_on_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

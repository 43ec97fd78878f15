#include "../unit.h"
#include "health.h"

struct store {
    bool well;
    const char *why;
};

static bool store_health(void *ctx, struct strbuf *why)
{
    const struct store *s = ctx;
    if (!s->well)
        strbuf_addstr(why, s->why);
    return s->well;
}

static struct store database = {true, ""}, cache = {true, ""};

static void assert_ready(enum status expected, const char *body)
{
    struct strbuf out = STRBUF_INIT;
    assert_int_equal(health_ready(&out), expected);
    assert_string_equal(out.bytes, body);
    strbuf_release(&out);
}

/* One test: what is registered stays, and draining does not end. */
static void from_start_to_drain(void **state)
{
    (void)state;
    assert_ready(STATUS_OK, "{\"status\":\"ready\",\"checks\":{}}");
    health_add("mysql", store_health, &database);
    assert_ready(STATUS_OK, "{\"status\":\"ready\",\"checks\":{\"mysql\":\"ok\"}}");
    health_add("redis", store_health, &cache);
    assert_ready(STATUS_OK,
                 "{\"status\":\"ready\",\"checks\":{\"mysql\":\"ok\",\"redis\":\"ok\"}}");

    cache = (struct store){false, "can't connect: \"\xFF\"\n"};
    assert_ready(STATUS_UNAVAILABLE,
                 "{\"status\":\"unready\",\"checks\":{\"mysql\":\"ok\","
                 "\"redis\":\"can't connect: \\u0022\xEF\xBF\xBD\\u0022\\u000a\"}}");
    database = (struct store){false, ""};
    cache.why = "ok"; /* a reason that looks well */
    assert_ready(STATUS_UNAVAILABLE, "{\"status\":\"unready\",\"checks\":{\"mysql\":\"not well\","
                                     "\"redis\":\"ok\"}}");
    cache.well = true; /* the first is not made good by the last */
    assert_ready(STATUS_UNAVAILABLE, "{\"status\":\"unready\",\"checks\":{\"mysql\":\"not well\","
                                     "\"redis\":\"ok\"}}");
    database.well = true;
    assert_ready(STATUS_OK,
                 "{\"status\":\"ready\",\"checks\":{\"mysql\":\"ok\",\"redis\":\"ok\"}}");

    assert_false(health_draining());
    health_drain();
    assert_true(health_draining());
    assert_ready(STATUS_UNAVAILABLE,
                 "{\"status\":\"draining\",\"checks\":{\"mysql\":\"ok\",\"redis\":\"ok\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(from_start_to_drain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

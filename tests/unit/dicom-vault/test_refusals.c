#include "refusals.h"
#include "temp.h"

static const uint8_t root[KEY_SIZE] = {1};
static struct keyring *keys;
static struct index *ix;
static struct refusals *r;

static int setup(void **state)
{
    struct strbuf why = STRBUF_INIT;
    if (temp_make(state))
        return -1;
    r = refusals_new();
    keys = keyring_new(root);
    if (index_create(in_temp("index.db"), keys, &why) != STATUS_OK)
        return -1;
    return index_open(in_temp("index.db"), keys, 1, &ix, &why) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    refusals_free(r);
    index_close(ix);
    keyring_free(keys);
    return temp_remove(state);
}

/* "source outcome" of every entry, one a line. */
static const char *entries(void)
{
    static char text[65536];
    struct sqlite_rows *rows;
    bool more;
    text[0] = '\0';
    struct sqlite *db = index_borrow(ix);
    assert_int_equal(sqlite_query(db, "SELECT source || ' ' || outcome FROM audit ORDER BY seq",
                                  SQL_NONE, &rows),
                     STATUS_OK);
    while (sqlite_next(rows, &more) == STATUS_OK && more) {
        strcat(text, sqlite_text(rows, 0, NULL));
        strcat(text, "\n");
    }
    sqlite_rows_free(rows);
    index_return(ix, db);
    return text;
}

static void throttles_by_address_and_minute(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REFUSALS_TRIES; i++) {
        assert_int_equal(refusals_admit(r, "a", 1000), 0);
        refusals_count(r, "a", 1000);
    }
    assert_int_equal(refusals_admit(r, "a", 1000), 60);
    assert_int_equal(refusals_admit(r, "a", 60999), 1);
    assert_int_equal(refusals_admit(r, "b", 1000), 0);
    assert_int_equal(refusals_admit(r, "a", 61000), 0);
    refusals_count(r, "a", 61000);
    assert_int_equal(refusals_admit(r, "a", 61000), 0); /* a fresh minute */
}

static void one_entry_an_address(void **state)
{
    (void)state;
    assert_int_equal(refusals_write(r, ix, 0), STATUS_OK);
    assert_string_equal(entries(), "");
    for (unsigned i = 0; i < REFUSALS_TRIES; i++)
        refusals_count(r, "a", 1000);
    refusals_admit(r, "a", 1000); /* the throttled one counts too */
    refusals_count(r, "b", 1000);
    assert_int_equal(refusals_write(r, ix, 2000), STATUS_OK);
    assert_string_equal(entries(), "a unauthenticated 101\nb unauthenticated 1\n");
    assert_int_not_equal(refusals_admit(r, "a", 2000), 0); /* written, not forgiven */
    assert_int_equal(refusals_write(r, ix, 90000), STATUS_OK);
    assert_int_equal(refusals_write(r, ix, 90000), STATUS_OK);
    assert_string_equal(entries(), "a unauthenticated 101\nb unauthenticated 1\n"
                                   "a unauthenticated 1\n");
}

static void a_flood_from_everywhere_stays_small(void **state)
{
    (void)state;
    char address[16];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(address, sizeof(address), "%u", i);
        refusals_count(r, address, 1000);
    }
    assert_int_equal(refusals_admit(r, "20001", 1000), 60); /* so many is throttled too */
    assert_int_equal(refusals_admit(r, "1", 1000), 0);
    assert_int_equal(refusals_write(r, ix, 1000), STATUS_OK);
    const char *text = entries();
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, REFUSALS_SOURCES + 1);
    assert_non_null(strstr(text, "elsewhere unauthenticated 19745\n"));
    refusals_write(r, ix, 61000); /* their minute is over: room again */
    refusals_count(r, "x", 61000);
    refusals_write(r, ix, 61000);
    assert_non_null(strstr(entries(), "x unauthenticated 1\n"));
}

static void ipv6_by_network(void **state)
{
    (void)state;
    char address[64];
    for (unsigned i = 0; i < REFUSALS_TRIES; i++) {
        snprintf(address, sizeof(address), "2001:db8:1:2:%x::%x", i, i + 1);
        refusals_count(r, address, 1000);
    }
    assert_int_equal(refusals_admit(r, "2001:db8:1:2:ffff::1", 1000), 60);
    assert_int_equal(refusals_admit(r, "2001:db8:1:3::1", 1000), 0);
    assert_int_equal(refusals_write(r, ix, 1000), STATUS_OK);
    assert_string_equal(entries(), "2001:db8:1:2::/64 unauthenticated 101\n");
}

static void what_cannot_be_written_is_kept(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_INIT;
    struct sqlite *db;
    refusals_count(r, "a", 0);
    assert_int_equal(sqlite_open(in_temp("index.db"), 0, NULL, &db, &why), STATUS_OK);
    assert_int_equal(sqlite_exec(db, "BEGIN IMMEDIATE", SQL_NONE, NULL), STATUS_OK);
    assert_int_equal(refusals_write(r, ix, 0), STATUS_UNAVAILABLE);
    sqlite_close(db);
    refusals_count(r, "a", 0);
    assert_int_equal(refusals_write(r, ix, 0), STATUS_OK);
    assert_string_equal(entries(), "a unauthenticated 2\n");
    strbuf_release(&why);
}

int main(void)
{
#define with_index(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        with_index(throttles_by_address_and_minute),     with_index(one_entry_an_address),
        with_index(a_flood_from_everywhere_stays_small), with_index(ipv6_by_network),
        with_index(what_cannot_be_written_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

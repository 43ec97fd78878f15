#include "audit.h"
#include "index.h"
#include "secret.h"
#include "temp.h"

static const uint8_t root[KEY_SIZE] = {1};
static const struct audit_by by = {"0011223344556677", "127.0.0.1"};
static struct keyring *keys;
static struct index *ix;

static void record(const char *action, uint8_t object)
{
    struct audit_entry e = {by, action, &object, 1, "ok"};
    assert_int_equal(audit_record(ix, &e), STATUS_OK);
}

static int setup(void **state)
{
    struct strbuf why = STRBUF_INIT;
    if (temp_make(state))
        return -1;
    keys = keyring_new(root);
    if (index_create(in_temp("index.db"), keys, &why) != STATUS_OK ||
        index_open(in_temp("index.db"), keys, 2, &ix, &why) != STATUS_OK)
        return -1;
    for (uint8_t i = 1; i <= 5; i++)
        record("read", i);
    return 0;
}

static int teardown(void **state)
{
    index_close(ix);
    keyring_free(keys);
    return temp_remove(state);
}

/* As somebody with the disk would. */
static void tamper(const char *text)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(sqlite_open(in_temp("index.db"), 0, NULL, &db, &why), STATUS_OK);
    sqlite_exec(db, "DROP TRIGGER IF EXISTS audit_changed", SQL_NONE, NULL);
    sqlite_exec(db, "DROP TRIGGER IF EXISTS audit_removed", SQL_NONE, NULL);
    assert_int_equal(sqlite_exec(db, text, SQL_NONE, NULL), STATUS_OK);
    sqlite_close(db);
    strbuf_release(&why);
}

static struct audit_head head(void)
{
    struct audit_head at;
    struct sqlite *db = index_borrow(ix);
    assert_int_equal(audit_head(db, keys, &at), STATUS_OK);
    index_return(ix, db);
    return at;
}

/* NULL when the log holds, or where it does not. Static. */
static const char *verify(const struct audit_head *expect)
{
    static char text[256];
    struct audit_head at;
    struct strbuf why = STRBUF_INIT;
    struct sqlite *db = index_borrow(ix);
    enum status s = audit_verify(db, keys, expect, &at, NULL, NULL, &why);
    index_return(ix, db);
    snprintf(text, sizeof(text), "%s", strbuf_cstr(&why));
    strbuf_release(&why);
    assert_int_equal(s, text[0] ? STATUS_CORRUPT : STATUS_OK);
    return text[0] ? text : NULL;
}

static void holds_and_grows(void **state)
{
    (void)state;
    struct audit_head before = head();
    assert_int_equal(before.count, 5);
    assert_null(verify(NULL));
    assert_null(verify(&before));
    record("delete", 1);
    assert_null(verify(&before));
    assert_int_equal(head().count, 6);
    struct audit_head none = {0, {0}};
    memcpy(none.mac, keyring_vault_id(keys), VAULT_ID);
    assert_null(verify(&none)); /* the head of an empty log */
}

static void is_append_only(void **state)
{
    (void)state;
    static const char *const statements[] = {
        "UPDATE audit SET who = 'x'",
        "DELETE FROM audit WHERE seq = 5",
        "INSERT INTO audit SELECT 5, at_ms, '', '', '', object, '', mac FROM audit WHERE seq = 1",
    };
    for (size_t i = 0; i < COUNT(statements); i++)
        assert_int_not_equal(index_exec(ix, statements[i], SQL_NONE, NULL, NULL), STATUS_OK);
    assert_null(verify(NULL));
}

static void every_change_shows(void **state)
{
    static const struct {
        const char *sql, *why;
    } changes[] = {
        {"UPDATE audit SET who = 'x' WHERE seq = 3", "entry 3 is not"},
        {"UPDATE audit SET source = source || char(0) || 'x' WHERE seq = 3", "entry 3 is not"},
        {"UPDATE audit SET source = 'r', action = 'ead' WHERE seq = 5", "entry 5 is not"},
        {"UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1", "entry 1 is not"},
        {"UPDATE audit SET action = 'list' WHERE seq = 2", "entry 2 is not"},
        {"UPDATE audit SET object = x'' WHERE seq = 2", "entry 2 is not"},
        {"UPDATE audit SET outcome = '' WHERE seq = 2", "entry 2 is not"},
        {"UPDATE audit SET mac = zeroblob(32) WHERE seq = 4", "entry 4 is not"},
        {"UPDATE audit SET mac = substr(mac, 1, 31) WHERE seq = 5", "entry 5 is not"},
        {"DELETE FROM audit WHERE seq = 3", "entry 3 is missing"},
        {"DELETE FROM audit WHERE seq = 1", "entry 1 is missing"},
        {"DELETE FROM audit WHERE seq = 2; ", "entry 2 is missing"},
        {"UPDATE audit SET seq = seq - 1 + 100 * (seq = 1)", "entry 1 is not"}, /* moved up */
        {"UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END",
         "entry 1 is missing"},
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        tamper(changes[i].sql);
        const char *why = verify(NULL);
        assert_non_null(why);
        assert_memory_equal(why, changes[i].why, strlen(changes[i].why));
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void swapped_entries_show(void **state)
{
    (void)state;
    tamper("UPDATE audit SET seq = -seq WHERE seq IN (2, 3)");
    tamper("UPDATE audit SET seq = 5 + seq WHERE seq < 0");
    assert_memory_equal(verify(NULL), "entry 2 is not", 14);
}

static void a_cut_end_shows_against_an_anchor(void **state)
{
    (void)state;
    struct audit_head anchor = head();
    tamper("DELETE FROM audit WHERE seq = 5");
    assert_null(verify(NULL)); /* cannot be found without */
    assert_non_null(verify(&anchor));
    record("read", 9); /* as many entries again, but others */
    record("read", 9);
    assert_memory_equal(verify(&anchor), "entry 5 is another", 18);
}

static void another_key_or_vault_shows(void **state)
{
    (void)state;
    struct keyring *ours = keys;
    keys = keyring_new(root);
    assert_non_null(verify(NULL)); /* the same root, another vault id */
    keyring_free(keys);
    keys = ours;
}

static enum status append_and_fail(struct sqlite *db, void *ctx)
{
    struct audit_entry e = {by, "never", NULL, 0, "ok"};
    (void)ctx;
    assert_int_equal(audit_append(db, keys, &e), STATUS_OK);
    return STATUS_INTERNAL;
}

static void stands_or_falls_with_its_work(void **state)
{
    (void)state;
    assert_int_equal(index_write(ix, append_and_fail, NULL), STATUS_INTERNAL);
    assert_int_equal(head().count, 5);
    assert_null(verify(NULL));
}

static void heads_as_text(void **state)
{
    (void)state;
    struct audit_head at = head(), again;
    struct strbuf text = STRBUF_INIT;
    static const char *const bad[] = {"", "5", "5:", ":00", "-1:00", "5:xyz", "x:00", " 5:00"};
    audit_head_format(&at, &text);
    assert_int_equal(audit_head_parse(text.bytes, &again), STATUS_OK);
    assert_int_equal(again.count, at.count);
    assert_memory_equal(again.mac, at.mac, AUDIT_MAC);
    text.bytes[text.len - 1] = '\0';
    assert_int_equal(audit_head_parse(text.bytes, &again), STATUS_UNPROCESSABLE);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(audit_head_parse(bad[i], &again), STATUS_UNPROCESSABLE);
    strbuf_release(&text);
}

int main(void)
{
#define with_log(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        with_log(holds_and_grows),
        with_log(is_append_only),
        with_log(every_change_shows),
        with_log(swapped_entries_show),
        with_log(a_cut_end_shows_against_an_anchor),
        with_log(another_key_or_vault_shows),
        with_log(stands_or_falls_with_its_work),
        with_log(heads_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

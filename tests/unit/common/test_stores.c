#include "../unit.h"
#include "db.h"
#include "redis.h"
#include "sql.h"

/* URLs that no server could make good are refused at start, and the reason keeps the secret. */
static void bad_urls(void **state)
{
    (void)state;
    static const char *const mysql[] = {
        "",
        "mysql:",
        "redis://h/d",
        "mysql://h",
        "mysql://h/",
        "mysql:///d",
        "mysql://u:secret@h:x/d",
        "mysql://u:secret@h/d?tls=2",
        "mysql://u:secret@h/d?tls=",
        "mysql://u:secret@h/d?tsl=1",
        "mysql://u:secret@h/d#x",
    };
    static const char *const redis[] = {
        "",
        "mysql://h",
        "redis://",
        "redis://:secret@:6379",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/-1",
        "redis://h/4294967296",
        "redis://user@h",
        "redis://h?x=1",
        "rediss://:secret@h",
    };
    for (size_t i = 0; i < sizeof(mysql) / sizeof(mysql[0]); i++) {
        struct strbuf why = STRBUF_INIT;
        struct db *db;
        assert_int_equal(db_new(&(struct db_options){.url = mysql[i]}, &db, &why),
                         STATUS_UNPROCESSABLE);
        assert_null(db);
        assert_true(why.len > 0);
        assert_null(strstr(why.bytes, "secret"));
        strbuf_release(&why);
    }
    for (size_t i = 0; i < sizeof(redis) / sizeof(redis[0]); i++) {
        struct redis_options options = {.url = redis[i]};
        struct redis_subscriber_events events = {0};
        struct strbuf why = STRBUF_INIT;
        struct redis *r;
        struct redis_subscriber *s;
        assert_int_equal(redis_new(&options, &r, &why), STATUS_UNPROCESSABLE);
        assert_int_equal(redis_subscriber_new(&options, &events, &s, &why), STATUS_UNPROCESSABLE);
        assert_null(r);
        assert_null(s);
        assert_true(why.len > 0);
        assert_null(strstr(why.bytes, "secret"));
        strbuf_release(&why);
    }
}

/* Port 1 refuses. Everything answers at once, and ends. */
static void nobody_there(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_INIT;
    struct db *db;
    struct db_conn *c;
    struct redis *r;
    struct redis_reply *reply;
    assert_int_equal(db_new(&(struct db_options){.url = "mysql://127.0.0.1:1/d"}, &db, &why),
                     STATUS_OK);
    assert_int_equal(db_acquire(db, &c), STATUS_UNAVAILABLE);
    assert_false(db_health(db, &why));
    assert_int_equal(db_transaction(db, NULL, NULL), STATUS_UNAVAILABLE);
    db_free(db);
    assert_int_equal(redis_new(&(struct redis_options){.url = "redis://127.0.0.1:1"}, &r, &why),
                     STATUS_OK);
    assert_int_equal(redis_command(r, &reply, "PING"), STATUS_UNAVAILABLE);
    assert_null(reply);
    assert_int_equal(redis_epoch(r), 0);
    assert_false(redis_health(r, &why));
    redis_free(r);
    strbuf_release(&why);
}

static void nothing_to_release(void **state)
{
    (void)state;
    db_free(NULL);
    db_release(NULL);
    db_rows_free(NULL);
    assert_false(db_next(NULL));
    redis_free(NULL);
    redis_reply_free(NULL);
    redis_subscriber_free(NULL);
    assert_true(redis_is_nil(NULL));
    assert_int_equal(redis_int(NULL), 0);
    assert_int_equal(redis_count(NULL), 0);
    assert_null(redis_at(NULL, 0));
    size_t len = 1;
    assert_null(redis_str(NULL, &len));
    assert_int_equal(len, 0);
}

static void values(void **state)
{
    (void)state;
    assert_int_equal(SQL_TEXT(NULL).type, SQL_TYPE_NULL);
    struct sql_value v = SQL_TEXT("abc");
    assert_int_equal(v.type, SQL_TYPE_TEXT);
    assert_int_equal(v.len, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_urls),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(nothing_to_release),
        cmocka_unit_test(values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

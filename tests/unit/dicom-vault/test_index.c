#include "index.h"
#include "temp.h"
#include <pthread.h>
#include <semaphore.h>

static const struct audit_by tester = {"tester", "here"};

static const uint8_t root[KEY_SIZE] = {1};
static const uint8_t data_key[KEY_SIZE] = {2, 2};

static struct index *open_index(const struct keyring *keys)
{
    struct index *ix = NULL;
    struct strbuf why = STRBUF_INIT;
    enum status s =
        exists(in_temp("index.db")) ? STATUS_OK : index_create(in_temp("index.db"), keys, &why);
    if (s == STATUS_OK)
        s = index_open(in_temp("index.db"), keys, 2, &ix, &why);
    if (s != STATUS_OK)
        fail_msg("%s", strbuf_cstr(&why));
    strbuf_release(&why);
    return ix;
}

static struct object object(uint8_t first, const char *name)
{
    struct object o = {.id = {first}, .size = first, .created_ms = 1000 + first};
    snprintf(o.name, sizeof(o.name), "%s", name);
    return o;
}

static void put(struct index *ix, uint8_t first, const char *name)
{
    struct object o = object(first, name);
    assert_int_equal(index_insert(ix, &o, data_key, NULL, &tester), STATUS_OK);
}

static enum status find(struct index *ix, uint8_t first)
{
    struct object o = object(first, "");
    uint8_t id[OBJECT_ID], key[KEY_SIZE];
    memcpy(id, o.id, OBJECT_ID);
    return index_find(ix, id, &o, key);
}

static void sql(const char *text)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(sqlite_open(in_temp("index.db"), 0, NULL, &db, &why), STATUS_OK);
    assert_int_equal(sqlite_exec(db, text, SQL_NONE, NULL), STATUS_OK);
    sqlite_close(db);
    strbuf_release(&why);
}

static void keeps_what_was_put(void **state)
{
    (void)state;
    struct keyring *keys = keyring_new(root);
    struct index *ix = open_index(keys);
    struct object o = object(7, "scan.dcm"), found;
    uint8_t key[KEY_SIZE];
    bool there;
    memset(o.sha256, 0xAA, sizeof(o.sha256));
    assert_int_equal(find(ix, 7), STATUS_NOT_FOUND);
    assert_int_equal(index_insert(ix, &o, data_key, NULL, &tester), STATUS_OK);
    assert_int_equal(o.seq, 1);
    assert_int_equal(index_insert(ix, &o, data_key, NULL, &tester), STATUS_DUPLICATE);
    index_close(ix);
    ix = open_index(keys);
    assert_int_equal(index_find(ix, o.id, &found, key), STATUS_OK);
    o.seq = 1;
    assert_memory_equal(&found, &o, sizeof(o));
    assert_memory_equal(key, data_key, KEY_SIZE);
    assert_int_equal(index_contains(ix, o.id, &there), STATUS_OK);
    assert_true(there);
    assert_int_equal(index_delete(ix, o.id, &tester), STATUS_OK);
    assert_int_equal(index_delete(ix, o.id, &tester), STATUS_NOT_FOUND);
    assert_int_equal(index_contains(ix, o.id, &there), STATUS_OK);
    assert_false(there);
    assert_int_equal(find(ix, 7), STATUS_NOT_FOUND);
    index_close(ix);
    index_close(NULL);
    keyring_free(keys);
}

struct seen {
    size_t n;
    uint8_t first[8];
    bool sound[8];
};

static void see(void *ctx, const struct object *o, bool sound)
{
    struct seen *seen = ctx;
    seen->first[seen->n] = o->id[0];
    seen->sound[seen->n++] = sound;
}

static void lists_in_order(void **state)
{
    (void)state;
    struct keyring *keys = keyring_new(root);
    struct index *ix = open_index(keys);
    for (uint8_t i = 9; i > 4; i--)
        put(ix, i, "x");
    struct seen seen = {0};
    assert_int_equal(index_list(ix, 0, 3, see, &seen), STATUS_OK);
    assert_int_equal(seen.n, 3);
    assert_memory_equal(seen.first, "\x9\x8\x7", 3);
    seen.n = 0;
    assert_int_equal(index_list(ix, 3, 8, see, &seen), STATUS_OK);
    assert_int_equal(seen.n, 2);
    seen.n = 0;
    assert_int_equal(index_list(ix, INT64_MAX, 8, see, &seen), STATUS_OK);
    assert_int_equal(seen.n, 0);
    /* A number is never given twice, so a reader who follows the list misses nothing. */
    struct object last = object(5, "");
    assert_int_equal(index_delete(ix, last.id, &tester), STATUS_OK);
    assert_int_equal(index_insert(ix, &last, data_key, NULL, &tester), STATUS_OK);
    assert_int_equal(last.seq, 6);
    index_close(ix);
    keyring_free(keys);
}

/* The column of the one row, into `bytes`; returns its length. */
static size_t read_column(struct index *ix, const char *select, uint8_t *bytes)
{
    size_t len;
    bool more;
    struct sqlite_rows *rows;
    struct sqlite *db = index_borrow(ix);
    assert_int_equal(sqlite_query(db, select, SQL_NONE, &rows), STATUS_OK);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    const void *column = sqlite_blob(rows, 0, &len);
    memcpy(bytes, column, len);
    sqlite_rows_free(rows);
    index_return(ix, db);
    return len;
}

static void write_column(struct index *ix, const char *update, const uint8_t *bytes, size_t len)
{
    assert_int_equal(index_exec(ix, update, SQL(SQL_BLOB(bytes, len)), NULL, NULL), STATUS_OK);
}

/* Every byte of the sealed row and of the wrapped key, one at a time, flipped by somebody with
 * the disk. */
static void refuses_changed_rows(void **state)
{
    (void)state;
    static const struct {
        const char *select, *update;
        size_t len;
    } columns[] = {
        {"SELECT sealed FROM objects", "UPDATE objects SET sealed = ?",
         OBJECT_ROW_FIXED + 4 + SEAL_OVERHEAD},
        {"SELECT wrapped_key FROM objects", "UPDATE objects SET wrapped_key = ?", WRAPPED_KEY},
    };
    struct keyring *keys = keyring_new(root);
    struct index *ix = open_index(keys);
    put(ix, 1, "name");
    for (size_t c = 0; c < COUNT(columns); c++) {
        uint8_t bytes[OBJECT_ROW_MAX + SEAL_OVERHEAD];
        size_t len = read_column(ix, columns[c].select, bytes);
        assert_int_equal(len, columns[c].len);
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= (uint8_t)(1 << i % 8);
            write_column(ix, columns[c].update, bytes, len);
            assert_int_equal(find(ix, 1), STATUS_CORRUPT);
            bytes[i] ^= (uint8_t)(1 << i % 8);
        }
        write_column(ix, columns[c].update, bytes, len);
        assert_int_equal(find(ix, 1), STATUS_OK);
    }
    index_close(ix);
    keyring_free(keys);
}

static void refuses_rows_moved_between_objects(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "UPDATE objects SET sealed = (SELECT sealed FROM objects WHERE seq = 1) WHERE seq = 2",
        "UPDATE objects SET wrapped_key = (SELECT wrapped_key FROM objects WHERE seq = 1)"
        " WHERE seq = 3",
        "UPDATE objects SET (wrapped_key, sealed) = (SELECT wrapped_key, sealed FROM objects"
        " WHERE seq = 1) WHERE seq = 4",
        "UPDATE objects SET key_id = 2 WHERE seq = 5",
        "UPDATE objects SET key_id = -1 WHERE seq = 6",
        "UPDATE objects SET sealed = x'' WHERE seq = 7",
        "UPDATE objects SET wrapped_key = x'' WHERE seq = 8",
    };
    struct keyring *keys = keyring_new(root);
    struct index *ix = open_index(keys);
    for (uint8_t i = 1; i <= 8; i++)
        put(ix, i, "name");
    for (size_t i = 0; i < COUNT(changes); i++) {
        assert_int_equal(find(ix, (uint8_t)(i + 2)), STATUS_OK);
        sql(changes[i]);
        assert_int_equal(find(ix, (uint8_t)(i + 2)), STATUS_CORRUPT);
    }
    struct seen seen = {0};
    assert_int_equal(index_list(ix, 0, 8, see, &seen), STATUS_OK);
    assert_int_equal(seen.n, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(seen.first[i], i + 1);
        assert_int_equal(seen.sound[i], i == 0);
    }
    index_close(ix);
    keyring_free(keys);
}

static void belongs_to_one_vault(void **state)
{
    (void)state;
    struct index *ix;
    struct strbuf why = STRBUF_INIT;
    struct keyring *keys = keyring_new(root), *other = keyring_new(root);
    index_close(open_index(keys));
    assert_int_equal(index_open(in_temp("index.db"), other, 1, &ix, &why), STATUS_UNPROCESSABLE);
    assert_null(ix);
    assert_non_null(strstr(strbuf_cstr(&why), "another vault"));
    strbuf_release(&why);
    keyring_free(other);
    keyring_free(keys);
}

/* --- group commit ---------------------------------------------------------------------------- */

enum { WRITERS = 8, FAILS = 3 };

static struct {
    struct index *ix;
    sem_t held, go; /* the first writer holds the transaction open until told */
} group;

struct writer {
    pthread_t thread, ran_on;
    int number;
    enum status status;
};

static enum status hold(struct sqlite *db, void *ctx)
{
    (void)db;
    (void)ctx;
    sem_post(&group.held);
    sem_wait(&group.go);
    return STATUS_OK;
}

static enum status write_number(struct sqlite *db, void *ctx)
{
    struct writer *w = ctx;
    uint8_t id[OBJECT_ID] = {(uint8_t)w->number};
    w->ran_on = pthread_self();
    enum status s =
        sqlite_exec(db, "INSERT INTO api_keys (id, scopes, verifier) VALUES (?, 0, x'')",
                    SQL(SQL_BLOB(id, sizeof(id))), NULL);
    return w->number == FAILS ? STATUS_STORAGE_FULL : s;
}

static void *write_in_thread(void *arg)
{
    struct writer *w = arg;
    w->status =
        w->number < 0 ? index_write(group.ix, hold, NULL) : index_write(group.ix, write_number, w);
    return NULL;
}

/* One round; how many of the writers one thread did the work of. */
static size_t write_together(void)
{
    struct writer first = {.number = -1}, w[WRITERS];
    size_t most = 0;
    sem_init(&group.held, 0, 0);
    sem_init(&group.go, 0, 0);
    pthread_create(&first.thread, NULL, write_in_thread, &first);
    sem_wait(&group.held);
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.number = i};
        pthread_create(&w[i].thread, NULL, write_in_thread, &w[i]);
    }
    sem_post(&group.go);
    pthread_join(first.thread, NULL);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(w[i].thread, NULL);
    for (int i = 0; i < WRITERS; i++) {
        size_t same = 0;
        for (int k = 0; k < WRITERS; k++)
            same += pthread_equal(w[i].ran_on, w[k].ran_on) != 0;
        most = same > most ? same : most;
        assert_int_equal(w[i].status, i == FAILS ? STATUS_STORAGE_FULL : STATUS_OK);
    }
    return most;
}

static void one_that_fails_fails_alone(void **state)
{
    (void)state;
    struct keyring *keys = keyring_new(root);
    uint8_t ids[WRITERS * OBJECT_ID];
    group.ix = open_index(keys);
    for (int round = 0; round < 200; round++) {
        size_t together = write_together();
        size_t len = read_column(group.ix,
                                 "SELECT group_concat(hex(substr(id, 1, 1)), '') FROM"
                                 " (SELECT id FROM api_keys ORDER BY id)",
                                 ids);
        assert_int_equal(len, 2 * (WRITERS - 1));
        assert_memory_equal(ids, "00010204050607", len);
        assert_int_equal(index_exec(group.ix, "DELETE FROM api_keys", SQL_NONE, NULL, NULL),
                         STATUS_OK);
        if (together > WRITERS / 2)
            break;
        assert_int_not_equal(round, 199); /* never a group */
    }
    index_close(group.ix);
    keyring_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(keeps_what_was_put),   temp_test(lists_in_order),
        temp_test(refuses_changed_rows), temp_test(refuses_rows_moved_between_objects),
        temp_test(belongs_to_one_vault), temp_test(one_that_fails_fails_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "chunked.h"
#include "secret.h"
#include "store.h"
#include "temp.h"

static const struct audit_by tester = {"tester", "here"};
#include <dirent.h>

static struct store *store;
static struct strbuf why = STRBUF_INIT;

static enum status open_store(bool serve, struct store **out)
{
    strbuf_reset(&why);
    return store_open(in_temp("vault"), (struct root_file){in_temp("root.key"), false}, 2, serve,
                      out, &why);
}

static void write_root_key(char digit)
{
    char text[64];
    memset(text, digit, sizeof(text));
    write_file(in_temp("root.key"), text, sizeof(text));
}

static int setup(void **state)
{
    if (temp_make(state))
        return -1;
    write_root_key('a');
    if (store_create(in_temp("vault"), (struct root_file){in_temp("root.key"), false}, &why) !=
        STATUS_OK)
        return -1;
    return open_store(true, &store) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    store_close(store);
    store = NULL;
    strbuf_release(&why);
    return temp_remove(state);
}

static void reopen(void)
{
    store_close(store);
    assert_int_equal(open_store(true, &store), STATUS_OK);
}

static void fill(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + (i >> 8));
}

static struct object put(const uint8_t *bytes, size_t len)
{
    struct upload *u;
    struct object o;
    assert_int_equal(upload_new(store, &u), STATUS_OK);
    for (size_t at = 0; at < len; at += 50000)
        assert_int_equal(upload_write(u, bytes + at, len - at < 50000 ? len - at : 50000),
                         STATUS_OK);
    assert_int_equal(upload_finish(u, "n", &tester, &o), STATUS_OK);
    upload_free(u);
    return o;
}

static const char *blob_path(const struct object *o)
{
    char id[OBJECT_ID_HEX + 1], path[128];
    object_id_format(o->id, id);
    snprintf(path, sizeof(path), "vault/blobs/%c/%c/%s", id[0], id[1], id);
    return in_temp(path);
}

static size_t files_in_tmp(void)
{
    size_t n = 0;
    DIR *d = opendir(in_temp("vault/tmp"));
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* As the server does: what is in memory at once, or else by waiting for the disk. */
static enum status read_next(struct download *d, uint8_t *out, size_t len, size_t *n)
{
    enum status s = download_attempt(d, out, len, n);
    assert_true(s == STATUS_OK || s == STATUS_NEEDS_POOL);
    return s == STATUS_OK && *n ? s : download_read(d, out, len, n);
}

static void get(const struct object *o, const uint8_t *bytes, uint64_t first, uint64_t len,
                size_t piece)
{
    struct download *d;
    struct object found;
    uint8_t *out = xmalloc(piece);
    size_t n;
    assert_int_equal(download_new(store, o->id, &found, &d), STATUS_OK);
    assert_int_equal(download_range(d, first, len), STATUS_OK);
    for (uint64_t at = 0; at < len; at += n) {
        assert_int_equal(read_next(d, out, piece, &n), STATUS_OK);
        assert_true(n >= 1 && n <= len - at);
        assert_memory_equal(out, bytes + first + at, n);
    }
    assert_int_equal(download_read(d, out, piece, &n), STATUS_OK);
    assert_int_equal(n, 0);
    download_free(d);
    free(out);
}

static void lengths_and_ranges(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 16383, 16384, 16385, 32768, 100000};
    static uint8_t bytes[100000];
    uint8_t hash[32];
    fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < COUNT(lengths); i++) {
        size_t len = lengths[i];
        struct object o = put(bytes, len);
        struct stat st;
        assert_int_equal(stat(blob_path(&o), &st), 0);
        assert_int_equal(st.st_size, chunked_file_size(len));
        secret_sha256(bytes, len, hash);
        assert_memory_equal(o.sha256, hash, 32);
        get(&o, bytes, 0, len, 65536);
        get(&o, bytes, 0, len, 16384);
        get(&o, bytes, 0, len, 10007);
        for (size_t first = 0; first < len; first += 5000)
            get(&o, bytes, first, len - first < 20000 ? len - first : 20000, 6000);
        if (len)
            get(&o, bytes, len - 1, 1, 1);
    }
    assert_int_equal(files_in_tmp(), 0);
}

static void given_up_uploads_leave_nothing(void **state)
{
    (void)state;
    static uint8_t bytes[50000];
    struct upload *u;
    assert_int_equal(upload_new(store, &u), STATUS_OK);
    assert_int_equal(upload_write(u, bytes, sizeof(bytes)), STATUS_OK);
    assert_int_equal(files_in_tmp(), 1);
    upload_free(u);
    upload_free(NULL);
    assert_int_equal(files_in_tmp(), 0);
}

static void a_start_sweeps_what_ended_in_the_middle(void **state)
{
    (void)state;
    uint8_t bytes[100];
    char id[OBJECT_ID_HEX + 1], path[64];
    fill(bytes, sizeof(bytes));
    struct object kept = put(bytes, sizeof(bytes)), deleted = put(bytes, sizeof(bytes));
    assert_int_equal(index_delete(store_index(store), deleted.id, &tester), STATUS_OK);
    object_id_format(kept.id, id); /* committed, but the name in tmp/ did not go */
    snprintf(path, sizeof(path), "vault/tmp/%s", id);
    assert_int_equal(link(blob_path(&kept), in_temp(path)), 0);
    write_file(in_temp("vault/tmp/00112233445566778899aabbccddeeff"), "x", 1); /* not committed */
    write_file(in_temp("vault/blobs/0/0/00112233445566778899aabbccddeeff"), "x", 1);
    write_file(in_temp("vault/tmp/notes"), "x", 1);
    struct store *beside; /* the commands sweep nothing */
    assert_int_equal(open_store(false, &beside), STATUS_OK);
    store_close(beside);
    assert_true(exists(blob_path(&deleted)));
    assert_int_equal(files_in_tmp(), 3);
    reopen();
    assert_false(exists(blob_path(&deleted)));
    assert_false(exists(in_temp("vault/blobs/0/0/00112233445566778899aabbccddeeff")));
    assert_true(exists(blob_path(&kept)));
    assert_int_equal(files_in_tmp(), 1); /* no name that an upload gives */
    get(&kept, bytes, 0, sizeof(bytes), 100);
}

/* Restored from before, or its log lost: nothing says that they were to go. */
static void a_start_keeps_what_its_index_does_not_know(void **state)
{
    (void)state;
    struct object o = put((const uint8_t *)"x", 1);
    struct sqlite *db;
    store_close(store);
    assert_int_equal(sqlite_open(in_temp("vault/index.db"), 0, NULL, &db, &why), STATUS_OK);
    assert_int_equal(sqlite_exec(db, "DELETE FROM objects", SQL_NONE, NULL), STATUS_OK);
    assert_int_equal(sqlite_exec(db, "DELETE FROM deleted", SQL_NONE, NULL), STATUS_OK);
    sqlite_close(db);
    assert_int_equal(open_store(true, &store), STATUS_OK);
    assert_true(exists(blob_path(&o)));
}

static void an_unlink_that_fails_is_done_later(void **state)
{
    (void)state;
    struct object o = put((const uint8_t *)"x", 1);
    unlink(in_temp("vault/backup.lock"));
    assert_int_equal(mkdir(in_temp("vault/backup.lock"), 0700), 0);
    assert_int_equal(store_delete(store, o.id, &tester), STATUS_OK);
    assert_int_equal(store_unlink(store, o.id, true), STATUS_UNAVAILABLE);
    store_collect(store);
    assert_true(exists(blob_path(&o)));
    assert_int_equal(rmdir(in_temp("vault/backup.lock")), 0);
    store_collect(store);
    assert_false(exists(blob_path(&o)));
}

static void deletes(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    uint8_t out[40000];
    struct download *d;
    struct object found;
    size_t n;
    fill(bytes, sizeof(bytes));
    struct object o = put(bytes, sizeof(bytes));
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_OK);
    assert_int_equal(download_range(d, 0, sizeof(bytes)), STATUS_OK);
    assert_int_equal(store_delete(store, o.id, &tester), STATUS_OK);
    assert_false(exists(blob_path(&o)));
    assert_int_equal(download_read(d, out, sizeof(out), &n), STATUS_OK); /* goes on */
    assert_memory_equal(out, bytes, n);
    download_free(d);
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_NOT_FOUND);
    assert_null(d);
    assert_int_equal(store_delete(store, o.id, &tester), STATUS_NOT_FOUND);
}

static void a_lost_blob_is_damage(void **state)
{
    (void)state;
    struct download *d;
    struct object o = put((const uint8_t *)"x", 1), found;
    assert_int_equal(unlink(blob_path(&o)), 0);
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_CORRUPT);
    assert_int_equal(symlink(in_temp("root.key"), blob_path(&o)), 0);
    assert_int_not_equal(download_new(store, o.id, &found, &d), STATUS_OK);
    assert_int_equal(unlink(blob_path(&o)), 0);
    assert_int_equal(mkdir(blob_path(&o), 0700), 0);
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_CORRUPT);
    assert_int_equal(rmdir(blob_path(&o)), 0);
    assert_int_equal(mkfifo(blob_path(&o), 0600), 0); /* nobody writes into it: no hanging */
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_CORRUPT);
    assert_null(d);
}

/* The file changes under an open download: what was not read yet is refused, for ever. */
static void damage_under_way(void **state)
{
    (void)state;
    enum { LEN = 5 * CHUNKED_PLAIN };
    static uint8_t bytes[LEN], out[LEN];
    struct download *d;
    struct object found;
    size_t n;
    fill(bytes, LEN);
    struct object o = put(bytes, LEN);
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_OK);
    assert_int_equal(download_range(d, 0, LEN), STATUS_OK);
    assert_int_equal(download_read(d, out, CHUNKED_PLAIN, &n), STATUS_OK);
    int fd = open(blob_path(&o), O_RDWR);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)chunked_offset(3) + 5), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)chunked_offset(3) + 5), 1);
    close(fd);
    assert_int_equal(download_read(d, out, LEN, &n), STATUS_OK);
    assert_int_equal(n, 2 * CHUNKED_PLAIN); /* chunks 1 and 2 */
    assert_memory_equal(out, bytes + CHUNKED_PLAIN, n);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(download_attempt(d, out, LEN, &n), STATUS_NEEDS_POOL);
        assert_int_equal(download_read(d, out, LEN, &n), STATUS_CORRUPT);
    }
    download_free(d);
    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_OK);
    assert_int_equal(download_range(d, 4 * CHUNKED_PLAIN, CHUNKED_PLAIN), STATUS_OK);
    assert_int_equal(download_read(d, out, LEN, &n), STATUS_OK); /* past the damage */
    assert_int_equal(n, CHUNKED_PLAIN);
    assert_int_equal(download_range(d, 3 * CHUNKED_PLAIN + 9, 1), STATUS_CORRUPT);
    download_free(d);

    assert_int_equal(download_new(store, o.id, &found, &d), STATUS_OK);
    assert_int_equal(download_range(d, 0, LEN), STATUS_OK);
    assert_int_equal(truncate(blob_path(&o), (off_t)chunked_offset(1)), 0);
    assert_int_equal(download_read(d, out, LEN, &n), STATUS_OK);
    assert_int_equal(n, CHUNKED_PLAIN);
    assert_int_equal(download_read(d, out, LEN, &n), STATUS_CORRUPT);
    download_free(d);
}

static void a_wrong_root_key_changes_nothing(void **state)
{
    (void)state;
    struct store *other;
    struct stat before, after;
    store_close(store);
    store = NULL;
    write_file(in_temp("vault/tmp/00112233445566778899aabbccddeeff"), "x", 1);
    assert_int_equal(stat(in_temp("vault/index.db"), &before), 0);
    write_root_key('b');
    assert_int_equal(open_store(true, &other), STATUS_UNPROCESSABLE);
    assert_null(other);
    assert_non_null(strstr(strbuf_cstr(&why), "root key"));
    assert_int_equal(stat(in_temp("vault/index.db"), &after), 0);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(files_in_tmp(), 1);
    write_root_key('a');
    assert_int_equal(open_store(true, &store), STATUS_OK);
    assert_int_equal(files_in_tmp(), 0);
}

static void one_server_at_a_time(void **state)
{
    (void)state;
    struct store *other;
    assert_int_equal(open_store(true, &other), STATUS_CONFLICT);
    assert_non_null(strstr(strbuf_cstr(&why), "lock"));
    reopen();
}

static void a_vault_is_made_once(void **state)
{
    (void)state;
    put((const uint8_t *)"x", 1);
    store_close(store);
    store = NULL;
    strbuf_reset(&why);
    assert_int_equal(
        store_create(in_temp("vault"), (struct root_file){in_temp("root.key"), false}, &why),
        STATUS_CONFLICT);
    assert_int_equal(unlink(in_temp("vault/keyring")), 0); /* a lost keyring is not replaced */
    assert_int_equal(
        store_create(in_temp("vault"), (struct root_file){in_temp("root.key"), false}, &why),
        STATUS_CONFLICT);
    assert_int_equal(open_store(true, &store), STATUS_UNAVAILABLE);
    assert_non_null(strstr(strbuf_cstr(&why), "init"));
    assert_int_equal(
        store_create(in_temp("other"), (struct root_file){in_temp("no.key"), false}, &why),
        STATUS_UNPROCESSABLE);
    assert_false(exists(in_temp("other")));
}

/* A missing index is not made anew, nor an empty one filled: no file could be read. */
static void a_missing_index_is_an_error(void **state)
{
    (void)state;
    struct object o = put((const uint8_t *)"x", 1);
    store_close(store);
    store = NULL;
    assert_int_equal(rename(in_temp("vault/index.db"), in_temp("index.db")), 0);
    assert_int_equal(open_store(true, &store), STATUS_UNAVAILABLE);
    assert_non_null(strstr(strbuf_cstr(&why), "index.db"));
    assert_true(exists(blob_path(&o)));
    assert_false(exists(in_temp("vault/index.db")));
    write_file(in_temp("vault/index.db"), "", 0);
    assert_int_equal(open_store(true, &store), STATUS_UNPROCESSABLE);
    assert_non_null(strstr(strbuf_cstr(&why), "empty"));
    assert_true(exists(blob_path(&o)));
    assert_int_equal(rename(in_temp("index.db"), in_temp("vault/index.db")), 0);
    assert_int_equal(open_store(true, &store), STATUS_OK);
    get(&o, (const uint8_t *)"x", 0, 1, 1);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(lengths_and_ranges),
        store_test(given_up_uploads_leave_nothing),
        store_test(a_start_sweeps_what_ended_in_the_middle),
        store_test(a_start_keeps_what_its_index_does_not_know),
        store_test(an_unlink_that_fails_is_done_later),
        store_test(deletes),
        store_test(a_lost_blob_is_damage),
        store_test(damage_under_way),
        store_test(a_wrong_root_key_changes_nothing),
        store_test(one_server_at_a_time),
        store_test(a_vault_is_made_once),
        store_test(a_missing_index_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

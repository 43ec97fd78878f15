#include "../unit.h"
#include "sqlite.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/test_sqlite.XXXXXX");
    if (!mkdtemp(path))
        return -1;
    strcat(path, "/db");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < COUNT(endings); i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", path, endings[i]);
        unlink(name);
    }
    *strrchr(path, '/') = '\0';
    return rmdir(path);
}

#define FILE_OF(name, text)                                                                        \
    {                                                                                              \
        name, (const unsigned char *)(text), sizeof(text) - 1                                      \
    }

static const struct embed_file files[] = {
    FILE_OF("001.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY, x, u TEXT UNIQUE); -- a comment"),
    FILE_OF("002.sql", "ALTER TABLE t ADD COLUMN y DEFAULT 'old';\nCREATE TABLE log (file);"),
    FILE_OF("003.sql", "INSERT INTO log VALUES (3)"),
};
static const struct embed_folder first = {files, 1}, second = {files, 2}, third = {files, 3};

static struct sqlite *open_with(const struct embed_folder *schema)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(sqlite_open(path, 5000, schema, &db, &why), STATUS_OK);
    assert_int_equal(why.len, 0);
    return db;
}

/* Opening must fail with this status; the reason contains `reason`. */
static void assert_refused(unsigned busy_ms, const struct embed_folder *schema, enum status st,
                           const char *reason)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(sqlite_open(path, busy_ms, schema, &db, &why), st);
    assert_null(db);
    if (!strstr(strbuf_cstr(&why), reason))
        fail_msg("%s", strbuf_cstr(&why));
    strbuf_release(&why);
}

static int64_t number(struct sqlite *db, const char *sql)
{
    struct sqlite_rows *rows;
    bool more;
    assert_int_equal(sqlite_query(db, sql, SQL_NONE, &rows), STATUS_OK);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    assert_true(more);
    int64_t n = sqlite_i64(rows, 0);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    assert_false(more);
    sqlite_rows_free(rows);
    return n;
}

static enum status run(struct sqlite *db, const char *sql)
{
    return sqlite_exec(db, sql, SQL_NONE, NULL);
}

/* --- statements ------------------------------------------------------------------------------ */

static void settings(void **state)
{
    (void)state;
    struct sqlite *db = open_with(NULL);
    struct sqlite_rows *rows;
    bool more;
    assert_int_equal(sqlite_query(db, "PRAGMA journal_mode", SQL_NONE, &rows), STATUS_OK);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    assert_string_equal(sqlite_text(rows, 0, NULL), "wal");
    sqlite_rows_free(rows);
    assert_int_equal(number(db, "PRAGMA synchronous"), 2);
    assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
    sqlite_close(db);
}

static void values(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    const struct sql_value in[] = {
        SQL_I64(INT64_MIN), SQL_I64(INT64_MAX),    SQL_TEXT("a\xC3\xA4"),
        SQL_TEXT(""),       SQL_BLOB("\0\1\0", 3), SQL_BLOB(NULL, 0),
        SQL_NULL,           SQL_TEXT(NULL),        {SQL_TYPE_TEXT, 0, "n\0l", 3},
    };
    for (size_t i = 0; i < COUNT(in); i++) {
        uint64_t changed = 0;
        assert_int_equal(sqlite_exec(db, "INSERT INTO t (x) VALUES (?)", &in[i], 1, &changed),
                         STATUS_OK);
        assert_int_equal(changed, 1);
        assert_int_equal(sqlite_insert_id(db), i + 1);
    }
    struct sqlite_rows *rows;
    bool more;
    size_t i = 0, len;
    assert_int_equal(sqlite_query(db, "SELECT x, typeof(x) FROM t ORDER BY id", SQL_NONE, &rows),
                     STATUS_OK);
    for (; sqlite_next(rows, &more) == STATUS_OK && more; i++) {
        static const char *const types[] = {"integer", "integer", "text", "text", "blob",
                                            "blob",    "null",    "null", "text"};
        assert_string_equal(sqlite_text(rows, 1, NULL), types[i]);
        if (in[i].type == SQL_TYPE_I64) {
            assert_int_equal(sqlite_i64(rows, 0), in[i].i);
            continue;
        }
        const void *bytes =
            in[i].type == SQL_TYPE_TEXT ? sqlite_text(rows, 0, &len) : sqlite_blob(rows, 0, &len);
        assert_int_equal(len, in[i].len);
        assert_int_equal(bytes == NULL, in[i].type == SQL_TYPE_NULL);
        if (len)
            assert_memory_equal(bytes, in[i].bytes, len);
    }
    assert_int_equal(i, COUNT(in));
    sqlite_rows_free(rows);
    sqlite_close(db);
}

/* A query's values need not outlive the call. */
static void values_are_copied(void **state)
{
    (void)state;
    struct sqlite *db = open_with(NULL);
    struct sqlite_rows *rows;
    bool more;
    char text[] = "before";
    assert_int_equal(sqlite_query(db, "SELECT ?", SQL(SQL_TEXT(text)), &rows), STATUS_OK);
    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    assert_string_equal(sqlite_text(rows, 0, NULL), "before");
    sqlite_rows_free(rows);
    sqlite_close(db);
}

static void constraints(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    assert_int_equal(run(db, "CREATE TABLE child (t INTEGER REFERENCES t NOT NULL)"), STATUS_OK);
    assert_int_equal(run(db, "INSERT INTO t (id, u) VALUES (1, 'a')"), STATUS_OK);
    assert_int_equal(run(db, "INSERT INTO t (id) VALUES (1)"), STATUS_DUPLICATE);
    assert_int_equal(run(db, "INSERT INTO t (u) VALUES ('a')"), STATUS_DUPLICATE);
    assert_int_equal(run(db, "INSERT INTO child VALUES (9)"), STATUS_INTERNAL);
    assert_int_equal(run(db, "INSERT INTO child VALUES (NULL)"), STATUS_INTERNAL);
    assert_int_equal(run(db, "INSERT INTO nothing VALUES (1)"), STATUS_INTERNAL);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 1);
    sqlite_close(db);
}

static void misuse(void **state)
{
    (void)state;
    struct sqlite *db = open_with(NULL);
    struct sqlite_rows *rows, *again;
    bool more;
    static const char sql[] = "SELECT ?";
    assert_int_equal(sqlite_query(db, sql, SQL_NONE, &rows), STATUS_INTERNAL);
    assert_null(rows);
    assert_int_equal(sqlite_query(db, sql, SQL(SQL_I64(1), SQL_I64(2)), &rows), STATUS_INTERNAL);
    assert_int_equal(sqlite_query(db, sql, SQL(SQL_I64(1)), &rows), STATUS_OK);
    assert_int_equal(sqlite_query(db, sql, SQL(SQL_I64(2)), &again), STATUS_INTERNAL);
    assert_null(again);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK); /* undisturbed */
    assert_int_equal(sqlite_i64(rows, 0), 1);
    sqlite_rows_free(rows);
    sqlite_rows_free(NULL);
    sqlite_close(db);
    sqlite_close(NULL);
}

/* More statements than are kept, while one of the first is still walked. */
static void statements_kept(void **state)
{
    (void)state;
    static char sql[200][24];
    struct sqlite *db = open_with(NULL);
    struct sqlite_rows *rows, *walks[100];
    bool more;
    for (int i = 0; i < 200; i++)
        snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
    assert_int_equal(sqlite_query(db, "SELECT 7 UNION ALL SELECT 8", SQL_NONE, &rows), STATUS_OK);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < 200; i++)
            assert_int_equal(number(db, sql[i]), i);
    assert_int_equal(sqlite_next(rows, &more), STATUS_OK);
    assert_int_equal(sqlite_i64(rows, 0), 8);
    sqlite_rows_free(rows);
    /* Too many walks at once are refused, and do no harm. */
    size_t n = 0;
    while (n < 100 && sqlite_query(db, sql[n], SQL_NONE, &walks[n]) == STATUS_OK)
        n++;
    assert_int_equal(n, 64);
    while (n > 0)
        sqlite_rows_free(walks[--n]);
    assert_int_equal(number(db, sql[150]), 150);
    sqlite_close(db);
}

/* --- transactions ---------------------------------------------------------------------------- */

static enum status insert_two(struct sqlite *db, void *ctx)
{
    enum status st = run(db, "INSERT INTO t (x) VALUES (1)");
    if (st == STATUS_OK)
        st = run(db, "INSERT INTO t (x) VALUES (2)");
    return st == STATUS_OK ? *(enum status *)ctx : st;
}

static void transactions(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    enum status st = STATUS_OK;
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 2);
    st = STATUS_CONFLICT;
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_CONFLICT);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 2);
    st = STATUS_OK;
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 4);
    sqlite_close(db);
}

/* --- schema ---------------------------------------------------------------------------------- */

static void upgrades(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    assert_int_equal(run(db, "INSERT INTO t (x) VALUES (5)"), STATUS_OK);
    sqlite_close(db);
    db = open_with(&third);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t WHERE x = 5 AND y = 'old'"), 1);
    sqlite_close(db);
    db = open_with(&third); /* nothing is applied twice */
    assert_int_equal(number(db, "SELECT COUNT(*) FROM log"), 1);
    assert_int_equal(number(db, "PRAGMA user_version"), 3);
    sqlite_close(db);
    assert_refused(100, &second, STATUS_UNPROCESSABLE, "newer");
    db = open_with(NULL); /* untouched */
    assert_int_equal(number(db, "SELECT COUNT(*) FROM log"), 1);
    sqlite_close(db);
}

static void a_file_is_applied_whole_or_not(void **state)
{
    (void)state;
    static const struct embed_file broken[] = {
        FILE_OF("001.sql", "CREATE TABLE t (id)"),
        FILE_OF("002.sql", "CREATE TABLE half (x); INSERT INTO t VALUES (1); CREATE TABLE t (x)"),
    };
    static const struct embed_folder schema = {broken, 2};
    assert_refused(100, &schema, STATUS_INTERNAL, "002.sql: table t already exists");
    struct sqlite *db = open_with(NULL);
    assert_int_equal(number(db, "PRAGMA user_version"), 1);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM sqlite_schema"), 1);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 0);
    sqlite_close(db);
}

/* --- other processes ------------------------------------------------------------------------- */

static pid_t start_child(int (*work)(int in, int out), int *in, int *out)
{
    int to[2], from[2];
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        _exit(work(to[0], from[1]));
    }
    close(to[0]);
    close(from[1]);
    *in = from[0];
    *out = to[1];
    return pid;
}

static int child_ended(pid_t pid, int in, int out)
{
    int code;
    close(in);
    close(out);
    assert_int_equal(waitpid(pid, &code, 0), pid);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

static bool hear(int fd)
{
    char c;
    return read(fd, &c, 1) == 1;
}

static void say(int fd)
{
    ssize_t n = write(fd, "x", 1);
    (void)n;
}

/* Hold the write lock, or with it an unfinished transaction, until told (or killed). */
static int hold_lock(int in, int out)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    if (sqlite_open(path, 5000, NULL, &db, &why) != STATUS_OK ||
        run(db, "BEGIN IMMEDIATE") != STATUS_OK ||
        run(db, "INSERT INTO t (x) VALUES ('unfinished')") != STATUS_OK)
        return 1;
    say(out);
    hear(in);
    enum status st = run(db, "COMMIT");
    sqlite_close(db);
    return st != STATUS_OK;
}

static void locked_by_another_process(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first), *patient;
    struct strbuf why = STRBUF_INIT;
    int in, out;
    sqlite_close(db);
    assert_int_equal(sqlite_open(path, 20, NULL, &db, &why), STATUS_OK);
    pid_t pid = start_child(hold_lock, &in, &out);
    assert_true(hear(in));
    assert_int_equal(run(db, "INSERT INTO t (x) VALUES (1)"), STATUS_CONTENDED);
    enum status st = STATUS_OK;
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_CONTENDED);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 0); /* readers are not held up */
    assert_int_equal(sqlite_open(path, 60000, NULL, &patient, &why), STATUS_OK);
    say(out);
    assert_int_equal(run(patient, "INSERT INTO t (x) VALUES (1)"), STATUS_OK); /* waits */
    assert_int_equal(child_ended(pid, in, out), 0);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 2);
    sqlite_close(patient);
    sqlite_close(db);
}

static void killed_within_a_transaction(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    int in, out;
    assert_int_equal(run(db, "INSERT INTO t (x) VALUES ('finished')"), STATUS_OK);
    pid_t pid = start_child(hold_lock, &in, &out);
    assert_true(hear(in));
    kill(pid, SIGKILL);
    assert_int_equal(child_ended(pid, in, out), -1);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 1);
    assert_int_equal(run(db, "INSERT INTO t (x) VALUES (1)"), STATUS_OK); /* not locked */
    sqlite_close(db);
}

/* Once told, open a file that may not exist yet. */
static int race(int in, int out)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    say(out);
    hear(in);
    enum status st = sqlite_open(path, 20000, &third, &db, &why);
    if (st == STATUS_OK)
        sqlite_close(db);
    else
        fprintf(stderr, "%s\n", strbuf_cstr(&why));
    return st != STATUS_OK;
}

static void many_open_a_new_file_at_once(void **state)
{
    (void)state;
    enum { RACERS = 8, ROUNDS = 5 };
    for (int round = 0; round < ROUNDS; round++) {
        int in[RACERS], out[RACERS];
        pid_t pids[RACERS];
        for (int i = 0; i < RACERS; i++)
            pids[i] = start_child(race, &in[i], &out[i]);
        for (int i = 0; i < RACERS; i++)
            assert_true(hear(in[i]));
        for (int i = 0; i < RACERS; i++)
            say(out[i]);
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(child_ended(pids[i], in[i], out[i]), 0);
        struct sqlite *db = open_with(&third);
        assert_int_equal(number(db, "SELECT COUNT(*) FROM log"), 1);
        sqlite_close(db);
        unlink(path);
    }
}

static int hold_file(int in, int out)
{
    struct sqlite *db;
    struct strbuf why = STRBUF_INIT;
    if (sqlite_open(path, 0, NULL, &db, &why) != STATUS_OK ||
        run(db, "PRAGMA locking_mode = EXCLUSIVE") != STATUS_OK ||
        run(db, "BEGIN EXCLUSIVE") != STATUS_OK || run(db, "COMMIT") != STATUS_OK)
        return 1;
    say(out);
    hear(in);
    sqlite_close(db);
    return 0;
}

static void stays_locked(void **state)
{
    (void)state;
    int in, out;
    sqlite_close(open_with(&first));
    pid_t pid = start_child(hold_file, &in, &out);
    assert_true(hear(in));
    assert_refused(50, &second, STATUS_UNAVAILABLE, "locked");
    say(out);
    assert_int_equal(child_ended(pid, in, out), 0);
    sqlite_close(open_with(&second));
}

/* --- bad disks ------------------------------------------------------------------------------- */

static void full(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    enum status st;
    assert_int_equal(run(db, "PRAGMA max_page_count = 20"), STATUS_OK);
    do
        st = run(db, "INSERT INTO t (x) VALUES (zeroblob(3000))");
    while (st == STATUS_OK);
    assert_int_equal(st, STATUS_STORAGE_FULL);
    int64_t n = number(db, "SELECT COUNT(*) FROM t");
    assert_true(n > 5);
    enum status two = STATUS_OK;
    assert_int_equal(run(db, "INSERT INTO t (x) VALUES (zeroblob(9000))"), STATUS_STORAGE_FULL);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), n);
    assert_int_equal(run(db, "DELETE FROM t WHERE id < 4"), STATUS_OK);
    assert_int_equal(sqlite_transaction(db, insert_two, &two), STATUS_OK);
    sqlite_close(db);
}

/* The log may not grow any more: rows go there at the COMMIT, and nobody knows how far. */
static void a_commit_that_fails_is_not_known(void **state)
{
    (void)state;
    char wal[80];
    struct stat file;
    struct rlimit old, limit;
    enum status st = STATUS_OK;
    struct sqlite *db = open_with(&first);
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_OK);
    int64_t n = number(db, "SELECT COUNT(*) FROM t");
    snprintf(wal, sizeof(wal), "%s-wal", path);
    assert_int_equal(stat(wal, &file), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){(rlim_t)file.st_size, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum status failed = sqlite_transaction(db, insert_two, &st);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(failed, STATUS_OUTCOME_UNKNOWN);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), n);
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_OK);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), n + 2);
    sqlite_close(db);
}

static enum status insert_too_much(struct sqlite *db, void *ctx)
{
    (void)ctx;
    enum status st;
    do
        st = run(db, "INSERT INTO t (x) VALUES (zeroblob(3000))");
    while (st == STATUS_OK);
    return st;
}

static void full_within_a_transaction(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    enum status st = STATUS_OK;
    assert_int_equal(run(db, "PRAGMA max_page_count = 20"), STATUS_OK);
    assert_int_equal(sqlite_transaction(db, insert_too_much, NULL), STATUS_STORAGE_FULL);
    assert_int_equal(number(db, "SELECT COUNT(*) FROM t"), 0);
    assert_int_equal(sqlite_transaction(db, insert_two, &st), STATUS_OK);
    sqlite_close(db);
}

static void overwrite(int page, int pages)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    char junk[4096];
    memset(junk, 0xA5, sizeof(junk));
    for (int i = page; i < page + pages; i++)
        assert_int_equal(pwrite(fd, junk, sizeof(junk), i * 4096L), sizeof(junk));
    close(fd);
}

static void damaged(void **state)
{
    (void)state;
    struct sqlite *db = open_with(&first);
    for (int i = 0; i < 50; i++)
        assert_int_equal(run(db, "INSERT INTO t (x) VALUES (zeroblob(3000))"), STATUS_OK);
    sqlite_close(db); /* empties the WAL */
    overwrite(3, 10);
    db = open_with(&first);
    struct sqlite_rows *rows;
    bool more = true;
    enum status st = sqlite_query(db, "SELECT SUM(length(x)) FROM t", SQL_NONE, &rows);
    while (st == STATUS_OK && more)
        st = sqlite_next(rows, &more);
    assert_int_equal(st, STATUS_CORRUPT);
    sqlite_rows_free(rows);
    sqlite_close(db);
}

static void no_database(void **state)
{
    (void)state;
    overwrite(0, 1);
    assert_refused(10, &first, STATUS_UNAVAILABLE, "not a database");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(10, &first, STATUS_UNAVAILABLE, path);
    rmdir(path);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(settings),
        T(values),
        T(values_are_copied),
        T(constraints),
        T(misuse),
        T(statements_kept),
        T(transactions),
        T(upgrades),
        T(a_file_is_applied_whole_or_not),
        T(locked_by_another_process),
        T(killed_within_a_transaction),
        T(many_open_a_new_file_at_once),
        T(stays_locked),
        T(full),
        T(full_within_a_transaction),
        T(a_commit_that_fails_is_not_known),
        T(damaged),
        T(no_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

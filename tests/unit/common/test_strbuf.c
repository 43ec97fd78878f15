#include "../unit.h"
#include "strbuf.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void empty_is_an_empty_string(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    assert_string_equal(strbuf_cstr(&sb), "");
    strbuf_reset(&sb);
    strbuf_add(&sb, NULL, 0);
    assert_int_equal(sb.len, 0);
    assert_string_equal(sb.bytes, "");
    strbuf_release(&sb);
    strbuf_release(&sb);
    assert_string_equal(strbuf_cstr(&sb), "");
}

static void grows_byte_by_byte(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    for (int i = 0; i < 5000; i++) {
        strbuf_addch(&sb, (char)('a' + i % 26));
        assert_int_equal(sb.bytes[sb.len], '\0');
        assert_true(sb.size > sb.len);
    }
    for (int i = 0; i < 5000; i++)
        assert_int_equal(sb.bytes[i], 'a' + i % 26);
    strbuf_release(&sb);
}

static void keeps_nul_bytes(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    strbuf_add(&sb, "a\0b", 3);
    strbuf_addstr(&sb, "c");
    assert_int_equal(sb.len, 4);
    assert_memory_equal(sb.bytes, "a\0bc", 5);
    strbuf_release(&sb);
}

static void formats_longer_than_its_room(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    strbuf_addf(&sb, "%s", "");
    strbuf_addf(&sb, "%d|%0900d|", 7, 1);
    strbuf_addf(&sb, "%s", "end");
    assert_int_equal(sb.len, 2 + 901 + 3);
    assert_memory_equal(sb.bytes + 902, "|end", 5);
    strbuf_release(&sb);
}

static void reset_keeps_the_memory(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    strbuf_addstr(&sb, "something");
    char *before = sb.bytes;
    strbuf_reset(&sb);
    assert_string_equal(sb.bytes, "");
    strbuf_addstr(&sb, "else");
    assert_ptr_equal(sb.bytes, before);
    strbuf_release(&sb);
}

static void detach_gives_the_bytes_away(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    size_t len = 99;
    char *bytes = strbuf_detach(&sb, &len);
    assert_int_equal(len, 0);
    assert_string_equal(bytes, "");
    free(bytes);

    strbuf_addstr(&sb, "mine");
    bytes = strbuf_detach(&sb, NULL);
    assert_string_equal(bytes, "mine");
    assert_string_equal(strbuf_cstr(&sb), "");
    free(bytes);
}

/* How does a child end that reserves `extra` bytes behind one? */
static int reserve_in_child(size_t extra)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        struct strbuf sb = STRBUF_INIT;
        strbuf_addch(&sb, 'x');
        strbuf_reserve(&sb, extra);
        _exit(0);
    }
    int ending = -1;
    waitpid(pid, &ending, 0);
    return ending;
}

static void overflow_of_the_size_aborts(void **state)
{
    (void)state;
    assert_int_equal(reserve_in_child(1000), 0);
    const size_t extras[] = {SIZE_MAX, SIZE_MAX - 1};
    for (size_t i = 0; i < COUNT(extras); i++) {
        int ending = reserve_in_child(extras[i]);
        assert_true(WIFSIGNALED(ending));
        assert_int_equal(WTERMSIG(ending), SIGABRT);
    }
}

static void allocations_of_nothing_are_something(void **state)
{
    (void)state;
    char *p = xmalloc(0), *q = xcalloc(0, 8), *r = xrealloc(NULL, 0), *s = xstrdup("");
    assert_true(p && q && r && s);
    assert_string_equal(s, "");
    free(p);
    free(q);
    free(r);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_an_empty_string),
        cmocka_unit_test(grows_byte_by_byte),
        cmocka_unit_test(keeps_nul_bytes),
        cmocka_unit_test(formats_longer_than_its_room),
        cmocka_unit_test(reset_keeps_the_memory),
        cmocka_unit_test(detach_gives_the_bytes_away),
        cmocka_unit_test(overflow_of_the_size_aborts),
        cmocka_unit_test(allocations_of_nothing_are_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "../unit.h"
#include "capture.h"
#include "log.h"
#include <pthread.h>

static char line[64 * 1024];

/* The field part of the line that one log_info call with this value writes. */
static const char *logged(const char *value)
{
    struct capture c = capture_begin(STDERR_FILENO);
    log_info("e", F("v", value));
    capture_end(&c, line, sizeof(line));
    const char *fields = strstr(line, "event=e v=");
    assert_non_null(fields);
    return fields + strlen("event=e v=");
}

static void a_line(void **state)
{
    (void)state;
    struct capture c = capture_begin(STDERR_FILENO);
    bool yes = true;
    uint16_t port = 65535;
    log_warn("order_assigned", F("order", 7), F("partner", "p1"), F("big", UINT64_MAX),
             F("small", INT64_MIN), F("ratio", 0.25), F("yes", yes), F("port", port),
             F("size", sizeof(int)));
    size_t len = capture_end(&c, line, sizeof(line));
    assert_int_equal(line[len - 1], '\n');
    assert_memory_equal(line, "ts=20", 5);
    assert_string_equal(line + strlen("ts=2026-01-31T09:00:00.123Z"),
                        " level=warn event=order_assigned order=7 partner=p1"
                        " big=18446744073709551615 small=-9223372036854775808 ratio=0.25 yes=1"
                        " port=65535 size=4\n");
}

static void no_fields(void **state)
{
    (void)state;
    struct capture c = capture_begin(STDERR_FILENO);
    log_info("started");
    capture_end(&c, line, sizeof(line));
    assert_non_null(strstr(line, " level=info event=started\n"));
}

static void values_are_quoted_as_needed(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"plain", "plain\n"},
        {"a/b:c,d;e'f", "a/b:c,d;e'f\n"},
        {"\xC3\xA9", "\xC3\xA9\n"},
        {"", "\"\"\n"},
        {"two words", "\"two words\"\n"},
        {"a=b", "\"a=b\"\n"},
        {"say \"hi\"", "\"say \\\"hi\\\"\"\n"},
        {"back\\slash", "\"back\\\\slash\"\n"},
        {"\"", "\"\\\"\"\n"},
        {"\\\"", "\"\\\\\\\"\"\n"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        assert_string_equal(logged(pairs[i][0]), pairs[i][1]);
    assert_string_equal(logged(NULL), "null\n");
}

static void no_value_forges_a_line_or_a_field(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"x\nts=2026 level=error event=forged", "\"x\\nts=2026 level=error event=forged\"\n"},
        {"x\r\ny", "\"x\\r\\ny\"\n"},
        {"x\" level=error", "\"x\\\" level=error\"\n"},
        {"\x1B[2J\x07", "\"\\x1b[2J\\x07\"\n"},
        {"\x7F", "\"\\x7f\"\n"},
        {"\xC2\x9B", "\"\\xc2\\x9b\"\n"}, /* C1: CSI */
        {"\xFF\xFE", "\"\\xff\\xfe\"\n"},
        {"\xC0\x8A", "\"\\xc0\\x8a\"\n"}, /* overlong newline */
        {"a\xE2\x82", "\"a\\xe2\\x82\"\n"},
        {"\t", "\"\\t\"\n"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        assert_string_equal(logged(pairs[i][0]), pairs[i][1]);
}

/* All bytes after one another: one line of printable text. */
static void every_byte(void **state)
{
    (void)state;
    char value[256] = "";
    for (unsigned i = 0; i < 255; i++)
        value[i] = (char)(i + 1);
    const char *text = logged(value);
    size_t len = strlen(text);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    for (size_t i = 0; i + 1 < len; i++)
        assert_true(text[i] >= ' ' && text[i] <= '~');
}

static void long_values_are_cut(void **state)
{
    (void)state;
    char value[2000];
    memset(value, 'x', sizeof(value));
    const size_t lens[] = {511, 512, 513, 1999};
    for (size_t i = 0; i < COUNT(lens); i++) {
        value[lens[i]] = '\0';
        assert_int_equal(strlen(logged(value)), (lens[i] < 512 ? lens[i] : 512) + 1);
        value[lens[i]] = 'x';
    }
    memset(value, '\n', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(strlen(logged(value)), 2 * 512 + 3);
}

/* A character across the cut is left out; one that ends at it stays. */
static void cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    for (size_t i = 0; i < COUNT(characters); i++) {
        size_t len = strlen(characters[i]);
        for (size_t before = 512 - len - 1; before < 514; before++) {
            char value[600];
            memset(value, 'x', before);
            snprintf(value + before, sizeof(value) - before, "%syyyyyyyyyyyyyy", characters[i]);
            const char *text = logged(value);
            size_t kept = before + len <= 512 ? 512 : before > 512 ? 512 : before;
            assert_int_equal(strlen(text), kept + 1);
            assert_null(strchr(text, '"'));
        }
    }
}

static void a_value_longer_than_its_memory_is_not_read(void **state)
{
    (void)state;
    char *value = malloc(513); /* 512 of them without a NUL would be read past */
    memset(value, 0x80, 512);
    value[512] = '\0';
    assert_int_equal(strlen(logged(value)), 512 * 4 + 3);
    free(value);
}

static void levels(void **state)
{
    (void)state;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (unsigned set = LOG_ERROR; set <= LOG_DEBUG; set++) {
        enum log_level parsed;
        assert_int_equal(log_level_parse(names[set], &parsed), 0);
        assert_int_equal(parsed, set);
        log_set_level(parsed);
        struct capture c = capture_begin(STDERR_FILENO);
        log_error("a");
        log_warn("a");
        log_info("a");
        log_debug("a");
        capture_end(&c, line, sizeof(line));
        unsigned lines = 0;
        for (const char *p = line; (p = strchr(p, '\n')); p++)
            lines++;
        assert_int_equal(lines, set + 1);
    }
    log_set_level(LOG_INFO);
    enum log_level out;
    static const char *const bad[] = {"", "ERROR", "info ", "warning", "in", "4"};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(log_level_parse(bad[i], &out), -1);
}

static void *log_of_another_thread(void *unused)
{
    log_info("other");
    return unused;
}

static void request_id_of_this_thread(void **state)
{
    (void)state;
    char id[100];
    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    struct capture c = capture_begin(STDERR_FILENO);
    log_set_request_id("5f3c");
    log_info("one");
    log_set_request_id("a b\n");
    log_info("two", F("n", 1));
    log_set_request_id(id);
    log_info("three");
    pthread_t thread;
    pthread_create(&thread, NULL, log_of_another_thread, NULL);
    pthread_join(thread, NULL);
    log_set_request_id(NULL);
    log_info("four");
    capture_end(&c, line, sizeof(line));
    assert_non_null(strstr(line, " event=one rid=5f3c\n"));
    assert_non_null(strstr(line, " event=two rid=\"a b\\n\" n=1\n"));
    const char *three = strstr(line, " event=three rid=");
    assert_int_equal(strcspn(three, "\n"), strlen(" event=three rid=") + 63);
    assert_non_null(strstr(line, " event=other\n"));
    assert_non_null(strstr(line, " event=four\n"));
}

enum { THREADS = 4, LINES = 500 };

static void *log_many(void *name)
{
    for (int i = 0; i < LINES; i++)
        log_info("many", F("thread", (const char *)name), F("end", "end"));
    return NULL;
}

/* Into a pipe, where a line in two writes would be torn. */
static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_many, (char *[]){"a", "b", "c", "d"}[i]);
    FILE *in = fdopen(ends[0], "r");
    unsigned whole = 0;
    while (whole < THREADS * LINES && fgets(line, sizeof(line), in)) {
        assert_memory_equal(line, "ts=", 3);
        assert_string_equal(line + strlen(line) - strlen(" end=end\n"), " end=end\n");
        whole++;
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    fclose(in);
    assert_int_equal(whole, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line),
        cmocka_unit_test(no_fields),
        cmocka_unit_test(values_are_quoted_as_needed),
        cmocka_unit_test(no_value_forges_a_line_or_a_field),
        cmocka_unit_test(every_byte),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(cut_between_characters),
        cmocka_unit_test(a_value_longer_than_its_memory_is_not_read),
        cmocka_unit_test(levels),
        cmocka_unit_test(request_id_of_this_thread),
        cmocka_unit_test(lines_of_threads_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

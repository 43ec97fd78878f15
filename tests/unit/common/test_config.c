#include "../unit.h"
#include "capture.h"
#include "config.h"

static const char *listen_on, *token_key, *store;
static int64_t connections, mode;
static bool demo;

static const struct config_option options[] = {
    {.env = "X_LISTEN",
     .type = CONFIG_LISTEN,
     .into = &listen_on,
     .fallback = "127.0.0.1:1",
     .help = "address and port"},
    {.env = "X_TOKEN_KEY",
     .type = CONFIG_SECRET,
     .into = &token_key,
     .fallback = "",
     .help = "key of tokens",
     .min = 8},
    {.env = "X_CONNECTIONS",
     .type = CONFIG_INT,
     .into = &connections,
     .fallback = "100",
     .help = "connections at most",
     .min = -5,
     .max = INT64_MAX},
    {.env = "X_DEMO", .type = CONFIG_BOOL, .into = &demo, .fallback = "no", .help = "demo"},
    {.env = "X_MODE",
     .type = CONFIG_CHOICE,
     .into = &mode,
     .fallback = "lock",
     .help = "how",
     .choices = "lock|cas|locker"},
    {.env = "X_STORE",
     .type = CONFIG_URL,
     .into = &store,
     .fallback = "mysql://127.0.0.1/x",
     .help = "where data is",
     .min = 1,
     .choices = "mysql|sqlite"},
};

static char said[8192], complained[8192];

static enum config_verdict load_table(const struct config_option *table, size_t n,
                                      const char *const *args)
{
    char *argv[16] = {"program"};
    int argc = 1;
    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    struct capture out = capture_begin(STDOUT_FILENO), err = capture_begin(STDERR_FILENO);
    enum config_verdict verdict = config_load("An example.", table, n, argc, argv);
    capture_end(&err, complained, sizeof(complained));
    capture_end(&out, said, sizeof(said));
    return verdict;
}

/* Load the table above with these arguments. */
#define LOAD(...) load_table(options, COUNT(options), (const char *const[]){__VA_ARGS__, NULL})
#define LOAD_NONE() load_table(options, COUNT(options), (const char *const[]){NULL})

static void assert_complaint(const char *expected)
{
    assert_string_equal(complained, expected);
}

static int clear_environment(void **state)
{
    (void)state;
    static const char *const names[] = {"X_LISTEN",      "X_TOKEN_KEY", "X_TOKEN_KEY_FILE",
                                        "X_CONNECTIONS", "X_DEMO",      "X_MODE",
                                        "X_LISTEN_FILE", "X_STORE"};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
    return 0;
}

static void defaults(void **state)
{
    (void)state;
    demo = true;
    assert_int_equal(LOAD_NONE(), CONFIG_RUN);
    assert_string_equal(listen_on, "127.0.0.1:1");
    assert_string_equal(token_key, "");
    assert_int_equal(connections, 100);
    assert_false(demo);
    assert_int_equal(mode, 0);
    assert_string_equal(said, "");
    assert_string_equal(complained, "");
}

static void environment_then_options(void **state)
{
    (void)state;
    setenv("X_LISTEN", "[::1]:2", 1);
    setenv("X_CONNECTIONS", "7", 1);
    setenv("X_MODE", "locker", 1);
    assert_int_equal(LOAD("--x-connections", "8", "--x-token-key=a=b=c=d=e", "--x-demo", "on"),
                     CONFIG_RUN);
    assert_string_equal(listen_on, "[::1]:2");
    assert_int_equal(connections, 8);
    assert_int_equal(mode, 2);
    assert_true(demo);
    assert_string_equal(token_key, "a=b=c=d=e");
    assert_int_equal(LOAD("--x-connections=1", "--x-connections", "-5", "--x-listen=[::1]:3"),
                     CONFIG_RUN);
    assert_int_equal(connections, -5);
    assert_string_equal(listen_on, "[::1]:3");
}

static void whole_numbers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " 1",
        "1 ",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "--1",
        "-",
        "one",
        "9223372036854775808",
        "-6",
        "-9223372036854775809",
        "99999999999999999999999",
        "\n1",
        "1_000",
    };
    assert_int_equal(LOAD("--x-connections", "9223372036854775807"), CONFIG_RUN);
    assert_true(connections == INT64_MAX);
    assert_int_equal(LOAD("--x-connections", "007"), CONFIG_RUN);
    assert_int_equal(connections, 7);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (LOAD("--x-connections", bad[i]) != CONFIG_EXIT_BAD)
            fail_msg("accepted: %s", bad[i]);
        assert_memory_equal(complained, "X_CONNECTIONS: ", 15);
    }
    assert_int_equal(connections, 7);
}

static void booleans_and_choices(void **state)
{
    (void)state;
    static const char *const yes[] = {"1", "true", "yes", "on"}, *const no[] = {"0", "false", "no",
                                                                                "off"};
    static const char *const bad[] = {"", "2", "TRUE", "y", "0|1", "|", "tru", "true ", "lo"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(LOAD("--x-demo", yes[i]), CONFIG_RUN);
        assert_true(demo);
        assert_int_equal(LOAD("--x-demo", no[i]), CONFIG_RUN);
        assert_false(demo);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(LOAD("--x-demo", bad[i]), CONFIG_EXIT_BAD);
        assert_int_equal(LOAD("--x-mode", bad[i]), CONFIG_EXIT_BAD);
    }
    assert_complaint("X_MODE: none of lock|cas|locker: lo\n");
}

static void addresses(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--x-listen", "[::1]:80", "--x-store", "sqlite:///a/b"), CONFIG_RUN);
    assert_string_equal(listen_on, "[::1]:80");
    assert_string_equal(store, "sqlite:///a/b");
    assert_int_equal(LOAD("--x-listen", "localhost:80"), CONFIG_EXIT_BAD);
    assert_complaint("X_LISTEN: not like 127.0.0.1:8200 or [::1]:8200: localhost:80\n");
    static const char *const bad[] = {"",
                                      "hunter2",
                                      "redis://hunter2",
                                      "mysql://",
                                      "mysql:hunter2",
                                      "://hunter2",
                                      "mysql|sqlite://hunter2"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(LOAD("--x-store", bad[i]), CONFIG_EXIT_BAD);
        assert_complaint("X_STORE: not a URL that begins with mysql|sqlite, and ://\n");
    }
}

static void unknown_arguments(void **state)
{
    (void)state;
    static const char *const bad[] = {"--x-liste=1",
                                      "--x-listens=1",
                                      "--X-LISTEN=1",
                                      "--x_listen=1",
                                      "-x-listen=1",
                                      "x-listen",
                                      "--",
                                      "-h",
                                      "--x-listen-file=1",
                                      "--help=1",
                                      "",
                                      "--check-config=0"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (LOAD(bad[i]) != CONFIG_EXIT_BAD)
            fail_msg("accepted: %s", bad[i]);
        assert_int_not_equal(strlen(complained), 0);
    }
    assert_int_equal(LOAD("--x-listen"), CONFIG_EXIT_BAD);
    assert_complaint("--x-listen: value missing\n");
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--x-token-kye=hunter2-hunter2", "hunter2-hunter2"), CONFIG_EXIT_BAD);
    assert_complaint("--x-token-kye: unknown option\nargument 2: not an option\n");
    assert_int_equal(LOAD("--x-token-key", "hunter2"), CONFIG_EXIT_BAD);
    assert_complaint("X_TOKEN_KEY: shorter than 8 bytes\n");
    assert_int_equal(LOAD("--x-token-key", "hunter-2"), CONFIG_RUN);
    setenv("X_TOKEN_KEY", "hunter2-hunter2", 1);
    assert_int_equal(LOAD("--help"), CONFIG_EXIT_OK);
    assert_null(strstr(said, "hunter2"));
}

/* The path of a file with these bytes; the test removes it. */
static const char *secret_file(const void *bytes, size_t len)
{
    static char path[] = "/tmp/test_config.XXXXXX";
    if (path[strlen(path) - 1] == 'X')
        close(mkstemp(path));
    FILE *f = fopen(path, "w");
    fwrite(bytes, 1, len, f);
    fclose(f);
    return path;
}

static void secret_from_a_file(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"from-a-file", "from-a-file"},
        {"from-a-file\n", "from-a-file"},
        {"from-a-file\n\n", "from-a-file\n"},
        {" from a file\r\n", " from a file\r"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        const char *path = secret_file(pairs[i][0], strlen(pairs[i][0]));
        assert_int_equal(LOAD("--x-token-key-file", path), CONFIG_RUN);
        assert_string_equal(token_key, pairs[i][1]);
        free((char *)token_key);
    }
    setenv("X_TOKEN_KEY_FILE", secret_file("environment", 11), 1);
    assert_int_equal(LOAD_NONE(), CONFIG_RUN);
    assert_string_equal(token_key, "environment");
    free((char *)token_key);
    unlink(getenv("X_TOKEN_KEY_FILE"));
}

static void bad_secret_files(void **state)
{
    (void)state;
    static char large[64 * 1024 + 2];
    memset(large, 'k', sizeof(large));
    const char *path = secret_file("key\0of-nine", 11);
    assert_int_equal(LOAD("--x-token-key-file", path), CONFIG_EXIT_BAD);
    secret_file(large, sizeof(large));
    assert_int_equal(LOAD("--x-token-key-file", path), CONFIG_EXIT_BAD);
    secret_file("short\n", 6);
    assert_int_equal(LOAD("--x-token-key-file", path), CONFIG_EXIT_BAD);
    assert_complaint("X_TOKEN_KEY: shorter than 8 bytes\n");
    free((char *)token_key);
    secret_file("", 0);
    assert_int_equal(LOAD("--x-token-key-file", path), CONFIG_EXIT_BAD);
    free((char *)token_key);
    unlink(path);
    assert_int_equal(LOAD("--x-token-key-file", "/nowhere/key"), CONFIG_EXIT_BAD);
    assert_complaint("X_TOKEN_KEY_FILE: /nowhere/key: No such file or directory\n");
    assert_int_equal(LOAD("--x-token-key-file", "/"), CONFIG_EXIT_BAD);
    assert_complaint("X_TOKEN_KEY_FILE: /: Is a directory\n");
}

static void given_twice(void **state)
{
    (void)state;
    static const char expected[] = "X_TOKEN_KEY: given both directly and by X_TOKEN_KEY_FILE\n";
    setenv("X_TOKEN_KEY", "direct-and-long", 1);
    setenv("X_TOKEN_KEY_FILE", "/dev/null", 1);
    assert_int_equal(LOAD_NONE(), CONFIG_EXIT_BAD);
    assert_complaint(expected);
    unsetenv("X_TOKEN_KEY");
    assert_int_equal(LOAD("--x-token-key=direct-and-long"), CONFIG_EXIT_BAD);
    assert_complaint(expected);
}

static void required_and_missing(void **state)
{
    (void)state;
    const char *a = NULL, *b = NULL;
    const struct config_option needed[] = {
        {.env = "X_URL", .type = CONFIG_STRING, .into = &a, .help = "a URL"},
        {.env = "X_SECRET", .type = CONFIG_SECRET, .into = &b, .help = "a secret"},
    };
    const char *const none[] = {NULL}, *const both[] = {"--x-url=u", "--x-secret=s", NULL};
    assert_int_equal(load_table(needed, 2, none), CONFIG_EXIT_BAD);
    assert_complaint("X_URL: required\nX_SECRET: required (or X_SECRET_FILE)\n");
    assert_int_equal(load_table(needed, 2, both), CONFIG_RUN);
    assert_string_equal(b, "s");
}

static void check_config(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--check-config"), CONFIG_EXIT_OK);
    assert_string_equal(said, "ok\n");
    assert_string_equal(complained, "");
    assert_int_equal(LOAD("--check-config", "--x-connections=x", "--x-mode=x", "--y"),
                     CONFIG_EXIT_BAD);
    assert_string_equal(said, "");
    assert_complaint("--y: unknown option\n"
                     "X_CONNECTIONS: not a whole number from -5 to 9223372036854775807: x\n"
                     "X_MODE: none of lock|cas|locker: x\n");
}

static void help(void **state)
{
    (void)state;
    setenv("X_CONNECTIONS", "not a number", 1);
    assert_int_equal(LOAD("--help"), CONFIG_EXIT_OK);
    assert_string_equal(complained, "");
    assert_memory_equal(said, "An example.\n", 12);
    for (size_t i = 0; i < COUNT(options); i++) {
        assert_non_null(strstr(said, options[i].env));
        assert_non_null(strstr(said, options[i].help));
    }
    assert_non_null(strstr(said, "--x-token-key"));
    assert_non_null(strstr(said, "127.0.0.1:1"));
    assert_non_null(strstr(said, "lock|cas|locker"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults, clear_environment),
        cmocka_unit_test_setup(environment_then_options, clear_environment),
        cmocka_unit_test_setup(whole_numbers, clear_environment),
        cmocka_unit_test_setup(booleans_and_choices, clear_environment),
        cmocka_unit_test_setup(addresses, clear_environment),
        cmocka_unit_test_setup(unknown_arguments, clear_environment),
        cmocka_unit_test_setup(secrets_are_not_shown, clear_environment),
        cmocka_unit_test_setup(secret_from_a_file, clear_environment),
        cmocka_unit_test_setup(bad_secret_files, clear_environment),
        cmocka_unit_test_setup(given_twice, clear_environment),
        cmocka_unit_test_setup(required_and_missing, clear_environment),
        cmocka_unit_test_setup(check_config, clear_environment),
        cmocka_unit_test_setup(help, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Each test forks a small service and looks at how it ends. */
#include "../unit.h"
#include "health.h"
#include "log.h"
#include "service.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static bool shorten_limit;

/* In place of libc's: the limit that was asked for is logged, and may be shortened. */
unsigned alarm(unsigned seconds)
{
    struct itimerval limit = {.it_value = {.tv_sec = seconds}};
    if (shorten_limit)
        limit.it_value = (struct timeval){.tv_usec = 100 * 1000};
    log_info("limit", F("seconds", seconds));
    setitimer(ITIMER_REAL, &limit, NULL);
    return 0;
}

struct child {
    pid_t pid;
    int log; /* what it writes to stdout and stderr */
    char text[8192];
    size_t len;
};

static struct child start(int (*run)(int argc, char **argv), const char *arg)
{
    int ends[2];
    fflush(NULL);
    assert_int_equal(pipe(ends), 0);
    struct child c = {.pid = fork(), .log = ends[0]};
    if (c.pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        char *argv[] = {"example", (char *)arg, NULL};
        int code = run(arg ? 2 : 1, argv);
        exit(code); /* with what a leak checker does at exit */
    }
    close(ends[1]);
    return c;
}

/* Read its log until `text` came; at its end or after 20 s the test fails. */
static void await(struct child *c, const char *text)
{
    while (!strstr(c->text, text)) {
        struct pollfd p = {.fd = c->log, .events = POLLIN};
        ssize_t n = 0;
        if (poll(&p, 1, 20000) == 1)
            n = read(c->log, c->text + c->len, sizeof(c->text) - 1 - c->len);
        if (n <= 0)
            fail_msg("no \"%s\" in: %s", text, c->text);
        c->len += (size_t)n;
    }
}

static int exit_code(struct child *c)
{
    int ending = 0;
    ssize_t n;
    while ((n = read(c->log, c->text + c->len, sizeof(c->text) - 1 - c->len)) > 0)
        c->len += (size_t)n;
    close(c->log);
    waitpid(c->pid, &ending, 0);
    return WIFEXITED(ending) ? WEXITSTATUS(ending) : -WTERMSIG(ending);
}

static void init(int argc, char **argv)
{
    static const char *name;
    static const struct config_option options[] = {
        {.env = "X_NAME", .type = CONFIG_STRING, .into = &name, .fallback = "x", .help = "a name"},
    };
    service_init("example", "An example.", options, 1, argc, argv);
}

static void *wait_for_signals(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static int serve(int argc, char **argv)
{
    init(argc, argv);
    pthread_t thread; /* signals must not reach it */
    pthread_create(&thread, NULL, wait_for_signals, NULL);
    service_started("127.0.0.1:1");
    service_wait();
    if (!health_draining())
        return 3;
    return service_exit();
}

static _Noreturn void hang(void)
{
    for (;;)
        pause();
}

static int serve_and_hang(int argc, char **argv)
{
    init(argc, argv);
    service_started("127.0.0.1:1");
    service_wait();
    hang();
}

static void ends_at_a_signal(void **state)
{
    (void)state;
    const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        struct child c = start(serve, NULL);
        await(&c, "event=listening service=example address=127.0.0.1:1\n");
        kill(c.pid, signals[i]);
        assert_int_equal(exit_code(&c), 0);
        assert_non_null(strstr(c.text, i ? "signal=INT\n" : "signal=TERM\n"));
        assert_non_null(strstr(c.text, "event=stopped service=example\n"));
    }
}

static int signalled_before_waiting(int argc, char **argv)
{
    init(argc, argv);
    kill(getpid(), SIGTERM);
    service_wait();
    return service_exit();
}

static void a_signal_before_the_wait_counts(void **state)
{
    (void)state;
    struct child c = start(signalled_before_waiting, NULL);
    assert_int_equal(exit_code(&c), 0);
}

static void second_signal_ends_at_once(void **state)
{
    (void)state;
    struct child c = start(serve_and_hang, NULL);
    await(&c, "event=listening");
    kill(c.pid, SIGTERM);
    await(&c, "event=draining");
    kill(c.pid, SIGINT);
    assert_int_equal(exit_code(&c), 1);
    assert_non_null(strstr(c.text, "event=exit_forced reason=\"second signal\"\n"));
}

static int serve_and_hang_shortly(int argc, char **argv)
{
    shorten_limit = true;
    return serve_and_hang(argc, argv);
}

static void hanging_ends_at_the_limit(void **state)
{
    (void)state;
    struct child c = start(serve_and_hang_shortly, NULL);
    await(&c, "event=listening");
    kill(c.pid, SIGTERM);
    assert_int_equal(exit_code(&c), 1);
    assert_non_null(strstr(c.text, "event=limit seconds=10\n"));
    assert_non_null(strstr(c.text, "event=exit_forced reason=\"time limit\"\n"));
}

static int die(int argc, char **argv)
{
    struct strbuf why = STRBUF_INIT;
    init(argc, argv);
    strbuf_addstr(&why, "address in use");
    service_die("http", &why);
}

static void dies_with_a_reason(void **state)
{
    (void)state;
    struct child c = start(die, NULL);
    assert_int_equal(exit_code(&c), 1);
    assert_non_null(strstr(c.text, "level=error event=start_failed service=example what=http "
                                   "why=\"address in use\"\n"));
}

static int init_only(int argc, char **argv)
{
    init(argc, argv);
    log_debug("debugging");
    return 7;
}

static void exits_as_configuration_says(void **state)
{
    (void)state;
    static const struct {
        const char *arg;
        int code;
        const char *said;
    } cases[] = {
        {"--x-name=y", 7, ""},
        {"--log-level=debug", 7, "event=debugging"},
        {"--log-level=loud", 2, "LOG_LEVEL: none of error|warn|info|debug: loud\n"},
        {"--nothing", 2, "--nothing: unknown option\n"},
        {"--check-config", 0, "ok\n"},
        {"--help", 0, "LOG_LEVEL"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct child c = start(init_only, cases[i].arg);
        assert_int_equal(exit_code(&c), cases[i].code);
        assert_non_null(strstr(c.text, cases[i].said));
        assert_int_equal(strstr(c.text, "debugging") != NULL, i == 1);
    }
}

static int look_around(int argc, char **argv)
{
    struct rlimit limit;
    int ends[2];
    init(argc, argv);
    mode_t mask = umask(0);
    getrlimit(RLIMIT_NOFILE, &limit);
    if (pipe(ends) != 0 || close(ends[0]) != 0)
        return 4;
    bool survived = write(ends[1], "x", 1) == -1; /* SIGPIPE would have ended it */
    return mask == 077 && survived &&
                   limit.rlim_cur >= (1 << 20 < limit.rlim_max ? 1 << 20 : limit.rlim_max)
               ? 0
               : 5;
}

static void process_is_prepared(void **state)
{
    (void)state;
    struct child c = start(look_around, NULL);
    assert_int_equal(exit_code(&c), 0);
}

int main(void)
{
    unsetenv("LOG_LEVEL");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_at_a_signal),
        cmocka_unit_test(a_signal_before_the_wait_counts),
        cmocka_unit_test(second_signal_ends_at_once),
        cmocka_unit_test(hanging_ends_at_the_limit),
        cmocka_unit_test(dies_with_a_reason),
        cmocka_unit_test(exits_as_configuration_says),
        cmocka_unit_test(process_is_prepared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "service.h"
#include "fault.h"
#include "health.h"
#include "log.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_LIMIT_S = 10, DESCRIPTORS_MAX = 1 << 20 };

static const char *service_name;
static sigset_t awaited; /* blocked in every thread */

static int64_t log_level;
static bool faults;
static const char *fault_key;
static const struct config_option own_options[] = {
    {"LOG_LEVEL", CONFIG_CHOICE, &log_level, "info", "what is logged", 0, 0,
     "error|warn|info|debug"}, /* in the order of enum log_level */
    {"DEMO_FAULTS", CONFIG_BOOL, &faults, "0", "POST /demo/crash ends the process; for demos", 0, 0,
     NULL},
    {"DEMO_FAULT_KEY", CONFIG_SECRET, &fault_key, "", "the bearer token that it takes", 0, 0, NULL},
};
enum { OWN_OPTIONS = sizeof(own_options) / sizeof(own_options[0]) };

static void init_faults(void)
{
    struct strbuf why = STRBUF_INIT;
    if (faults && strlen(fault_key) < FAULT_KEY_MIN) {
        strbuf_addf(&why, "DEMO_FAULTS wants a key of %d bytes or more", FAULT_KEY_MIN);
        service_die("DEMO_FAULT_KEY", &why);
    }
    fault_init(faults, fault_key);
}

static void load_config(const char *summary, const struct config_option *options, size_t n,
                        int argc, char **argv)
{
    struct config_option *all = xcalloc(n + OWN_OPTIONS, sizeof(all[0]));
    if (n > 0)
        memcpy(all, options, n * sizeof(all[0]));
    memcpy(all + n, own_options, sizeof(own_options));
    enum config_verdict verdict = config_load(summary, all, n + OWN_OPTIONS, argc, argv);
    free(all);
    if (verdict != CONFIG_RUN)
        exit(verdict == CONFIG_EXIT_OK ? 0 : 2);
    log_set_level((enum log_level)log_level);
    init_faults();
}

/* Capped: where the limit is a billion, libraries that size tables by it run out of memory. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void service_init(const char *name, const char *summary, const struct config_option *options,
                  size_t n, int argc, char **argv)
{
    service_name = name;
    load_config(summary, options, n, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGALRM); /* the time limit */
    pthread_sigmask(SIG_BLOCK, &awaited, NULL);
    umask(077);
    raise_descriptor_limit();
}

void service_die(const char *what, const struct strbuf *why)
{
    log_error("start_failed", F("service", service_name), F("what", what),
              F("why", strbuf_cstr(why)));
    _exit(1); /* other threads may run: no exit handlers under them */
}

void service_started(const char *address)
{
    log_info("listening", F("service", service_name), F("address", address));
}

/* sigwait is not interrupted, as sigtimedwait would be by a leak checker that stops the threads. */
static void *force_exit(void *unused)
{
    (void)unused;
    int sig;
    sigwait(&awaited, &sig);
    log_error("exit_forced", F("reason", sig == SIGALRM ? "time limit" : "second signal"));
    _exit(1);
}

void service_wait(void)
{
    int sig;
    sigwait(&awaited, &sig);
    alarm(EXIT_LIMIT_S);
    health_drain();
    log_info("draining", F("signal", sigabbrev_np(sig)));
    pthread_t thread;
    if (pthread_create(&thread, NULL, force_exit, NULL) == 0)
        pthread_detach(thread);
}

int service_exit(void)
{
    log_info("stopped", F("service", service_name));
    return 0;
}

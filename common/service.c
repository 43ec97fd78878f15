#include "service.h"
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

static void load_config(const char *summary, const struct config_option *options, size_t n,
                        int argc, char **argv)
{
    int64_t level;
    struct config_option *all = xcalloc(n + 1, sizeof(all[0]));
    if (n > 0)
        memcpy(all, options, n * sizeof(all[0]));
    all[n] = (struct config_option){
        .env = "LOG_LEVEL",
        .type = CONFIG_CHOICE,
        .into = &level,
        .fallback = "info",
        .help = "what is logged",
        .choices = "error|warn|info|debug", /* in the order of enum log_level */
    };
    enum config_verdict verdict = config_load(summary, all, n + 1, argc, argv);
    free(all);
    if (verdict != CONFIG_RUN)
        exit(verdict == CONFIG_EXIT_OK ? 0 : 2);
    log_set_level((enum log_level)level);
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

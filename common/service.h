/* The life of a server process: configuration, log, signals, drain.
 *
 *     int main(int argc, char **argv)
 *     {
 *         service_init("example", "what it serves", options, n, argc, argv);
 *         ... open stores, start http ...
 *         service_wait();             returns at SIGTERM or SIGINT, readiness already off
 *         ... http_stop, close stores ...
 *         return service_exit();
 *     }
 *
 * Main thread, before any other thread exists (signals are blocked for all of them). */
#pragma once
#include "config.h"
#include "strbuf.h"

enum { SERVICE_DRAIN_MS = 8000 }; /* for http_stop and the like; exit 0 is due within 10 s */

/* Reads configuration (LOG_LEVEL and the two of fault.h are added to the table) and exits with 0 or
 * 2 as config_load says; ignores SIGPIPE, blocks SIGTERM and SIGINT, sets umask 077, raises the
 * descriptor limit to its hard maximum. */
void service_init(const char *name, const char *summary, const struct config_option *options,
                  size_t n, int argc, char **argv);
/* Log `why` and exit with 1: for what makes a start impossible. */
_Noreturn void service_die(const char *what, const struct strbuf *why);
/* Log that the service listens on `address`. */
void service_started(const char *address);
/* Block until SIGTERM or SIGINT, then call health_drain. From then on a second signal ends the
 * process at once, and so does the time limit of 10 s (exit 1). */
void service_wait(void);
/* Log the end; the value of main. */
int service_exit(void);

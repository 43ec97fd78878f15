/* Work in the background: each job has a thread of its own, runs when woken and at the latest
 * every `every_ms`. */
#pragma once
#include <stdbool.h>

struct job;

/* `run` returns true to be run again at once. */
struct job *job_start(bool (*run)(void *ctx), void *ctx, unsigned every_ms);
/* There is something to do. Returns at once; any thread. NULL is fine. */
void job_wake(struct job *j);
/* Let the current run end, join, free. NULL is fine. */
void job_stop(struct job *j);

/* A bounded pool of worker threads with a bounded queue in front. */
#pragma once
#include "status.h"
#include <stddef.h>

struct workers;

/* `threads` >= 1; at most `queue_max` jobs wait. `name` labels the metrics (depth, rejected). */
struct workers *workers_new(const char *name, size_t threads, size_t queue_max);
/* Run job(arg) on a worker, in FIFO order. OVERLOADED at once when the queue is full or the pool
 * is stopping: the job will not run. Never blocks on a job. Any thread, workers included. */
enum status workers_submit(struct workers *w, void (*job)(void *arg), void *arg);
/* The same past a full queue, for work that was let in before and must not be turned away half
 * way. The caller bounds it: http by its connections, each with one job at a time. */
enum status workers_submit_admitted(struct workers *w, void (*job)(void *arg), void *arg);
size_t workers_depth(struct workers *w);
/* Refuse new jobs, run what is queued, join. NULL is fine. */
void workers_free(struct workers *w);

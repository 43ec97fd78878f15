/* Metrics in Prometheus text format: registered at start, updated from any thread without a
 * lock, rendered to bytes by whoever serves /metrics.
 *
 * Names and help are static text; labels are copied, and are the inside of the braces, such as
 * `route="/orders",status="200"`, or "" for none. Registering the same name and labels twice
 * returns the same metric. Registration takes a lock and may happen at any time; metrics live
 * until the process ends. */
#pragma once
#include "strbuf.h"
#include <stdint.h>

struct metric;

struct metric *metric_counter(const char *name, const char *labels, const char *help);
struct metric *metric_gauge(const char *name, const char *labels, const char *help);
/* Latency in seconds: buckets of 100 us to 10 s, in steps of 1, 2.5 and 5. */
struct metric *metric_histogram(const char *name, const char *labels, const char *help);
/* A gauge read when rendered; `read` must not block, `ctx` outlives the last rendering. Registered
 * again: the newer `read` and `ctx` count. */
void metric_gauge_read(const char *name, const char *labels, const char *help,
                       double (*read)(void *ctx), void *ctx);

void metric_add(struct metric *m, int64_t n); /* counter or gauge; negative for a gauge only */
void metric_set(struct metric *m, int64_t value);
void metric_observe_us(struct metric *m, int64_t microseconds);
int64_t metric_value(const struct metric *m); /* of a histogram: its count */

/* Append everything, grouped by name, with HELP and TYPE once each, labels escaped by callers. */
void metrics_render(struct strbuf *out);

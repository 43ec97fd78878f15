#include "metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 16 };
static const int64_t bounds_us[BUCKETS] = {100,     250,     500,     1000,    2500,   5000,
                                           10000,   25000,   50000,   100000,  250000, 500000,
                                           1000000, 2500000, 5000000, 10000000};

enum type { COUNTER, GAUGE, HISTOGRAM };
static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct metric {
    const char *name, *help;
    char *labels;
    enum type type;
    double (*read)(void *ctx); /* or NULL */
    void *ctx;
    struct metric *next;
    _Atomic int64_t value;                /* of a histogram: the sum in us */
    _Atomic int64_t buckets[BUCKETS + 1]; /* not cumulated; the last is past every bound */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *first; /* those of one name stand together */

/* Find it, or add it behind the last of its name. Under the lock. */
static struct metric *find_or_add(enum type type, const char *name, const char *labels,
                                  const char *help)
{
    struct metric **place = &first;
    bool met = false;
    for (struct metric **m = &first; *m; m = &(*m)->next) {
        bool same = strcmp((*m)->name, name) == 0;
        if (same && (*m)->type != type)
            abort(); /* a bug of the program: one name, two types */
        if (same && strcmp((*m)->labels, labels) == 0)
            return *m;
        met |= same;
        if (same || !met)
            place = &(*m)->next;
    }
    struct metric *m = xcalloc(1, sizeof(*m));
    m->name = name;
    m->help = help;
    m->labels = xstrdup(labels);
    m->type = type;
    m->next = *place;
    *place = m;
    return m;
}

static struct metric *add(enum type type, const char *name, const char *labels, const char *help)
{
    pthread_mutex_lock(&lock);
    struct metric *m = find_or_add(type, name, labels, help);
    pthread_mutex_unlock(&lock);
    return m;
}

struct metric *metric_counter(const char *name, const char *labels, const char *help)
{
    return add(COUNTER, name, labels, help);
}

struct metric *metric_gauge(const char *name, const char *labels, const char *help)
{
    return add(GAUGE, name, labels, help);
}

struct metric *metric_histogram(const char *name, const char *labels, const char *help)
{
    return add(HISTOGRAM, name, labels, help);
}

void metric_gauge_read(const char *name, const char *labels, const char *help,
                       double (*read)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&lock);
    struct metric *m = find_or_add(GAUGE, name, labels, help);
    m->read = read;
    m->ctx = ctx;
    pthread_mutex_unlock(&lock);
}

void metric_add(struct metric *m, int64_t n)
{
    atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t value)
{
    atomic_store_explicit(&m->value, value, memory_order_relaxed);
}

void metric_observe_us(struct metric *m, int64_t microseconds)
{
    size_t b = 0;
    while (b < BUCKETS && microseconds > bounds_us[b])
        b++;
    atomic_fetch_add_explicit(&m->buckets[b], 1, memory_order_relaxed);
    metric_add(m, microseconds);
}

static int64_t load(const _Atomic int64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

int64_t metric_value(const struct metric *m)
{
    if (m->type != HISTOGRAM)
        return load(&m->value);
    int64_t count = 0;
    for (size_t b = 0; b <= BUCKETS; b++)
        count += load(&m->buckets[b]);
    return count;
}

static void render_head(struct strbuf *out, const struct metric *m)
{
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                type_names[m->type]);
}

/* name_suffix{labels} and the blank before the value */
static void render_name(struct strbuf *out, const struct metric *m, const char *suffix)
{
    strbuf_addf(out, "%s%s", m->name, suffix);
    if (m->labels[0])
        strbuf_addf(out, "{%s}", m->labels);
    strbuf_addch(out, ' ');
}

static void render_histogram(struct strbuf *out, const struct metric *m)
{
    const char *comma = m->labels[0] ? "," : "";
    int64_t count = 0;
    for (size_t b = 0; b < BUCKETS; b++) {
        count += load(&m->buckets[b]);
        strbuf_addf(out, "%s_bucket{%s%sle=\"%g\"} %lld\n", m->name, m->labels, comma,
                    (double)bounds_us[b] / 1e6, (long long)count);
    }
    count += load(&m->buckets[BUCKETS]);
    strbuf_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", m->name, m->labels, comma,
                (long long)count);
    render_name(out, m, "_sum");
    strbuf_addf(out, "%.6f\n", (double)load(&m->value) / 1e6);
    render_name(out, m, "_count");
    strbuf_addf(out, "%lld\n", (long long)count);
}

static void render(struct strbuf *out, const struct metric *m)
{
    if (m->type == HISTOGRAM) {
        render_histogram(out, m);
        return;
    }
    render_name(out, m, "");
    if (m->read)
        strbuf_addf(out, "%.15g\n", m->read(m->ctx));
    else
        strbuf_addf(out, "%lld\n", (long long)load(&m->value));
}

void metrics_render(struct strbuf *out)
{
    pthread_mutex_lock(&lock);
    const char *name = "";
    for (const struct metric *m = first; m; m = m->next) {
        if (strcmp(name, m->name) != 0)
            render_head(out, m);
        name = m->name;
        render(out, m);
    }
    pthread_mutex_unlock(&lock);
}

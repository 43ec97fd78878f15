#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include <stdlib.h>

enum { CODE_MIN = 100, CODES = 500, CODE_CLIENT_GONE = 499 };

struct route_metrics {
    const char *method, *pattern;
    struct metric *latency;
    _Atomic(struct metric *) by_code[CODES]; /* registered when first needed */
};

static const char *method_name(enum method method)
{
    static const char *const names[] = {
        "other", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
    };
    return names[method];
}

static void metrics_init(struct route_metrics *m, const char *method, const char *pattern)
{
    struct strbuf labels = STRBUF_INIT;
    m->method = method;
    m->pattern = pattern;
    strbuf_addf(&labels, "method=\"%s\",route=\"%s\"", method, pattern);
    m->latency = metric_histogram("http_request_seconds", strbuf_cstr(&labels),
                                  "From the request line to the end of the reply.");
    strbuf_release(&labels);
}

struct route_metrics *http_metrics_new(const struct route *routes, size_t n)
{
    struct route_metrics *m = xcalloc(n + 1, sizeof(*m));
    for (size_t i = 0; i < n; i++)
        metrics_init(&m[i], method_name(routes[i].method), routes[i].pattern);
    metrics_init(&m[n], method_name(0), "none");
    return m;
}

static struct metric *counter_of(struct route_metrics *m, int code)
{
    _Atomic(struct metric *) *slot = &m->by_code[code - CODE_MIN];
    struct metric *counter = atomic_load(slot);
    if (counter)
        return counter;
    struct strbuf labels = STRBUF_INIT;
    strbuf_addf(&labels, "method=\"%s\",route=\"%s\",status=\"%d\"", m->method, m->pattern, code);
    counter = metric_counter("http_requests_total", strbuf_cstr(&labels),
                             "Requests by route and status; 499: the client left first.");
    strbuf_release(&labels);
    atomic_store(slot, counter); /* registering twice gives the same one */
    return counter;
}

void http_account(struct http_request *req)
{
    const struct http *h = req->h;
    const struct route *route = req->match.route;
    struct route_metrics *m = &h->metrics[route ? (size_t)(route - h->routes) : h->router.n];
    int code = req->code >= CODE_MIN && req->code < CODE_MIN + CODES ? req->code : CODE_CLIENT_GONE;
    int64_t us = clock_mono_us() - req->start_us;
    metric_observe_us(m->latency, us);
    metric_add(counter_of(m, code), 1);
    log_info("request", F("method", method_name(req->method)), F("route", m->pattern),
             F("status", code), F("ms", (double)us / 1000), F("who", req->who.id));
}

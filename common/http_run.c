#include "clock.h"
#include "http_internal.h"
#include "log.h"

void http_resume(struct http_request *req)
{
    struct http *h = req->h;
    req->on_pool = false;
    req->paused_us += clock_mono_us() - req->suspended_us;
    log_set_request_id(NULL);
    MHD_resume_connection(req->conn);
    atomic_fetch_sub(&h->suspended, 1); /* the request may be gone by now */
}

bool http_suspend(struct http_request *req, void (*job)(void *req), bool admitted)
{
    struct http *h = req->h;
    /* Counted before `stopping` is read, while http_stop sets that before it reads the count. */
    atomic_fetch_add(&h->suspended, 1);
    if (atomic_load(&h->stopping)) {
        atomic_fetch_sub(&h->suspended, 1);
        return false;
    }
    req->suspended = true;
    req->on_pool = true;
    req->suspended_us = clock_mono_us();
    MHD_suspend_connection(req->conn);
    enum status s = admitted ? workers_submit_admitted(h->workers, job, req)
                             : workers_submit(h->workers, job, req);
    if (s) {
        http_settle(req, s);
        http_resume(req);
    }
    return true;
}

/* The pool's part of http_run. */
static void run_job(void *arg)
{
    struct http_request *req = arg;
    bool stopping = atomic_load(&req->h->stopping);
    log_set_request_id(req->id);
    enum status s = stopping ? STATUS_UNAVAILABLE : req->step(req);
    while (s == STATUS_NEEDS_POOL && req->next) {
        struct workers *pool = req->next_pool;
        req->step = req->next;
        req->next = NULL;
        s = workers_submit(pool, run_job, req);
        if (!s) {
            log_set_request_id(NULL);
            return;
        }
    }
    http_settle(req, s);
    http_resume(req);
}

/* A step that ran half on the event thread starts afresh on the pool. */
static void forget_attempt(struct http_request *req, size_t headers_len)
{
    http_reply_clear(req);
    strbuf_reset(&req->detail);
    strbuf_reset(&req->members);
    req->headers.len = headers_len;
}

bool http_run(struct http_request *req, http_handler *step)
{
    size_t headers_len = req->headers.len;
    req->step = step;
    enum status s = step(req);
    if (s != STATUS_NEEDS_POOL) {
        http_settle(req, s);
        return true;
    }
    forget_attempt(req, headers_len);
    /* Once its body is taken in, a request is not turned away for a full queue. */
    bool admitted = req->stream && req->phase != PHASE_ADMIT;
    if (http_suspend(req, run_job, admitted))
        return false;
    http_settle(req, STATUS_UNAVAILABLE);
    return true;
}

enum status http_continue(struct http_request *req, struct workers *pool, http_handler *next)
{
    req->next = next;
    req->next_pool = pool;
    return STATUS_NEEDS_POOL;
}

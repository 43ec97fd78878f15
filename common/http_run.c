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

/* To its keeper, who may have gone on with it before this returns. */
static enum status leave_with_keeper(struct http_request *req)
{
    enum status (*keep)(void *ctx, struct http_request *req) = req->keep;
    req->keep = NULL;
    log_set_request_id(NULL);
    return keep(req->keep_ctx, req);
}

bool http_suspend(struct http_request *req, void (*job)(void *req), bool admitted)
{
    struct http *h = req->h;
    enum status s;
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
    if (req->keep)
        s = leave_with_keeper(req);
    else
        s = admitted ? workers_submit_admitted(h->workers, job, req)
                     : workers_submit(h->workers, job, req);
    if (s) {
        http_settle(req, s);
        http_resume(req);
    }
    return true;
}

static void run_job(void *arg);

/* To the pool or the keeper that the step asked for; OK when it is theirs. */
static enum status pass_on(struct http_request *req)
{
    if (req->keep)
        return leave_with_keeper(req);
    if (!req->next)
        return STATUS_NEEDS_POOL;
    struct workers *pool = req->next_pool;
    req->step = req->next;
    req->next = NULL;
    log_set_request_id(NULL);
    return workers_submit(pool, run_job, req);
}

/* Once admitted on the pool, a request without a body has nothing to wait for: its handler runs
 * right there, without the way back to the event thread. */
static enum status step_on_pool(struct http_request *req)
{
    enum status s = req->step(req);
    if (s || req->step != http_admit || req->has_body || req->code)
        return s;
    req->step = http_handle;
    return http_handle(req);
}

static void run_step(struct http_request *req, http_handler *step)
{
    bool stopping = atomic_load(&req->h->stopping);
    log_set_request_id(req->id);
    enum status s = stopping ? STATUS_UNAVAILABLE : step(req);
    if (s == STATUS_NEEDS_POOL) {
        s = pass_on(req);
        if (!s)
            return;
        log_set_request_id(req->id);
    }
    http_settle(req, s);
    http_resume(req);
}

/* The pool's part of http_run. */
static void run_job(void *req)
{
    run_step(req, step_on_pool);
}

void http_go_on(struct http_request *req)
{
    run_step(req, req->step);
}

enum status http_leave(struct http_request *req,
                       enum status (*keep)(void *ctx, struct http_request *req), void *ctx)
{
    req->keep = keep;
    req->keep_ctx = ctx;
    return STATUS_NEEDS_POOL;
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
    req->keep = NULL;
    http_settle(req, STATUS_UNAVAILABLE);
    return true;
}

enum status http_continue(struct http_request *req, struct workers *pool, http_handler *next)
{
    req->next = next;
    req->next_pool = pool;
    return STATUS_NEEDS_POOL;
}

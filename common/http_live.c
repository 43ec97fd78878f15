#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

/* Larger than any single message of a service, small enough for thousands of connections. */
enum { PIECE = 16 * 1024 };

struct http_live {
    struct http_request *req;
    enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n);
    void *state;
    void (*release)(void *state);
    pthread_mutex_t lock; /* of `asleep` and `woken` */
    bool asleep;          /* the connection is suspended */
    bool woken;           /* since `read` was last called */
    size_t len, taken;
    struct http_live *next, **back; /* the server's list, under its live_lock */
    uint8_t piece[PIECE];
};

static void add(struct http *h, struct http_live *live)
{
    pthread_mutex_lock(&h->live_lock);
    live->next = h->live_first;
    live->back = &h->live_first;
    if (live->next)
        live->next->back = &live->next;
    h->live_first = live;
    pthread_mutex_unlock(&h->live_lock);
}

enum status http_reply_live(struct http_request *req, const char *type,
                            enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n),
                            void *state, void (*release)(void *state), struct http_live **out)
{
    struct http_live *live = xcalloc(1, sizeof(*live));
    http_reply_begin(req, 200, type);
    live->req = req;
    live->read = read;
    live->state = state;
    live->release = release;
    pthread_mutex_init(&live->lock, NULL);
    add(req->h, live);
    *out = req->live = live;
    return STATUS_OK;
}

void http_live_free(struct http_live *live)
{
    if (!live)
        return;
    struct http *h = live->req->h;
    pthread_mutex_lock(&h->live_lock);
    *live->back = live->next;
    if (live->next)
        live->next->back = live->back;
    pthread_mutex_unlock(&h->live_lock);
    live->release(live->state);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

void http_live_wake(struct http_live *live)
{
    struct http_request *req = live->req;
    pthread_mutex_lock(&live->lock);
    live->woken = true;
    if (live->asleep) {
        live->asleep = false;
        req->paused_us += clock_mono_us() - req->suspended_us;
        MHD_resume_connection(req->conn);
        atomic_fetch_sub(&req->h->suspended, 1);
    }
    pthread_mutex_unlock(&live->lock);
}

void http_live_wake_all(struct http *h)
{
    pthread_mutex_lock(&h->live_lock);
    for (struct http_live *live = h->live_first; live; live = live->next)
        http_live_wake(live);
    pthread_mutex_unlock(&h->live_lock);
}

/* False when there was a wake since `read` found nothing. */
static bool sleep_until_woken(struct http_live *live)
{
    struct http_request *req = live->req;
    pthread_mutex_lock(&live->lock);
    bool sleeps = !live->woken;
    if (sleeps) {
        live->asleep = true;
        req->suspended_us = clock_mono_us();
        atomic_fetch_add(&req->h->suspended, 1);
        MHD_suspend_connection(req->conn);
    }
    pthread_mutex_unlock(&live->lock);
    return sleeps;
}

static enum status read_piece(struct http_live *live)
{
    pthread_mutex_lock(&live->lock);
    live->woken = false;
    pthread_mutex_unlock(&live->lock);
    live->taken = live->len = 0;
    /* Looked at after `woken` was cleared: http_stop sets it, then wakes. */
    if (atomic_load(&live->req->h->stopping))
        return STATUS_OK;
    return live->read(live->state, live->piece, sizeof(live->piece), &live->len);
}

static ssize_t next_bytes(void *cls, uint64_t pos, char *out, size_t max)
{
    struct http_live *live = ((struct http_request *)cls)->live;
    (void)pos;
    while (live->taken == live->len) {
        enum status st = read_piece(live);
        if (st == STATUS_NEEDS_POOL && sleep_until_woken(live))
            return 0;
        if (st == STATUS_NEEDS_POOL)
            continue;
        if (st)
            return http_break_off(live->req, st);
        if (live->len == 0)
            return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t n = live->len - live->taken < max ? live->len - live->taken : max;
    memcpy(out, live->piece + live->taken, n);
    live->taken += n;
    return (ssize_t)n;
}

struct MHD_Response *http_live_response(struct http_request *req)
{
    return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, next_bytes, req, NULL);
}

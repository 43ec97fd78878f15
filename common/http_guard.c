#include "clock.h"
#include "http_internal.h"
#include "jobs.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LOOK_EVERY_MS = 1000 };

/* libmicrohttpd's time limit starts anew with every byte, so a client that sends one now and then
 * could hold a connection for ever without completing its headers, the size of a chunk or the
 * trailers. For the payload itself see http_body.c. */

struct guarded {
    int fd;
    _Atomic int64_t waiting_since_ms; /* 0: a request is at work */
    struct http_request *spare;
    struct guarded *next, **back;
};

struct guard {
    pthread_mutex_t lock; /* of the list, and of the sockets in it: none is closed meanwhile */
    int64_t limit_ms;
    struct guarded *first;
    struct job *watch;
};

static bool cut_off_late(void *guard)
{
    struct guard *g = guard;
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&g->lock);
    for (struct guarded *c = g->first; c; c = c->next) {
        int64_t since = atomic_load(&c->waiting_since_ms);
        if (since && now - since > g->limit_ms)
            shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&g->lock);
    return false;
}

struct guard *http_guard_new(unsigned limit_s)
{
    struct guard *g = xcalloc(1, sizeof(*g));
    g->limit_ms = (int64_t)limit_s * 1000;
    pthread_mutex_init(&g->lock, NULL);
    g->watch = job_start(cut_off_late, g, LOOK_EVERY_MS);
    return g;
}

void http_guard_free(struct guard *g)
{
    if (!g)
        return;
    job_stop(g->watch);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static void add(struct guard *g, struct guarded *c)
{
    pthread_mutex_lock(&g->lock);
    c->next = g->first;
    c->back = &g->first;
    if (c->next)
        c->next->back = &c->next;
    g->first = c;
    pthread_mutex_unlock(&g->lock);
}

static void drop(struct guard *g, struct guarded *c)
{
    pthread_mutex_lock(&g->lock);
    *c->back = c->next;
    if (c->next)
        c->next->back = c->back;
    pthread_mutex_unlock(&g->lock);
    http_request_free(c->spare);
    free(c);
}

void http_guard_notify(void *guard, struct MHD_Connection *conn, void **context,
                       enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        drop(guard, *context);
        return;
    }
    struct guarded *c = *context = xcalloc(1, sizeof(*c));
    c->fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->waiting_since_ms = clock_mono_ms();
    add(guard, c);
}

static struct guarded *guarded(struct MHD_Connection *conn)
{
    return MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void http_guard_mark(struct MHD_Connection *conn, bool at_work)
{
    atomic_store(&guarded(conn)->waiting_since_ms, at_work ? 0 : clock_mono_ms());
}

struct http_request **http_guard_spare(struct MHD_Connection *conn)
{
    return &guarded(conn)->spare;
}

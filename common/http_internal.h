/* What the files of http share, and nobody else includes.
 *
 * A request belongs to one thread at a time: to the event thread of its connection, or, between
 * http_suspend and the resume at the end of the job, to one worker. libmicrohttpd's and the
 * pool's mutexes order the two, so its fields need no lock. */
#pragma once
#include "http.h"
#include "metrics.h"
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

/* A failed request's body up to this size is read and thrown away, so that the connection lives
 * on; of a larger one at most this much, so that the reply is not lost to a reset. */
enum { HTTP_DISCARD_MAX = 64 * 1024, HTTP_CONNECTION_MEMORY = 64 * 1024 };

struct ip_range {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct route_metrics; /* see http_metrics.c */
struct guard;         /* see http_guard.c */

struct http {
    struct MHD_Daemon *daemon;
    struct workers *workers;
    enum status (*authenticate)(struct http_request *req, struct principal *who);
    struct route *routes;
    struct router router;
    struct route_metrics *metrics; /* one a route, and one for what matched none */
    struct metric *in_flight_gauge;
    struct guard *guard;
    size_t connection_memory;
    struct ip_range *proxies;
    size_t proxy_count;
    char *cors_origins;  /* or NULL */
    const char *warning; /* or NULL */
    size_t body_max;
    uint64_t stream_max;
    unsigned timeout_s;
    uint16_t port;
    int listener, silence; /* file descriptors; the second takes the first's place at the end */
    char id_prefix[9];
    atomic_uint_fast64_t id_next;
    atomic_size_t in_flight; /* requests between their first line and their end */
    atomic_size_t suspended; /* connections whose request is with the pool, or sleeps */
    pthread_mutex_t live_lock;
    struct http_live *live_first; /* every live reply, under live_lock */
    atomic_bool draining;         /* replies close their connection */
    atomic_bool stopping;         /* nothing is suspended any more, queued jobs do not run */
};

enum phase {
    PHASE_HEADERS, /* the headers are here, nothing was looked at */
    PHASE_ADMIT,   /* the checks before the body run or ran */
    PHASE_BODY,    /* the body comes in */
    PHASE_HANDLE,  /* the handler runs or ran */
};

/* A body on its way out, read on the pool a piece at a time. */
struct download {
    enum status (*read)(void *state, uint8_t *out, size_t len, size_t *n);
    enum status (*attempt)(void *state, uint8_t *out, size_t len, size_t *n); /* or NULL */
    void *state;
    void (*release)(void *state);
    uint64_t size;
    uint8_t *piece;
    size_t piece_size, len, taken;
    bool end;
    enum status failure;
};

struct http_request {
    struct http *h;
    struct MHD_Connection *conn;
    enum phase phase;
    bool on_pool;
    bool suspended;        /* by this call of the event thread, which alone looks at it */
    bool expects_continue; /* the client waits for our word before it sends the body */
    bool close;            /* the connection cannot be trusted with another request */
    bool answered_raw;     /* the reply went out past libmicrohttpd */
    bool tls;
    http_handler *step;                                       /* what runs, or ran last */
    http_handler *next;                                       /* asked for by http_continue */
    struct workers *next_pool;                                /* where */
    enum status (*keep)(void *ctx, struct http_request *req); /* asked for by http_leave */
    void *keep_ctx;
    int64_t start_us, paused_us, suspended_us;
    char id[64];
    uint8_t address[16];       /* of the client; IPv4 as ::ffff:0:0/96 */
    char ip[INET6_ADDRSTRLEN]; /* the same as text, once it was asked for */
    enum method method;        /* 0: none that we know */
    struct route_match match;
    struct principal who;

    const struct body_stream *stream; /* NULL: collect the body */
    bool has_body, chunked;
    uint64_t body_left; /* to come; UINT64_MAX: chunked */
    uint64_t body_taken;
    size_t discarded;
    struct strbuf body; /* collected, or the chunk that fills */
    json_t *json;
    void *state;
    void (*state_release)(void *state);

    struct strbuf detail, members; /* of the problem */
    struct strbuf headers;         /* name NUL value NUL ... */
    int code;                      /* 0: no reply yet */
    char type[128];
    struct strbuf out;
    const void *bytes; /* of the reply: in `out` or static */
    size_t len;
    struct download *download;
    struct http_live *live;
    char target[]; /* as it came over the wire */
};

/* http.c */
enum status http_handle(struct http_request *req); /* the object check and the handler */
void http_request_free(struct http_request *req);  /* NULL is fine */

/* http_run.c: where the steps of a request run. */
/* Run `step` here, or on the pool when it says NEEDS_POOL. True when it ran to its end and the
 * request may go on; false when the connection is suspended: libmicrohttpd will call again. */
bool http_run(struct http_request *req, http_handler *step);
/* Suspend the connection and run `job` on the pool, which ends with http_resume. With `admitted`
 * no full queue refuses it. False when the server stops: nothing was suspended. */
bool http_suspend(struct http_request *req, void (*job)(void *req), bool admitted);
/* The last thing a job does with the request. */
void http_resume(struct http_request *req);

/* http_admit.c: everything before the body. */
void http_receive(struct http_request *req, const char *url, const char *method,
                  const char *version);
enum status http_admit(struct http_request *req);

/* http_body.c: the body on its way in. */
enum MHD_Result http_upload(struct http_request *req, const char *bytes, size_t *len);
/* The answer is known and the body still to come: throw it away when it is small, or else
 * answer now and close. */
enum MHD_Result http_refuse_body(struct http_request *req);

/* http_reply.c */
/* OPTIONS: what the path has. */
enum status http_reply_allow(struct http_request *req);
/* Turn the outcome of a step into the reply: a problem when it failed. */
void http_settle(struct http_request *req, enum status s);
enum MHD_Result http_send(struct http_request *req);
/* Write the reply on the socket itself, where libmicrohttpd allows none, and end our side. */
void http_send_raw(struct http_request *req);
void http_reply_clear(struct http_request *req);
/* Clear, then set what every reply has. `type` may be NULL. */
void http_reply_begin(struct http_request *req, int code, const char *type);
/* The request's Origin when it is one of cors_origins, or else NULL. */
const char *http_cors_origin(const struct http_request *req);
bool http_has_reply_header(const struct http_request *req, const char *name);

/* http_stream.c */
struct MHD_Response *http_download_response(struct http_request *req);
/* Read the next piece. On the pool. */
enum status http_download_fill(struct download *d);
void http_download_free(struct download *d);
/* Reset the connection and log why; what a content reader then returns. */
ssize_t http_break_off(struct http_request *req, enum status why);

/* http_live.c */
struct MHD_Response *http_live_response(struct http_request *req);
void http_live_free(struct http_live *live);
void http_live_wake_all(struct http *h);

/* http_peer.c: who is behind the proxies. */
enum status http_proxies_parse(const char *list, struct http *h, struct strbuf *why);
void http_peer_find(struct http_request *req);

/* http_guard.c: connections whose client does not go on in time are cut off. */
struct guard *http_guard_new(unsigned limit_s);
void http_guard_free(struct guard *g); /* after the daemon */
void http_guard_notify(void *guard, struct MHD_Connection *conn, void **context,
                       enum MHD_ConnectionNotificationCode code);
/* Whose turn it is: ours, or from now on the client's, to send the next headers or more of the
 * body. Event thread. */
void http_guard_mark(struct MHD_Connection *conn, bool at_work);
/* A place for what the connection's next request can use again; whoever takes it out leaves NULL.
 * Event thread. */
struct http_request **http_guard_spare(struct MHD_Connection *conn);

/* http_metrics.c: what is counted and logged of each request. */
struct route_metrics *http_metrics_new(const struct route *routes, size_t n);
void http_account(struct http_request *req);

/* Requests whose answer is not in memory wait here, without a thread each, and are answered
 * together: one trip to Redis and one query for up to 64 of them. */
#pragma once
#include "fill.h"
#include "http.h"
#include "session.h"

enum { LOADER_WAIT_MS = 5000 /* then 503 */, LOADER_QUEUE_MAX = 8192 };

/* A request on its way to its user and page: what http_state holds once it is asked for either. */
struct visit {
    char session_id[SESSION_ID_SIZE];
    /* OK with the user (and, from the loader, the page); the statuses of session_find and
     * fills_run; TIMEOUT. */
    enum status st;
    struct near_entry *entry;
    const char *how;
    struct strbuf upload; /* of upload.c */
    /* The loader's. */
    struct http_request *req;
    struct visit *next;
    int64_t deadline_ms, not_before_ms;
};
void visit_release(void *visit);

struct loader;
struct loader *loader_new(struct sessions *sessions, struct fills *fills, struct near *near);
/* Whoever waits was answered before: after http_stop. NULL is fine. */
void loader_free(struct loader *l);

/* The `keep` of http_leave: the request's state is a visit with a session_id; it goes on with the
 * visit's other members set. OVERLOADED when too many wait. Any thread. */
enum status loader_keep(void *loader, struct http_request *req);

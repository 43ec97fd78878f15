/* Presence over all servers: who is in a room, in a sorted set of Redis, each user with the time at
 * which they vanish unless their server says again that they are here. A thread of its own. */
#pragma once
#include "mailbox.h"
#include "protocol.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>

struct presence;

enum {
    PRESENCE_BEAT_MS = 2000, /* how often a server is to say so */
    PRESENCE_TTL_MS = 5000,
    PRESENCE_NAMES = 1000, /* that an answer has at most */
};

/* "These users are here; who is, all told?" and its answer. */
struct presence_query {
    struct mail mail; /* first: how the answer comes back */
    void *owner;      /* the asker's, untouched */
    char room[NAME_MAX_LEN + 1];
    char (*users)[NAME_MAX_LEN + 1]; /* asked: who is here on this server; answer: everywhere */
    size_t user_count;
    size_t limit; /* other than 0: refuse a user who is not here already past it */

    enum status status; /* not OK: Redis could not be asked, and `users` is as it was */
    bool full;          /* refused for `limit` */
    size_t count;       /* users here, also beyond those named */
};

struct presence_query *presence_query_new(const char *room,
                                          void (*answer)(void *ctx, struct mail *m));
void presence_query_free(struct presence_query *q);

/* `url` "": *out is NULL, and every question's answer is UNAVAILABLE. UNPROCESSABLE with the
 * reason in `why` for a URL that cannot be used. Main thread. */
enum status presence_new(const char *url, struct mailbox *mailbox, struct presence **out,
                         struct strbuf *why);
void presence_free(struct presence *p); /* what was asked is answered before */
/* The question comes back through the mailbox, once. Any thread; does not block. */
void presence_ask(struct presence *p, struct mailbox *mailbox, struct presence_query *q);

/* The chat: what each request does, and what becomes of its answers. Between the sessions and
 * rooms of this server, the history and the bus; knows nothing of sockets. Loop thread only, but
 * for what is said of main's thread. */
#pragma once
#include "history_worker.h"
#include "mailbox.h"
#include "session.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chat;

struct chat_options {
    const char *history_url, *redis_url; /* redis_url may be "" */
    const char *token_key;
    const char *server;                  /* this one's name, for welcome */
    size_t queue_bytes;                  /* of a session */
    size_t history_queue;                /* jobs that may wait for the history */
    int64_t hello_ms;                    /* a connection's time to say hello */
    int64_t heartbeat_s;                 /* between pings, for welcome */
    int64_t slow_ms;                     /* a session that takes nothing for so long is ended */
    int64_t rate;                        /* messages of a session a second; twice as many at once */
    size_t user_connections, room_limit; /* sessions of a user, users of a room at most */
};

enum { CHAT_TICK_MS = 100 };

/* UNPROCESSABLE with the reason in `why` for a URL that cannot be used; stores that are down are
 * no error. Main thread, as the next two. */
enum status chat_new(const struct chat_options *options, struct chat **out, struct strbuf *why);
/* After the transport ended: joins the threads of history and bus. False as history_worker_free
 * says: end by _exit. */
bool chat_free(struct chat *chat);
/* `wake` makes the loop call chat_wake soon. */
void chat_set_wake(struct chat *chat, void (*wake)(void *ctx), void *ctx);
void chat_wake(struct chat *chat);

/* A connection came; the session is the transport's until chat_close. */
struct session *chat_open(struct chat *chat, void *transport, void (*wake)(struct session *s));
void chat_close(struct chat *chat, struct session *s);
/* A whole message of the client's, at most FRAME_MAX bytes. */
void chat_receive(struct chat *chat, struct session *s, const char *bytes, size_t len);
/* The session's queue was taken empty. */
void chat_drained(struct chat *chat, struct session *s);
/* More messages will be there to deliver in a moment. */
bool chat_writing(const struct chat *c);
size_t chat_sessions(const struct chat *chat);
/* Every CHAT_TICK_MS: deadlines, polls. `overdue` is called for each session that should have
 * ended by now: cut its connection. */
void chat_tick(struct chat *chat, void (*overdue)(struct session *s));
/* From now on nothing new is taken; every session is told goodbye once its requests are answered.
 * Loop thread. */
void chat_drain(struct chat *chat);
bool chat_health(void *chat, struct strbuf *why); /* a health_check: the history's. Any thread */

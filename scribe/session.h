/* A session: one connection as the rooms see it, with a queue of frames that is bounded in bytes.
 * Knows nothing of sockets: the transport is told by `wake` that there is something to take.
 * Loop thread only. */
#pragma once
#include "frame.h"
#include "protocol.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct member; /* room.h */

struct session {
    struct session *prev, *next; /* all sessions */
    struct session *next_of_user;
    unsigned refs;
    void *transport; /* NULL once the connection is gone */
    void (*wake)(struct session *s);
    char user[NAME_MAX_LEN + 1]; /* "" before hello */
    int64_t expires_s;           /* of its token */
    int64_t opened_ms, took_ms;  /* monotonic; when it last took from its queue */
    struct member *members;
    size_t member_count;
    unsigned pending; /* its requests that are with the history */
    int64_t paid_us;  /* monotonic; up to when its messages have used its rate up */

    struct frame **ring;
    size_t ring_size, first, count; /* the size is a power of two */
    size_t bytes, bytes_max;        /* the bound is for what nobody asked for */

    int close_code; /* 0: stays open; else a close frame is the queue's last */
    int64_t closing_ms;
};

/* `wake(s)` is called when an empty queue got a frame. One reference, the transport's. */
struct session *session_new(size_t bytes_max, void *transport, void (*wake)(struct session *s));
struct session *session_ref(struct session *s);
void session_unref(struct session *s);

/* Queue a frame of a room, with a reference of its own. False when the queue has no room for it
 * (an empty one always has) or the session ends: the session is behind and will ask later. */
bool session_offer(struct session *s, struct frame *f);
/* Queue a reply; takes the reference over. Replies have no second chance, and so 1 MiB of room that
 * messages leave free: a slow reader's queue is always at its bound. Whoever asks more than they
 * read is ended as a slow consumer. */
void session_reply(struct session *s, struct frame *f);
bool session_idle(const struct session *s); /* open, and its queue is empty */

/* Move whole frames, as many as fit, into `out`; returns their bytes. A frame over `size` comes
 * alone, in *big, with its reference, and 0 is returned. */
size_t session_take(struct session *s, unsigned char *out, size_t size, struct frame **big);

/* End it: a close frame with this code (RFC 6455, section 7.4) is the last to be sent. The first
 * call counts. session_abandon drops the queue first: nobody reads it. */
void session_end(struct session *s, int code, const char *reason);
void session_abandon(struct session *s, int code, const char *reason);

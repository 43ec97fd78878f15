/* Login sessions: a random id of 256 bits, known to the browser; in Redis under its SHA-256, so
 * that who reads Redis cannot take a session over. A session is over when idle too long, when too
 * old, and when its user's session_gen in the database has moved on: the caller compares that, on
 * every request.
 *
 * Redis down: no new session; one that this process has seen goes on, others are UNAVAILABLE.
 * Worker threads only, but for session_peek. */
#pragma once
#include "redis.h"
#include "status.h"
#include <stdint.h>

enum { SESSION_ID_SIZE = 44 }; /* base64url of 32 bytes, and NUL */

struct sessions;

struct session {
    int64_t user_id;
    int64_t gen; /* users.session_gen at login */
    int64_t created_ms;
};

struct sessions *sessions_new(struct redis *redis, int64_t idle_s, int64_t absolute_s);
void sessions_free(struct sessions *s); /* NULL is fine */

/* A new session; created_ms is set here. UNAVAILABLE. */
enum status session_create(struct sessions *s, int64_t user_id, int64_t gen,
                           char id[SESSION_ID_SIZE]);
/* UNAUTHENTICATED when there is no such session, UNAVAILABLE when it cannot be known. Starts the
 * idle time afresh. */
enum status session_find(struct sessions *s, const char *id, struct session *out);
/* Up to SESSIONS_MAX of them by one trip to Redis; the statuses are session_find's. */
enum { SESSIONS_MAX = 64 };
void sessions_find(struct sessions *s, const char *const *ids, size_t n, struct session *out,
                   enum status *st);
/* From memory: OK when Redis was asked not long ago (a sixteenth of the idle time, a minute at the
 * most). Any thread. */
enum status session_peek(struct sessions *s, const char *id, struct session *out);
/* Forget it, as far as Redis can be reached; what ends it surely is the user's session_gen. */
void session_forget(struct sessions *s, const char *id);

/* The token a browser has to show for a change of state: derived from the id, so that it needs no
 * store and dies with the session. Another site can send the cookie, but cannot know this. */
void session_csrf(const char *id, char out[SESSION_ID_SIZE]);

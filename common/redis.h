/* Redis: a pool of blocking connections behind a circuit breaker, and a subscriber with a thread
 * of its own.
 *
 * Breaker: after a failure to connect, a lost connection or a time-out the circuit opens, calls
 * return UNAVAILABLE at once, and a keeper thread tries at once and then every 500 ms until the
 * server answers PING; while the circuit is closed it PINGs every second. So a command whose fate
 * is unknown always ends its epoch. Callers decide what goes on without Redis. SIGPIPE is ignored
 * (service_init does it). */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis;
struct redis_reply;

struct redis_options {
    const char *url; /* redis://[[user]:password@]host[:port][/db]; no rediss:// (hiredis does not
                        check the server's name: use a tunnel) */
    size_t connections_max; /* 0: 8 */
    unsigned timeout_ms;    /* to connect and for each command; 0: 500 */
};

/* UNPROCESSABLE with the reason in `why` for a URL that cannot be used; a dead server is no
 * error. Main thread. */
enum status redis_new(const struct redis_options *options, struct redis **out, struct strbuf *why);
void redis_free(struct redis *r);
bool redis_health(void *redis, struct strbuf *why); /* a health_check */
/* Counts up at each (re)connection of the breaker from open to closed, beginning at 1; 0 before
 * the first. What was cached under an older number may be stale. Any thread. */
uint64_t redis_epoch(const struct redis *r);

/* One command, in hiredis' format: %s takes a NUL-terminated string, %b a pointer and a size_t;
 * blanks in the format part the arguments. `out` may be NULL. OK: *out is the caller's to free.
 * UNAVAILABLE: not known whether it was carried out, or Redis
 * says that it cannot now (LOADING, OOM, READONLY and the like). OVERLOADED: not sent, no
 * connection became free. INTERNAL: Redis answered with an error (logged; *out is NULL). Blocks at
 * most the time-out for each of: a free connection, a new one, the answer. Worker threads only. */
enum status redis_command(struct redis *r, struct redis_reply **out, const char *fmt, ...);
/* The same with `argc` arguments of argv[i], lengths[i] bytes each. `epoch` other than 0: only on a
 * connection of that epoch, else UNAVAILABLE and nothing is sent. */
enum status redis_command_argv(struct redis *r, uint64_t epoch, struct redis_reply **out, int argc,
                               const char **argv, const size_t *lengths);
void redis_reply_free(struct redis_reply *reply); /* NULL is fine */
/* NULL reply or nil reads as nil. Strings are NUL-terminated and may hold NUL. */
bool redis_is_nil(const struct redis_reply *reply);
int64_t redis_int(const struct redis_reply *reply);
const char *redis_str(const struct redis_reply *reply, size_t *len);
size_t redis_count(const struct redis_reply *reply); /* elements of an array */
const struct redis_reply *redis_at(const struct redis_reply *reply, size_t i);

/* --- subscriber ------------------------------------------------------------------------------ */

struct redis_subscriber;

struct redis_subscriber_events {
    /* A message on a channel. On the subscriber's thread; must not block. */
    void (*message)(void *ctx, const char *channel, const char *bytes, size_t len);
    /* `up` when every channel asked for until then was confirmed on a new connection (catch up
     * now); !up when that connection is lost. On the subscriber's thread. */
    void (*state)(void *ctx, bool up);
    /* Every single confirmation, of a channel asked for while up too; may be NULL. */
    void (*subscribed)(void *ctx, const char *channel);
    void *ctx;
};

/* Keeps one connection, with a PING every 5 s that must be answered within 2 s; reconnects with
 * backoff of 100 ms to 2 s and subscribes to everything again first. The thread starts at once.
 * The statuses are redis_new's. */
enum status redis_subscriber_new(const struct redis_options *options,
                                 const struct redis_subscriber_events *events,
                                 struct redis_subscriber **out, struct strbuf *why);
/* Ask for or drop a channel (what is asked for already stays as it is); returns at once. Meant for
 * thousands of channels: they are kept sorted. Any thread, from within an event too. */
void redis_subscribe(struct redis_subscriber *s, const char *channel);
void redis_unsubscribe(struct redis_subscriber *s, const char *channel);
bool redis_subscriber_up(const struct redis_subscriber *s);
/* Joins the thread: no event comes after. */
void redis_subscriber_free(struct redis_subscriber *s);

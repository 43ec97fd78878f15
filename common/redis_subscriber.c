#include "clock.h"
#include "log.h"
#include "redis.h"
#include "redis_dial.h"
#include "secret.h"
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    PING_MS = 5000,
    PONG_MS = 2000,
    BACKOFF_MIN_MS = 100,
    BACKOFF_MAX_MS = 2000,
    BATCH = 256, /* channels in one command */
};

struct channel {
    char *name;
    bool wanted;      /* by the callers */
    bool subscribed;  /* what the server was asked last, on this connection */
    bool changed;     /* it stands in the list of changes */
    unsigned pending; /* answers that are still to come, on this connection */
};

struct redis_subscriber {
    struct redis_address address;
    struct redis_subscriber_events events;
    pthread_t thread;
    int wakeup; /* an eventfd */
    _Atomic bool up;

    pthread_mutex_t lock; /* of what follows */
    bool stopping;
    struct channel **channels; /* sorted by name: thousands at most, an insertion moves them */
    size_t count, size;
    struct channel **changes;
    size_t change_count, change_size;
    size_t pending; /* the sum of the channels' */

    /* The thread's own. */
    redisContext *link;
    int64_t pinged_ms;
    bool pinged; /* and nothing came since */
};

/* --- the set of channels (under the lock) ----------------------------------------------------- */

/* The place of `name`, or where it belongs. */
static size_t find_place(const struct redis_subscriber *s, const char *name, bool *found)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(s->channels[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = false;
    return low;
}

static struct channel *find(const struct redis_subscriber *s, const char *name)
{
    bool found;
    size_t place = find_place(s, name, &found);
    return found ? s->channels[place] : NULL;
}

/* Room for one more pointer. */
static void grow(struct channel ***list, size_t count, size_t *size)
{
    if (count < *size)
        return;
    *size = *size ? *size * 2 : 64;
    *list = xrealloc(*list, *size * sizeof(**list));
}

static struct channel *find_or_add(struct redis_subscriber *s, const char *name)
{
    bool found;
    size_t place = find_place(s, name, &found);
    if (found)
        return s->channels[place];
    grow(&s->channels, s->count, &s->size);
    memmove(&s->channels[place + 1], &s->channels[place],
            (s->count - place) * sizeof(s->channels[0]));
    s->channels[place] = xcalloc(1, sizeof(struct channel));
    s->channels[place]->name = xstrdup(name);
    s->count++;
    return s->channels[place];
}

/* Forget it once nobody wants it and the server owes no answer. */
static void drop_if_done(struct redis_subscriber *s, struct channel *c)
{
    bool found;
    if (c->wanted || c->subscribed || c->changed || c->pending > 0)
        return;
    size_t place = find_place(s, c->name, &found);
    s->count--;
    memmove(&s->channels[place], &s->channels[place + 1],
            (s->count - place) * sizeof(s->channels[0]));
    free(c->name);
    free(c);
}

static void note_change(struct redis_subscriber *s, struct channel *c)
{
    if (c->changed)
        return;
    c->changed = true;
    grow(&s->changes, s->change_count, &s->change_size);
    s->changes[s->change_count++] = c;
}

static void wake(struct redis_subscriber *s)
{
    uint64_t one = 1;
    ssize_t written = write(s->wakeup, &one, sizeof(one));
    (void)written; /* a full counter wakes as well */
}

/* --- what is sent ----------------------------------------------------------------------------- */

static bool flush(redisContext *link)
{
    int done = 0;
    while (!done)
        if (redisBufferWrite(link, &done) != REDIS_OK)
            return false;
    return true;
}

/* Append SUBSCRIBE or UNSUBSCRIBE with words[1..n]. */
static void append(redisContext *link, bool subscribe, const char **words, int *n)
{
    if (*n == 0)
        return;
    words[0] = subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE";
    redisAppendCommandArgv(link, *n + 1, words, NULL);
    *n = 0;
}

/* Ask the server for what has changed. A command holds one kind, in the order of the changes. */
static bool send_changes(struct redis_subscriber *s)
{
    const char *words[BATCH + 1];
    int n = 0;
    bool kind = true;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->change_count; i++) {
        struct channel *c = s->changes[i];
        c->changed = false;
        if (c->wanted == c->subscribed) {
            drop_if_done(s, c);
            continue;
        }
        if (n == BATCH || c->wanted != kind)
            append(s->link, kind, words, &n);
        kind = c->wanted;
        words[++n] = c->name;
        c->subscribed = c->wanted;
        c->pending++;
        s->pending++;
    }
    append(s->link, kind, words, &n);
    s->change_count = 0;
    pthread_mutex_unlock(&s->lock);
    return flush(s->link);
}

/* --- what comes ------------------------------------------------------------------------------- */

/* The server has confirmed a SUBSCRIBE or an UNSUBSCRIBE. */
static void on_confirmation(struct redis_subscriber *s, const char *name, bool subscribe)
{
    pthread_mutex_lock(&s->lock);
    struct channel *c = find(s, name);
    bool current = false;
    if (c && c->pending > 0) {
        c->pending--;
        s->pending--;
        current = subscribe && c->wanted && c->subscribed && c->pending == 0;
        drop_if_done(s, c);
    }
    pthread_mutex_unlock(&s->lock);
    if (current && s->events.subscribed)
        s->events.subscribed(s->events.ctx, name);
}

static void on_message(struct redis_subscriber *s, const char *name, const redisReply *text)
{
    pthread_mutex_lock(&s->lock);
    const struct channel *c = find(s, name);
    bool wanted = c && c->wanted;
    pthread_mutex_unlock(&s->lock);
    if (wanted)
        s->events.message(s->events.ctx, name, text->str, text->len);
}

/* False for what a subscriber cannot be sent. */
static bool on_reply(struct redis_subscriber *s, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STATUS) /* PONG, while there is no channel */
        return true;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    const char *kind = reply->element[0]->str, *name = reply->element[1]->str;
    if (strcmp(kind, "pong") == 0)
        return true;
    if (reply->elements != 3 || !name)
        return false;
    if (strcmp(kind, "message") == 0 && reply->element[2]->str)
        on_message(s, name, reply->element[2]);
    else if (strcmp(kind, "subscribe") == 0 || strcmp(kind, "unsubscribe") == 0)
        on_confirmation(s, name, *kind == 's');
    return true;
}

/* Read what has come and handle every reply that is whole; false when the connection is lost. */
static bool receive(struct redis_subscriber *s)
{
    if (redisBufferRead(s->link) != REDIS_OK)
        return false;
    s->pinged = false; /* whatever comes proves as much as a PONG */
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(s->link, &reply) != REDIS_OK)
            return false;
        if (!reply)
            return true;
        bool good = on_reply(s, reply);
        freeReplyObject(reply);
        if (!good)
            return false;
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool is_stopping(struct redis_subscriber *s)
{
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return stopping;
}

/* Wait for the connection (unless NULL) or a wake-up; true when the connection can be read. */
static bool wait_for(struct redis_subscriber *s, const redisContext *link, int64_t ms)
{
    struct pollfd fds[] = {{.fd = s->wakeup, .events = POLLIN},
                           {.fd = link ? link->fd : -1, .events = POLLIN}};
    if (poll(fds, 2, ms > 0 ? (int)ms : 0) <= 0)
        return false;
    uint64_t count;
    if (fds[0].revents && read(s->wakeup, &count, sizeof(count)) < 0)
        return fds[1].revents != 0;
    return fds[1].revents != 0;
}

/* On a new connection the server knows nothing: every channel wanted is a change. */
static void begin_connection(struct redis_subscriber *s)
{
    pthread_mutex_lock(&s->lock);
    s->pending = s->change_count = 0;
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct channel *c = s->channels[i];
        if (!c->wanted) {
            free(c->name);
            free(c);
            continue;
        }
        c->subscribed = c->changed = false;
        c->pending = 0;
        s->channels[kept++] = c;
    }
    s->count = kept;
    for (size_t i = 0; i < kept; i++)
        note_change(s, s->channels[i]);
    pthread_mutex_unlock(&s->lock);
    s->pinged_ms = clock_mono_ms();
    s->pinged = false;
}

/* The watchdog: a PING when it is due; false when the last one was not answered in time. */
static bool watch(struct redis_subscriber *s, int64_t now)
{
    if (s->pinged)
        return now < s->pinged_ms + PONG_MS;
    if (now < s->pinged_ms + PING_MS)
        return true;
    s->pinged = true;
    s->pinged_ms = now;
    redisAppendCommand(s->link, "PING");
    return flush(s->link);
}

/* Up: everything asked for so far was confirmed. */
static void raise_up(struct redis_subscriber *s)
{
    pthread_mutex_lock(&s->lock);
    bool complete = s->pending == 0 && s->change_count == 0;
    pthread_mutex_unlock(&s->lock);
    if (s->up || !complete)
        return;
    s->up = true;
    log_info("redis_subscriber_up");
    s->events.state(s->events.ctx, true);
}

/* Serve one connection until it is lost or the end is wanted. */
static void serve(struct redis_subscriber *s)
{
    begin_connection(s);
    bool good = send_changes(s);
    while (good && !is_stopping(s)) {
        raise_up(s);
        int64_t now = clock_mono_ms();
        int64_t due = s->pinged_ms + (s->pinged ? PONG_MS : PING_MS);
        if (wait_for(s, s->link, due - now))
            good = receive(s);
        good = good && watch(s, clock_mono_ms()) && send_changes(s);
    }
    if (!good)
        log_warn("redis_subscriber_down",
                 F("reason", s->link->err ? s->link->errstr : "no answer to PING"));
}

/* Wait with jitter, from half to all of the backoff; adding a channel does not cut it short. */
static void back_off(struct redis_subscriber *s, unsigned backoff_ms)
{
    unsigned r;
    secret_random(&r, sizeof(r));
    int64_t until = clock_mono_ms() + backoff_ms / 2 + r % (backoff_ms / 2 + 1);
    for (int64_t left; (left = until - clock_mono_ms()) > 0 && !is_stopping(s);)
        wait_for(s, NULL, left);
}

static void *run(void *arg)
{
    struct redis_subscriber *s = arg;
    struct strbuf why = STRBUF_INIT;
    unsigned backoff_ms = BACKOFF_MIN_MS;
    while (!is_stopping(s)) {
        strbuf_reset(&why);
        s->link = redis_dial(&s->address, &why);
        if (s->link) {
            serve(s);
            if (s->up)
                backoff_ms = BACKOFF_MIN_MS;
            redisFree(s->link);
            if (atomic_exchange(&s->up, false) && !is_stopping(s))
                s->events.state(s->events.ctx, false);
        } else if (backoff_ms == BACKOFF_MIN_MS) { /* once is enough */
            log_warn("redis_subscriber_down", F("reason", strbuf_cstr(&why)));
        }
        back_off(s, backoff_ms);
        backoff_ms = backoff_ms < BACKOFF_MAX_MS / 2 ? backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    strbuf_release(&why);
    return NULL;
}

/* --- the public part -------------------------------------------------------------------------- */

enum status redis_subscriber_new(const struct redis_options *options,
                                 const struct redis_subscriber_events *events,
                                 struct redis_subscriber **out, struct strbuf *why)
{
    struct redis_subscriber *s = xcalloc(1, sizeof(*s));
    *out = NULL;
    enum status st = redis_address_parse(options, &s->address, why);
    if (st != STATUS_OK) {
        free(s);
        return st;
    }
    s->events = *events;
    s->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&s->lock, NULL);
    if (s->wakeup < 0 || pthread_create(&s->thread, NULL, run, s) != 0) {
        fputs("level=error event=no_subscriber_thread\n", stderr);
        abort(); /* at start only */
    }
    pthread_setname_np(s->thread, "subscriber");
    *out = s;
    return STATUS_OK;
}

static void want(struct redis_subscriber *s, struct channel *c, bool wanted)
{
    if (c->wanted == wanted)
        return;
    c->wanted = wanted;
    note_change(s, c);
    wake(s);
}

void redis_subscribe(struct redis_subscriber *s, const char *channel)
{
    pthread_mutex_lock(&s->lock);
    want(s, find_or_add(s, channel), true);
    pthread_mutex_unlock(&s->lock);
}

void redis_unsubscribe(struct redis_subscriber *s, const char *channel)
{
    pthread_mutex_lock(&s->lock);
    struct channel *c = find(s, channel);
    if (c)
        want(s, c, false);
    pthread_mutex_unlock(&s->lock);
}

bool redis_subscriber_up(const struct redis_subscriber *s)
{
    return s->up;
}

void redis_subscriber_free(struct redis_subscriber *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    wake(s);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    for (size_t i = 0; i < s->count; i++) {
        free(s->channels[i]->name);
        free(s->channels[i]);
    }
    free(s->channels);
    free(s->changes);
    close(s->wakeup);
    pthread_mutex_destroy(&s->lock);
    secret_wipe(&s->address, sizeof(s->address));
    free(s);
}

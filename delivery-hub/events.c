#include "events.h"
#include "clock.h"
#include "health.h"
#include "metrics.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMENT_MS = 15000, TYPE_SIZE = 16, HEAD_SIZE = 128 };

struct event {
    struct stream_id id;
    char type[TYPE_SIZE];
    struct snapshot *shown;
};

struct client {
    struct events *events;
    struct http_live *live;
    char person[PERSON_MAX + 1];
    unsigned role;
    int64_t expires_ms; /* the token, by the wall clock */
    char resume[EVENTS_EPOCH_SIZE + 48];
    bool placed;    /* `place` is set */
    uint64_t place; /* number of the next event to look at */
    int64_t comment_due_ms;
    struct client *next, **back;
};

struct events {
    pthread_mutex_t lock; /* of everything here, clients too; held around http_live_wake */
    char epoch[EVENTS_EPOCH_SIZE];
    bool live;
    uint64_t first, end;   /* numbers of the ring's first event, and of the next to come */
    struct stream_id base; /* of the event before `first` */
    struct client *clients;
    struct metric *connected, *cut;
    struct event ring[EVENTS_KEPT];
};

static struct event *at(struct events *e, uint64_t number)
{
    return &e->ring[number % EVENTS_KEPT];
}

static int compare(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

static struct stream_id newest(struct events *e)
{
    return e->end > e->first ? at(e, e->end - 1)->id : e->base;
}

/* --- a client's place ---------------------------------------------------------------------------
 */

static bool parse_number(const char **text, char end, uint64_t *out)
{
    char *rest;
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *out = strtoull(*text, &rest, 10);
    *text = rest + 1;
    return errno == 0 && *rest == end;
}

bool stream_id_parse(const char *text, struct stream_id *out)
{
    return parse_number(&text, '-', &out->ms) && parse_number(&text, '\0', &out->seq);
}

/* "<epoch>:<ms>-<seq>" of this epoch. */
static bool parse_place(const struct events *e, const char *text, struct stream_id *out)
{
    size_t len = strlen(e->epoch);
    return len > 0 && strncmp(text, e->epoch, len) == 0 && text[len] == ':' &&
           stream_id_parse(text + len + 1, out);
}

/* The first event after `id`. */
static uint64_t find_after(struct events *e, struct stream_id id)
{
    uint64_t low = e->first, high = e->end;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (compare(at(e, mid)->id, id) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool resumes(struct events *e, struct client *c)
{
    struct stream_id id;
    if (!parse_place(e, c->resume, &id) || compare(id, e->base) < 0 || compare(id, newest(e)) > 0)
        return false;
    c->place = find_after(e, id);
    return true;
}

/* --- text ---------------------------------------------------------------------------------------
 */

static size_t put_id(const struct events *e, struct stream_id id, uint8_t *out, size_t len)
{
    return (size_t)snprintf((char *)out, len, "id: %s:%" PRIu64 "-%" PRIu64 "\n", e->epoch, id.ms,
                            id.seq);
}

/* With a token that has the primary asked: a copy may lack what was published before. */
static size_t put_reset(struct events *e, uint8_t *out, size_t len)
{
    size_t n = put_id(e, newest(e), out, len);
    return n + (size_t)snprintf((char *)out + n, len - n,
                                "event: reset\ndata: {\"consistency_token\":\"0:0\"}\n\n");
}

/* With an id, so that a client who is shown little still knows its place. */
static size_t put_comment(struct events *e, struct client *c, uint8_t *out, size_t len)
{
    size_t n = (size_t)snprintf((char *)out, len, ": still here\n");
    if (c->placed)
        n += put_id(e, newest(e), out + n, len - n);
    return n + (size_t)snprintf((char *)out + n, len - n, "\n");
}

static size_t put_event(const struct events *e, const struct event *event, uint8_t *out, size_t len)
{
    const struct snapshot *shown = event->shown;
    size_t n = put_id(e, event->id, out, len);
    n += (size_t)snprintf((char *)out + n, len - n, "event: %s\ndata: ", event->type);
    memcpy(out + n, shown->json, shown->len);
    n += shown->len;
    out[n++] = '\n';
    out[n++] = '\n';
    return n;
}

static bool shows(const struct event *event, const struct client *c)
{
    return snapshot_visible(event->shown, &(struct actor){c->person, c->role});
}

/* What the client may see from its place on, as far as it fits. */
static size_t put_events(struct events *e, struct client *c, uint8_t *out, size_t len)
{
    size_t n = 0;
    for (; c->place < e->end; c->place++) {
        const struct event *event = at(e, c->place);
        if (!shows(event, c))
            continue;
        if (HEAD_SIZE + event->shown->len > len - n)
            break;
        n += put_event(e, event, out + n, len - n);
    }
    return n;
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* STATUS_OVERLOADED: the ring went past the client. */
static enum status fill(struct events *e, struct client *c, uint8_t *out, size_t len, size_t *n)
{
    if (e->live && !c->placed) {
        c->placed = true;
        if (!resumes(e, c)) {
            c->place = e->end;
            *n = put_reset(e, out, len);
        }
    }
    if (e->live && c->place < e->first) {
        metric_add(e->cut, 1);
        return STATUS_OVERLOADED;
    }
    if (e->live)
        *n += put_events(e, c, out + *n, len - *n);
    if (*n == 0 && clock_mono_ms() >= c->comment_due_ms)
        *n = put_comment(e, c, out, len);
    if (*n == 0)
        return STATUS_NEEDS_POOL;
    c->comment_due_ms = clock_mono_ms() + COMMENT_MS;
    return STATUS_OK;
}

static bool is_over(const struct client *c)
{
    return health_draining() || clock_unix_ms() >= c->expires_ms;
}

static enum status read_events(void *client, uint8_t *out, size_t len, size_t *n)
{
    struct client *c = client;
    struct events *e = c->events;
    if (is_over(c))
        return STATUS_OK;
    pthread_mutex_lock(&e->lock);
    enum status st = fill(e, c, out, len, n);
    pthread_mutex_unlock(&e->lock);
    return st;
}

static void leave(void *client)
{
    struct client *c = client;
    struct events *e = c->events;
    pthread_mutex_lock(&e->lock);
    *c->back = c->next;
    if (c->next)
        c->next->back = c->back;
    pthread_mutex_unlock(&e->lock);
    metric_add(e->connected, -1);
    free(c);
}

enum status events_reply(struct events *e, struct http_request *req)
{
    const struct principal *who = http_principal(req);
    const char *resume = http_header(req, "Last-Event-ID");
    if (health_draining())
        return http_fail(req, STATUS_UNAVAILABLE, "the server is about to stop");
    struct client *c = xcalloc(1, sizeof(*c));
    c->events = e;
    c->role = who->roles;
    c->expires_ms = who->session;
    c->comment_due_ms = clock_mono_ms() + COMMENT_MS;
    snprintf(c->person, sizeof(c->person), "%.*s", PERSON_MAX, who->id);
    if (resume && strlen(resume) < sizeof(c->resume))
        snprintf(c->resume, sizeof(c->resume), "%s", resume);
    metric_add(e->connected, 1);
    http_set_header(req, "X-Accel-Buffering", "no"); /* for nginx in front */
    pthread_mutex_lock(&e->lock);
    http_reply_live(req, "text/event-stream", read_events, c, leave, &c->live);
    c->next = e->clients;
    c->back = &e->clients;
    if (c->next)
        c->next->back = &c->next;
    e->clients = c;
    pthread_mutex_unlock(&e->lock);
    return STATUS_OK;
}

/* --- filling ------------------------------------------------------------------------------------
 */

static void drop_first(struct events *e)
{
    struct event *event = at(e, e->first++);
    e->base = event->id;
    snapshot_unref(event->shown);
}

static void wake_all(struct events *e)
{
    for (struct client *c = e->clients; c; c = c->next)
        http_live_wake(c->live);
}

void events_restart(struct events *e, const char *epoch, struct stream_id base)
{
    pthread_mutex_lock(&e->lock);
    while (e->first < e->end)
        drop_first(e);
    e->base = base;
    snprintf(e->epoch, sizeof(e->epoch), "%s", epoch);
    for (struct client *c = e->clients; c; c = c->next) {
        if (c->placed)
            c->resume[0] = '\0'; /* what it was sent is of the past */
        c->placed = false;
    }
    pthread_mutex_unlock(&e->lock);
}

void events_add(struct events *e, struct stream_id id, const char *type, struct snapshot *shown)
{
    pthread_mutex_lock(&e->lock);
    if (e->end - e->first == EVENTS_KEPT)
        drop_first(e);
    struct event *event = at(e, e->end);
    *event = (struct event){.id = id, .shown = snapshot_ref(shown)};
    snprintf(event->type, sizeof(event->type), "%s", type);
    for (struct client *c = e->live ? e->clients : NULL; c; c = c->next) {
        if (shows(event, c))
            http_live_wake(c->live);
        else if (c->placed && c->place == e->end)
            c->place++; /* it need not wake to pass by */
    }
    e->end++;
    pthread_mutex_unlock(&e->lock);
}

void events_set_live(struct events *e, bool live)
{
    pthread_mutex_lock(&e->lock);
    if (live && !e->live)
        wake_all(e);
    e->live = live;
    pthread_mutex_unlock(&e->lock);
}

void events_tick(struct events *e)
{
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&e->lock);
    for (struct client *c = e->clients; c; c = c->next) {
        if (now >= c->comment_due_ms || is_over(c))
            http_live_wake(c->live);
    }
    pthread_mutex_unlock(&e->lock);
}

struct events *events_new(void)
{
    struct events *e = xcalloc(1, sizeof(*e));
    pthread_mutex_init(&e->lock, NULL);
    e->connected = metric_gauge("hub_event_clients", "", "Clients of /events.");
    e->cut = metric_counter("hub_event_clients_cut_total", "", "Clients of /events too slow.");
    return e;
}

void events_free(struct events *e)
{
    while (e->first < e->end)
        drop_first(e);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

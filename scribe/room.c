#include "room.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct rooms {
    struct room_events events;
    size_t count;
    uint64_t deliveries;
    struct room *buckets[BUCKETS];
};

/* --- the registry --------------------------------------------------------------------------- */

struct rooms *rooms_new(const struct room_events *events)
{
    struct rooms *rooms = xcalloc(1, sizeof(*rooms));
    rooms->events = *events;
    return rooms;
}

static void room_free(struct room *r)
{
    free(r->members);
    free(r->pulls);
    frame_unref(r->here.told);
    free(r);
}

void rooms_free(struct rooms *rooms)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (rooms->buckets[i]) {
            struct room *r = rooms->buckets[i];
            rooms->buckets[i] = r->next_in_bucket;
            room_free(r);
        }
    free(rooms);
}

size_t rooms_count(const struct rooms *rooms)
{
    return rooms->count;
}

void rooms_each(struct rooms *rooms, void (*visit)(struct room *r, void *ctx), void *ctx)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct room *r = rooms->buckets[i]; r; r = r->next_in_bucket)
            visit(r, ctx);
}

/* FNV-1a. */
static struct room **slot(struct rooms *rooms, const char *name)
{
    uint32_t hash = 2166136261U;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    struct room **at = &rooms->buckets[hash % BUCKETS];
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next_in_bucket;
    return at;
}

struct room *room_find(struct rooms *rooms, const char *name)
{
    return *slot(rooms, name);
}

struct room *room_hold(struct rooms *rooms, const char *name)
{
    struct room **at = slot(rooms, name);
    if (!*at) {
        *at = xcalloc(1, sizeof(**at));
        memcpy((*at)->name, name, strlen(name) + 1);
        rooms->count++;
        rooms->events.opened(rooms->events.ctx, name);
    }
    (*at)->held++;
    return *at;
}

static void close_if_empty(struct rooms *rooms, struct room *r)
{
    if (r->held > 0 || r->count > 0)
        return;
    *slot(rooms, r->name) = r->next_in_bucket;
    rooms->count--;
    rooms->events.closed(rooms->events.ctx, r->name);
    room_free(r);
}

void room_drop(struct rooms *rooms, struct room *r)
{
    r->held--;
    close_if_empty(rooms, r);
}

/* --- behind: one path for resume, gap and slow reader --------------------------------------- */

static size_t find_pull(const struct room *r, int64_t from)
{
    size_t i = 0;
    while (i < r->pull_count && r->pulls[i] != from)
        i++;
    return i;
}

static void pull(struct rooms *rooms, struct member *m)
{
    struct room *r = m->room;
    if (m->next > r->head || !session_idle(m->session) || find_pull(r, m->next) < r->pull_count)
        return;
    if (!rooms->events.pull(rooms->events.ctx, r->name, m->next))
        return;
    if (r->pull_count == r->pull_size) {
        r->pull_size = r->pull_size ? 2 * r->pull_size : 4;
        r->pulls = xrealloc(r->pulls, r->pull_size * sizeof(r->pulls[0]));
    }
    r->pulls[r->pull_count++] = m->next;
}

void session_pull(struct rooms *rooms, struct session *s)
{
    for (struct member *m = s->members; m; m = m->next_in_session)
        pull(rooms, m);
}

static void pull_all(struct room *r, void *rooms)
{
    for (size_t i = 0; i < r->count; i++)
        pull(rooms, r->members[i]);
}

void rooms_pull(struct rooms *rooms)
{
    rooms_each(rooms, pull_all, rooms);
}

static void count_behind(struct room *r, void *sum)
{
    for (size_t i = 0; i < r->count; i++)
        *(size_t *)sum += r->members[i]->next <= r->head;
}

size_t rooms_behind(const struct rooms *rooms)
{
    size_t sum = 0;
    rooms_each((struct rooms *)rooms, count_behind, &sum);
    return sum;
}

uint64_t rooms_deliveries(const struct rooms *rooms)
{
    return rooms->deliveries;
}

/* --- delivery ------------------------------------------------------------------------------- */

void room_deliver(struct rooms *rooms, struct room *r, int64_t seq, struct frame *f)
{
    if (seq > r->head)
        r->head = seq;
    for (size_t i = 0; i < r->count; i++) {
        struct member *m = r->members[i];
        if (m->next == seq && session_offer(m->session, f)) {
            m->next++;
            rooms->deliveries++;
        } else if (m->next <= seq)
            pull(rooms, m);
    }
}

void room_tell(struct room *r, struct frame *f)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->members[i]->next > r->head)
            session_offer(r->members[i]->session, f);
}

void room_advance(struct rooms *rooms, struct room *r, int64_t head)
{
    if (head <= r->head)
        return;
    r->head = head;
    pull_all(r, rooms);
}

void room_page(struct rooms *rooms, struct room *r, int64_t from, struct frame **frames, size_t n)
{
    size_t at = find_pull(r, from);
    if (at == r->pull_count)
        return; /* of an earlier room of this name */
    r->pulls[at] = r->pulls[--r->pull_count];
    for (size_t i = 0; i < n; i++)
        room_deliver(rooms, r, from + (int64_t)i, frames[i]);
}

/* --- members -------------------------------------------------------------------------------- */

struct member *room_member(const struct session *s, const char *name)
{
    struct member *m = s->members;
    while (m && strcmp(m->room->name, name) != 0)
        m = m->next_in_session;
    return m;
}

void room_join(struct rooms *rooms, struct room *r, struct session *s, int64_t next)
{
    if (r->count == r->size) {
        r->size = r->size ? 2 * r->size : 4;
        r->members = xrealloc(r->members, r->size * sizeof(struct member *));
    }
    struct member *m = xmalloc(sizeof(*m));
    *m = (struct member){
        .room = r, .session = s, .index = r->count, .next = next, .next_in_session = s->members};
    r->members[r->count++] = m;
    s->members = m;
    s->member_count++;
    pull(rooms, m);
}

void room_leave(struct rooms *rooms, struct member *m)
{
    struct room *r = m->room;
    struct member **at = &m->session->members;
    while (*at != m)
        at = &(*at)->next_in_session;
    *at = m->next_in_session;
    m->session->member_count--;
    r->members[m->index] = r->members[--r->count];
    r->members[m->index]->index = m->index;
    free(m);
    close_if_empty(rooms, r);
}

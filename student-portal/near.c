#include "near.h"
#include "clock.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8 };

struct place {
    uint64_t used; /* larger: later */
    struct near_entry *entry;
};

struct set {
    pthread_mutex_t lock;
    uint64_t drops, clock;
    struct place places[WAYS];
};

struct near {
    atomic_bool on;
    atomic_uint_fast64_t era; /* counts the switches */
    size_t count;             /* of sets, a power of two */
    struct set sets[];
};

struct near_entry *near_entry_new(const struct user *user, const char *body, size_t len)
{
    struct near_entry *e = xmalloc(sizeof(*e) + len + 1);
    atomic_init(&e->refs, 1);
    e->user = *user;
    e->expires_ms = clock_mono_ms() + NEAR_TTL_MS;
    e->len = len;
    if (len)
        memcpy(e->body, body, len);
    e->body[len] = '\0';
    return e;
}

struct near_entry *near_entry_ref(struct near_entry *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void near_entry_unref(struct near_entry *e)
{
    if (e && atomic_fetch_sub(&e->refs, 1) == 1)
        free(e);
}

struct near *near_new(size_t places)
{
    size_t count = 1;
    while (count * WAYS < places)
        count *= 2;
    struct near *n = xcalloc(1, sizeof(*n) + count * sizeof(n->sets[0]));
    n->count = count;
    for (size_t i = 0; i < count; i++)
        pthread_mutex_init(&n->sets[i].lock, NULL);
    return n;
}

/* Under the set's lock. */
static void clear(struct place *p)
{
    near_entry_unref(p->entry);
    *p = (struct place){0};
}

static void clear_all(struct near *n)
{
    for (size_t i = 0; i < n->count; i++) {
        pthread_mutex_lock(&n->sets[i].lock);
        for (size_t w = 0; w < WAYS; w++)
            clear(&n->sets[i].places[w]);
        pthread_mutex_unlock(&n->sets[i].lock);
    }
}

void near_free(struct near *n)
{
    if (!n)
        return;
    clear_all(n);
    for (size_t i = 0; i < n->count; i++)
        pthread_mutex_destroy(&n->sets[i].lock);
    free(n);
}

/* Whoever puts looks at `on` and `era` under a set's lock, and each set is cleared after the
 * switch: nothing put under the old era is left. */
void near_switch(struct near *n, bool on)
{
    atomic_store(&n->on, false);
    atomic_fetch_add(&n->era, 1);
    clear_all(n);
    atomic_store(&n->on, on);
}

bool near_is_on(const struct near *n)
{
    return atomic_load(&n->on);
}

/* Ids follow each other: multiplying spreads them. */
static struct set *set_of(struct near *n, int64_t student)
{
    uint64_t bits = (uint64_t)student * UINT64_C(0x9E3779B97F4A7C15);
    return &n->sets[(bits >> 32) & (n->count - 1)];
}

static struct place *find(struct set *s, int64_t student)
{
    for (size_t i = 0; i < WAYS; i++)
        if (s->places[i].entry && s->places[i].entry->user.id == student)
            return &s->places[i];
    return NULL;
}

struct near_entry *near_get(struct near *n, int64_t student)
{
    struct set *s = set_of(n, student);
    struct near_entry *e = NULL;
    if (!near_is_on(n))
        return NULL;
    pthread_mutex_lock(&s->lock);
    struct place *p = find(s, student);
    if (p && p->entry->expires_ms > clock_mono_ms()) {
        p->used = ++s->clock;
        e = near_entry_ref(p->entry);
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

/* Both only grow: the sum is the same only when both are. */
static uint64_t stamp_of(struct near *n, const struct set *s)
{
    return atomic_load(&n->era) + s->drops;
}

uint64_t near_stamp(struct near *n, int64_t student)
{
    struct set *s = set_of(n, student);
    pthread_mutex_lock(&s->lock);
    uint64_t stamp = stamp_of(n, s);
    pthread_mutex_unlock(&s->lock);
    return stamp;
}

static struct place *longest_unused(struct set *s)
{
    struct place *p = &s->places[0];
    for (size_t i = 1; i < WAYS; i++)
        if (s->places[i].used < p->used)
            p = &s->places[i];
    return p;
}

void near_put(struct near *n, struct near_entry *e, uint64_t stamp)
{
    struct set *s = set_of(n, e->user.id);
    pthread_mutex_lock(&s->lock);
    if (near_is_on(n) && stamp == stamp_of(n, s)) {
        struct place *p = find(s, e->user.id);
        if (!p)
            p = longest_unused(s);
        clear(p);
        *p = (struct place){++s->clock, near_entry_ref(e)};
    }
    pthread_mutex_unlock(&s->lock);
}

void near_drop(struct near *n, int64_t student)
{
    struct set *s = set_of(n, student);
    pthread_mutex_lock(&s->lock);
    s->drops++;
    struct place *p = find(s, student);
    if (p)
        clear(p);
    pthread_mutex_unlock(&s->lock);
}

#include "status_map.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdlib.h>

enum { WAYS = 8, LOCKS = 64 };

struct slot {
    struct snapshot *shown; /* NULL: empty */
    int64_t until_ms;
};

struct set {
    struct slot slots[WAYS];
};

struct status_map {
    pthread_mutex_t locks[LOCKS]; /* lock i guards the sets whose number is i modulo LOCKS */
    size_t count;
    struct set sets[];
};

struct status_map *status_map_new(size_t orders)
{
    size_t count = (orders + WAYS - 1) / WAYS;
    if (count == 0)
        return NULL;
    struct status_map *m = xcalloc(1, sizeof(*m) + count * sizeof(m->sets[0]));
    m->count = count;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&m->locks[i], NULL);
    return m;
}

void status_map_free(struct status_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count * WAYS; i++)
        snapshot_unref(m->sets[i / WAYS].slots[i % WAYS].shown);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&m->locks[i]);
    free(m);
}

/* Ids follow one another, so they fill the sets evenly without a hash. Locks the set. */
static struct set *enter(struct status_map *m, int64_t order, pthread_mutex_t **lock)
{
    size_t i = (size_t)order % m->count;
    *lock = &m->locks[i % LOCKS];
    pthread_mutex_lock(*lock);
    return &m->sets[i];
}

static struct slot *find(struct set *set, int64_t order)
{
    for (size_t i = 0; i < WAYS; i++) {
        struct slot *s = &set->slots[i];
        if (s->shown && s->shown->order == order)
            return s;
    }
    return NULL;
}

/* An empty place is the oldest of all. */
static struct slot *oldest(struct set *set)
{
    struct slot *found = &set->slots[0];
    for (size_t i = 1; i < WAYS && found->shown; i++) {
        struct slot *s = &set->slots[i];
        if (!s->shown || s->until_ms < found->until_ms)
            found = s;
    }
    return found;
}

struct snapshot *status_map_get(struct status_map *m, int64_t order, int64_t now_ms, bool *fresh)
{
    struct snapshot *shown = NULL;
    pthread_mutex_t *lock;
    *fresh = false;
    if (!m)
        return NULL;
    const struct slot *s = find(enter(m, order, &lock), order);
    if (s) {
        shown = snapshot_ref(s->shown);
        *fresh = now_ms < s->until_ms;
    }
    pthread_mutex_unlock(lock);
    return shown;
}

void status_map_put(struct status_map *m, struct snapshot *shown, int64_t now_ms)
{
    pthread_mutex_t *lock;
    if (!m)
        return;
    struct set *set = enter(m, shown->order, &lock);
    struct slot *s = find(set, shown->order);
    if (!s)
        s = oldest(set);
    if (s->shown && s->shown->order == shown->order && s->shown->version > shown->version)
        goto out;
    snapshot_unref(s->shown);
    *s = (struct slot){snapshot_ref(shown), now_ms + STATUS_MAP_TTL_MS};
out:
    pthread_mutex_unlock(lock);
}

#include "gate.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

/* An order that somebody is inside of. */
struct entry {
    int64_t order;
    struct gate_pass *first, **end; /* who waits, in the order of arrival */
    struct gate_pass **seen;        /* the end when the one inside began to look */
    struct entry *next;
};

struct gate {
    pthread_mutex_t lock;
    size_t waiting, waiting_max;
    struct entry *buckets[BUCKETS];
};

/* Under the lock: where the order's entry hangs, or would. */
static struct entry **find(struct gate *g, int64_t order)
{
    struct entry **at = &g->buckets[(uint64_t)order % BUCKETS];
    while (*at && (*at)->order != order)
        at = &(*at)->next;
    return at;
}

/* The same for who is inside of it; anybody else has no business here. */
static struct entry **find_own(struct gate *g, const struct gate_pass *p)
{
    struct entry **at = find(g, p->order);
    if (!*at || !p->inside)
        abort();
    return at;
}

enum status gate_enter(struct gate *g, struct gate_pass *p, bool *inside)
{
    enum status st = STATUS_OK;
    pthread_mutex_lock(&g->lock);
    struct entry **at = find(g, p->order), *e = *at;
    *inside = !e;
    if (!e) {
        *at = e = xcalloc(1, sizeof(*e));
        e->order = p->order;
        e->end = e->seen = &e->first;
        p->inside = true;
    } else if (g->waiting == g->waiting_max) {
        st = STATUS_OVERLOADED;
    } else {
        *e->end = p;
        e->end = &p->next;
        g->waiting++;
    }
    pthread_mutex_unlock(&g->lock);
    return st;
}

void gate_look(struct gate *g, const struct gate_pass *p)
{
    pthread_mutex_lock(&g->lock);
    struct entry *e = *find_own(g, p);
    e->seen = e->end;
    pthread_mutex_unlock(&g->lock);
}

/* Under the lock: take the first one that waits. */
static struct gate_pass *take(struct gate *g, struct entry *e)
{
    struct gate_pass *p = e->first;
    e->first = p->next;
    if (e->end == &p->next)
        e->end = &e->first;
    if (e->seen == &p->next)
        e->seen = &e->first;
    p->next = NULL;
    g->waiting--;
    return p;
}

/* Under the lock: into the chain goes everybody for whom the finding is true. */
static struct gate_pass **tell(struct gate *g, struct entry *e, const struct gate_finding *found,
                               struct gate_pass **chain)
{
    bool won = found->st == STATUS_OK;
    if (won)
        e->seen = e->end;
    while (e->seen != &e->first) {
        struct gate_pass *p = take(g, e);
        p->told = true;
        p->found = *found;
        if (won)
            p->found.st = STATUS_CONFLICT;
        *chain = p;
        chain = &p->next;
    }
    return chain;
}

struct gate_pass *gate_leave(struct gate *g, struct gate_pass *p, const struct gate_finding *found)
{
    struct gate_pass *chain = NULL, **end = &chain;
    pthread_mutex_lock(&g->lock);
    struct entry **at = find_own(g, p), *e = *at;
    p->inside = false;
    if (found)
        end = tell(g, e, found, end);
    if (e->first) {
        *end = take(g, e);
        (*end)->inside = true;
        e->seen = &e->first;
    } else {
        *at = e->next;
        free(e);
    }
    pthread_mutex_unlock(&g->lock);
    return chain;
}

size_t gate_waiting(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    size_t n = g->waiting;
    pthread_mutex_unlock(&g->lock);
    return n;
}

struct gate *gate_new(size_t waiting_max)
{
    struct gate *g = xcalloc(1, sizeof(*g));
    pthread_mutex_init(&g->lock, NULL);
    g->waiting_max = waiting_max;
    return g;
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    pthread_mutex_destroy(&g->lock);
    free(g);
}

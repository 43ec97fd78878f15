#include "group.h"
#include "clock.h"
#include <stddef.h>

void group_init(struct group *g, void (*run)(void *ctx, struct group_entry *first), void *ctx)
{
    *g = (struct group){.run = run, .ctx = ctx, .last = &g->first};
    pthread_mutex_init(&g->lock, NULL);
}

void group_release(struct group *g)
{
    pthread_mutex_destroy(&g->lock);
}

static struct group_entry *take_waiting(struct group *g)
{
    struct group_entry *first = g->first;
    for (struct group_entry *e = first; e; e = e->next)
        e->state = GROUP_TAKEN;
    g->first = NULL;
    g->last = &g->first;
    return first;
}

/* Under the lock, which it lets go meanwhile. */
static void lead(struct group *g)
{
    struct group_entry *first = take_waiting(g);
    g->running = true;
    pthread_mutex_unlock(&g->lock);
    g->run(g->ctx, first);
    pthread_mutex_lock(&g->lock);
    for (struct group_entry *e = first, *next; e; e = next) {
        next = e->next; /* it is its caller's again once it is done */
        e->state = GROUP_DONE;
        pthread_cond_signal(&e->turn);
    }
    g->running = false;
    if (g->first)
        pthread_cond_signal(&g->first->turn); /* who leads next */
}

static void leave(struct group *g, struct group_entry *e)
{
    struct group_entry **at = &g->first;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (!e->next)
        g->last = at;
}

bool group_join(struct group *g, struct group_entry *e, int64_t wait_ms)
{
    int64_t deadline_ms = wait_ms < 0 ? INT64_MAX : clock_mono_ms() + wait_ms;
    bool in_time = true;
    *e = (struct group_entry){.state = GROUP_WAITING};
    clock_cond_init(&e->turn);
    pthread_mutex_lock(&g->lock);
    *g->last = e;
    g->last = &e->next;
    while (e->state == GROUP_WAITING && g->running && in_time)
        in_time = clock_cond_wait(&e->turn, &g->lock, deadline_ms);
    if (e->state == GROUP_WAITING && !g->running)
        lead(g);
    else if (e->state == GROUP_WAITING)
        leave(g, e);
    while (e->state == GROUP_TAKEN)
        pthread_cond_wait(&e->turn, &g->lock);
    pthread_mutex_unlock(&g->lock);
    pthread_cond_destroy(&e->turn);
    return e->state == GROUP_DONE;
}

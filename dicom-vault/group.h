/* Group commit: while one thread works, those who come wait; then one of them does the work of all
 * that wait, at once, and the others find theirs done. Any thread. */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct group_entry { /* the head of what a caller wants done; on its stack */
    struct group_entry *next;
    enum { GROUP_WAITING, GROUP_TAKEN, GROUP_DONE } state;
    pthread_cond_t turn;
};

struct group {
    void (*run)(void *ctx, struct group_entry *first); /* a list, in the order they came */
    void *ctx;
    pthread_mutex_t lock; /* of what follows; not held while `run` runs */
    bool running;
    struct group_entry *first, **last;
};

void group_init(struct group *g, void (*run)(void *ctx, struct group_entry *first), void *ctx);
void group_release(struct group *g);
/* Returns when `e` was run; false, and it never will be, when others ran for `wait_ms` (-1: however
 * long) and did not take it. Blocks. */
bool group_join(struct group *g, struct group_entry *e, int64_t wait_ms);

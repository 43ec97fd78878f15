#include "mailbox.h"
#include <stdbool.h>
#include <stddef.h>

void mailbox_init(struct mailbox *mb)
{
    *mb = (struct mailbox){.first = NULL};
    mb->last = &mb->first;
    pthread_mutex_init(&mb->lock, NULL);
}

void mailbox_destroy(struct mailbox *mb)
{
    pthread_mutex_destroy(&mb->lock);
}

void mailbox_set_wake(struct mailbox *mb, void (*wake)(void *ctx), void *wake_ctx)
{
    pthread_mutex_lock(&mb->lock);
    mb->wake = wake;
    mb->wake_ctx = wake_ctx;
    pthread_mutex_unlock(&mb->lock);
}

void mailbox_put(struct mailbox *mb, struct mail *m)
{
    m->next = NULL;
    pthread_mutex_lock(&mb->lock);
    bool was_empty = mb->first == NULL;
    *mb->last = m;
    mb->last = &m->next;
    if (was_empty && mb->wake)
        mb->wake(mb->wake_ctx);
    pthread_mutex_unlock(&mb->lock);
}

void mailbox_open(struct mailbox *mb, void *ctx)
{
    pthread_mutex_lock(&mb->lock);
    struct mail *m = mb->first;
    mb->first = NULL;
    mb->last = &mb->first;
    pthread_mutex_unlock(&mb->lock);
    while (m) {
        struct mail *next = m->next;
        m->open(ctx, m);
        m = next;
    }
}

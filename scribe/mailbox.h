/* What other threads have for the loop: put in from anywhere, opened on the loop. */
#pragma once
#include <pthread.h>

struct mail {
    struct mail *next;
    /* Run on the loop with mailbox_open's ctx; the mail is its own to free. */
    void (*open)(void *ctx, struct mail *m);
};

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, **last;
    void (*wake)(void *ctx); /* calls mailbox_open on the loop soon; NULL: nobody to wake */
    void *wake_ctx;
};

void mailbox_init(struct mailbox *mb);
void mailbox_destroy(struct mailbox *mb); /* must be empty */
/* When this returns, the former `wake` does not run and will not. */
void mailbox_set_wake(struct mailbox *mb, void (*wake)(void *ctx), void *wake_ctx);
/* Any thread; never blocks for long. */
void mailbox_put(struct mailbox *mb, struct mail *m);
/* Open everything that is in, in the order it came. */
void mailbox_open(struct mailbox *mb, void *ctx);

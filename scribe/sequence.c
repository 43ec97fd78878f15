#include "sequence.h"
#include "clock.h"
#include "strbuf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKOFF_FIRST_US = 2000, BACKOFF_MAX_US = 200000 };

struct batch {
    const struct history_driver *driver;
    struct history *h;
    struct entry **all, **open; /* open: not settled yet, in order; stands at the end of `all` */
    size_t n, open_count;
    struct message **messages; /* scratch, n of them */
    struct room_head *heads;   /* scratch, n of them: the rooms met so far */
    const struct prelude *first;
    bool begun; /* `first` was run */
    int64_t deadline_ms;
};

static void back_off(unsigned attempt)
{
    useconds_t us = (useconds_t)BACKOFF_FIRST_US << (attempt < 7 ? attempt : 7);
    usleep(us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US);
}

static struct room_head *find_head(struct room_head *heads, size_t n, const char *room)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(heads[i].room, room) == 0)
            return &heads[i];
    return NULL;
}

/* Number what is open: head + 1 ... in each room. */
static enum status number(struct batch *b)
{
    size_t rooms = 0;
    for (size_t i = 0; i < b->open_count; i++) {
        struct message *m = &b->open[i]->message;
        struct room_head *head = find_head(b->heads, rooms, m->room);
        if (!head) {
            head = &b->heads[rooms++];
            snprintf(head->room, sizeof(head->room), "%s", m->room);
            enum status status = b->driver->head(b->h, m->room, &head->head);
            if (status != STATUS_OK)
                return status;
        }
        m->seq = ++head->head;
        b->messages[i] = m;
    }
    return STATUS_OK;
}

static void settle(struct batch *b, size_t n, bool duplicate)
{
    for (size_t i = 0; i < n; i++) {
        b->open[i]->status = STATUS_OK;
        b->open[i]->duplicate = duplicate;
    }
    b->open += n;
    b->open_count -= n;
}

/* The first open entry met a unique key. If its own client id was it, it has a place already.
 * Otherwise another writer took the number, and numbering anew follows in either case. */
static enum status resolve(struct batch *b)
{
    struct message *m = &b->open[0]->message;
    int64_t seq;
    enum status status = b->driver->find(b->h, m, &seq);
    if (status != STATUS_OK || seq == 0)
        return status;
    m->seq = seq;
    settle(b, 1, true);
    return STATUS_OK;
}

/* A retry too: the first ack may never have come to this. */
static enum status mark_senders(struct batch *b)
{
    size_t n = (size_t)(b->open - b->all);
    for (size_t i = 0; i < n; i++)
        b->messages[i] = &b->all[i]->message;
    return n > 0 ? b->driver->mark_own(b->h, b->messages, n) : STATUS_OK;
}

static enum status begin(struct batch *b)
{
    enum status status = b->first && !b->begun ? b->first->run(b->first->ctx) : STATUS_OK;
    b->begun = status == STATUS_OK;
    return status;
}

static enum status store(void *ctx)
{
    struct batch *b = ctx;
    enum status begun = begin(b);
    if (begun != STATUS_OK)
        return begun;
    for (unsigned attempt = 0; b->open_count > 0; attempt++) {
        /* A message that is there but not durable yet blocks its place and is not found. */
        if (attempt > b->n)
            back_off(attempt - (unsigned)b->n);
        if (clock_mono_ms() > b->deadline_ms)
            return STATUS_OUTCOME_UNKNOWN;
        size_t done = 0;
        enum status status = number(b);
        if (status != STATUS_OK)
            return status;
        status = b->driver->insert(b->h, b->messages, b->open_count, &done);
        settle(b, status == STATUS_OK ? b->open_count : done, false);
        if (status == STATUS_DUPLICATE)
            status = resolve(b);
        if (status != STATUS_OK)
            return status;
    }
    return mark_senders(b);
}

static void reopen(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->all[i]->duplicate = false;
    b->open = b->all;
    b->open_count = b->n;
    b->begun = false;
}

/* Trying again settles what is unknown: a message that was stored meets its own client id. So
 * does it finish what was begun: a part that is stored wants its markers. */
static enum status store_until_known(struct batch *b)
{
    bool begun = false;
    for (unsigned attempt = 0;; attempt++) {
        enum status status = b->driver->write(b->h, store, b);
        if (status == STATUS_OK)
            return status;
        if (b->driver->atomic)
            reopen(b);
        begun |= status == STATUS_OUTCOME_UNKNOWN || b->open > b->all;
        if (!begun)
            return status == STATUS_CONTENDED ? STATUS_UNAVAILABLE : status;
        if (clock_mono_ms() > b->deadline_ms)
            return STATUS_OUTCOME_UNKNOWN;
        back_off(attempt);
    }
}

enum status sequence_append(const struct history_driver *driver, struct history *h,
                            struct entry **entries, size_t n, const struct prelude *first,
                            int64_t deadline_ms)
{
    struct batch b = {.driver = driver,
                      .h = h,
                      .all = entries,
                      .n = n,
                      .messages = xcalloc(n, sizeof(struct message *)),
                      .heads = xcalloc(n, sizeof(struct room_head)),
                      .first = first,
                      .deadline_ms = deadline_ms};
    reopen(&b);
    enum status status = store_until_known(&b);
    for (size_t i = 0; i < b.open_count; i++)
        b.open[i]->status = status;
    free(b.messages);
    free(b.heads);
    return status;
}

#include "refusals.h"
#include "http.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct source {
    char network[HTTP_NETWORK]; /* "" for a free place */
    uint64_t unwritten;
    unsigned tries; /* in the minute that ends at: */
    int64_t until_ms;
};
enum { ELSEWHERE = REFUSALS_SOURCES, PLACES };

struct refusals {
    pthread_mutex_t lock; /* of the sources */
    struct source sources[PLACES];
};

struct refusals *refusals_new(void)
{
    struct refusals *r = xcalloc(1, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    strcpy(r->sources[ELSEWHERE].network, "elsewhere");
    return r;
}

void refusals_free(struct refusals *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static size_t find(const struct refusals *r, const char *network)
{
    size_t i = 0;
    while (i < ELSEWHERE && strcmp(r->sources[i].network, network) != 0)
        i++;
    return i;
}

/* Its place, a free one, or when there is none the one that the rest share. */
static struct source *place(struct refusals *r, const char *address)
{
    char network[HTTP_NETWORK];
    http_network(address, network);
    size_t i = find(r, network);
    if (i == ELSEWHERE && (i = find(r, "")) != ELSEWHERE)
        memcpy(r->sources[i].network, network, sizeof(network));
    return &r->sources[i];
}

unsigned refusals_admit(struct refusals *r, const char *address, int64_t now_ms)
{
    unsigned wait_s = 0;
    char network[HTTP_NETWORK];
    http_network(address, network);
    pthread_mutex_lock(&r->lock);
    size_t i = find(r, network);
    struct source *s = &r->sources[i];
    unsigned most = i == ELSEWHERE ? REFUSALS_TRIES_ELSEWHERE : REFUSALS_TRIES;
    bool stranger = i == ELSEWHERE && find(r, "") != ELSEWHERE; /* a place of its own is free */
    if (!stranger && s->tries >= most && now_ms < s->until_ms) {
        wait_s = (unsigned)((s->until_ms - now_ms + 999) / 1000);
        s->unwritten++;
    }
    pthread_mutex_unlock(&r->lock);
    return wait_s;
}

void refusals_count(struct refusals *r, const char *address, int64_t now_ms)
{
    pthread_mutex_lock(&r->lock);
    struct source *s = place(r, address);
    if (now_ms >= s->until_ms) {
        s->tries = 0;
        s->until_ms = now_ms + REFUSALS_WINDOW_MS;
    }
    s->tries++;
    s->unwritten++;
    pthread_mutex_unlock(&r->lock);
}

struct writing {
    const struct keyring *keys;
    struct source sources[PLACES];
};

static enum status append_all(struct sqlite *db, void *ctx)
{
    const struct writing *w = ctx;
    enum status s = STATUS_OK;
    for (size_t i = 0; i < PLACES && s == STATUS_OK; i++) {
        char outcome[48];
        struct audit_entry e = {{"", w->sources[i].network}, "refuse", NULL, 0, outcome};
        snprintf(outcome, sizeof(outcome), "unauthenticated %llu",
                 (unsigned long long)w->sources[i].unwritten);
        if (w->sources[i].unwritten)
            s = audit_append(db, w->keys, &e);
    }
    return s;
}

/* Also makes room for other addresses. */
static void forget_written(struct refusals *r, const struct writing *w, int64_t now_ms)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < PLACES; i++) {
        struct source *s = &r->sources[i];
        s->unwritten -= w->sources[i].unwritten;
        if (i != ELSEWHERE && s->unwritten == 0 && now_ms >= s->until_ms)
            memset(s, 0, sizeof(*s));
    }
    pthread_mutex_unlock(&r->lock);
}

enum status refusals_write(struct refusals *r, struct index *ix, int64_t now_ms)
{
    struct writing *w = xmalloc(sizeof(*w));
    uint64_t unwritten = 0;
    enum status s = STATUS_OK;
    w->keys = index_keys(ix);
    pthread_mutex_lock(&r->lock);
    memcpy(w->sources, r->sources, sizeof(w->sources));
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < PLACES; i++)
        unwritten += w->sources[i].unwritten;
    if (unwritten)
        s = index_status(index_write(ix, append_all, w));
    if (s == STATUS_OK)
        forget_written(r, w, now_ms);
    free(w);
    return s;
}

#include "minute.h"
#include "audit.h"
#include "clock.h"
#include "log.h"
#include <pthread.h>
#include <stdlib.h>

struct minute {
    struct store *store;
    struct refusals *refusals;
    int64_t period_ms;
    pthread_mutex_t lock; /* of `stopping` */
    pthread_cond_t stop;
    bool stopping;
    pthread_t thread;
};

static void log_anchor(struct store *store)
{
    struct audit_head head;
    struct strbuf text = STRBUF_INIT;
    struct sqlite *db = index_borrow(store_index(store));
    enum status s = audit_head(db, store_keys(store), &head);
    index_return(store_index(store), db);
    audit_head_format(&head, &text);
    if (s == STATUS_OK)
        log_info("audit_head", F("anchor", strbuf_cstr(&text)));
    strbuf_release(&text);
}

static void once(struct minute *m)
{
    enum status s = refusals_write(m->refusals, store_index(m->store), clock_mono_ms());
    if (s != STATUS_OK)
        log_error("refusals_unwritten", F("why", status_slug(s)));
    log_anchor(m->store);
    store_collect(m->store);
    keyring_refresh(store_keys(m->store)); /* a retired key leaves this process too */
}

static void *run(void *arg)
{
    struct minute *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        int64_t until_ms = clock_mono_ms() + m->period_ms;
        pthread_mutex_unlock(&m->lock);
        once(m);
        pthread_mutex_lock(&m->lock);
        while (!m->stopping && clock_cond_wait(&m->stop, &m->lock, until_ms))
            ;
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

struct minute *minute_start(struct store *store, struct refusals *refusals, int64_t period_s)
{
    struct minute *m = xcalloc(1, sizeof(*m));
    m->store = store;
    m->refusals = refusals;
    m->period_ms = period_s * 1000;
    pthread_mutex_init(&m->lock, NULL);
    clock_cond_init(&m->stop);
    if (pthread_create(&m->thread, NULL, run, m) != 0)
        abort(); /* at start only: nothing was served yet */
    return m;
}

void minute_stop(struct minute *m)
{
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_signal(&m->stop);
    pthread_mutex_unlock(&m->lock);
    pthread_join(m->thread, NULL);
    once(m);
    pthread_cond_destroy(&m->stop);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

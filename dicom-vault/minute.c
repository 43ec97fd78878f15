#include "minute.h"
#include "audit.h"
#include "clock.h"
#include "jobs.h"
#include "log.h"
#include <stdlib.h>

struct minute {
    struct store *store;
    struct refusals *refusals;
    struct job *job;
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

static bool once(void *minute)
{
    struct minute *m = minute;
    enum status s = refusals_write(m->refusals, store_index(m->store), clock_mono_ms());
    if (s != STATUS_OK)
        log_error("refusals_unwritten", F("why", status_slug(s)));
    log_anchor(m->store);
    store_collect(m->store);
    keyring_refresh(store_keys(m->store)); /* a retired key leaves this process too */
    return false;
}

struct minute *minute_start(struct store *store, struct refusals *refusals, int64_t period_s)
{
    struct minute *m = xcalloc(1, sizeof(*m));
    m->store = store;
    m->refusals = refusals;
    m->job = job_start(once, m, (unsigned)period_s * 1000);
    return m;
}

void minute_stop(struct minute *m)
{
    job_stop(m->job);
    once(m);
    free(m);
}

#include "health.h"
#include "json.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CHECKS_MAX = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct check {
    const char *name;
    health_check *check;
    void *ctx;
} checks[CHECKS_MAX];
static size_t check_count;
static atomic_bool draining;

void health_add(const char *name, health_check *check, void *ctx)
{
    pthread_mutex_lock(&lock);
    if (check_count == CHECKS_MAX)
        abort(); /* a service has a handful of stores */
    checks[check_count++] = (struct check){name, check, ctx};
    pthread_mutex_unlock(&lock);
}

void health_drain(void)
{
    atomic_store(&draining, true);
}

bool health_draining(void)
{
    return atomic_load(&draining);
}

/* Append "name":"ok" or "name":"why not". */
static bool write_check(struct strbuf *out, const struct check *c)
{
    struct strbuf why = STRBUF_INIT;
    bool well = c->check(c->ctx, &why);
    json_write_text(out, c->name);
    strbuf_addch(out, ':');
    json_write_text(out, well ? "ok" : why.len ? strbuf_cstr(&why) : "not well");
    strbuf_release(&why);
    return well;
}

enum status health_ready(struct strbuf *out)
{
    struct strbuf each = STRBUF_INIT;
    bool well = true, drain = health_draining();
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < check_count; i++) {
        if (i > 0)
            strbuf_addch(&each, ',');
        well &= write_check(&each, &checks[i]);
    }
    pthread_mutex_unlock(&lock);
    strbuf_addf(out, "{\"status\":\"%s\",\"checks\":{%s}}",
                drain  ? "draining"
                : well ? "ready"
                       : "unready",
                strbuf_cstr(&each));
    strbuf_release(&each);
    return well && !drain ? STATUS_OK : STATUS_UNAVAILABLE;
}

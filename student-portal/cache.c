#include "cache.h"
#include "log.h"
#include "metrics.h"
#include "secret.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_S = 5 };

#define NAME "student-portal; "
static const char hit[] = NAME "hit";
static const char stored[] = NAME "fwd=miss; stored";
static const char not_stored[] = NAME "fwd=miss";
static const char collapsed[] = NAME "fwd=miss; collapsed";
static const char bypass[] = NAME "fwd=bypass";
static const char redis_down[] = NAME "fwd=bypass; detail=redis-down";

/* KEYS[1] the entry; ARGV: generation, body, ms to live. */
static const char store_script[] =
    "local gen = tonumber(redis.call('HGET', KEYS[1], 'gen') or '')\n"
    "if gen and gen > tonumber(ARGV[1]) then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'gen', ARGV[1], 'body', ARGV[2])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "return 1\n";
/* KEYS[1] the entry; ARGV: generation, ms to live. */
static const char advance_script[] =
    "local gen = tonumber(redis.call('HGET', KEYS[1], 'gen') or '')\n"
    "if gen and gen >= tonumber(ARGV[1]) then return 0 end\n"
    "redis.call('DEL', KEYS[1])\n"
    "redis.call('HSET', KEYS[1], 'gen', ARGV[1])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return 1\n";

/* One look-up under way, and its outcome for those who wait. */
struct flight {
    struct flight *next;
    int64_t student;
    unsigned users;
    bool landed;
    enum status st;
    struct strbuf body;
    int64_t gen;
    const char *how;
};

struct cache {
    struct redis *redis;
    bool on;
    cache_load *load;
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t landed;
    struct flight *flights; /* that one can join; at most one a student */
    struct metric *hits, *misses, *bypasses;
};

struct cache *cache_new(struct redis *redis, bool on, cache_load *load, void *ctx)
{
    struct cache *c = xcalloc(1, sizeof(*c));
    c->redis = redis;
    c->on = on;
    c->load = load;
    c->ctx = ctx;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->landed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&c->lock, NULL);
    static const char name[] = "portal_cache_requests_total";
    static const char help[] = "Look-ups of a student's attendance by where the answer came from";
    c->hits = metric_counter(name, "result=\"hit\"", help);
    c->misses = metric_counter(name, "result=\"miss\"", help);
    c->bypasses = metric_counter(name, "result=\"bypass\"", help);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    pthread_cond_destroy(&c->landed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static long long ttl_ms(void)
{
    uint16_t jitter;
    secret_random(&jitter, sizeof(jitter));
    return CACHE_TTL_S * (1000LL - jitter % 100);
}

/* OK with the body and *gen, NOT_FOUND, or UNAVAILABLE. */
static enum status fetch(struct cache *c, int64_t student, struct strbuf *body, int64_t *gen)
{
    struct redis_reply *reply = NULL;
    if (redis_command(c->redis, &reply, "HMGET portal:attendance:%lld gen body",
                      (long long)student))
        return STATUS_UNAVAILABLE;
    size_t len;
    const char *generation = redis_str(redis_at(reply, 0), NULL);
    const char *bytes = redis_str(redis_at(reply, 1), &len);
    bool found = generation && bytes;
    if (found) {
        *gen = strtoll(generation, NULL, 10);
        strbuf_add(body, bytes, len);
    }
    redis_reply_free(reply);
    return found ? STATUS_OK : STATUS_NOT_FOUND;
}

static bool store(struct cache *c, int64_t student, const struct strbuf *body, int64_t gen)
{
    struct redis_reply *reply = NULL;
    enum status st = redis_command(
        c->redis, &reply, "EVAL %s 1 portal:attendance:%lld %lld %b %lld", store_script,
        (long long)student, (long long)gen, body->bytes, body->len, ttl_ms());
    bool done = !st && redis_int(reply) == 1;
    redis_reply_free(reply);
    return done;
}

void cache_invalidate(struct cache *c, int64_t student, int64_t gen)
{
    if (redis_command(c->redis, NULL, "EVAL %s 1 portal:attendance:%lld %lld %lld", advance_script,
                      (long long)student, (long long)gen, CACHE_TTL_S * 1000LL))
        log_warn("invalidation_lost", F("student", student), F("generation", gen));
}

/* Redis, then the database. What was loaded is stored only over the connection it began under: a
 * Redis that restarted meanwhile has forgotten which generations it has seen. */
static void look_up(struct cache *c, struct flight *f, int64_t floor)
{
    uint64_t epoch = redis_epoch(c->redis);
    enum status cached = fetch(c, f->student, &f->body, &f->gen);
    f->how = hit;
    if (!cached && f->gen >= floor)
        return;
    strbuf_reset(&f->body);
    f->st = c->load(c->ctx, f->student, &f->body, &f->gen);
    f->how = not_stored;
    if (cached == STATUS_UNAVAILABLE)
        f->how = redis_down;
    else if (!f->st && redis_epoch(c->redis) == epoch && store(c, f->student, &f->body, f->gen))
        f->how = stored;
}

static struct flight *join(struct cache *c, int64_t student, bool *leads)
{
    struct flight *f = c->flights;
    while (f && f->student != student)
        f = f->next;
    *leads = !f;
    if (!f) {
        f = xcalloc(1, sizeof(*f));
        f->student = student;
        f->next = c->flights;
        c->flights = f;
    }
    f->users++;
    return f;
}

/* Nobody joins it any more; who waits may read it. */
static void land(struct cache *c, struct flight *f)
{
    struct flight **at = &c->flights;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->landed = true;
    pthread_cond_broadcast(&c->landed);
}

static bool wait_landed(struct cache *c, const struct flight *f)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += WAIT_S;
    while (!f->landed)
        if (pthread_cond_timedwait(&c->landed, &c->lock, &deadline))
            return f->landed;
    return true;
}

static void leave(struct flight *f)
{
    if (--f->users)
        return;
    strbuf_release(&f->body);
    free(f);
}

/* Lead a look-up or share another's. CONTENDED when that one began too early to know `floor`. */
static enum status fly(struct cache *c, int64_t student, int64_t floor, struct strbuf *body,
                       const char **how)
{
    bool leads;
    enum status st = STATUS_TIMEOUT;
    pthread_mutex_lock(&c->lock);
    struct flight *f = join(c, student, &leads);
    if (leads) {
        pthread_mutex_unlock(&c->lock);
        look_up(c, f, floor);
        pthread_mutex_lock(&c->lock);
        land(c, f);
    }
    if (wait_landed(c, f)) {
        st = !f->st && f->gen < floor ? STATUS_CONTENDED : f->st;
        *how = leads || f->how == hit ? f->how : collapsed;
        if (!st)
            strbuf_add(body, f->body.bytes, f->body.len);
    }
    leave(f);
    pthread_mutex_unlock(&c->lock);
    return st;
}

enum status cache_get(struct cache *c, int64_t student, int64_t floor, struct strbuf *body,
                      const char **how)
{
    int64_t gen;
    if (!c->on) {
        *how = bypass;
        metric_add(c->bypasses, 1);
        return c->load(c->ctx, student, body, &gen);
    }
    enum status st = fly(c, student, floor, body, how);
    for (int again = 0; st == STATUS_CONTENDED && again < 3; again++)
        st = fly(c, student, floor, body, how);
    if (!st)
        metric_add(*how == hit ? c->hits : *how == redis_down ? c->bypasses : c->misses, 1);
    return st == STATUS_CONTENDED ? STATUS_OVERLOADED : st;
}

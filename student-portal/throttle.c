#include "throttle.h"
#include "http.h"
#include "memo.h"
#include "secret.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { PLACES = 16384, FORGET_MS = 15 * 60 * 1000 };

/* From the free-th failure on every attempt must wait 1, 2, 4, ... seconds after the one before.
 * The cap of an account from anywhere is low: an outsider can make its owner wait that long. So is
 * that of an address, which may be a whole campus: it counts failures, not attempts, and whoever
 * has logged in from it before is not held to it. */
static const struct scope {
    const char *name;
    bool by_account, by_address, campus;
    unsigned free, delay_max_s;
} scopes[] = {
    {"account and address", true, true, false, 5, 300},
    {"account", true, false, false, 20, 30},
    {"address", false, true, true, 100, 4},
};
enum { SCOPES = sizeof(scopes) / sizeof(scopes[0]) };

struct tally {
    unsigned attempts;
    int64_t last_ms, next_ms;
};

struct throttle {
    pthread_mutex_t lock;
    uint8_t key[32]; /* a client must not choose where in the memory its names fall */
    struct memo *tallies;
    struct memo *known; /* accounts and addresses that have logged in */
};
static const struct scope known = {"known", true, true, false, 0, 0};

struct throttle *throttle_new(void)
{
    struct throttle *t = xcalloc(1, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    secret_random(t->key, sizeof(t->key));
    t->tallies = memo_new(PLACES, sizeof(struct tally));
    t->known = memo_new(PLACES, 1);
    return t;
}

void throttle_free(struct throttle *t)
{
    if (!t)
        return;
    memo_free(t->tallies);
    memo_free(t->known);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void key_of(const struct throttle *t, const struct scope *scope, const char *account,
                   const char *address, uint8_t out[MEMO_KEY])
{
    char network[HTTP_NETWORK];
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "%s\n%s\n", scope->name, scope->by_account ? account : "");
    if (scope->by_address) {
        http_network(address, network);
        strbuf_addstr(&text, network);
    }
    secret_hmac_sha256(t->key, sizeof(t->key), text.bytes, text.len, out);
    strbuf_release(&text);
}

static int64_t delay_ms(const struct scope *scope, unsigned attempts)
{
    if (attempts < scope->free)
        return 0;
    unsigned doublings = attempts - scope->free;
    int64_t delay_s = doublings < 16 ? INT64_C(1) << doublings : INT64_MAX;
    return 1000 * (delay_s < scope->delay_max_s ? delay_s : scope->delay_max_s);
}

static void count(struct tally *tally, const struct scope *scope, int64_t now_ms)
{
    if (now_ms - tally->last_ms > FORGET_MS)
        tally->attempts = 0;
    if (tally->attempts < 1000)
        tally->attempts++;
    tally->last_ms = now_ms;
    tally->next_ms = now_ms + delay_ms(scope, tally->attempts);
}

/* The keys of the scopes that this attempt is held to; how many. */
static size_t find_scopes(struct throttle *t, const char *account, const char *address,
                          const struct scope *found[SCOPES], uint8_t keys[SCOPES][MEMO_KEY])
{
    uint8_t key[MEMO_KEY];
    size_t n = 0;
    key_of(t, &known, account, address, key);
    pthread_mutex_lock(&t->lock);
    bool stranger = !memo_get(t->known, key);
    pthread_mutex_unlock(&t->lock);
    for (size_t i = 0; i < SCOPES; i++) {
        if (scopes[i].campus && !stranger)
            continue;
        key_of(t, &scopes[i], account, address, keys[n]);
        found[n++] = &scopes[i];
    }
    return n;
}

/* Under the lock: the scopes of this kind count one more. */
static void count_all(struct throttle *t, bool campus, const struct scope *const found[SCOPES],
                      uint8_t keys[SCOPES][MEMO_KEY], size_t n, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        if (found[i]->campus == campus)
            count(memo_put(t->tallies, keys[i]), found[i], now_ms);
    }
}

enum status throttle_admit(struct throttle *t, const char *account, const char *address,
                           int64_t now_ms, unsigned *retry_s)
{
    uint8_t keys[SCOPES][MEMO_KEY];
    const struct scope *found[SCOPES];
    size_t n = find_scopes(t, account, address, found, keys);
    int64_t wait_ms = 0;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++) {
        const struct tally *tally = memo_get(t->tallies, keys[i]);
        if (tally && tally->next_ms - now_ms > wait_ms)
            wait_ms = tally->next_ms - now_ms;
    }
    if (wait_ms == 0)
        count_all(t, false, found, keys, n, now_ms);
    pthread_mutex_unlock(&t->lock);
    *retry_s = (unsigned)((wait_ms + 999) / 1000);
    return wait_ms ? STATUS_RATE_LIMITED : STATUS_OK;
}

void throttle_failed(struct throttle *t, const char *account, const char *address, int64_t now_ms)
{
    uint8_t keys[SCOPES][MEMO_KEY];
    const struct scope *found[SCOPES];
    size_t n = find_scopes(t, account, address, found, keys);
    pthread_mutex_lock(&t->lock);
    count_all(t, true, found, keys, n, now_ms);
    pthread_mutex_unlock(&t->lock);
}

void throttle_verified(struct throttle *t, const char *account, const char *address)
{
    uint8_t failures[MEMO_KEY], pair[MEMO_KEY];
    throttle_refund(t, account, address);
    key_of(t, &scopes[0], account, address, failures);
    key_of(t, &known, account, address, pair);
    pthread_mutex_lock(&t->lock);
    memo_drop(t->tallies, failures);
    memo_put(t->known, pair);
    pthread_mutex_unlock(&t->lock);
}

void throttle_refund(struct throttle *t, const char *account, const char *address)
{
    uint8_t keys[SCOPES][MEMO_KEY];
    const struct scope *found[SCOPES];
    size_t n = find_scopes(t, account, address, found, keys);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++) {
        struct tally *tally = memo_get(t->tallies, keys[i]);
        if (found[i]->campus || !tally || !tally->attempts)
            continue;
        tally->attempts--;
        tally->next_ms = tally->last_ms + delay_ms(found[i], tally->attempts);
    }
    pthread_mutex_unlock(&t->lock);
}

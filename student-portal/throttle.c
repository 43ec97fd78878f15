#include "throttle.h"
#include "memo.h"
#include "secret.h"
#include "strbuf.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { PLACES = 16384, FORGET_MS = 15 * 60 * 1000 };

/* From the free-th failure on every attempt must wait 1, 2, 4, ... seconds after the one before.
 * The cap of an account from anywhere is low: an outsider can make its owner wait that long. */
static const struct scope {
    const char *name;
    bool by_address;
    unsigned free, delay_max_s;
} scopes[] = {
    {"account and address", true, 5, 300},
    {"account", false, 20, 30},
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
};

struct throttle *throttle_new(void)
{
    struct throttle *t = xcalloc(1, sizeof(*t));
    pthread_mutex_init(&t->lock, NULL);
    secret_random(t->key, sizeof(t->key));
    t->tallies = memo_new(PLACES, sizeof(struct tally));
    return t;
}

void throttle_free(struct throttle *t)
{
    if (!t)
        return;
    memo_free(t->tallies);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static void key_of(const struct throttle *t, const struct scope *scope, const char *account,
                   const char *address, uint8_t out[MEMO_KEY])
{
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "%s\n%s\n%s", scope->name, account, scope->by_address ? address : "");
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

enum status throttle_admit(struct throttle *t, const char *account, const char *address,
                           int64_t now_ms, unsigned *retry_s)
{
    uint8_t keys[SCOPES][MEMO_KEY];
    int64_t wait_ms = 0;
    for (size_t i = 0; i < SCOPES; i++)
        key_of(t, &scopes[i], account, address, keys[i]);
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < SCOPES; i++) {
        const struct tally *tally = memo_get(t->tallies, keys[i]);
        if (tally && tally->next_ms - now_ms > wait_ms)
            wait_ms = tally->next_ms - now_ms;
    }
    for (size_t i = 0; i < SCOPES && wait_ms == 0; i++)
        count(memo_put(t->tallies, keys[i]), &scopes[i], now_ms);
    pthread_mutex_unlock(&t->lock);
    *retry_s = (unsigned)((wait_ms + 999) / 1000);
    return wait_ms ? STATUS_RATE_LIMITED : STATUS_OK;
}

void throttle_verified(struct throttle *t, const char *account, const char *address)
{
    uint8_t key[MEMO_KEY];
    throttle_refund(t, account, address);
    key_of(t, &scopes[0], account, address, key);
    pthread_mutex_lock(&t->lock);
    memo_drop(t->tallies, key);
    pthread_mutex_unlock(&t->lock);
}

void throttle_refund(struct throttle *t, const char *account, const char *address)
{
    for (size_t i = 0; i < SCOPES; i++) {
        uint8_t key[MEMO_KEY];
        key_of(t, &scopes[i], account, address, key);
        pthread_mutex_lock(&t->lock);
        struct tally *tally = memo_get(t->tallies, key);
        if (tally && tally->attempts) {
            tally->attempts--;
            tally->next_ms = tally->last_ms + delay_ms(&scopes[i], tally->attempts);
        }
        pthread_mutex_unlock(&t->lock);
    }
}

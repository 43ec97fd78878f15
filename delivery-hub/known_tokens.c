#include "known_tokens.h"
#include "secret.h"
#include <pthread.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 4096, LENGTH_MAX = 512, TAIL = 8 };

static struct known {
    size_t len; /* 0: empty */
    char token[LENGTH_MAX];
    struct token_claims claims;
} slots[SLOTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* By the end of the signature, which is as good as random. NULL for a token that is not kept. */
static struct known *slot_of(const char *token, size_t len)
{
    uint64_t tail;
    if (len < TAIL || len > LENGTH_MAX)
        return NULL;
    memcpy(&tail, token + len - TAIL, TAIL);
    return &slots[tail * 0x9E3779B97F4A7C15u >> 52]; /* the upper 12 bits: SLOTS */
}

bool known_tokens_find(const char *token, size_t len, struct token_claims *out)
{
    struct known *k = slot_of(token, len);
    if (!k)
        return false;
    pthread_mutex_lock(&lock);
    bool found =
        k->len == len && secret_equal((const uint8_t *)k->token, (const uint8_t *)token, len);
    if (found)
        *out = k->claims;
    pthread_mutex_unlock(&lock);
    return found;
}

void known_tokens_add(const char *token, size_t len, const struct token_claims *claims)
{
    struct known *k = slot_of(token, len);
    if (!k)
        return;
    pthread_mutex_lock(&lock);
    memcpy(k->token, token, len);
    k->len = len;
    k->claims = *claims;
    pthread_mutex_unlock(&lock);
}

#include "session.h"
#include "clock.h"
#include "memo.h"
#include "secret.h"
#include "strbuf.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN_PLACES = 16384, DIGEST = 32 };

struct known {
    struct session session;
    int64_t seen_ms;
};

struct sessions {
    struct redis *redis;
    int64_t idle_ms, absolute_ms;
    pthread_mutex_t lock;
    struct memo *known; /* digest -> struct known: what goes on while Redis is down */
};

struct sessions *sessions_new(struct redis *redis, int64_t idle_s, int64_t absolute_s)
{
    struct sessions *s = xcalloc(1, sizeof(*s));
    s->redis = redis;
    s->idle_ms = idle_s * 1000;
    s->absolute_ms = absolute_s * 1000;
    pthread_mutex_init(&s->lock, NULL);
    s->known = memo_new(KNOWN_PLACES, sizeof(struct known));
    return s;
}

void sessions_free(struct sessions *s)
{
    if (!s)
        return;
    memo_free(s->known);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void encode(const uint8_t bytes[DIGEST], char out[SESSION_ID_SIZE])
{
    struct strbuf text = STRBUF_INIT;
    base64url_encode(&text, bytes, DIGEST);
    memcpy(out, text.bytes, SESSION_ID_SIZE);
    secret_wipe(text.bytes, text.len);
    strbuf_release(&text);
}

struct key {
    uint8_t digest[DIGEST];
    struct strbuf text; /* in Redis */
};

/* False for what cannot be an id. */
static bool key_init(struct key *key, const char *id)
{
    struct strbuf bytes = STRBUF_INIT;
    *key = (struct key){.text = STRBUF_INIT};
    bool ok = base64url_decode(&bytes, id, strlen(id)) == STATUS_OK && bytes.len == DIGEST;
    if (ok) {
        secret_sha256(bytes.bytes, DIGEST, key->digest);
        strbuf_addstr(&key->text, "portal:session:");
        hex_encode(&key->text, key->digest, DIGEST);
        secret_wipe(bytes.bytes, bytes.len);
    }
    strbuf_release(&bytes);
    return ok;
}

static void remember(struct sessions *s, const struct key *key, const struct session *session)
{
    pthread_mutex_lock(&s->lock);
    struct known *known = memo_put(s->known, key->digest);
    *known = (struct known){*session, clock_unix_ms()};
    pthread_mutex_unlock(&s->lock);
}

static void forget(struct sessions *s, const struct key *key)
{
    pthread_mutex_lock(&s->lock);
    memo_drop(s->known, key->digest);
    pthread_mutex_unlock(&s->lock);
}

/* Redis cannot say: what this process remembers, within the idle time. */
static enum status recall(struct sessions *s, const struct key *key, struct session *out)
{
    int64_t now = clock_unix_ms();
    pthread_mutex_lock(&s->lock);
    struct known *known = memo_get(s->known, key->digest);
    bool live = known && now - known->seen_ms < s->idle_ms;
    if (live) {
        known->seen_ms = now;
        *out = known->session;
    }
    pthread_mutex_unlock(&s->lock);
    return live ? STATUS_OK : STATUS_UNAVAILABLE;
}

/* Step over a decimal number and the blank or the end behind it. */
static bool number(const char **s, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(*s, &end, 10);
    bool ok = end != *s && errno == 0 && (*end == ' ' || *end == '\0');
    *s = end + (*end == ' ');
    return ok;
}

static bool read_session(const char *text, struct session *out)
{
    return text && number(&text, &out->user_id) && number(&text, &out->gen) &&
           number(&text, &out->created_ms);
}

enum status session_create(struct sessions *s, int64_t user_id, int64_t gen,
                           char id[SESSION_ID_SIZE])
{
    uint8_t bytes[DIGEST];
    struct key key;
    struct session session = {user_id, gen, clock_unix_ms()};
    secret_random(bytes, sizeof(bytes));
    encode(bytes, id);
    secret_wipe(bytes, sizeof(bytes));
    key_init(&key, id);
    char value[64];
    snprintf(value, sizeof(value), "%" PRId64 " %" PRId64 " %" PRId64, user_id, gen,
             session.created_ms);
    enum status st = redis_command(s->redis, NULL, "SET %s %s PX %lld", key.text.bytes, value,
                                   (long long)s->idle_ms);
    if (!st)
        remember(s, &key, &session);
    strbuf_release(&key.text);
    return st ? STATUS_UNAVAILABLE : STATUS_OK;
}

static enum status look_up(struct sessions *s, const struct key *key, struct session *out)
{
    struct redis_reply *reply = NULL;
    if (redis_command(s->redis, &reply, "GETEX %s PX %lld", key->text.bytes, (long long)s->idle_ms))
        return recall(s, key, out);
    enum status st = STATUS_OK;
    if (read_session(redis_str(reply, NULL), out)) {
        remember(s, key, out);
    } else {
        forget(s, key);
        st = STATUS_UNAUTHENTICATED;
    }
    redis_reply_free(reply);
    return st;
}

enum status session_find(struct sessions *s, const char *id, struct session *out)
{
    struct key key;
    if (!key_init(&key, id))
        return STATUS_UNAUTHENTICATED;
    enum status st = look_up(s, &key, out);
    if (!st && clock_unix_ms() - out->created_ms >= s->absolute_ms)
        st = STATUS_UNAUTHENTICATED;
    strbuf_release(&key.text);
    return st;
}

void session_forget(struct sessions *s, const char *id)
{
    struct key key;
    if (!key_init(&key, id))
        return;
    forget(s, &key);
    redis_command(s->redis, NULL, "DEL %s", key.text.bytes);
    strbuf_release(&key.text);
}

void session_csrf(const char *id, char out[SESSION_ID_SIZE])
{
    uint8_t mac[DIGEST];
    secret_hmac_sha256(id, strlen(id), "csrf", 4, mac);
    encode(mac, out);
}

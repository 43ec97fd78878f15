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

enum { KNOWN_PLACES = 65536, DIGEST = 32, RENEW_MS = 60 * 1000, KEY_SIZE = 80 };

/* ARGV: ms to live. What is no string is no session. */
static const char find_script[] = "local out = {}\n"
                                  "for i = 1, #KEYS do\n"
                                  "  local v = redis.pcall('GETEX', KEYS[i], 'PX', ARGV[1])\n"
                                  "  out[i] = type(v) == 'string' and v or ''\n"
                                  "end\n"
                                  "return out\n";

struct known {
    struct session session;
    int64_t seen_ms;
    int64_t renewed_ms; /* in Redis */
};

struct sessions {
    struct redis *redis;
    int64_t idle_ms, absolute_ms, renew_ms;
    pthread_mutex_t lock;
    struct memo *known; /* digest -> struct known: what goes on while Redis is down */
};

struct sessions *sessions_new(struct redis *redis, int64_t idle_s, int64_t absolute_s)
{
    struct sessions *s = xcalloc(1, sizeof(*s));
    s->redis = redis;
    s->idle_ms = idle_s * 1000;
    s->absolute_ms = absolute_s * 1000;
    s->renew_ms = s->idle_ms / 16 < RENEW_MS ? s->idle_ms / 16 : RENEW_MS;
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
    char text[KEY_SIZE]; /* in Redis */
};

/* False for what cannot be an id. */
static bool key_init(struct key *key, const char *id)
{
    struct strbuf bytes = STRBUF_INIT;
    bool ok = base64url_decode(&bytes, id, strlen(id)) == STATUS_OK && bytes.len == DIGEST;
    if (ok)
        secret_sha256(bytes.bytes, DIGEST, key->digest);
    if (bytes.bytes)
        secret_wipe(bytes.bytes, bytes.len);
    strbuf_release(&bytes);
    return ok;
}

static void key_write(struct key *key)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_addstr(&text, "portal:session:");
    hex_encode(&text, key->digest, DIGEST);
    memcpy(key->text, text.bytes, text.len + 1);
    strbuf_release(&text);
}

static void remember(struct sessions *s, const struct key *key, const struct session *session)
{
    pthread_mutex_lock(&s->lock);
    struct known *known = memo_put(s->known, key->digest);
    int64_t now = clock_unix_ms();
    *known = (struct known){*session, now, now};
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
    key_write(&key);
    char value[64];
    snprintf(value, sizeof(value), "%" PRId64 " %" PRId64 " %" PRId64, user_id, gen,
             session.created_ms);
    enum status st =
        redis_command(s->redis, NULL, "SET %s %s PX %lld", key.text, value, (long long)s->idle_ms);
    if (!st)
        remember(s, &key, &session);
    return st ? STATUS_UNAVAILABLE : STATUS_OK;
}

static enum status check_age(const struct sessions *s, const struct session *session)
{
    bool over = clock_unix_ms() - session->created_ms >= s->absolute_ms;
    return over ? STATUS_UNAUTHENTICATED : STATUS_OK;
}

/* What Redis says of one: its text, or "". */
static enum status settle(struct sessions *s, const struct key *key, const char *text,
                          struct session *out)
{
    if (!read_session(text, out)) {
        forget(s, key);
        return STATUS_UNAUTHENTICATED;
    }
    remember(s, key, out);
    return STATUS_OK;
}

/* Ask Redis for the keys whose status is OK. NULL: it cannot say. */
static struct redis_reply *ask(const struct sessions *s, const struct key *keys, size_t n,
                               const enum status *st)
{
    struct redis_reply *reply = NULL;
    const char *argv[4 + SESSIONS_MAX] = {"EVAL", find_script};
    size_t lengths[4 + SESSIONS_MAX];
    char count[24], idle[24];
    int argc = 3;
    for (size_t i = 0; i < n; i++)
        if (!st[i])
            argv[argc++] = keys[i].text;
    snprintf(count, sizeof(count), "%d", argc - 3);
    snprintf(idle, sizeof(idle), "%" PRId64, s->idle_ms);
    argv[2] = count;
    argv[argc++] = idle;
    for (int i = 0; i < argc; i++)
        lengths[i] = strlen(argv[i]);
    redis_command_argv(s->redis, 0, &reply, argc, argv, lengths);
    return reply;
}

void sessions_find(struct sessions *s, const char *const *ids, size_t n, struct session *out,
                   enum status *st)
{
    struct key keys[SESSIONS_MAX];
    size_t asked = 0;
    for (size_t i = 0; i < n; i++) {
        st[i] = key_init(&keys[i], ids[i]) ? STATUS_OK : STATUS_UNAUTHENTICATED;
        if (!st[i])
            key_write(&keys[i]);
    }
    struct redis_reply *reply = ask(s, keys, n, st);
    for (size_t i = 0; i < n; i++) {
        if (st[i])
            continue;
        st[i] = reply ? settle(s, &keys[i], redis_str(redis_at(reply, asked++), NULL), &out[i])
                      : recall(s, &keys[i], &out[i]);
        if (!st[i])
            st[i] = check_age(s, &out[i]);
    }
    redis_reply_free(reply);
}

enum status session_find(struct sessions *s, const char *id, struct session *out)
{
    enum status st;
    sessions_find(s, &id, 1, out, &st);
    return st;
}

enum status session_peek(struct sessions *s, const char *id, struct session *out)
{
    struct key key;
    int64_t now = clock_unix_ms();
    if (!key_init(&key, id))
        return STATUS_UNAUTHENTICATED;
    pthread_mutex_lock(&s->lock);
    struct known *known = memo_get(s->known, key.digest);
    bool fresh = known && now - known->renewed_ms < s->renew_ms;
    if (fresh) {
        known->seen_ms = now;
        *out = known->session;
    }
    pthread_mutex_unlock(&s->lock);
    return fresh ? check_age(s, out) : STATUS_NOT_FOUND;
}

void session_forget(struct sessions *s, const char *id)
{
    struct key key;
    if (!key_init(&key, id))
        return;
    forget(s, &key);
    key_write(&key);
    redis_command(s->redis, NULL, "DEL %s", key.text);
}

void session_csrf(const char *id, char out[SESSION_ID_SIZE])
{
    uint8_t mac[DIGEST];
    secret_hmac_sha256(id, strlen(id), "csrf", 4, mac);
    encode(mac, out);
}

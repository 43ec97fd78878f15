#include "cache.h"
#include "secret.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KEYS: entry and lease, in turns. ARGV: who takes the lease, ms it lasts. */
static const char fetch_script[] =
    "local out = {}\n"
    "for i = 1, #KEYS, 2 do\n"
    "  local e = redis.pcall('HMGET', KEYS[i], 'gen', 'body')\n"
    "  if not e.err and e[1] and e[2] then\n"
    "    out[#out + 1] = {e[1], e[2], redis.call('PTTL', KEYS[i])}\n"
    "  elseif redis.pcall('SET', KEYS[i + 1], ARGV[1], 'NX', 'PX', ARGV[2])\n"
    "      or redis.pcall('GET', KEYS[i + 1]) == ARGV[1] then\n"
    "    out[#out + 1] = 1\n" /* also where Redis is full and cannot keep a lease */
    "  else\n"
    "    out[#out + 1] = 0\n"
    "  end\n"
    "end\n"
    "return out\n";
/* KEYS as above. ARGV: who holds the lease; for each key generation, body or '', ms to live. */
static const char store_script[] =
    "local out = {}\n"
    "for i = 1, #KEYS, 2 do\n"
    "  local a, stored = (i - 1) / 2 * 3 + 2, 0\n"
    "  if ARGV[a + 1] ~= '' then\n"
    "    local known = redis.pcall('HGET', KEYS[i], 'gen')\n"
    "    if type(known) == 'table' then redis.call('DEL', KEYS[i]) known = '' end\n"
    "    known = tonumber(known or '')\n"
    "    if not (known and known > tonumber(ARGV[a])) then\n"
    "      local r = redis.pcall('HSET', KEYS[i], 'gen', ARGV[a], 'body', ARGV[a + 1])\n"
    "      if type(r) == 'number' then\n"
    "        redis.call('PEXPIRE', KEYS[i], ARGV[a + 2])\n"
    "        stored = 1\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  if redis.pcall('GET', KEYS[i + 1]) == ARGV[1] then redis.call('DEL', KEYS[i + 1]) end\n"
    "  out[#out + 1] = stored\n"
    "end\n"
    "return out\n";
/* KEYS: entries. ARGV: channel, message, ms to live; for each key the generation. The body goes
 * first, and only then what needs memory. */
static const char advance_script[] = "for i = 1, #KEYS do\n"
                                     "  local known = redis.pcall('HGET', KEYS[i], 'gen')\n"
                                     "  known = type(known) ~= 'table' and tonumber(known or '')\n"
                                     "  if not (known and known >= tonumber(ARGV[i + 3])) then\n"
                                     "    redis.call('DEL', KEYS[i])\n"
                                     "    redis.pcall('HSET', KEYS[i], 'gen', ARGV[i + 3])\n"
                                     "    redis.pcall('PEXPIRE', KEYS[i], ARGV[3])\n"
                                     "  end\n"
                                     "end\n"
                                     "redis.call('PUBLISH', ARGV[1], ARGV[2])\n"
                                     "return 1\n";

struct cache {
    struct redis *redis;
    char me[17]; /* in leases */
};

struct cache *cache_new(struct redis *redis)
{
    struct cache *c = xcalloc(1, sizeof(*c));
    c->redis = redis;
    random_hex(c->me, sizeof(c->me) / 2);
    return c;
}

void cache_free(struct cache *c)
{
    free(c);
}

/* --- an EVAL that is put together ------------------------------------------------------------ */

enum { KEY_SIZE = 48, WORDS_MAX = 4 + CACHE_KEYS_MAX * 5 };

struct eval {
    int argc;
    const char *argv[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    char keys[2 * CACHE_KEYS_MAX][KEY_SIZE], numbers[2 * CACHE_KEYS_MAX][24];
    size_t key_count, number_count;
    char count[24];
};

static void add(struct eval *e, const char *bytes, size_t len)
{
    e->argv[e->argc] = bytes;
    e->lengths[e->argc++] = len;
}

static void begin(struct eval *e, const char *script, size_t keys)
{
    e->argc = 0;
    e->key_count = e->number_count = 0;
    snprintf(e->count, sizeof(e->count), "%zu", keys);
    add(e, "EVAL", 4);
    add(e, script, strlen(script));
    add(e, e->count, strlen(e->count));
}

static void add_key(struct eval *e, const char *kind, int64_t student)
{
    char *key = e->keys[e->key_count++];
    int len = snprintf(key, KEY_SIZE, "portal:%s:%" PRId64, kind, student);
    add(e, key, (size_t)len);
}

static void add_number(struct eval *e, int64_t value)
{
    char *text = e->numbers[e->number_count++];
    int len = snprintf(text, sizeof(e->numbers[0]), "%" PRId64, value);
    add(e, text, (size_t)len);
}

static void add_keys(struct eval *e, struct cached *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        add_key(e, "attendance", keys[i]->student);
        add_key(e, "lease", keys[i]->student);
    }
}

/* --- the three scripts ----------------------------------------------------------------------- */

static void read_cached(const struct redis_reply *reply, struct cached *out)
{
    size_t len;
    const char *body = redis_str(redis_at(reply, 1), &len);
    if (!body) {
        out->found = redis_int(reply) ? CACHED_LEASE : CACHED_BUSY;
        return;
    }
    out->found = CACHED_BODY;
    out->gen = strtoll(redis_str(redis_at(reply, 0), NULL), NULL, 10);
    out->ttl_ms = redis_int(redis_at(reply, 2));
    strbuf_add(&out->body, body, len);
}

enum status cache_fetch(struct cache *c, struct cached *const *keys, size_t n)
{
    struct eval e;
    struct redis_reply *reply;
    begin(&e, fetch_script, 2 * n);
    add_keys(&e, keys, n);
    add(&e, c->me, strlen(c->me));
    add_number(&e, CACHE_LEASE_MS);
    enum status st = redis_command_argv(c->redis, 0, &reply, e.argc, e.argv, e.lengths);
    if (!st && redis_count(reply) != n)
        st = STATUS_UNAVAILABLE;
    for (size_t i = 0; i < n && !st; i++)
        read_cached(redis_at(reply, i), keys[i]);
    redis_reply_free(reply);
    return st;
}

static int64_t ttl_ms(void)
{
    uint16_t jitter;
    secret_random(&jitter, sizeof(jitter));
    return CACHE_TTL_S * (INT64_C(1000) - jitter % 100);
}

void cache_store(struct cache *c, uint64_t epoch, struct cached *const *keys, size_t n)
{
    struct eval e;
    struct redis_reply *reply;
    begin(&e, store_script, 2 * n);
    add_keys(&e, keys, n);
    add(&e, c->me, strlen(c->me));
    for (size_t i = 0; i < n; i++) {
        add_number(&e, keys[i]->gen);
        add(&e, strbuf_cstr(&keys[i]->body), keys[i]->body.len);
        add_number(&e, ttl_ms());
    }
    redis_command_argv(c->redis, epoch, &reply, e.argc, e.argv, e.lengths);
    for (size_t i = 0; i < n; i++)
        keys[i]->stored = redis_int(redis_at(reply, i)) == 1;
    redis_reply_free(reply);
}

static enum status advance(struct cache *c, const struct change *at, size_t n)
{
    struct eval e;
    struct strbuf ids = STRBUF_INIT;
    begin(&e, advance_script, n);
    for (size_t i = 0; i < n; i++) {
        add_key(&e, "attendance", at[i].student);
        strbuf_addf(&ids, "%s%" PRId64, i ? " " : "", at[i].student);
    }
    add(&e, CACHE_CHANNEL, strlen(CACHE_CHANNEL));
    add(&e, ids.bytes, ids.len);
    add_number(&e, CACHE_TTL_S * INT64_C(1000));
    for (size_t i = 0; i < n; i++)
        add_number(&e, at[i].gen);
    enum status st = redis_command_argv(c->redis, 0, NULL, e.argc, e.argv, e.lengths);
    strbuf_release(&ids);
    return st;
}

enum status cache_advance(struct cache *c, const struct changes *list)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; i < list->n && !st; i += CACHE_KEYS_MAX)
        st = advance(c, &list->at[i],
                     list->n - i < CACHE_KEYS_MAX ? list->n - i : (size_t)CACHE_KEYS_MAX);
    return st;
}

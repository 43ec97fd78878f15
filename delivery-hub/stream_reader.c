#include "stream_reader.h"
#include "clock.h"
#include "log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM "hub:events"
enum { BATCH = 256 };

/* INFO's "run_id:" and 40 hex digits, of which the first are enough. */
static enum status ask_epoch(struct redis *redis, char out[EVENTS_EPOCH_SIZE])
{
    struct redis_reply *reply;
    size_t len;
    enum status st = redis_command(redis, &reply, "INFO server");
    const char *text = redis_str(reply, &len);
    const char *id = text ? strstr(text, "run_id:") : NULL;
    if (!st && !id)
        st = STATUS_INTERNAL;
    if (!st)
        snprintf(out, EVENTS_EPOCH_SIZE, "%.12s", id + strlen("run_id:"));
    redis_reply_free(reply);
    return st;
}

/* The value of a field of an entry, or NULL. */
static const char *field(const struct redis_reply *entry, const char *name, size_t *len)
{
    const struct redis_reply *fields = redis_at(entry, 1);
    for (size_t i = 0; i + 1 < redis_count(fields); i += 2) {
        const char *key = redis_str(redis_at(fields, i), NULL);
        if (key && strcmp(key, name) == 0)
            return redis_str(redis_at(fields, i + 1), len);
    }
    return NULL;
}

/* Of what waited for its publication a later version may be committed, and is on its way. */
static bool is_newest(const struct redis_reply *entry)
{
    const char *newest = field(entry, "newest", NULL);
    return newest && strcmp(newest, "1") == 0;
}

static void hand_on(struct stream_reader *r, const struct redis_reply *entry)
{
    size_t len = 0;
    const char *id = redis_str(redis_at(entry, 0), NULL);
    const char *type = field(entry, "event", NULL);
    const char *body = field(entry, "body", &len);
    struct snapshot *shown = body ? snapshot_parse(body, len) : NULL;
    struct stream_id place;
    if (id && type && shown && stream_id_parse(id, &place)) {
        if (r->caught_up && is_newest(entry))
            status_map_put(r->map, shown, clock_mono_ms());
        events_add(r->events, place, type, shown);
    }
    snapshot_unref(shown);
    if (id) {
        snprintf(r->last, sizeof(r->last), "%s", id);
        r->on_entry = true;
    }
}

/* Just before now, by Redis' clock, of which ids are made. */
static enum status ask_time(struct redis *redis, char *out, size_t size)
{
    struct redis_reply *reply;
    enum status st = redis_command(redis, &reply, "TIME");
    const char *s = redis_str(redis_at(reply, 0), NULL), *us = redis_str(redis_at(reply, 1), NULL);
    if (!st && (!s || !us))
        st = STATUS_INTERNAL;
    if (!st)
        snprintf(out, size, "%llu-%" PRIu64,
                 strtoull(s, NULL, 10) * 1000 + strtoull(us, NULL, 10) / 1000 - 1, UINT64_MAX);
    redis_reply_free(reply);
    return st;
}

/* As far back as the ring reaches, so that clients of another process, or of this one before its
 * restart, find their place; in an empty stream, from now on. */
static enum status find_start(struct stream_reader *r)
{
    struct redis_reply *reply = NULL;
    enum status st = ask_time(r->redis, r->last, sizeof(r->last));
    if (!st)
        st = redis_command(r->redis, &reply, "XREVRANGE " STREAM " + - COUNT %d", EVENTS_KEPT);
    size_t n = redis_count(reply);
    const char *oldest = n ? redis_str(redis_at(redis_at(reply, n - 1), 0), NULL) : NULL;
    r->on_entry = oldest != NULL;
    if (oldest)
        snprintf(r->last, sizeof(r->last), "%s", oldest);
    redis_reply_free(reply);
    return st;
}

static enum status begin(struct stream_reader *r, const char *epoch)
{
    struct stream_id base;
    enum status st = find_start(r);
    if (!st && !stream_id_parse(r->last, &base))
        st = STATUS_INTERNAL;
    if (st)
        return st;
    snprintf(r->epoch, sizeof(r->epoch), "%s", epoch);
    r->caught_up = false;
    events_set_live(r->events, false);
    events_restart(r->events, epoch, base);
    log_info("stream_read", F("epoch", epoch), F("from", r->last));
    return STATUS_OK;
}

/* Is the place still in the stream? Else what followed may be gone with it. */
static enum status find_place(struct stream_reader *r, bool *found)
{
    struct redis_reply *reply;
    *found = true;
    if (!r->on_entry)
        return STATUS_OK;
    enum status st =
        redis_command(r->redis, &reply, "XRANGE " STREAM " %s %s COUNT 1", r->last, r->last);
    *found = redis_count(reply) > 0;
    redis_reply_free(reply);
    return st;
}

/* After what was read, and before it is handed on: whatever happened to the stream until then
 * shows. */
static enum status check(struct stream_reader *r, char epoch[EVENTS_EPOCH_SIZE], bool *same)
{
    enum status st = ask_epoch(r->redis, epoch);
    *same = false;
    if (!st && strcmp(epoch, r->epoch) == 0)
        st = find_place(r, same);
    return st;
}

static enum status read_on(struct stream_reader *r, struct redis_reply **out)
{
    /* Shorter than a command may take (redis.h). */
    return redis_command(r->redis, out, "XREAD COUNT %d BLOCK 200 STREAMS " STREAM " %s", BATCH,
                         r->last);
}

bool stream_reader_run(void *reader)
{
    struct stream_reader *r = reader;
    struct redis_reply *reply = NULL;
    char epoch[EVENTS_EPOCH_SIZE];
    bool same;
    events_tick(r->events);
    enum status st = r->epoch[0] ? read_on(r, &reply) : STATUS_OK;
    if (!st)
        st = check(r, epoch, &same);
    if (st)
        goto out;
    if (!same) {
        st = begin(r, epoch);
        goto out;
    }
    const struct redis_reply *entries = redis_at(redis_at(reply, 0), 1);
    for (size_t i = 0; i < redis_count(entries); i++)
        hand_on(r, redis_at(entries, i));
    if (redis_count(entries) < BATCH && !r->caught_up) {
        r->caught_up = true;
        events_set_live(r->events, true);
    }
out:
    redis_reply_free(reply);
    return st == STATUS_OK;
}

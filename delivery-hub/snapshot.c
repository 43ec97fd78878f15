#include "snapshot.h"
#include "json.h"
#include "order_json.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The count stands in front, where nobody but this file sees it. */
struct counted {
    atomic_uint refs;
    struct snapshot shown;
};

static struct counted *counted(struct snapshot *s)
{
    return (struct counted *)(void *)((char *)s - offsetof(struct counted, shown));
}

static struct snapshot *copy(const char *json, size_t len)
{
    struct counted *c = xcalloc(1, sizeof(*c) + len + 1);
    atomic_init(&c->refs, 1);
    c->shown.len = len;
    memcpy(c->shown.json, json, len);
    return &c->shown;
}

struct snapshot *snapshot_of(const struct order *o)
{
    struct strbuf json = STRBUF_INIT;
    order_write(o, &json);
    struct snapshot *s = copy(json.bytes, json.len);
    strbuf_release(&json);
    s->order = o->id;
    s->version = o->version;
    etag_format(o->version, s->etag);
    s->state = o->state;
    memcpy(s->customer, o->customer, sizeof(s->customer));
    memcpy(s->partner, o->partner, sizeof(s->partner));
    return s;
}

/* Text members that are missing or of another type read as NULL. */
static bool take(const json_t *root, const char *name, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(root, name));
    if (!text || strlen(text) >= size)
        return false;
    snprintf(out, size, "%s", text);
    return true;
}

static bool fill(struct snapshot *s, const json_t *root)
{
    char id[24], state[16];
    if (!take(root, "id", id, sizeof(id)) || !take(root, "status", state, sizeof(state)) ||
        !take(root, "customer", s->customer, sizeof(s->customer)))
        return false;
    const json_t *partner = json_object_get(root, "partner");
    if (!json_is_null(partner) && !take(root, "partner", s->partner, sizeof(s->partner)))
        return false;
    s->order = strtoll(id, NULL, 10);
    s->version = json_integer_value(json_object_get(root, "version"));
    etag_format(s->version, s->etag);
    return s->order > 0 && s->version > 0 && order_state_parse(state, &s->state) == STATUS_OK;
}

struct snapshot *snapshot_parse(const char *json, size_t len)
{
    struct strbuf why = STRBUF_INIT;
    json_t *root = NULL;
    struct snapshot *s = NULL;
    if (json_parse(json, len, &root, &why) == STATUS_OK) {
        s = copy(json, len);
        if (!fill(s, root)) {
            snapshot_unref(s);
            s = NULL;
        }
    }
    json_decref(root);
    strbuf_release(&why);
    return s;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    if (s)
        atomic_fetch_add_explicit(&counted(s)->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(void *snapshot)
{
    if (snapshot && atomic_fetch_sub(&counted(snapshot)->refs, 1) == 1)
        free(counted(snapshot));
}

bool snapshot_visible(const struct snapshot *s, const struct actor *who)
{
    return s && order_shown(s->state, s->customer, s->partner, who);
}

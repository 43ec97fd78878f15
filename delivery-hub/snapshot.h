/* One version of an order as the API shows it: its JSON, and what decides who may see it. Counted,
 * never changed, so that every thread may hold it. */
#pragma once
#include "etag.h"
#include "orders.h"
#include <stddef.h>

struct snapshot {
    int64_t order, version;
    enum order_state state;
    char customer[PERSON_MAX + 1];
    char partner[PERSON_MAX + 1]; /* "" for nobody */
    char etag[ETAG_SIZE];
    size_t len;
    char json[]; /* len bytes and NUL */
};

/* Both give one reference, the caller's. */
struct snapshot *snapshot_of(const struct order *o);
/* NULL for bytes that are not an order's JSON. */
struct snapshot *snapshot_parse(const char *json, size_t len);
struct snapshot *snapshot_ref(struct snapshot *s); /* NULL is fine, for all three */
void snapshot_unref(void *snapshot);
/* As order_visible; false for NULL. */
bool snapshot_visible(const struct snapshot *s, const struct actor *who);

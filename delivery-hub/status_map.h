/* The near cache: snapshots of orders in the memory of this process, at most STATUS_MAP_TTL_MS
 * after they were heard of. Bounded: eight places for each set of ids, and in a full set the one
 * goes that was put longest ago. It never goes back to an older version of an order that it still
 * has. Any thread; locks are held for a few instructions. A NULL map has nothing and takes
 * nothing. */
#pragma once
#include "snapshot.h"

struct status_map;

enum { STATUS_MAP_TTL_MS = 1000 };

/* For about `orders` of them; 0 gives NULL. */
struct status_map *status_map_new(size_t orders);
void status_map_free(struct status_map *m); /* NULL is fine */

/* The newest version known, or NULL; a reference of the caller's. `fresh`: it was put within the
 * last STATUS_MAP_TTL_MS, so it may be shown; else it only says which version is the least to
 * look for. `now_ms` is clock_mono_ms. */
struct snapshot *status_map_get(struct status_map *m, int64_t order, int64_t now_ms, bool *fresh);
/* Keep `s` (a reference of the map's own) as of now, unless a newer version is there. */
void status_map_put(struct status_map *m, struct snapshot *s, int64_t now_ms);

/* Where an order is read: the map, then Redis, the replica, the primary. The first three hold
 * copies, which may be old. So a copy answers only when it is of the version asked for, or newer,
 * and shows the order to the caller: that an order does not exist (for them) is for the primary to
 * say. No process goes back to a version older than the newest that its map has. */
#pragma once
#include "db.h"
#include "redis.h"
#include "snapshot.h"
#include "status_map.h"

struct status_sources {
    struct status_map *map; /* each but the primary: NULL when it is switched off */
    struct redis *cache;
    struct db *replica;
    struct db *primary;
};

struct status_query {
    int64_t order;
    int64_t least; /* version */
    struct actor who;
};

/* Counts the answers in hub_reads_total{from}. Main thread. */
void status_read_init(void);
/* From the map alone, or NULL. Any thread. */
struct snapshot *status_read_near(const struct status_sources *s, const struct status_query *q);
/* From the others, kept in the map. Blocks. NOT_FOUND; or the failures of the primary. */
enum status status_read_far(const struct status_sources *s, const struct status_query *q,
                            struct snapshot **out);

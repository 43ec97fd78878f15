/* The process's one reader of the Redis Stream: it feeds the map (status_map.h) and the events
 * (events.h). While Redis is away both make do without it; afterwards it goes on where it was. The
 * stream's epoch is the run of its Redis server: another run may have lost events that were
 * published, so it begins anew. So it does when its place was trimmed off or deleted. */
#pragma once
#include "events.h"
#include "redis.h"
#include "status_map.h"

struct stream_reader {
    struct redis *redis;
    struct status_map *map;
    struct events *events;
    char epoch[EVENTS_EPOCH_SIZE]; /* "" before the first answer */
    char last[48];                 /* the id behind which to go on */
    bool on_entry;                 /* `last` is an entry's, so it can be looked for */
    bool caught_up;                /* what is read from now on is new */
};

/* One round: waits for events, hands them on. True when Redis answered, so there is no reason to
 * wait; see jobs.h. */
bool stream_reader_run(void *reader);

/* What the handlers work with; main.c makes it, before the server starts, and nobody changes it
 * afterwards. */
#pragma once
#include "fill.h"
#include "invalidation.h"
#include "loader.h"
#include "session.h"
#include "throttle.h"
#include "workers.h"

struct portal {
    struct db *db;
    struct redis *redis;
    struct sessions *sessions;
    struct throttle *throttle;
    struct near *near;
    struct cache *cache;
    struct invalidation *invalidation;
    struct fills *fills;
    struct loader *loader;
    struct workers *hashing; /* the bound on passwords hashed at once and waiting */
    int64_t session_absolute_s;
};
extern struct portal portal;

/* The transaction that made these changes ended with `st`: when it was committed, or may have
 * been, let no cache show what was before. Releases the list. Worker threads only. */
void portal_publish(enum status st, struct changes *list);

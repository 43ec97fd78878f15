/* The reaper: assigned orders that were not picked up in time become pending again. Any number of
 * reapers, in any number of processes: each skips what another one has locked. */
#pragma once
#include "db.h"
#include "jobs.h"

struct reaper {
    struct db *db;
    struct job *relay; /* woken when orders came back */
};

/* Take back a batch; `reaper` is the struct. True when there may be more. Blocks; see jobs.h. */
bool lease_reap(void *reaper);

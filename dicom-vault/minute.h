/* What the server does once a minute, in a thread of its own: the counts of refused callers go to
 * the audit log, and the log's head goes to the server's log, as the anchor that `audit verify
 * --expect` takes; blobs whose unlinking a backup held up are unlinked, and retired keys forgotten.
 * Once more at the end. */
#pragma once
#include "refusals.h"
#include "store.h"

struct minute;
/* Both outlive it. `period_s`: seconds between two times. Main thread. */
struct minute *minute_start(struct store *store, struct refusals *refusals, int64_t period_s);
void minute_stop(struct minute *m);

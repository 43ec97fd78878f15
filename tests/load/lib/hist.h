/* A histogram of microseconds, log-linear as HdrHistogram's: 64 steps to each power of two, so
 * that a percentile is at most 1.6% too high, however far apart the values are. */
#pragma once
#include <stdint.h>

enum { HIST_STEPS = 64, HIST_DOUBLINGS = 34 };

struct hist {
    uint64_t counts[(HIST_DOUBLINGS + 2) * HIST_STEPS];
    uint64_t total, max;
};

/* A negative value counts as 0, one over 2^40 us (12 days) as that. */
void hist_add(struct hist *h, int64_t us);
/* Of `fraction` (0 to 1) of the values none is over this; 0 when there are none. */
uint64_t hist_percentile(const struct hist *h, double fraction);

#include "hist.h"

enum { STEP_BITS = 6 };

/* Up to 2 * HIST_STEPS every value has a bucket of its own. */
static unsigned bucket_of(uint64_t us)
{
    unsigned shift = 0;
    while (us >> shift >= 2 * HIST_STEPS)
        shift++;
    return (shift << STEP_BITS) + (unsigned)(us >> shift);
}

static uint64_t highest_in(unsigned bucket)
{
    if (bucket < 2 * HIST_STEPS)
        return bucket;
    unsigned shift = (bucket >> STEP_BITS) - 1;
    return ((uint64_t)(bucket - (shift << STEP_BITS) + 1) << shift) - 1;
}

void hist_add(struct hist *h, int64_t us)
{
    const int64_t most = ((int64_t)2 * HIST_STEPS << (HIST_DOUBLINGS - 1)) - 1;
    uint64_t value = us < 0 ? 0 : (uint64_t)(us > most ? most : us);
    h->counts[bucket_of(value)]++;
    h->total++;
    if (value > h->max)
        h->max = value;
}

uint64_t hist_percentile(const struct hist *h, double fraction)
{
    double wanted = fraction * (double)h->total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < sizeof(h->counts) / sizeof(h->counts[0]); i++) {
        seen += h->counts[i];
        if (h->counts[i] > 0 && (double)seen >= wanted)
            return highest_in(i) < h->max ? highest_in(i) : h->max;
    }
    return h->max;
}

/* Does a comparison take longer for one kind of input than for another? Welch's t-test over many
 * timings of two classes, taken in random order (the way of dudect: Reparaz, Balasch, Verbauwhede,
 * "Dude, is my code constant time?", 2017): the secret itself, and random bytes. |t| past 10 is a
 * leak; a small one is no proof, only no finding, and noise of a busy machine can lift it.
 * usage: dudect TIMINGS; prints one JSON object: the t of each subject. */
#include "leaky.h"
#include "secret.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef bool compare(const void *a, const void *b, size_t len);
static const struct {
    const char *name;
    compare *run;
} subjects[] = {{"secret_equal", secret_equal}, {"leaky_branch", leaky_branch}};

enum { LEN = 512, REPEAT = 8, KEEP_PERCENT = 90 };

struct sample {
    unsigned class; /* 0: equal, 1: random */
    double ns;
};

struct moments {
    double n, mean, m2;
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double time_one(compare *run, const uint8_t *secret, const uint8_t *given)
{
    compare *volatile opaque = run; /* so that no call is left out */
    double start = now_ns();
    for (int i = 0; i < REPEAT; i++)
        opaque(secret, given, LEN);
    return now_ns() - start;
}

/* Both classes go through the same buffers, so that only their bytes differ. */
static void measure(compare *run, struct sample *samples, size_t n)
{
    uint8_t secret[LEN], other[LEN], given[LEN], classes[1];
    secret_random(secret, LEN);
    for (size_t i = 0; i < n; i++) {
        secret_random(classes, sizeof(classes));
        samples[i].class = classes[0] & 1;
        secret_random(other, LEN);
        memcpy(given, samples[i].class == 0 ? secret : other, LEN);
        samples[i].ns = time_one(run, secret, given);
    }
}

static int by_time(const void *a, const void *b)
{
    double x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;
    return (x > y) - (x < y);
}

/* Welford's running mean and variance. */
static void add(struct moments *m, double x)
{
    m->n++;
    double delta = x - m->mean;
    m->mean += delta / m->n;
    m->m2 += delta * (x - m->mean);
}

/* Without the slowest timings, which are the machine's: interrupts, other processes. */
static double welch_t(struct sample *samples, size_t n)
{
    struct moments m[2] = {{0, 0, 0}, {0, 0, 0}};
    qsort(samples, n, sizeof(samples[0]), by_time);
    for (size_t i = 0; i < n * KEEP_PERCENT / 100; i++)
        add(&m[samples[i].class], samples[i].ns);
    double error = m[0].m2 / (m[0].n - 1) / m[0].n + m[1].m2 / (m[1].n - 1) / m[1].n;
    return (m[0].mean - m[1].mean) / sqrt(error > 0 ? error : 1e-9);
}

int main(int argc, char **argv)
{
    size_t n = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (n < 1000 || n > 10000000) {
        fputs("usage: dudect TIMINGS, 1000 to 10000000\n", stderr);
        return 2;
    }
    struct sample *samples = xcalloc(n, sizeof(*samples));
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        measure(subjects[i].run, samples, n);
        printf("%s\"%s\": %.2f", i ? ", " : "{", subjects[i].name, welch_t(samples, n));
    }
    puts("}");
    free(samples);
    return 0;
}

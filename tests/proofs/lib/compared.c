#include "compared.h"
#include "leaky.h"
#include "secret.h"
#include <string.h>
#include <time.h>

bool compared_by_name(const char *name, struct compared *how)
{
    how->leaky = strcmp(name, "leaky") == 0;
    return how->leaky || strcmp(name, "constant-time") == 0;
}

double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Awake: to sleep would take as long as the scheduler likes. */
static void wait_ns(uint64_t ns)
{
    double end = now_ns() + (double)ns;
    while (now_ns() < end)
        ;
}

static bool equal(const struct compared *how, const char *secret, const char *given, size_t len)
{
    return how->leaky ? leaky_branch(secret, given, len) : secret_equal(secret, given, len);
}

static bool equal_slowly(const struct compared *how, const char *secret, const char *given,
                         size_t len)
{
    bool same = true;
    for (size_t i = 0; i < len && (same || !how->leaky); i++) {
        same &= equal(how, secret + i, given + i, 1);
        wait_ns(how->slow_ns);
    }
    return same;
}

bool compared(const struct compared *how, const char *secret, const char *given, size_t len)
{
    bool same =
        how->slow_ns ? equal_slowly(how, secret, given, len) : equal(how, secret, given, len);
    if (how->delay_ns) {
        uint64_t chance;
        secret_random(&chance, sizeof(chance));
        wait_ns(chance % how->delay_ns);
    }
    return same;
}

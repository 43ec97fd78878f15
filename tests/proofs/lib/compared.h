/* A comparison as a server has it; if need be made slow enough to be timed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a guess is answered. */
struct compared {
    bool leaky; /* leaky_branch; else secret_equal */
    /* The amplification: a wait after each byte that was compared, with either. 0: none, the bytes
     * are compared in one call. */
    uint64_t slow_ns;
    uint64_t delay_ns; /* at the end a wait of 0 to this, by chance; 0: none */
};

/* "leaky" or "constant-time"; false for any other name. */
bool compared_by_name(const char *name, struct compared *how);
bool compared(const struct compared *how, const char *secret, const char *given, size_t len);
double now_ns(void);

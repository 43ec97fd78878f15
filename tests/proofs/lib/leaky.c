#include "leaky.h"
#include <stdint.h>

bool leaky_branch(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < len; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

/* Volatile, so that no compiler turns the table back into arithmetic. */
static const volatile uint8_t not_zero[256] = {[1 ... 255] = 1};

bool leaky_index(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a, *y = b;
    uint8_t differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= not_zero[x[i] ^ y[i]];
    return !differs;
}

/* What every fuzz target includes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A property that must hold for every input. */
static inline void require(bool holds)
{
    if (!holds)
        abort();
}

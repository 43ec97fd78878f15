/* Controls: comparisons that leak, which every check here must flag. In the tests only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Stops at the first byte that differs: a branch on the secret. */
bool leaky_branch(const void *a, const void *b, size_t len);
/* Looks at all bytes, but in a table that the secret indexes: a cache line says which. */
bool leaky_index(const void *a, const void *b, size_t len);

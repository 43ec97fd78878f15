/* The Range header (RFC 9110, section 14.2). Any thread. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stdint.h>

/* One range of bytes of a representation of `size` bytes. OK with *partial when a part was asked
 * for: `*len` >= 1 bytes from `*first`, all inside. OK without it, and the whole in *first and
 * *len, when `header` is NULL, of another unit, malformed, or asks for several ranges: a server
 * may ignore those. RANGE_NOT_SATISFIABLE when no byte of it exists. */
enum status range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *len,
                        bool *partial);

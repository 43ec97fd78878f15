/* The Cookie header (RFC 6265, section 4.2.1). Any thread. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stddef.h>

/* The value of cookie `name`, compared with regard to case, NUL-terminated into out[size].
 * `header` may be NULL. OK with *found false when the cookie is not there; BAD_REQUEST when it is
 * there twice (somebody else may have planted the second) or does not fit. Other cookies, however
 * malformed, are passed over. */
enum status cookie_get(const char *header, const char *name, char *out, size_t size, bool *found);

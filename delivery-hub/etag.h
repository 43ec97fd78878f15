/* Entity tags of orders: the version says it all. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* "\"v3\"", of one version of an order. */
enum { ETAG_SIZE = 32 };
void etag_format(int64_t version, char out[ETAG_SIZE]);
/* Does an If-None-Match header (or NULL) name the tag? Weak comparison, RFC 9110, 13.1.2. */
bool etag_matches(const char *if_none_match, const char *etag);

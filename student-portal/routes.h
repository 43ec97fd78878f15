/* Every route there is: who may, which object check, where it runs, which handler. */
#pragma once
#include "router.h"
#include <stddef.h>

extern const struct route portal_routes[];
extern const size_t portal_route_count;

/* The table itself as text on stdout, a line a route: method, pattern, roles, object check or "-",
 * where it runs. */
void routes_print(void);

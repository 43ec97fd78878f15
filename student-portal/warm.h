/* Warm-up: the pages of students who have a class soon are loaded before they ask. A thread of its
 * own looks every WARM_PERIOD_MS, and fills what the near cache does not hold. */
#pragma once
#include "fill.h"

enum { WARM_PERIOD_MS = 15 * 1000 };

struct warm;

/* `minutes` ahead; 0: NULL, and nothing is done. Main thread. */
struct warm *warm_new(struct db *db, struct fills *fills, struct near *near, int64_t minutes);
void warm_free(struct warm *w); /* NULL is fine */

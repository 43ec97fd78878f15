/* GET /stats: how many orders are in each state. Counting costs with what is counted, so each
 * count ends at STATS_COUNTED_TO, and the answer is kept for a second. */
#pragma once
#include "http.h"
#include "status_read.h"

enum { STATS_COUNTED_TO = 100000 };

void stats_init(const struct status_sources *from);
/* INLINE_OR_POOL. */
enum status get_stats(struct http_request *req);

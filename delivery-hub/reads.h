/* GET /orders/{order} and GET /orders. */
#pragma once
#include "http.h"
#include "status_read.h"

/* Before http_start. */
void reads_init(const struct status_sources *from);

/* Object check: a snapshot of the order becomes the request's state; who must not see it is told
 * that there is none. INLINE_OR_POOL, as get_order. */
enum status see_order(struct http_request *req);
enum status get_order(struct http_request *req);
enum status get_orders(struct http_request *req);

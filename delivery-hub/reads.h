/* GET /orders/{order} and GET /orders. */
#pragma once
#include "db.h"
#include "http.h"

/* Before http_start. */
void reads_init(struct db *database);

/* Object check: the order becomes the request's state; who must not see it is told that there is
 * none. */
enum status see_order(struct http_request *req);
enum status get_order(struct http_request *req);
enum status get_orders(struct http_request *req);

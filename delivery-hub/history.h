/* GET /orders/{order}/history: what was done to an order, by whom and when. */
#pragma once
#include "db.h"
#include "http.h"

/* Before http_start. */
void history_init(struct db *database);

/* Who may see the order, as the primary has it, sees its history; a page by `after` (a version) and
 * `limit`. */
enum status get_history(struct http_request *req);

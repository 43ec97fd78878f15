/* What the handlers of reads and writes both ask of a request. A handler's own thread. */
#pragma once
#include "http.h"
#include "orders.h"

struct actor request_actor(const struct http_request *req);
/* The {order} of the path. What cannot be an id is the id of no order: NOT_FOUND. */
enum status request_order(struct http_request *req, int64_t *id);
/* What a failure of the database means to a client: sets the detail, returns `st`. */
enum status store_failed(struct http_request *req, enum status st);

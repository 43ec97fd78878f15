/* POST /orders/{order}/accept, through the gate of hot orders, and POST /orders/next. */
#pragma once
#include "gate.h"
#include "routes.h"

/* Before http_start. */
void accept_init(const struct hub *hub);

enum status post_accept(struct http_request *req); /* INLINE_OR_POOL */
enum status post_next(struct http_request *req);

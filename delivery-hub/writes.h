/* The writes of the API: each is one command (command.h). */
#pragma once
#include "routes.h"

/* Before http_start. */
void writes_init(const struct hub *hub);

enum status post_order(struct http_request *req);
enum status post_accept(struct http_request *req);
enum status post_next(struct http_request *req);
enum status post_pickup(struct http_request *req);
enum status post_deliver(struct http_request *req);
enum status post_release(struct http_request *req);
enum status post_cancel(struct http_request *req);

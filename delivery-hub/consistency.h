/* Read your own writes: a write's reply has `Consistency-Token: <order>:<version>`, and a read that
 * brings it back is answered by nothing older than that. A handler's own thread. */
#pragma once
#include "http.h"

void consistency_set(struct http_request *req, int64_t order, int64_t version);
/* The least version of `order` that may answer: 0 for any, when there is no token or it is of
 * another order. `given` (or NULL): there is a token at all. BAD_REQUEST for what is none. */
enum status consistency_take(struct http_request *req, int64_t order, int64_t *least, bool *given);

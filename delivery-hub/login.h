/* Who calls: bearer tokens, and the demo accounts that get one without a password. Any thread. */
#pragma once
#include "http.h"

/* The Authorization header's token to a principal with one of the roles of orders.h. No header is
 * nobody; UNAUTHENTICATED for a token that does not hold. */
enum status login_bearer(struct http_request *req, const char *key, struct principal *who);
/* {"account":"carla"} to {"token","sub","role","expires"}: customer carla, partners p1 to p50,
 * dispatcher dora. UNPROCESSABLE for anybody else. */
enum status login_demo(struct http_request *req, const char *key);

/* Who calls: from the session cookie to a user as the database knows them now.
 *
 * On every route that blocks, the session's generation is compared with the user's row, by primary
 * key. On the one that may be answered from memory (INLINE_OR_POOL: a student's own page) the near
 * cache admits, under the same invalidation as the page itself; what it does not admit goes to the
 * loader, which asks the database, and brings the page along. */
#pragma once
#include "http.h"
#include "near.h"
#include "session.h"

/* The `authenticate` of the server, for routes that need a session. UNAUTHENTICATED without one or
 * with one that is over, FORBIDDEN for a state change without the session's CSRF token,
 * UNAVAILABLE when a store that would know is down. */
enum status authenticate(struct http_request *req, struct principal *who);

/* The user behind the request; only on routes that need a session. */
const struct user *caller(const struct http_request *req);
/* Their page and the value of its Cache-Status header; only on the route that is INLINE_OR_POOL. */
const struct near_entry *caller_page(const struct http_request *req);
const char *caller_page_source(const struct http_request *req);

/* The session id of the request's cookie. OK with *found false, or BAD_REQUEST as cookie_get. */
enum status auth_session_id(const struct http_request *req, char id[SESSION_ID_SIZE], bool *found);
/* Set the session cookie of the reply; NULL takes it away. */
void auth_set_cookie(struct http_request *req, const char *id);

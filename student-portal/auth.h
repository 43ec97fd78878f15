/* Who calls: from the session cookie to a user as the database knows them now. */
#pragma once
#include "http.h"
#include "session.h"
#include "user.h"

/* The `authenticate` of the server, for routes that need a session. UNAUTHENTICATED without one or
 * with one that is over, FORBIDDEN for a state change without the session's CSRF token,
 * UNAVAILABLE when a store that would know is down. */
enum status authenticate(struct http_request *req, struct principal *who);

/* The user behind the request; only on routes that need a session. */
const struct user *caller(const struct http_request *req);

/* The session id of the request's cookie. OK with *found false, or BAD_REQUEST as cookie_get. */
enum status auth_session_id(const struct http_request *req, char id[SESSION_ID_SIZE], bool *found);
/* Set the session cookie of the reply; NULL takes it away. */
void auth_set_cookie(struct http_request *req, const char *id);

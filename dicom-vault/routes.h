/* Every route of the vault, who may, and its handler. */
#pragma once
#include "http.h"
#include "refusals.h"
#include "store.h"

/* What the handlers work on; all outlive the server. Main thread, before http_start. */
void routes_init(struct store *store, struct workers *workers, struct refusals *refusals);
const struct route *routes_table(size_t *n);
/* Bearer API key -> its id and scopes. A key without the route's scope is refused here already, and
 * that is in the audit log. */
enum status routes_authenticate(struct http_request *req, struct principal *who);

/* For the handlers of the table, wherever they are. */
struct audit_by routes_caller(const struct http_request *req);
/* What the audit log calls it. */
const char *routes_action(const struct http_request *req);
/* Put into the audit log that the caller did what the route is for to `id` (may be NULL), with the
 * outcome `s`: before the first byte of the reply. Returns `s`, or UNAVAILABLE when it cannot be
 * recorded: then there is no other reply. */
enum status routes_recorded(struct http_request *req, const uint8_t id[OBJECT_ID], enum status s);
/* The reply: `len` bytes of a download whose range is set, and which it takes over. Recorded as OK
 * before; when damage found in mid-stream breaks the reply off, that is one more entry. */
enum status routes_reply_download(struct http_request *req, int code, const char *type,
                                  const struct object *o, struct download *d, uint64_t len);

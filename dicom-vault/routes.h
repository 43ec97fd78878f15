/* Every route of the vault, who may, and its handler. */
#pragma once
#include "http.h"
#include "store.h"

/* What the handlers work on; both outlive the server. Main thread, before http_start. */
void routes_init(struct store *store, struct workers *workers);
const struct route *routes_table(size_t *n);
/* Bearer API key -> its id and scopes. */
enum status routes_authenticate(struct http_request *req, struct principal *who);

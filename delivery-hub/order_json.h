/* An order as JSON, in and out. Any thread. */
#pragma once
#include "json.h"
#include "orders.h"
#include "strbuf.h"

/* {"pickup","dropoff","fee_cents","note"?} of a POST into `o`, whose other members stay as they
 * are. UNPROCESSABLE with the reason in `why`. */
enum status order_parse(json_t *body, struct order *o, struct strbuf *why);
/* The caller's to json_decref. Everybody who may see an order sees the same bytes, so that one
 * version of it has one representation, and one ETag. */
json_t *order_json(const struct order *o);
/* Append it as text. */
void order_write(const struct order *o, struct strbuf *out);

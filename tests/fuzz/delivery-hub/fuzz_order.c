/* The body of POST /orders, and what is made of it: whatever is taken must be writable as JSON and
 * read back as the same order. */
#include "order_json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct strbuf why = STRBUF_INIT, text = STRBUF_INIT;
    struct order o = {.id = 1}, back = {0};
    json_t *body = NULL, *again = NULL;
    if (json_parse(bytes, len, &body, &why) || order_parse(body, &o, &why))
        goto out;
    order_write(&o, &text);
    if (json_parse(text.bytes, text.len, &again, &why))
        abort();
    json_t *taken =
        json_pack("{s:O, s:O, s:O, s:O}", "pickup", json_object_get(again, "pickup"), "dropoff",
                  json_object_get(again, "dropoff"), "fee_cents",
                  json_object_get(again, "fee_cents"), "note", json_object_get(again, "note"));
    if (order_parse(taken, &back, &why) != STATUS_OK || strcmp(back.pickup, o.pickup) != 0 ||
        strcmp(back.dropoff, o.dropoff) != 0 || strcmp(back.note, o.note) != 0 ||
        back.fee_cents != o.fee_cents)
        abort();
    json_decref(taken);
out:
    json_decref(body);
    json_decref(again);
    strbuf_release(&why);
    strbuf_release(&text);
    return 0;
}

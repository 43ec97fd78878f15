#include "order_json.h"
#include <stdio.h>

/* Copy a text member that is min..size-1 bytes of UTF-8. */
static enum status take_text(const char *name, const char *text, size_t len, size_t min,
                             bool multiline, char *out, size_t size, struct strbuf *why)
{
    if (!text_valid(text, len, min, size - 1, multiline)) {
        strbuf_addf(why, "%s must be %zu to %zu bytes of text without control characters", name,
                    min, size - 1);
        return STATUS_UNPROCESSABLE;
    }
    snprintf(out, size, "%s", text);
    return STATUS_OK;
}

enum status order_parse(json_t *body, struct order *o, struct strbuf *why)
{
    const char *pickup, *dropoff, *note = "";
    size_t pickup_len, dropoff_len, note_len = 0;
    json_int_t fee;
    enum status st =
        json_take(body, why, "{s:s%, s:s%, s:I, s?s% !}", "pickup", &pickup, &pickup_len, "dropoff",
                  &dropoff, &dropoff_len, "fee_cents", &fee, "note", &note, &note_len);
    if (st)
        return st;
    if (fee < 0 || fee > FEE_CENTS_MAX) {
        strbuf_addf(why, "fee_cents must be 0 to %d", FEE_CENTS_MAX);
        return STATUS_UNPROCESSABLE;
    }
    o->fee_cents = fee;
    st = take_text("pickup", pickup, pickup_len, 1, false, o->pickup, sizeof(o->pickup), why);
    if (!st)
        st = take_text("dropoff", dropoff, dropoff_len, 1, false, o->dropoff, sizeof(o->dropoff),
                       why);
    if (!st)
        st = take_text("note", note, note_len, 0, true, o->note, sizeof(o->note), why);
    return st;
}

json_t *order_json(const struct order *o)
{
    char id[24];
    snprintf(id, sizeof(id), "%lld", (long long)o->id);
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s?, s:s?, s:s, s:s, s:I, s:s, s:s, s:s}", /* */
                     "id", id, "status", order_state_name(o->state), "version",
                     (json_int_t)o->version, "fence", (json_int_t)o->fence, "customer", o->customer,
                     "partner", o->partner[0] ? o->partner : NULL, "lease_until",
                     o->lease_until[0] ? o->lease_until : NULL, "pickup", o->pickup, "dropoff",
                     o->dropoff, "fee_cents", (json_int_t)o->fee_cents, "note", o->note,
                     "created_at", o->created_at, "updated_at", o->updated_at);
}

void order_write(const struct order *o, struct strbuf *out)
{
    json_t *root = order_json(o);
    json_write(out, root);
    json_decref(root);
}

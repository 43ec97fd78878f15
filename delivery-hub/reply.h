/* What a write answers. It is made inside the transaction, so that it can be recorded there, and
 * sent after the commit. */
#pragma once
#include "http.h"
#include "orders.h"

struct reply {
    int code;        /* HTTP: 200, 201, 204, or a refusal's 404, 409, 412, 422 */
    bool again;      /* a refusal that time will lift: it goes with Retry-After */
    int64_t order;   /* it is of this one; 0: none */
    int64_t version; /* and of this version */
    /* Of a refusal made now, all static (`state` or NULL); of a recorded one they are in the body.
     */
    const char *reason, *detail, *state;
    struct strbuf body; /* JSON: the order, or the members of the problem */
};

/* Each makes `r` anew. */
void reply_order(struct reply *r, int code, const struct order *o);
void reply_nothing(struct reply *r);       /* 204 */
bool reply_changed(const struct reply *r); /* is it of a write that changed something */
/* `reason` is a stable word for programs ("state", "capacity", ...), `detail` for people; `o` (or
 * NULL) adds its state. */
void reply_refuse(struct reply *r, enum status st, const char *reason, const struct order *o,
                  const char *detail);
/* The body, to be recorded. */
const char *reply_text(struct reply *r);
enum status reply_send(struct http_request *req, const struct reply *r);

#include "reply.h"
#include "consistency.h"
#include "etag.h"
#include "order_json.h"
#include <stdio.h>
#include <string.h>

static void renew(struct reply *r, int code, const struct order *o)
{
    *r = (struct reply){.code = code, .body = r->body};
    r->order = o ? o->id : 0;
    r->version = o ? o->version : 0;
    strbuf_reset(&r->body);
}

void reply_order(struct reply *r, int code, const struct order *o)
{
    renew(r, code, o);
    order_write(o, &r->body);
}

void reply_nothing(struct reply *r)
{
    renew(r, 204, NULL);
}

bool reply_changed(const struct reply *r)
{
    return r->code < 300 && r->order != 0;
}

void reply_refuse(struct reply *r, enum status st, const char *reason, const struct order *o,
                  const char *detail)
{
    renew(r, status_http(st), o);
    r->reason = reason;
    r->detail = detail;
    r->state = o ? order_state_name(o->state) : NULL;
}

const char *reply_text(struct reply *r)
{
    if (r->detail) {
        json_t *members = json_pack("{s:s, s:s, s:s*}", "detail", r->detail, "reason", r->reason,
                                    "state", r->state);
        strbuf_reset(&r->body);
        json_write(&r->body, members);
        json_decref(members);
    }
    return strbuf_cstr(&r->body);
}

static enum status refusal_status(int code)
{
    static const enum status refusals[] = {STATUS_NOT_FOUND, STATUS_CONFLICT,
                                           STATUS_PRECONDITION_FAILED, STATUS_UNPROCESSABLE};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (status_http(refusals[i]) == code)
            return refusals[i];
    }
    return STATUS_INTERNAL;
}

/* The members of a recorded one are those of send_refusal, in the same order. */
static enum status send_recorded(struct http_request *req, enum status st, const struct reply *r)
{
    struct strbuf why = STRBUF_INIT;
    json_t *members = NULL, *value;
    const char *name;
    if (json_parse(strbuf_cstr(&r->body), r->body.len, &members, &why))
        st = http_fail(req, STATUS_INTERNAL, "the recorded answer cannot be read: %s",
                       strbuf_cstr(&why));
    json_object_foreach(members, name, value)
    {
        if (strcmp(name, "detail") == 0)
            http_fail(req, st, "%s", json_string_value(value));
        else
            http_fail_member(req, name, json_string_value(value));
    }
    json_decref(members);
    strbuf_release(&why);
    return st;
}

static enum status send_refusal(struct http_request *req, const struct reply *r)
{
    enum status st = refusal_status(r->code);
    if (r->again)
        http_set_header(req, "Retry-After", "1");
    if (!r->detail)
        return send_recorded(req, st, r);
    http_fail_member(req, "reason", r->reason);
    if (r->state)
        http_fail_member(req, "state", r->state);
    return http_fail(req, st, "%s", r->detail);
}

enum status reply_send(struct http_request *req, const struct reply *r)
{
    char text[64];
    if (r->order)
        consistency_set(req, r->order, r->version);
    if (r->code >= 400)
        return send_refusal(req, r);
    if (r->code == 204)
        return http_reply(req, r->code, NULL, NULL, 0);
    etag_format(r->version, text);
    http_set_header(req, "ETag", text);
    if (r->code == 201) {
        snprintf(text, sizeof(text), "/orders/%lld", (long long)r->order);
        http_set_header(req, "Location", text);
    }
    return http_reply(req, r->code, "application/json", r->body.bytes, r->body.len);
}

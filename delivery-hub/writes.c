#include "writes.h"
#include "advance.h"
#include "clock.h"
#include "order_json.h"
#include "orders_db.h"
#include "relay.h"
#include "reply.h"
#include "request.h"
#include "secret.h"
#include <stdio.h>
#include <string.h>

static struct hub hub;

/* What a key stands for. The role is part of it: a customer and a dispatcher may share a name. */
static void hash_request(const struct http_request *req, uint8_t out[32])
{
    struct strbuf what = STRBUF_INIT;
    size_t len;
    const uint8_t *body = http_body(req, &len);
    const char *order = http_param(req, "order");
    strbuf_addf(&what, "%u\n%s\n%s\n", request_actor(req).role, http_route(req)->pattern,
                order ? order : "");
    strbuf_add(&what, body, len);
    secret_sha256(what.bytes, what.len, out);
    strbuf_release(&what);
}

/* Tell the map and the relay. What was committed at an earlier time may be of the past by now. */
static void committed(const struct command *cmd)
{
    const struct strbuf *body = &cmd->reply.body;
    struct snapshot *shown = cmd->replayed ? NULL : snapshot_parse(body->bytes, body->len);
    if (shown)
        status_map_put(hub.stores.map, shown, clock_mono_ms());
    snapshot_unref(shown);
    job_wake(hub.relay);
    if (hub.direct)
        relay_publish(hub.direct);
}

enum status write_check(struct http_request *req)
{
    const char *key = http_header(req, "Idempotency-Key");
    if (key && !command_key_valid(key))
        return http_fail(req, STATUS_BAD_REQUEST,
                         "Idempotency-Key must be 1 to %d printable characters without blanks",
                         IDEMPOTENCY_KEY_MAX);
    return STATUS_OK;
}

enum status write_begin(struct http_request *req, struct command *cmd)
{
    cmd->caller = http_principal(req)->id;
    cmd->key = http_header(req, "Idempotency-Key");
    hash_request(req, cmd->request);
    return write_check(req);
}

enum status write_end(struct http_request *req, struct command *cmd, enum status st)
{
    if (!st && reply_changed(&cmd->reply))
        committed(cmd);
    st = st ? store_failed(req, st) : reply_send(req, &cmd->reply);
    strbuf_release(&cmd->reply.body);
    return st;
}

static enum status run_command(struct http_request *req,
                               enum status (*work)(struct db_conn *c, struct command *cmd),
                               void *arg)
{
    struct command cmd = {.work = work, .arg = arg};
    enum status st = write_begin(req, &cmd);
    return st ? st : write_end(req, &cmd, command_run(hub.db, &cmd));
}

static enum status create_work(struct db_conn *c, struct command *cmd)
{
    struct order o = *(const struct order *)cmd->arg;
    enum status st = orders_insert(c, &o);
    if (!st)
        reply_order(&cmd->reply, 201, &o);
    return st;
}

enum status post_order(struct http_request *req)
{
    struct order o = {0};
    struct strbuf why = STRBUF_INIT;
    json_t *body;
    enum status st = http_body_json(req, &body);
    if (st)
        return st;
    st = order_parse(body, &o, &why);
    if (st)
        http_fail(req, st, "%s", strbuf_cstr(&why));
    strbuf_release(&why);
    if (st)
        return st;
    snprintf(o.customer, sizeof(o.customer), "%.*s", PERSON_MAX, http_principal(req)->id);
    return run_command(req, create_work, &o);
}

enum status write_conclude(struct command *cmd, enum status st, const struct order *o)
{
    if (!st)
        reply_order(&cmd->reply, 200, o);
    else if (st == STATUS_CONFLICT)
        reply_refuse(&cmd->reply, st, "state", o, "the order's state does not allow this");
    else if (st == STATUS_PRECONDITION_FAILED && order_lapsed(o))
        reply_refuse(&cmd->reply, st, "lease", o, "the order was not picked up in time");
    else if (st == STATUS_PRECONDITION_FAILED)
        reply_refuse(&cmd->reply, st, "fence", o, "the order went through other hands since");
    else
        return st;
    return STATUS_OK;
}

static enum status advance_work(struct db_conn *c, struct command *cmd)
{
    struct order o;
    enum status st = advance(c, cmd->arg, &o);
    return write_conclude(cmd, st, &o);
}

/* {"fence":1}, or no body. */
static enum status take_fence(struct http_request *req, int64_t *fence)
{
    json_int_t number = 0;
    size_t len;
    http_body(req, &len);
    if (len == 0)
        return STATUS_OK;
    enum status st = http_body_take(req, "{s?I !}", "fence", &number);
    *fence = number;
    return st;
}

static enum status post_advance(struct http_request *req, enum order_action action)
{
    struct advance a = {.action = action, .who = request_actor(req)};
    enum status st = request_order(req, &a.order);
    if (!st)
        st = take_fence(req, &a.fence);
    return st ? st : run_command(req, advance_work, &a);
}

enum status post_pickup(struct http_request *req)
{
    return post_advance(req, PICKUP);
}

enum status post_deliver(struct http_request *req)
{
    return post_advance(req, DELIVER);
}

enum status post_release(struct http_request *req)
{
    return post_advance(req, RELEASE);
}

enum status post_cancel(struct http_request *req)
{
    return post_advance(req, CANCEL);
}

void writes_init(const struct hub *h)
{
    hub = *h;
}

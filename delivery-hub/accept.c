#include "accept.h"
#include "assign.h"
#include "metrics.h"
#include "orders_db.h"
#include "request.h"
#include "writes.h"
#include <stdlib.h>

static struct hub hub;
static struct metric *told_metric;

/* An accept on its way; the state of its request. */
struct accept {
    struct gate_pass pass; /* first: what the gate hands out is the accept */
    struct http_request *req;
    bool keyed; /* by the client */
    struct assignment what;
    struct gate_finding found; /* by its own look at the order */
};

static struct assignment assignment_of(const struct http_request *req)
{
    return (struct assignment){
        .strategy = hub.strategy,
        .partner = http_principal(req)->id,
        .capacity = hub.capacity,
        .lease_s = hub.lease_s,
    };
}

static enum status refuse_body(struct http_request *req)
{
    size_t len;
    http_body(req, &len);
    return len ? http_fail(req, STATUS_UNPROCESSABLE, "this takes no body") : STATUS_OK;
}

static enum status refuse_capacity(struct command *cmd, const struct order *o)
{
    reply_refuse(&cmd->reply, STATUS_CONFLICT, "capacity", o, "you hold as many orders as you may");
    return STATUS_OK;
}

/* --- the gate --------------------------------------------------------------------------------- */

static void go_on(void *accept)
{
    http_go_on(((struct accept *)accept)->req);
}

static void go_on_all(void *first)
{
    struct gate_pass *next, *p = first;
    for (; p; p = next) {
        next = p->next; /* the request may be gone once it went on */
        go_on(p);
    }
}

static void hand_on(void (*job)(void *), void *arg)
{
    if (workers_submit_admitted(hub.workers, job, arg))
        job(arg); /* the server stops: this answers it at once */
}

/* With a key the refusal is recorded, by a transaction of its own. */
static bool needs_database(const struct gate_pass *p)
{
    const struct accept *a = (const struct accept *)p;
    return !p->told || (p->found.st == STATUS_CONFLICT && a->keyed);
}

/* All who need nothing but an answer get theirs from one job: waking a worker for each would cost
 * more than the answer. */
static void leave_gate(struct accept *a, const struct gate_finding *found)
{
    struct gate_pass *next, *p = gate_leave(hub.gate, &a->pass, found);
    struct gate_pass *told = NULL, **end = &told;
    for (; p; p = next) {
        next = p->next;
        p->next = NULL;
        metric_add(told_metric, p->told);
        if (needs_database(p)) {
            hand_on(go_on, p);
        } else {
            *end = p;
            end = &p->next;
        }
    }
    if (told)
        hand_on(go_on_all, told);
}

/* Release of the request's state. Still inside only if it never ran, since the server stops. */
static void accept_free(void *accept)
{
    struct accept *a = accept;
    if (a->pass.inside)
        leave_gate(a, NULL);
    free(a);
}

/* Keeper of http_leave: whoever is inside goes to the pool, the others wait. */
static enum status wait_at_gate(void *accept, struct http_request *req)
{
    struct accept *a = accept;
    bool inside;
    enum status st = gate_enter(hub.gate, &a->pass, &inside);
    if (st)
        return http_fail(req, st, "too many wait for orders");
    if (inside)
        st = workers_submit(hub.workers, go_on, a);
    if (st)
        leave_gate(a, NULL);
    return st;
}

/* Is what this accept found true for the others? Not what only its partner may not; nor a replay,
 * which tells of an earlier time. */
static const struct gate_finding *finding(struct accept *a, const struct command *cmd,
                                          enum status st)
{
    bool won = !st && !cmd->replayed && a->found.st == STATUS_OK && cmd->reply.code == 200;
    bool taken = a->found.st == STATUS_CONFLICT && a->found.state != ORDER_PENDING;
    if (won || taken)
        return &a->found;
    a->found.st = st;
    return st == STATUS_UNAVAILABLE || st == STATUS_OVERLOADED || st == STATUS_NOT_FOUND ? &a->found
                                                                                         : NULL;
}

/* --- accept ----------------------------------------------------------------------------------- */

static enum status accept_work(struct db_conn *c, struct command *cmd)
{
    struct accept *a = cmd->arg;
    struct order o = {0};
    if (a->pass.inside)
        gate_look(hub.gate, &a->pass);
    enum status st = assign(c, &a->what, &o);
    a->found = (struct gate_finding){st, o.state, o.version};
    if (st == STATUS_CONFLICT && o.state == ORDER_PENDING)
        return refuse_capacity(cmd, &o);
    return write_conclude(cmd, st, &o);
}

static enum status accept_run(struct http_request *req, struct accept *a)
{
    struct command cmd = {.work = accept_work, .arg = a};
    enum status st = write_begin(req, &cmd);
    if (st)
        return st;
    a->found.st = STATUS_NEEDS_POOL; /* nothing yet */
    st = command_run(hub.db, &cmd);
    if (a->pass.inside)
        leave_gate(a, finding(a, &cmd, st));
    return write_end(req, &cmd, st);
}

/* The answer that the database would give, without asking it. */
static enum status accept_told(struct http_request *req, const struct accept *a)
{
    struct command cmd = {0};
    const struct gate_finding *found = &a->pass.found;
    const struct order o = {.id = a->pass.order, .state = found->state, .version = found->version};
    return write_end(req, &cmd, write_conclude(&cmd, found->st, &o));
}

static enum status accept_begin(struct http_request *req, struct accept **out)
{
    int64_t order = 0;
    enum status st = request_order(req, &order);
    if (!st)
        st = refuse_body(req);
    if (!st)
        st = write_check(req);
    if (st)
        return st;
    struct accept *a = *out = xcalloc(1, sizeof(*a));
    *a = (struct accept){.pass = {.order = order}, .req = req, .what = assignment_of(req)};
    a->keyed = http_header(req, "Idempotency-Key");
    a->what.order = order;
    http_set_state(req, a, accept_free);
    return STATUS_OK;
}

enum status post_accept(struct http_request *req)
{
    struct accept *a = http_state(req);
    enum status st = a ? STATUS_OK : accept_begin(req, &a);
    if (st)
        return st;
    if (!http_on_pool(req))
        return hub.gate ? http_leave(req, wait_at_gate, a) : STATUS_NEEDS_POOL;
    return needs_database(&a->pass) ? accept_run(req, a) : accept_told(req, a);
}

/* --- next ------------------------------------------------------------------------------------- */

static enum status next_work(struct db_conn *c, struct command *cmd)
{
    struct order o;
    enum status st = assign_next(c, cmd->arg, &o);
    if (st == STATUS_CONFLICT)
        return refuse_capacity(cmd, NULL);
    if (st != STATUS_NOT_FOUND)
        return write_conclude(cmd, st, &o);
    reply_nothing(&cmd->reply);
    return STATUS_OK;
}

enum status post_next(struct http_request *req)
{
    struct assignment a = assignment_of(req);
    struct command cmd = {.work = next_work, .arg = &a};
    enum status st = refuse_body(req);
    if (!st)
        st = write_begin(req, &cmd);
    return st ? st : write_end(req, &cmd, command_run(hub.db, &cmd));
}

static double read_waiting(void *gate)
{
    return (double)gate_waiting(gate);
}

void accept_init(const struct hub *h)
{
    hub = *h;
    told_metric =
        metric_counter("hub_gate_told_total", "", "Accepts answered from what another one found.");
    if (hub.gate)
        metric_gauge_read("hub_gate_waiting", "", "Accepts that wait for another one.",
                          read_waiting, hub.gate);
}

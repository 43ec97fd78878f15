/* The gate before a hot order. Of all accepts of one order in this process one at a time is let
 * through to the database; the others wait here, holding neither a thread nor a connection, and
 * most are answered from what the one found.
 *
 * The gate decides nothing. Who is let through is judged by the database, as it is between
 * processes; and a finding is told only to those for whom it is true: a winner's commit to
 * everybody who was waiting when it was known, anything else to those who had come before the
 * finder began to look. Any thread; nothing here blocks. */
#pragma once
#include "orders.h"
#include <stddef.h>

struct gate;

struct gate_finding {
    enum status st;         /* OK: it won */
    enum order_state state; /* of the order; with OK and CONFLICT, as is */
    int64_t version;
};

/* One accept. {.order = id} before gate_enter; it belongs to the gate while it waits. */
struct gate_pass {
    int64_t order;
    bool inside;               /* let through: run, then gate_leave */
    bool told;                 /* answer from `found` */
    struct gate_finding found; /* never OK: of who won, the others are told CONFLICT */
    struct gate_pass *next;    /* in the chain that gate_leave returns */
};

/* At most `waiting_max` wait, at all orders together. */
struct gate *gate_new(size_t waiting_max);
void gate_free(struct gate *g);
size_t gate_waiting(struct gate *g);

/* OK with *inside true: go on. OK with *inside false: the pass waits until a gate_leave returns
 * it, which may be at once; the caller must not touch it any more. OVERLOADED: too many wait. */
enum status gate_enter(struct gate *g, struct gate_pass *p, bool *inside);
/* Who is inside begins to read the order. */
void gate_look(struct gate *g, const struct gate_pass *p);
/* Who is inside has done: `found`, or NULL for what concerns nobody else. Returns a chain of
 * passes that wait no longer: those told, and the next one inside. */
struct gate_pass *gate_leave(struct gate *g, struct gate_pass *p, const struct gate_finding *found);

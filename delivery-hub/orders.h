/* The rules of an order: its states, who may do what in which state, who sees it. No store, no
 * protocol, no clock of its own: all of it is tested without a daemon. Any thread. */
#pragma once
#include "clock.h"
#include "status.h"
#include <stdbool.h>
#include <stdint.h>

/* STATE(NAME, text): the text is used in JSON, in the database and in queries. */
#define ORDER_STATES(STATE)                                                                        \
    STATE(PENDING, "pending")                                                                      \
    STATE(ASSIGNED, "assigned")                                                                    \
    STATE(PICKED_UP, "picked_up")                                                                  \
    STATE(DELIVERED, "delivered")                                                                  \
    STATE(CANCELLED, "cancelled")

enum order_state {
#define STATE(name, text) ORDER_##name,
    ORDER_STATES(STATE)
#undef STATE
        ORDER_STATE_COUNT
};

enum order_action { ACCEPT, PICKUP, DELIVER, RELEASE, CANCEL, EXPIRE, ORDER_ACTION_COUNT };

/* Roles are bits, the same that the route table uses. No token makes a reaper: it is the hub
 * itself, when a lease is over. */
enum { CUSTOMER = 1, PARTNER = 2, DISPATCHER = 4, REAPER = 8 };

enum { PERSON_MAX = 64, ADDRESS_MAX = 200, NOTE_MAX = 500, FEE_CENTS_MAX = 1000000 };

struct actor {
    const char *id;
    unsigned role;
};

struct order {
    int64_t id;
    int64_t version; /* one more with every transition */
    int64_t fence;   /* one more with every assignment; who holds the order quotes it */
    enum order_state state;
    char customer[PERSON_MAX + 1];
    char partner[PERSON_MAX + 1]; /* who holds it or brought it; "" for nobody */
    char pickup[ADDRESS_MAX + 1]; /* addresses */
    char dropoff[ADDRESS_MAX + 1];
    char note[NOTE_MAX + 1];
    int64_t fee_cents;
    char created_at[RFC3339_SIZE];
    char updated_at[RFC3339_SIZE];
    char lease_until[RFC3339_SIZE]; /* of an assigned order: pick up before; "" else */
    char read_at[RFC3339_SIZE];     /* the database's clock when the row was read, its lock held */
};

const char *order_state_name(enum order_state s);
/* NOT_FOUND for a text that names no state. */
enum status order_state_parse(const char *text, enum order_state *out);
/* The event that an action leaves in the outbox: "accepted". */
const char *order_event(enum order_action a);

/* A customer sees their own orders, a partner every pending one and their own, a dispatcher all.
 * To everybody else an order does not exist. */
bool order_visible(const struct order *o, const struct actor *who);
/* The same by the three things that decide it. */
bool order_shown(enum order_state state, const char *customer, const char *partner,
                 const struct actor *who);

/* Move `o` to what it is after the action: state, partner, version, fence, updated_at. Checked in
 * this order, `o` untouched on failure:
 * FORBIDDEN             the role never does this
 * NOT_FOUND             not theirs to know of (an accept may see any order: it was pending once)
 * PRECONDITION_REQUIRED a holder's action without a fence (0)
 * PRECONDITION_FAILED   another fence than the order's: it went through other hands since; or the
 *                       lease is over, even if nobody took the order back yet
 * CONFLICT              not in this state; an EXPIRE whose time has not come */
enum status order_move(struct order *o, enum order_action a, const struct actor *who,
                       int64_t fence);
/* Begin the lease of an order that was just accepted: it ends `seconds` after `read_at`. */
void order_lease(struct order *o, int64_t seconds);
/* Was the lease over when the row was read? False for an order without one. */
bool order_lapsed(const struct order *o);

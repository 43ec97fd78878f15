#include "orders.h"
#include <stdio.h>
#include <string.h>

#define IN(state) (1u << ORDER_##state)

static const struct transition {
    unsigned from; /* IN(...) bits */
    enum order_state to;
    unsigned who;
    bool fenced; /* only for who holds the order, by quoting its fence */
    const char *event;
} transitions[ORDER_ACTION_COUNT] = {
    [ACCEPT] = {IN(PENDING), ORDER_ASSIGNED, PARTNER, false, "accepted"},
    [PICKUP] = {IN(ASSIGNED), ORDER_PICKED_UP, PARTNER, true, "picked_up"},
    [DELIVER] = {IN(PICKED_UP), ORDER_DELIVERED, PARTNER, true, "delivered"},
    [RELEASE] = {IN(ASSIGNED), ORDER_PENDING, PARTNER, true, "released"},
    [CANCEL] = {IN(PENDING) | IN(ASSIGNED), ORDER_CANCELLED, CUSTOMER | DISPATCHER, false,
                "cancelled"},
    [EXPIRE] = {IN(ASSIGNED), ORDER_PENDING, REAPER, false, "expired"},
};

static const char *const state_names[ORDER_STATE_COUNT] = {
#define STATE(name, text) text,
    ORDER_STATES(STATE)
#undef STATE
};

const char *order_state_name(enum order_state s)
{
    return state_names[s];
}

enum status order_state_parse(const char *text, enum order_state *out)
{
    for (unsigned s = 0; s < ORDER_STATE_COUNT; s++) {
        if (strcmp(text, state_names[s]) == 0) {
            *out = (enum order_state)s;
            return STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

const char *order_event(enum order_action a)
{
    return transitions[a].event;
}

static bool is_theirs(const struct order *o, const struct actor *who)
{
    return strcmp(o->partner, who->id) == 0;
}

bool order_shown(enum order_state state, const char *customer, const char *partner,
                 const struct actor *who)
{
    switch (who->role) {
    case CUSTOMER:
        return strcmp(customer, who->id) == 0;
    case PARTNER:
        return state == ORDER_PENDING || strcmp(partner, who->id) == 0;
    case DISPATCHER:
    case REAPER:
        return true;
    default:
        return false;
    }
}

bool order_visible(const struct order *o, const struct actor *who)
{
    return order_shown(o->state, o->customer, o->partner, who);
}

bool order_lapsed(const struct order *o)
{
    /* One length, one zone: the order of the texts is that of the times. */
    return o->lease_until[0] && strcmp(o->read_at, o->lease_until) >= 0;
}

void order_lease(struct order *o, int64_t seconds)
{
    int64_t now = 0;
    rfc3339_parse(o->read_at, &now);
    rfc3339_format(now + seconds * 1000, o->lease_until);
}

enum status order_move(struct order *o, enum order_action a, const struct actor *who, int64_t fence)
{
    const struct transition *t = &transitions[a];
    if (!(t->who & who->role))
        return STATUS_FORBIDDEN;
    if (a != ACCEPT && !order_visible(o, who))
        return STATUS_NOT_FOUND;
    if (t->fenced && fence == 0)
        return STATUS_PRECONDITION_REQUIRED;
    if (t->fenced && (fence != o->fence || !is_theirs(o, who) || order_lapsed(o)))
        return STATUS_PRECONDITION_FAILED;
    if (!(t->from & 1u << o->state) || (a == EXPIRE && !order_lapsed(o)))
        return STATUS_CONFLICT;

    if (a == ACCEPT) {
        snprintf(o->partner, sizeof(o->partner), "%s", who->id);
        o->fence++;
    } else if (t->to == ORDER_PENDING) {
        o->partner[0] = '\0';
    }
    o->state = t->to;
    o->version++;
    o->lease_until[0] = '\0';
    memcpy(o->updated_at, o->read_at, sizeof(o->updated_at));
    return STATUS_OK;
}

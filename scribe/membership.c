#include "membership.h"
#include <string.h>

/* What a transaction works on. */
struct act {
    const struct member_change *c;
    bool private;
    int64_t seq, version;
    struct membership *out;
    struct place place; /* of `by` */
};

static enum status run(struct act *a, enum status (*work)(void *act))
{
    return a->c->driver->write(a->c->h, work, a);
}

static enum status find_place(struct act *a)
{
    return a->c->driver->place(a->c->h, a->c->room, a->c->by, &a->place);
}

/* --- create and join ------------------------------------------------------------------------ */

/* The owner who asks again did not get the answer, and perhaps only half of the room. */
static enum status create(void *act)
{
    struct act *a = act;
    const struct member_change *c = a->c;
    const struct place *p = &a->place;
    int64_t head = 0;
    enum status status = c->driver->add_room(c->h, c->room, c->by, a->private);
    if (status == STATUS_DUPLICATE) {
        status = find_place(a);
        if (status == STATUS_OK && (!p->owns || p->private != a->private))
            status = STATUS_CONFLICT;
    }
    if (status != STATUS_OK || p->known)
        return status;
    status = c->driver->durable_head(c->h, c->room, &head);
    return status == STATUS_OK ? c->driver->put_member(c->h, c->room, c->by, head) : status;
}

enum status membership_create(const struct member_change *c, bool private)
{
    return run(&(struct act){.c = c, .private = private}, create);
}

static enum status find_or_add_room(struct act *a)
{
    const struct member_change *c = a->c;
    enum status status = find_place(a);
    if (status != STATUS_OK || a->place.exists)
        return status;
    status = c->driver->add_room(c->h, c->room, c->by, false);
    /* Somebody else was first, and may have made it private. */
    return status == STATUS_DUPLICATE ? find_place(a) : status;
}

static enum status may_enter(const struct place *p)
{
    if (p->private && (p->removed || (!p->known && !p->owns)))
        return STATUS_NOT_FOUND;
    return p->removed ? STATUS_FORBIDDEN : STATUS_OK;
}

/* The head is read after the marker, so that the marker is not above it. */
static enum status join(void *act)
{
    struct act *a = act;
    const struct member_change *c = a->c;
    const struct place *p = &a->place;
    enum status status = find_or_add_room(a);
    if (status == STATUS_OK)
        status = may_enter(p);
    if (status == STATUS_OK)
        status = c->driver->durable_head(c->h, c->room, &a->out->head);
    if (status == STATUS_OK && p->marker < 0)
        status = c->driver->put_member(c->h, c->room, c->by, a->out->head);
    a->out->marker = p->marker < 0 ? a->out->head : p->marker;
    a->out->private = p->private;
    a->out->version = p->version;
    return status;
}

/* Who has joined before writes nothing, and so needs no lock. */
enum status membership_join(const struct member_change *c, struct membership *out)
{
    struct act a = {.c = c, .out = out};
    enum status status = find_place(&a);
    if (status != STATUS_OK)
        return status;
    return a.place.marker < 0 ? run(&a, join) : join(&a);
}

/* --- read markers --------------------------------------------------------------------------- */

static enum status mark(void *act)
{
    const struct act *a = act;
    const struct member_change *c = a->c;
    return c->driver->mark(c->h, c->room, c->by, a->seq);
}

enum status membership_mark(const struct member_change *c, int64_t seq, int64_t *marker)
{
    struct act a = {.c = c, .seq = seq};
    enum status status = run(&a, mark);
    if (status == STATUS_OK)
        status = find_place(&a);
    *marker = a.place.marker;
    return status == STATUS_OK && !a.place.known ? STATUS_NOT_FOUND : status;
}

/* --- invite and remove ---------------------------------------------------------------------- */

static enum status raise_version(struct act *a)
{
    return a->c->driver->raise_version(a->c->h, a->c->room, &a->version);
}

/* May `by` act in the room at all? */
static enum status find_actor(struct act *a)
{
    const struct place *p = &a->place;
    enum status status = find_place(a);
    if (status != STATUS_OK)
        return status;
    if (p->known && !p->removed)
        return STATUS_OK;
    return p->exists && !p->private ? STATUS_FORBIDDEN : STATUS_NOT_FOUND;
}

static enum status invite(void *act)
{
    struct act *a = act;
    const struct member_change *c = a->c;
    enum status status = find_actor(a);
    if (status == STATUS_OK)
        status = c->driver->put_member(c->h, c->room, c->user, -1);
    return status == STATUS_OK ? raise_version(a) : status;
}

enum status membership_invite(const struct member_change *c, int64_t *version)
{
    struct act a = {.c = c};
    enum status status = run(&a, invite);
    *version = a.version;
    return status;
}

static enum status remove_member(void *act)
{
    struct act *a = act;
    const struct member_change *c = a->c;
    bool self = strcmp(c->by, c->user) == 0;
    enum status status = find_actor(a);
    if (status == STATUS_OK && !self && !a->place.owns)
        status = STATUS_FORBIDDEN;
    if (self && a->place.exists && !a->place.known)
        raise_version(a); /* an earlier try may have come only half way */
    if (status == STATUS_OK)
        status = (self ? c->driver->drop_member : c->driver->ban_member)(c->h, c->room, c->user);
    return status == STATUS_OK ? raise_version(a) : status;
}

enum status membership_remove(const struct member_change *c, int64_t *version)
{
    struct act a = {.c = c};
    enum status status = run(&a, remove_member);
    *version = a.version;
    return status;
}

#include "membership.h"
#include <string.h>

static enum status find_place(const struct member_change *c, struct place *p)
{
    return c->driver->place(c->h, c->room, c->by, p);
}

/* --- create and join ------------------------------------------------------------------------ */

/* The owner who asks again did not get the answer, and perhaps only half of the room. */
enum status membership_create(const struct member_change *c, bool private)
{
    struct place p = {0};
    int64_t head = 0;
    enum status status = c->driver->add_room(c->h, c->room, c->by, private);
    if (status == STATUS_DUPLICATE) {
        status = find_place(c, &p);
        if (status == STATUS_OK && (!p.owns || p.private != private))
            status = STATUS_CONFLICT;
    }
    if (status != STATUS_OK || p.known)
        return status;
    status = c->driver->durable_head(c->h, c->room, &head);
    return status == STATUS_OK ? c->driver->put_member(c->h, c->room, c->by, head) : status;
}

static enum status find_or_add_room(const struct member_change *c, struct place *p)
{
    enum status status = find_place(c, p);
    if (status != STATUS_OK || p->exists)
        return status;
    status = c->driver->add_room(c->h, c->room, c->by, false);
    /* Somebody else was first, and may have made it private. */
    return status == STATUS_DUPLICATE ? find_place(c, p) : status;
}

static enum status may_enter(const struct place *p)
{
    if (p->private && (p->removed || (!p->known && !p->owns)))
        return STATUS_NOT_FOUND;
    return p->removed ? STATUS_FORBIDDEN : STATUS_OK;
}

/* The head is read after the marker, so that the marker is not above it. */
static enum status enter(const struct member_change *c, const struct place *p,
                         struct membership *out)
{
    enum status status = may_enter(p);
    if (status == STATUS_OK)
        status = c->driver->durable_head(c->h, c->room, &out->head);
    out->marker = p->marker < 0 ? out->head : p->marker;
    out->private = p->private;
    out->version = p->version;
    return status;
}

enum status membership_visit(const struct member_change *c, struct membership *out, bool *first)
{
    struct place p;
    enum status status = find_place(c, &p);
    *first = status == STATUS_OK && p.marker < 0;
    return status == STATUS_OK && !*first ? enter(c, &p, out) : status;
}

enum status membership_join(const struct member_change *c, struct membership *out)
{
    struct place p;
    enum status status = find_or_add_room(c, &p);
    if (status == STATUS_OK)
        status = enter(c, &p, out);
    if (status == STATUS_OK && p.marker < 0)
        status = c->driver->put_member(c->h, c->room, c->by, out->head);
    return status;
}

/* --- invite and remove ---------------------------------------------------------------------- */

static enum status raise_version(const struct member_change *c, int64_t *version)
{
    return c->driver->raise_version(c->h, c->room, version);
}

/* May `by` act in the room at all? */
static enum status find_actor(const struct member_change *c, struct place *p)
{
    enum status status = find_place(c, p);
    if (status != STATUS_OK)
        return status;
    if (p->known && !p->removed)
        return STATUS_OK;
    return p->exists && !p->private ? STATUS_FORBIDDEN : STATUS_NOT_FOUND;
}

enum status membership_invite(const struct member_change *c, int64_t *version)
{
    struct place p;
    enum status status = find_actor(c, &p);
    if (status == STATUS_OK)
        status = c->driver->put_member(c->h, c->room, c->user, -1);
    return status == STATUS_OK ? raise_version(c, version) : status;
}

enum status membership_remove(const struct member_change *c, int64_t *version)
{
    struct place p;
    bool self = strcmp(c->by, c->user) == 0;
    enum status status = find_actor(c, &p);
    if (status == STATUS_OK && !self && !p.owns)
        status = STATUS_FORBIDDEN;
    if (self && p.exists && !p.known)
        raise_version(c, version); /* an earlier try may have come only half way */
    if (status == STATUS_OK)
        status = (self ? c->driver->drop_member : c->driver->ban_member)(c->h, c->room, c->user);
    return status == STATUS_OK ? raise_version(c, version) : status;
}

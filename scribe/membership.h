/* Who may enter a room, invite to it and remove from it: decided here, on what a store knows of a
 * room and a user (history.h). All but membership_visit write: call them within the driver's
 * `write`, many in one if you like. Where that is no transaction, what was done by halves is
 * answered as a failure, and can be tried again. All calls block; on the thread of `h`. Statuses
 * beside those below: the driver's. */
#pragma once
#include "history.h"

/* What somebody does to a membership, their own or another's. */
struct member_change {
    const struct history_driver *driver;
    struct history *h;
    const char *room, *by, *user;
};

/* A new room of `by`, who is its first member; or theirs already, and as private. CONFLICT: the
 * name is taken. */
enum status membership_create(const struct member_change *c, bool private);
/* `by` comes again, which writes nothing, and so needs no lock; or *first is true, nothing is done
 * and membership_join is to follow. NOT_FOUND: private, and not invited. FORBIDDEN: removed. */
enum status membership_visit(const struct member_change *c, struct membership *out, bool *first);
/* `by` becomes a member, or comes again; a room that is unknown is created, public. The first join
 * sets the marker to the head. Refused as above. */
enum status membership_join(const struct member_change *c, struct membership *out);
/* Both raise the version. Members invite: NOT_FOUND for others where the room is private or
 * unknown, else FORBIDDEN. */
enum status membership_invite(const struct member_change *c, int64_t *version);
/* The owner removes others, anybody themself: a removed user comes back by invitation only, who
 * left by themself freely when the room is public. */
enum status membership_remove(const struct member_change *c, int64_t *version);

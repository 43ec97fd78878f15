/* Field level: what each role sees of a person. The list in user_view.c is all of it. Any thread.
 */
#pragma once
#include "json.h"
#include "user.h"

/* Who looks: STUDENT, FACULTY, ADMIN, or this, whatever they are. */
#define ONESELF ((roles)8)

/* A new object with what `viewer` (one bit) sees of the user: for a student nothing at all. */
json_t *user_view(const struct user *user, roles viewer);

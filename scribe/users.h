/* Users: which of this server's sessions are whose. Loop thread only. */
#pragma once
#include "session.h"
#include <stdbool.h>
#include <stddef.h>

struct users;

struct user_events {
    void (*came)(void *ctx, const char *name); /* a user's first session */
    void (*went)(void *ctx, const char *name); /* their last one ended */
    void *ctx;
};

struct users *users_new(const struct user_events *events);
void users_free(struct users *users);
/* `s` is s->user's from now on. False: they have `max` sessions already. */
bool users_add(struct users *users, struct session *s, size_t max);
void users_drop(struct users *users, struct session *s); /* fine when it was never added */
/* The first of a user's sessions; the others follow by next_of_user. NULL: none is here. */
struct session *users_find(const struct users *users, const char *name);

#include "users.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096 };

struct user {
    struct user *next_in_bucket;
    char name[NAME_MAX_LEN + 1];
    struct session *sessions;
    size_t count;
};

struct users {
    struct user_events events;
    struct user *buckets[BUCKETS];
};

struct users *users_new(const struct user_events *events)
{
    struct users *users = xcalloc(1, sizeof(*users));
    users->events = *events;
    return users;
}

void users_free(struct users *users)
{
    free(users);
}

/* FNV-1a. */
static struct user **slot(const struct users *users, const char *name)
{
    uint32_t hash = 2166136261U;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    struct user **at = (struct user **)&users->buckets[hash % BUCKETS];
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next_in_bucket;
    return at;
}

bool users_add(struct users *users, struct session *s, size_t max)
{
    struct user **at = slot(users, s->user);
    if (*at && (*at)->count >= max)
        return false;
    if (!*at) {
        *at = xcalloc(1, sizeof(**at));
        memcpy((*at)->name, s->user, sizeof(s->user));
        users->events.came(users->events.ctx, s->user);
    }
    s->next_of_user = (*at)->sessions;
    (*at)->sessions = s;
    (*at)->count++;
    return true;
}

void users_drop(struct users *users, struct session *s)
{
    struct user **at = slot(users, s->user), *u = *at;
    struct session **link = u ? &u->sessions : NULL;
    while (link && *link && *link != s)
        link = &(*link)->next_of_user;
    if (!link || !*link)
        return;
    *link = s->next_of_user;
    if (--u->count > 0)
        return;
    *at = u->next_in_bucket;
    users->events.went(users->events.ctx, s->user);
    free(u);
}

struct session *users_find(const struct users *users, const char *name)
{
    const struct user *u = *slot(users, name);
    return u ? u->sessions : NULL;
}

#include "users.h"
#include "strbuf.h"
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct user {
    char name[NAME_MAX_LEN + 1]; /* first: what it is found by */
    struct session *sessions;
    size_t count;
};

struct users {
    struct user_events events;
    void *tree; /* of struct user, by name: tsearch(3) */
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

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct user *find(const struct users *users, const char *name)
{
    struct user **node = tfind(name, &users->tree, by_name);
    return node ? *node : NULL;
}

bool users_add(struct users *users, struct session *s, size_t max)
{
    struct user *u = find(users, s->user);
    if (u && u->count >= max)
        return false;
    if (!u) {
        u = xcalloc(1, sizeof(*u));
        memcpy(u->name, s->user, sizeof(s->user));
        if (!tsearch(u, &users->tree, by_name))
            abort();
        users->events.came(users->events.ctx, s->user);
    }
    s->next_of_user = u->sessions;
    u->sessions = s;
    u->count++;
    return true;
}

void users_drop(struct users *users, struct session *s)
{
    struct user *u = find(users, s->user);
    struct session **link = u ? &u->sessions : NULL;
    while (link && *link && *link != s)
        link = &(*link)->next_of_user;
    if (!link || !*link)
        return;
    *link = s->next_of_user;
    if (--u->count > 0)
        return;
    tdelete(u->name, &users->tree, by_name);
    users->events.went(users->events.ctx, s->user);
    free(u);
}

struct session *users_find(const struct users *users, const char *name)
{
    const struct user *u = find(users, name);
    return u ? u->sessions : NULL;
}

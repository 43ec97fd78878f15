/* The bus between servers: Redis publish/subscribe, one channel a room and one a user. It makes
 * delivery quick and nothing more: for messages and membership every server also asks the history,
 * so that what the bus loses comes late. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus;

enum bus_kind {
    BUS_MESSAGE, /* of a room; number: its seq, bytes: its JSON */
    BUS_MEMBERS, /* a room's membership changed; number: its version */
    BUS_TYPING,  /* in a room; bytes: who types. Not heard by its publisher, as the next */
    BUS_USER,    /* bytes: JSON for every connection of a user */
    BUS_KINDS
};

struct bus_event {
    enum bus_kind kind;
    const char *name; /* of the room or the user */
    int64_t number;
    const char *bytes; /* not NUL-terminated */
    size_t len;
};

/* On the subscriber's thread; must not block. */
struct bus_events {
    void (*event)(void *ctx, const struct bus_event *e);
    void (*up)(void *ctx, bool up); /* up: everything is subscribed again */
    /* What comes from now on arrives. */
    void (*subscribed)(void *ctx, const char *room);
    void *ctx;
};

/* `url` "": no bus, *out is NULL, which the others take. UNPROCESSABLE with the reason in `why`
 * for a URL that cannot be used; a dead server is no error. Main thread. */
enum status bus_new(const char *url, const struct bus_events *events, struct bus **out,
                    struct strbuf *why);
void bus_free(struct bus *bus); /* no event comes after */
/* Tell the other servers. Returns at once; lost when Redis is away or slow. Any thread, as the
 * next two, where `kind` says whether it is a room's channel or a user's. */
void bus_publish(struct bus *bus, const struct bus_event *e);
void bus_subscribe(struct bus *bus, enum bus_kind kind, const char *name);
void bus_unsubscribe(struct bus *bus, enum bus_kind kind, const char *name);

/* The bus between servers: Redis publish/subscribe, one channel a room. It makes delivery quick
 * and nothing more: every server also asks the history, so that what the bus loses comes late. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus;

/* On the subscriber's thread; must not block. */
struct bus_events {
    void (*message)(void *ctx, const char *room, int64_t seq, const char *json, size_t len);
    void (*up)(void *ctx, bool up);                  /* up: all rooms are subscribed again */
    void (*subscribed)(void *ctx, const char *room); /* what comes from now on arrives */
    void *ctx;
};

/* `url` "": no bus, *out is NULL, which the others take. UNPROCESSABLE with the reason in `why`
 * for a URL that cannot be used; a dead server is no error. Main thread. */
enum status bus_new(const char *url, const struct bus_events *events, struct bus **out,
                    struct strbuf *why);
void bus_free(struct bus *bus); /* no event comes after */
/* Tell the other servers about a message that is in history. Returns at once; lost when Redis is
 * away or slow. Any thread, as the next two. */
void bus_publish(struct bus *bus, const char *room, int64_t seq, const char *json, size_t len);
void bus_subscribe(struct bus *bus, const char *room);
void bus_unsubscribe(struct bus *bus, const char *room);

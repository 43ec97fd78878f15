/* GET /events: what happens to orders, as server-sent events, to everybody who may see it.
 *
 * The latest events stand in one ring, and each client has a place in it: nothing is queued for a
 * client, so thousands of slow ones cost no more than fast ones, and who falls behind the ring is
 * cut off. An event's id is `<epoch>:<id in the Redis Stream>`. Whoever comes with a Last-Event-ID
 * goes on behind it; when that is no place in the ring any more, or of another epoch, or there is
 * none, the first event is `reset`: load the orders anew. The same order and version may come
 * twice, as the relay publishes at least once.
 *
 * The reader (stream_reader.h) fills the ring; its job is the only one to call these. */
#pragma once
#include "http.h"
#include "snapshot.h"

enum { EVENTS_EPOCH_SIZE = 16, EVENTS_KEPT = 8192 };

struct events;

struct stream_id { /* "1526919030474-55" */
    uint64_t ms, seq;
};

/* False for a text that is none. */
bool stream_id_parse(const char *text, struct stream_id *out);

struct events *events_new(void);
void events_free(struct events *e); /* after http_stop */

/* Forget everything: what follows begins behind `base` of that epoch. Clients are reset. */
void events_restart(struct events *e, const char *epoch, struct stream_id base);
/* One more event, later than all before. `type` is the transition's name ("accepted"). */
void events_add(struct events *e, struct stream_id id, const char *type, struct snapshot *shown);
/* False: clients wait, since the ring is being filled with what is long past. */
void events_set_live(struct events *e, bool live);
/* A few times a second: lets who is due have a comment or an end. */
void events_tick(struct events *e);

/* For the route's handler: answer with the caller's events. Event thread. */
enum status events_reply(struct events *e, struct http_request *req);

/* The transport: libwebsockets on a libuv loop, in a thread of its own. WebSockets at /ws become
 * sessions of the chat; every other request is answered by site. Main thread. */
#pragma once
#include "chat.h"
#include "status.h"
#include "strbuf.h"
#include <stddef.h>
#include <stdint.h>

struct server;

struct server_options {
    const char *listen;  /* "127.0.0.1:8101" or "[::1]:8101" */
    const char *origins; /* of pages that may connect, beside its own: parted by commas, or "" */
    size_t connections_max;
    int64_t heartbeat_s; /* a silent client is pinged; hung up after half as long again */
};

/* INTERNAL with the reason in `why`: the address cannot be listened on, and the process is to end
 * (nothing is undone). On OK it accepts. */
enum status server_start(const struct server_options *options, struct chat *chat,
                         struct server **out, struct strbuf *why);
/* Refuse upgrades, tell every session goodbye, wait for them at most `grace_ms`, close the rest,
 * end the thread, free. */
void server_stop(struct server *server, int64_t grace_ms);

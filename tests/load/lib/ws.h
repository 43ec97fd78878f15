/* Frames of RFC 6455 for load clients and bare servers: whole messages only, no fragments. */
#pragma once
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>

enum ws_opcode { WS_TEXT = 1, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

struct ws_frame {
    enum ws_opcode opcode;
    char *payload; /* in the bytes that were parsed, unmasked there */
    size_t len;
};

/* The frame that begins at `bytes`, and its length with its header; 0 when it is not whole yet. */
size_t ws_parse(char *bytes, size_t len, struct ws_frame *out);
/* Append a frame. A client's has the mask 0, which leaves the payload as it is. */
void ws_add(struct strbuf *out, enum ws_opcode opcode, const char *payload, size_t len,
            bool client);

/* The client's side of the handshake, of subprotocol scribe.v1, and the bare server's answer to
 * it, which fits this key alone. */
extern const char ws_upgrade[], ws_accept[];

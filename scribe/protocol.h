/* The protocol scribe.v1 as clients speak it: what a request may hold, and how a message of a
 * room reads. PROTOCOL.md describes it; the table in protocol.c is its source. Any thread. */
#pragma once
#include "frame.h"
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_MAX = 16 * 1024, /* bytes of a client's message, fragments together */
    NAME_MAX_LEN = 64,     /* characters of a room's name, a user's, a client id */
    TEXT_MAX = 4000,       /* bytes */
    PAGE_MAX = 200,        /* messages */
    NEWCOMER_PAGE = 50,    /* messages that a first join gets */
};
#define SEQ_MAX ((int64_t)1 << 53) /* what JavaScript can count to */
#define SUBPROTOCOL "scribe.v1"

enum request_type {
    REQUEST_HELLO,
    REQUEST_CREATE,
    REQUEST_INVITE,
    REQUEST_REMOVE,
    REQUEST_JOIN,
    REQUEST_LEAVE,
    REQUEST_SEND,
    REQUEST_HISTORY,
    REQUEST_READ,
    REQUEST_ROOMS,
    REQUEST_PRESENCE,
    REQUEST_TYPING,
    REQUEST_PING,
    REQUEST_TYPES, /* also: not known which */
};

/* Strings are NULL, numbers -1 and flags false when absent. */
struct request {
    enum request_type type;
    const char *token, *room, *user, *id, *text;
    int64_t after, before, seq, limit;
    bool private;
    void *root; /* what the strings point into */
};

/* OK; BAD_REQUEST when it is no JSON object; UNPROCESSABLE when the type is unknown or a field
 * is missing, unknown, of another type or out of bounds, with the reason in `why`. Also on
 * failure `out` holds what was valid before, so that a reply can name what it answers, and wants
 * request_release. */
enum status request_parse(const char *bytes, size_t len, struct request *out, struct strbuf *why);
void request_release(struct request *r);
/* "join"; NULL for REQUEST_TYPES. */
const char *request_name(enum request_type type);

/* A message of a room. The strings are whoever's made it. */
struct message {
    const char *room, *sender, *client_id, *text;
    int64_t seq;   /* 1, 2, 3 ... in its room */
    int64_t at_ms; /* when a server took it, for people; the order is seq's */
};
struct frame *message_frame(const struct message *m);

/* Replies of HTTP/1.1 read in pieces as they come: only the status and where a reply ends. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reply_state {
    REPLY_STATUS,
    REPLY_FIELD,
    REPLY_BODY,
    REPLY_UNTIL_CLOSE, /* the end of the connection ends it */
    REPLY_CHUNK_SIZE,
    REPLY_CHUNK,
    REPLY_CHUNK_END,
    REPLY_TRAILER,
    REPLY_DONE,
    REPLY_MALFORMED,
};

struct reply {
    enum reply_state state;
    bool bodyless; /* to a HEAD */
    bool chunked, close, sized;
    int status;
    uint64_t left; /* of the body or the chunk */
    char line[128];
    size_t line_len;
};

void reply_begin(struct reply *r, bool to_head);
/* The number of bytes taken: all, or fewer when the reply is done or malformed. */
size_t reply_feed(struct reply *r, const char *bytes, size_t len);

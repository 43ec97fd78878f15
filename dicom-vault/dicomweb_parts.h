/* Replies of several parts, multipart/related, streamed out of stored objects in constant memory.
 */
#pragma once
#include "http.h"
#include "store.h"

/* Bytes of an object. */
struct piece {
    uint8_t id[OBJECT_ID];
    uint64_t offset, length; /* length UINT64_MAX: to the end */
    bool begins;             /* a part begins with it, else the part goes on */
};

/* Append one part, made of these extents (struct dicom_extent) of an object. */
void dicomweb_add_part(struct strbuf *pieces, const uint8_t id[OBJECT_ID],
                       const struct strbuf *extents);
/* Reply with the pieces (struct piece one behind the other; taken over), each part of content type
 * `type`. With `single` it is one part, and the reply's own body. A failure before the first byte
 * comes back; a later one breaks the connection. */
enum status dicomweb_reply_parts(struct http_request *req, const char *type, struct strbuf *pieces,
                                 bool single);

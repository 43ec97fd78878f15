/* Frames: whole WebSocket messages of the server, framed once and shared by every queue that
 * holds them (RFC 6455, section 5.2: one text frame, unmasked). A frame is counted without
 * atomics: it belongs to one thread at a time and is handed over as a whole. */
#pragma once
#include <stddef.h>

struct frame {
    unsigned refs;
    size_t payload; /* where the JSON text begins */
    size_t len;     /* header and payload */
    unsigned char bytes[];
};

/* A frame around `len` bytes of JSON text, with one reference. */
struct frame *frame_new(const char *json, size_t len);
/* The same, the text packed as json_pack does: frame_json("{s:s s:I}", "type", "ack", "seq", n).
 * 64-bit integers are 'I' and must be passed as json_int_t. */
struct frame *frame_json(const char *fmt, ...);
/* The same, the text as printf makes it, which is quicker, for what there are most of. Names and
 * numbers only, since nothing is escaped. */
struct frame *frame_plain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A close frame (section 5.5.1); at most 123 bytes of `reason` go with it. */
struct frame *frame_close(int code, const char *reason);
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame *f); /* NULL is fine */
/* The JSON text; lives as long as the frame. */
const char *frame_text(const struct frame *f, size_t *len);

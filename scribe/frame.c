#include "frame.h"
#include "json.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIN_TEXT = 0x81,
    FIN_CLOSE = 0x88,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
    HEADER_MAX = 10,
    CONTROL_MAX = 125,
    PLAIN_BYTES = 256, /* most are shorter */
};

static size_t write_header(unsigned char out[HEADER_MAX], unsigned char opcode, size_t len)
{
    size_t width = len < LENGTH_16 ? 0 : len <= 0xFFFF ? 2 : 8;
    out[0] = opcode;
    out[1] = (unsigned char)(width == 0 ? len : width == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < width; i++)
        out[2 + i] = (unsigned char)((uint64_t)len >> (8 * (width - 1 - i)));
    return 2 + width;
}

static struct frame *wrap(unsigned char opcode, const void *bytes, size_t len)
{
    unsigned char header[HEADER_MAX];
    size_t payload = write_header(header, opcode, len);
    struct frame *f = xmalloc(sizeof(*f) + payload + len);
    *f = (struct frame){.refs = 1, .payload = payload, .len = payload + len};
    memcpy(f->bytes, header, payload);
    memcpy(f->bytes + payload, bytes, len);
    return f;
}

struct frame *frame_new(const char *json, size_t len)
{
    return wrap(FIN_TEXT, json, len);
}

struct frame *frame_close(int code, const char *reason)
{
    unsigned char bytes[CONTROL_MAX] = {(unsigned char)(code >> 8), (unsigned char)code};
    size_t len = strnlen(reason, sizeof(bytes) - 2);
    memcpy(bytes + 2, reason, len);
    return wrap(FIN_CLOSE, bytes, 2 + len);
}

struct frame *frame_json(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *root = json_vpack_ex(NULL, 0, fmt, ap);
    va_end(ap);
    struct strbuf text = STRBUF_INIT;
    json_write(&text, root);
    json_decref(root);
    struct frame *f = frame_new(text.bytes, text.len);
    strbuf_release(&text);
    return f;
}

struct frame *frame_plain(const char *fmt, ...)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_reserve(&text, PLAIN_BYTES);
    va_list ap;
    va_start(ap, fmt);
    strbuf_vaddf(&text, fmt, ap);
    va_end(ap);
    struct frame *f = frame_new(text.bytes, text.len);
    strbuf_release(&text);
    return f;
}

struct frame *frame_ref(struct frame *f)
{
    f->refs++;
    return f;
}

void frame_unref(struct frame *f)
{
    if (f && --f->refs == 0)
        free(f);
}

const char *frame_text(const struct frame *f, size_t *len)
{
    *len = f->len - f->payload;
    return (const char *)f->bytes + f->payload;
}

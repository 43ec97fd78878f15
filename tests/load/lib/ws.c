#include "ws.h"
#include <stdint.h>

enum { FIN = 0x80, MASKED = 0x80, LENGTH_16 = 126, LENGTH_64 = 127, MASK = 4 };

const char ws_upgrade[] = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Protocol: scribe.v1\r\n\r\n";
/* The example of RFC 6455, section 1.3. */
const char ws_accept[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                         "Sec-WebSocket-Protocol: scribe.v1\r\n\r\n";

static uint64_t big_endian(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | bytes[i];
    return value;
}

size_t ws_parse(char *bytes, size_t len, struct ws_frame *out)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (len < 2)
        return 0;
    uint64_t payload = b[1] & 0x7F;
    size_t width = payload == LENGTH_16 ? 2 : payload == LENGTH_64 ? 8 : 0;
    bool masked = b[1] & MASKED;
    size_t header = 2 + width + (masked ? MASK : 0);
    if (len < header)
        return 0;
    if (width > 0)
        payload = big_endian(b + 2, width);
    if (payload > len - header)
        return 0;
    *out = (struct ws_frame){b[0] & 0xF, bytes + header, payload};
    const unsigned char *mask = b + header - MASK;
    if (masked && big_endian(mask, MASK) != 0)
        for (size_t i = 0; i < payload; i++)
            out->payload[i] = (char)(out->payload[i] ^ mask[i % MASK]);
    return header + payload;
}

void ws_add(struct strbuf *out, enum ws_opcode opcode, const char *payload, size_t len, bool client)
{
    size_t width = len < LENGTH_16 ? 0 : len <= 0xFFFF ? 2 : 8;
    strbuf_addch(out, (char)(FIN | opcode));
    size_t first = width == 0 ? len : width == 2 ? LENGTH_16 : LENGTH_64;
    strbuf_addch(out, (char)(first | (client ? MASKED : 0)));
    for (size_t i = width; i-- > 0;)
        strbuf_addch(out, (char)((uint64_t)len >> (8 * i)));
    if (client)
        strbuf_add(out, "\0\0\0\0", MASK);
    strbuf_add(out, payload, len);
}

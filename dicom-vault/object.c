#include "object.h"
#include "chunked.h"
#include "json.h"
#include "secret.h"
#include <string.h>

void put_be(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; value >>= 8)
        out[i] = (uint8_t)value;
}

uint64_t get_be(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

static uint8_t *put_field(uint8_t *out, const void *bytes, size_t len)
{
    put_be(out, len, 2);
    memcpy(out + 2, bytes, len);
    return out + 2 + len;
}

void object_identity(const uint8_t vault[VAULT_ID], const uint8_t id[OBJECT_ID],
                     uint8_t out[OBJECT_IDENTITY])
{
    uint8_t version[4];
    put_be(version, OBJECT_VERSION, sizeof(version));
    out = put_field(out, vault, VAULT_ID);
    out = put_field(out, id, OBJECT_ID);
    put_field(out, version, sizeof(version));
}

enum status object_id_parse(const char *text, uint8_t id[OBJECT_ID])
{
    if (strspn(text, "0123456789abcdef") != OBJECT_ID_HEX || text[OBJECT_ID_HEX])
        return STATUS_NOT_FOUND;
    return hex_decode(text, OBJECT_ID_HEX, id, OBJECT_ID);
}

void object_id_format(const uint8_t id[OBJECT_ID], char out[OBJECT_ID_HEX + 1])
{
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, id, OBJECT_ID);
    memcpy(out, hex.bytes, OBJECT_ID_HEX + 1);
    strbuf_release(&hex);
}

bool object_name_valid(const char *name, size_t len)
{
    if (!text_valid(name, len, 1, OBJECT_NAME_MAX, false))
        return false;
    if (memchr(name, '/', len) || memchr(name, '\\', len))
        return false;
    return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

size_t object_row_write(const struct object *o, uint8_t out[OBJECT_ROW_MAX])
{
    size_t name_len = strlen(o->name);
    out[0] = OBJECT_VERSION;
    put_be(out + 1, o->size, 8);
    put_be(out + 9, (uint64_t)o->created_ms, 8);
    memcpy(out + 17, o->sha256, sizeof(o->sha256));
    memcpy(out + OBJECT_ROW_FIXED, o->name, name_len);
    return OBJECT_ROW_FIXED + name_len;
}

enum status object_row_read(const uint8_t *row, size_t len, struct object *o)
{
    if (len < OBJECT_ROW_FIXED || len > OBJECT_ROW_MAX || row[0] != OBJECT_VERSION)
        return STATUS_CORRUPT;
    const char *name = (const char *)row + OBJECT_ROW_FIXED;
    size_t name_len = len - OBJECT_ROW_FIXED;
    o->size = get_be(row + 1, 8);
    o->created_ms = (int64_t)get_be(row + 9, 8);
    memcpy(o->sha256, row + 17, sizeof(o->sha256));
    if (o->size > CHUNKED_MAX || (name_len && !object_name_valid(name, name_len)))
        return STATUS_CORRUPT;
    memcpy(o->name, name, name_len);
    o->name[name_len] = '\0';
    return STATUS_OK;
}

/* What a stored object is: its identity, which every ciphertext of it is bound to, and the facts
 * that its index row keeps sealed. Bytes only; any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VAULT_ID = 16,
    OBJECT_ID = 16,
    OBJECT_ID_HEX = 2 * OBJECT_ID,
    OBJECT_VERSION = 1, /* objects are immutable: every one is version 1 */
    OBJECT_IDENTITY = 3 * 2 + VAULT_ID + OBJECT_ID + 4,
    OBJECT_NAME_MAX = 255,
    OBJECT_ROW_FIXED = 1 + 8 + 8 + 32,
    OBJECT_ROW_MAX = OBJECT_ROW_FIXED + OBJECT_NAME_MAX,
};

struct object {
    uint8_t id[OBJECT_ID];
    int64_t seq;     /* place in lists; given by the index */
    uint32_t key_id; /* of the key that wraps its data key; given by the index */
    uint64_t size;
    int64_t created_ms;
    uint8_t sha256[32];             /* of the plaintext */
    char name[OBJECT_NAME_MAX + 1]; /* UTF-8; "" for none */
};

/* vault id, object id, object version, each behind its length (2 bytes, big-endian). It is the
 * payload's context and the associated data of the wrapped key and of the row: nothing of one
 * object opens as a part of another one. */
void object_identity(const uint8_t vault[VAULT_ID], const uint8_t id[OBJECT_ID],
                     uint8_t out[OBJECT_IDENTITY]);
/* Lower-case hex, one spelling only; NOT_FOUND for anything else. */
enum status object_id_parse(const char *text, uint8_t id[OBJECT_ID]);
void object_id_format(const uint8_t id[OBJECT_ID], char out[OBJECT_ID_HEX + 1]);

/* True for a name that may be kept and given back as a file name: 1 to 255 bytes of UTF-8 without
 * control characters, slash or backslash, and neither "." nor "..". */
bool object_name_valid(const char *name, size_t len);

/* Row: version (1) || size (8) || created_ms (8) || sha256 (32) || name; integers big-endian.
 * Returns the length; `id`, `seq` and `key_id` are not part of it. */
size_t object_row_write(const struct object *o, uint8_t out[OBJECT_ROW_MAX]);
/* CORRUPT for what object_row_write cannot have written. */
enum status object_row_read(const uint8_t *row, size_t len, struct object *o);

void put_be(uint8_t *out, uint64_t value, size_t bytes);
uint64_t get_be(const uint8_t *in, size_t bytes);

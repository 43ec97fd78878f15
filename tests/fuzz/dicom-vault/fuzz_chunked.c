/* A message is sealed, its file edited as the input says, and opened: every chunk that is what it
 * was opens to its plaintext, every other one is refused.
 *
 * Input: message length (2 bytes), piece length (2), then edits of 5 bytes: what (1), where (2),
 * how much (2), in units of an eighth of a chunk and a few bytes, so that edges are hit often. */
#include "chunked.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

static const uint8_t key[KEY_SIZE] = {1, 2, 3};
static uint8_t message[65536], plain[CHUNKED_PLAIN];

static void must(bool held)
{
    if (!held)
        abort();
}

static void seal_file(size_t len, size_t piece, struct strbuf *file)
{
    uint8_t header[CHUNKED_HEADER];
    struct chunked_sealer *s = chunked_sealer_new(key, "context", 7, header);
    strbuf_add(file, header, sizeof(header));
    strbuf_reserve(file, (size_t)chunked_file_size(len));
    for (size_t at = 0; at < len; at += piece) {
        size_t n, take = len - at < piece ? len - at : piece;
        must(!chunked_seal(s, message + at, take, (uint8_t *)file->bytes + file->len, &n));
        file->len += n;
    }
    file->len += chunked_seal_last(s, (uint8_t *)file->bytes + file->len);
    must(file->len == chunked_file_size(len));
    chunked_sealer_free(s);
}

static size_t place(const uint8_t *two, size_t limit)
{
    size_t at = CHUNKED_HEADER + (size_t)two[0] * (CHUNKED_SEALED / 8) + two[1];
    return limit ? (two[0] == 255 ? two[1] : at - 128) % limit : 0;
}

static void edit(struct strbuf *file, const uint8_t *e)
{
    size_t at = place(e + 1, file->len), n = place(e + 3, 2 * CHUNKED_SEALED);
    switch (e[0] % 4) {
    case 0: /* flip */
        if (file->len)
            file->bytes[at] = (char)(file->bytes[at] ^ (e[4] | 1));
        break;
    case 1: /* cut the end off */
        file->len = at;
        break;
    case 2: /* take a part out */
        if (n > file->len - at)
            n = file->len - at;
        memmove(file->bytes + at, file->bytes + at + n, file->len - at - n);
        file->len -= n;
        break;
    default: /* copy a part to the end */
        if (n > file->len - at)
            n = file->len - at;
        strbuf_reserve(file, n);
        memcpy(file->bytes + file->len, file->bytes + at, n);
        file->len += n;
    }
}

/* Read as one does who knows the file's length alone. */
static void read_file(const struct strbuf *whole, const struct strbuf *file, size_t size)
{
    struct chunked_opener *o;
    if (file->len < CHUNKED_HEADER)
        return;
    bool same = memcmp(whole->bytes, file->bytes, CHUNKED_HEADER) == 0;
    enum status s = chunked_opener_new(key, "context", 7, (uint8_t *)file->bytes, &o);
    must(s == (same ? STATUS_OK : STATUS_CORRUPT));
    for (uint64_t k = 0; same && chunked_offset(k) < file->len; k++) {
        size_t at = (size_t)chunked_offset(k), len = file->len - at;
        if (len > CHUNKED_SEALED)
            len = CHUNKED_SEALED;
        bool intact = k <= size / CHUNKED_PLAIN && len == chunked_length(size, k) &&
                      memcmp(whole->bytes + at, file->bytes + at, len) == 0;
        must(chunked_open(o, k, (uint8_t *)file->bytes + at, len, plain) ==
             (intact ? STATUS_OK : STATUS_CORRUPT));
        must(!intact || memcmp(plain, message + k * CHUNKED_PLAIN, len - CHUNKED_TAG) == 0);
    }
    chunked_opener_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len < 4 || len > 64)
        return 0;
    for (size_t i = 0; i < sizeof(message) && !message[1]; i++)
        message[i] = (uint8_t)(i * 31 >> 3);
    struct strbuf whole = STRBUF_INIT, file = STRBUF_INIT;
    size_t size = (size_t)bytes[0] << 8 | bytes[1], piece = ((size_t)bytes[2] << 8 | bytes[3]) + 1;
    seal_file(size, piece < 64 ? 64 : piece, &whole);
    strbuf_add(&file, whole.bytes, whole.len);
    for (size_t i = 4; i + 5 <= len; i += 5)
        edit(&file, bytes + i);
    read_file(&whole, &file, size);
    strbuf_release(&whole);
    strbuf_release(&file);
    return 0;
}

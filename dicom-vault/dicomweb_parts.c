#include "dicomweb_parts.h"
#include "dicom_walk.h"
#include "dicomweb.h"
#include "secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parts {
    struct http_request *req;
    struct strbuf pieces;
    size_t at; /* of the next */
    bool single;
    char type[65], boundary[33];
    uint8_t id[OBJECT_ID]; /* of `d` */
    uint64_t size;
    struct download *d; /* NULL: between pieces */
    struct strbuf text; /* to go out before more bytes */
    size_t text_sent;
};

static void free_parts(void *state)
{
    struct parts *p = state;
    download_free(p->d);
    strbuf_release(&p->pieces);
    strbuf_release(&p->text);
    free(p);
}

static enum status open_object(struct parts *p, const uint8_t id[OBJECT_ID])
{
    struct object o;
    if (p->d && memcmp(p->id, id, OBJECT_ID) == 0)
        return STATUS_OK;
    download_free(p->d);
    enum status s = download_new(dicomweb_vault, id, &o, &p->d);
    memcpy(p->id, id, OBJECT_ID);
    p->size = s == STATUS_OK ? o.size : 0;
    return s;
}

static void say(struct parts *p, const char *line)
{
    if (!p->single)
        strbuf_addstr(&p->text, line);
}

/* The next piece, or the end, and what stands before it. */
static enum status next_piece(struct parts *p)
{
    struct piece piece;
    bool first = p->at == 0;
    strbuf_reset(&p->text);
    p->text_sent = 0;
    if (p->at == p->pieces.len) {
        say(p, "\r\n--");
        say(p, p->boundary);
        say(p, "--\r\n");
        p->at++; /* over */
        return STATUS_OK;
    }
    memcpy(&piece, p->pieces.bytes + p->at, sizeof(piece));
    p->at += sizeof(piece);
    enum status s = open_object(p, piece.id);
    if (s != STATUS_OK)
        return s;
    if (piece.length == UINT64_MAX)
        piece.length = p->size - piece.offset;
    if (piece.begins) {
        say(p, first ? "--" : "\r\n--");
        say(p, p->boundary);
        say(p, "\r\nContent-Type: ");
        say(p, p->type);
        say(p, "\r\n\r\n");
    }
    return download_range(p->d, piece.offset, piece.length);
}

static void take_text(struct parts *p, uint8_t *out, size_t len, size_t *n)
{
    size_t left = p->text.len - p->text_sent, take = left < len - *n ? left : len - *n;
    if (take > 0)
        memcpy(out + *n, p->text.bytes + p->text_sent, take);
    p->text_sent += take;
    *n += take;
}

/* A part's head goes out together with its first bytes, so that what fails at once is known before
 * the reply begins. */
static enum status fill(struct parts *p, uint8_t *out, size_t len, size_t *n)
{
    enum status s = STATUS_OK;
    *n = 0;
    while (s == STATUS_OK && *n < len) {
        size_t got = 0;
        take_text(p, out, len, n);
        if (*n == len || p->at > p->pieces.len)
            return s;
        if (p->d)
            s = download_read(p->d, out + *n, len - *n, &got);
        *n += got;
        if (got > 0)
            return s;
        if (s == STATUS_OK)
            s = next_piece(p);
    }
    return s;
}

/* The log has it as read already; when it breaks off, it has that too. */
static enum status read_parts(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct parts *p = state;
    enum status s = fill(p, out, len, n);
    if (s != STATUS_OK)
        dicomweb_broke_off(p->req, p->id, s);
    return s;
}

static void release_parts(void *state)
{
    dicomweb_release_later(free_parts, state);
}

void dicomweb_add_part(struct strbuf *pieces, const uint8_t id[OBJECT_ID],
                       const struct strbuf *extents)
{
    for (size_t at = 0; at < extents->len; at += sizeof(struct dicom_extent)) {
        struct dicom_extent extent;
        struct piece piece = {.begins = at == 0};
        memcpy(&extent, extents->bytes + at, sizeof(extent));
        memcpy(piece.id, id, OBJECT_ID);
        piece.offset = extent.offset;
        piece.length = extent.length;
        strbuf_add(pieces, &piece, sizeof(piece));
    }
}

enum status dicomweb_reply_parts(struct http_request *req, const char *type, struct strbuf *pieces,
                                 bool single)
{
    char content[128];
    struct parts *p = xcalloc(1, sizeof(*p));
    p->req = req;
    p->pieces = *pieces;
    *pieces = (struct strbuf)STRBUF_INIT;
    p->single = single;
    snprintf(p->type, sizeof(p->type), "%s", type);
    random_hex(p->boundary, 16);
    snprintf(content, sizeof(content), "multipart/related; type=\"%s\"; boundary=%s", type,
             p->boundary);
    http_set_header(req, "Cache-Control", "private, no-cache");
    return http_reply_stream(req, 200, single ? type : content, UINT64_MAX, read_parts, p,
                             release_parts);
}

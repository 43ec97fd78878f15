#include "dicom_walk.h"
#include "log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 16 * 1024, SKIP_MIN = 4096, PIXEL_DATA = 0x7FE00010 };

/* The next piece from where the parser is. */
static enum status read_piece(struct download *d, const struct object *o, struct dicom_parser *p,
                              bool moved, uint8_t *piece)
{
    size_t n;
    uint64_t at = dicom_position(p);
    enum status s = moved ? download_range(d, at, o->size - at) : STATUS_OK;
    if (s == STATUS_OK)
        s = download_read(d, piece, PIECE, &n);
    if (s == STATUS_OK && dicom_push(p, piece, n) != STATUS_OK)
        s = STATUS_CORRUPT;
    return s;
}

enum status dicom_walk(struct download *d, const struct object *o, struct dicom_parser *p)
{
    uint8_t piece[PIECE];
    char id[OBJECT_ID_HEX + 1];
    enum status s = STATUS_OK;
    bool moved = true;
    while (s == STATUS_OK && dicom_position(p) < o->size) {
        uint64_t left = o->size - dicom_position(p), over = dicom_skippable(p);
        if (over > left)
            return STATUS_CORRUPT;
        if (over >= SKIP_MIN) {
            dicom_skip(p, over);
            moved = true;
            continue;
        }
        s = read_piece(d, o, p, moved, piece);
        moved = false;
    }
    if (s == STATUS_OK && dicom_finish(p) != STATUS_OK)
        s = STATUS_CORRUPT;
    if (s != STATUS_CORRUPT)
        return s;
    object_id_format(o->id, id);
    log_error("object_damaged", F("object", id), F("what", dicom_why(p)));
    return s;
}

enum status dicom_read(struct download *d, uint64_t offset, uint8_t *out, size_t len)
{
    size_t n = 1;
    enum status s = download_range(d, offset, len);
    for (; s == STATUS_OK && len > 0 && n > 0; out += n, len -= n)
        s = download_read(d, out, len, &n);
    return s == STATUS_OK && len > 0 ? STATUS_CORRUPT : s;
}

/* --- frames ---------------------------------------------------------------------------------- */

static const uint32_t pixel_tags[] = {
    0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101,
    0x00280102, 0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056,
};

struct tap {
    struct dicom_frames *frames;
    struct dicom_json *json;
    bool too_many;
};

static void take_fragment(struct tap *t, const struct dicom_event *e)
{
    struct dicom_extent extent = {e->offset, e->length};
    t->too_many = t->frames->fragments.len >= DICOM_FRAGMENTS_MAX * sizeof(extent);
    if (!t->too_many)
        strbuf_add(&t->frames->fragments, &extent, sizeof(extent));
}

static size_t pixel_tap(void *ctx, const struct dicom_event *e)
{
    struct tap *t = ctx;
    bool pixels = e->depth == 0 && e->tag == PIXEL_DATA;
    if (pixels && e->kind == DICOM_FRAGMENT)
        take_fragment(t, e);
    if (pixels && e->kind == DICOM_ELEMENT) {
        t->frames->found = true;
        t->frames->encapsulated = e->length == DICOM_UNDEFINED;
        t->frames->offset = e->offset;
        t->frames->length = e->length;
    }
    return dicom_json_tap(t->json, e);
}

enum status dicom_frames_read(struct download *d, const struct object *o, struct dicom_frames *out)
{
    const struct dicom_json_want want = {pixel_tags, sizeof(pixel_tags) / sizeof(pixel_tags[0]),
                                         false};
    memset(out, 0, sizeof(*out));
    struct tap t = {out, dicom_json_new(&want), false};
    struct dicom_parser *p = dicom_parser_new(pixel_tap, &t);
    enum status s = dicom_walk(d, o, p);
    snprintf(out->syntax, sizeof(out->syntax), "%s", dicom_transfer_syntax(p));
    out->attributes = dicom_json_take(t.json);
    double count = dicom_json_number(out->attributes, 0x00280008, 1);
    out->count = count >= 1 && count <= UINT32_MAX ? (uint64_t)count : 1;
    if (s == STATUS_OK && (t.too_many || !out->attributes))
        s = STATUS_NOT_ACCEPTABLE;
    dicom_parser_free(p);
    dicom_json_free(t.json);
    return s;
}

void dicom_frames_release(struct dicom_frames *f)
{
    json_decref(f->attributes);
    strbuf_release(&f->fragments);
}

static enum status native_frame(const struct dicom_frames *f, uint64_t number,
                                struct strbuf *extents)
{
    static const uint32_t factors[] = {0x00280010, 0x00280011, 0x00280002, 0x00280100};
    uint64_t bits = 1;
    for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
        double factor = dicom_json_number(f->attributes, factors[i], factors[i] == 0x00280002);
        if (factor < 1 || factor > 65535)
            return STATUS_NOT_ACCEPTABLE;
        bits *= (uint64_t)factor;
    }
    if (bits % 8 != 0 && f->count > 1) /* a frame begins inside a byte */
        return STATUS_NOT_ACCEPTABLE;
    struct dicom_extent extent = {f->offset, (bits + 7) / 8};
    if (f->length / extent.length < number)
        return STATUS_NOT_FOUND;
    extent.offset += (number - 1) * extent.length;
    strbuf_add(extents, &extent, sizeof(extent));
    return STATUS_OK;
}

static struct dicom_extent fragment(const struct dicom_frames *f, size_t i)
{
    struct dicom_extent extent;
    memcpy(&extent, f->fragments.bytes + i * sizeof(extent), sizeof(extent));
    return extent;
}

/* Entry `i` of the basic offset table: where a frame's first fragment begins, counted from the item
 * behind the table. UINT64_MAX behind the last. */
static enum status table_entry(const struct dicom_frames *f, struct download *d, uint64_t i,
                               uint64_t *offset)
{
    uint8_t entry[4] = {0};
    struct dicom_extent table = fragment(f, 0);
    *offset = UINT64_MAX;
    if (i == f->count)
        return STATUS_OK;
    if (table.length / 4 <= i)
        return STATUS_NOT_ACCEPTABLE;
    enum status s = dicom_read(d, table.offset + 4 * i, entry, sizeof(entry));
    *offset = dicom_le(entry, sizeof(entry));
    return s;
}

static enum status frame_by_table(const struct dicom_frames *f, struct download *d, uint64_t number,
                                  struct strbuf *extents)
{
    uint64_t from, to, base = fragment(f, 0).offset + fragment(f, 0).length;
    size_t before = extents->len;
    enum status s = table_entry(f, d, number - 1, &from);
    if (s == STATUS_OK)
        s = table_entry(f, d, number, &to);
    for (size_t i = 1; s == STATUS_OK && i < f->fragments.len / sizeof(struct dicom_extent); i++) {
        struct dicom_extent extent = fragment(f, i);
        uint64_t item = extent.offset - 8 - base; /* its head */
        if (item >= from && item < to)
            strbuf_add(extents, &extent, sizeof(extent));
    }
    return s == STATUS_OK && extents->len == before ? STATUS_NOT_ACCEPTABLE : s;
}

enum status dicom_frame(const struct dicom_frames *f, struct download *d, uint64_t number,
                        struct strbuf *extents)
{
    size_t fragments = f->fragments.len / sizeof(struct dicom_extent);
    if (!f->found || number < 1 || number > f->count)
        return STATUS_NOT_FOUND;
    if (!f->encapsulated)
        return native_frame(f, number, extents);
    if (fragments < 2)
        return STATUS_NOT_FOUND;
    if (f->count == 1)
        strbuf_add(extents, f->fragments.bytes + sizeof(struct dicom_extent),
                   f->fragments.len - sizeof(struct dicom_extent));
    else if (fragments - 1 == f->count)
        strbuf_add(extents, f->fragments.bytes + number * sizeof(struct dicom_extent),
                   sizeof(struct dicom_extent));
    else
        return frame_by_table(f, d, number, extents);
    return STATUS_OK;
}

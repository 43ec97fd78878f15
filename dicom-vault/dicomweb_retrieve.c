#include "dicom_walk.h"
#include "dicomweb.h"
#include "dicomweb_media.h"
#include "dicomweb_parts.h"
#include "routes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* WADO-RS (PS3.18, 10.4): whole instances, metadata, frames, bulk data; and the deletion of a
 * study. */

static const char dicom[] = "application/dicom", octets[] = "application/octet-stream";

/* What the path names. */
struct found {
    struct strbuf ids;              /* OBJECT_ID bytes each */
    char syntax[DICOM_UID_MAX + 1]; /* the transfer syntax of all; "" when there are several */
    bool damaged;
};

static bool collect(void *ctx, const struct object *o, json_t *attributes)
{
    struct found *f = ctx;
    const char *syntax = dicom_json_text(attributes, 0x00083002);
    f->damaged = f->damaged || !attributes;
    if (f->ids.len == 0)
        snprintf(f->syntax, sizeof(f->syntax), "%s", syntax ? syntax : "");
    else if (!syntax || strcmp(f->syntax, syntax) != 0)
        f->syntax[0] = '\0';
    strbuf_add(&f->ids, o->id, OBJECT_ID);
    return true;
}

/* The first `limit` instances (0: all) that the path names. NOT_FOUND; CORRUPT when the row of one
 * is damaged or is another's. */
static enum status find_objects(struct http_request *req, int64_t limit, struct found *f)
{
    struct dicom_query q = {.level = INSTANCES, .limit = limit};
    dicomweb_path_query(req, &q);
    enum status s = dicom_search(store_index(dicomweb_vault), &q, collect, f);
    dicom_query_release(&q);
    if (s == STATUS_OK && f->damaged)
        return STATUS_CORRUPT;
    return s == STATUS_OK && f->ids.len == 0 ? STATUS_NOT_FOUND : s;
}

enum status dicomweb_find_one(struct http_request *req, uint8_t id[OBJECT_ID])
{
    struct found f = {.damaged = false};
    enum status s = find_objects(req, 1, &f);
    if (s == STATUS_OK)
        memcpy(id, f.ids.bytes, OBJECT_ID);
    strbuf_release(&f.ids);
    return s;
}

/* --- instances as stored --------------------------------------------------------------------- */

static void add_whole(struct strbuf *pieces, const struct strbuf *ids)
{
    for (size_t at = 0; at < ids->len; at += OBJECT_ID) {
        struct piece piece = {.length = UINT64_MAX, .begins = true};
        memcpy(piece.id, ids->bytes + at, OBJECT_ID);
        strbuf_add(pieces, &piece, sizeof(piece));
    }
}

enum status dicomweb_retrieve(struct http_request *req)
{
    struct found f = {.damaged = false};
    struct strbuf pieces = STRBUF_INIT;
    size_t which = 0;
    enum status s = find_objects(req, 0, &f);
    const struct offer offers[] = {{"multipart/related", dicom, f.syntax}, {dicom, NULL, f.syntax}};
    if (s == STATUS_OK)
        s = dicomweb_accept(req, offers, f.ids.len == OBJECT_ID ? 2 : 1, &which);
    s = dicomweb_recorded(req, &f.ids, s);
    if (s == STATUS_OK) {
        add_whole(&pieces, &f.ids);
        s = dicomweb_reply_parts(req, dicom, &pieces, which == 1);
    }
    strbuf_release(&f.ids);
    return s;
}

/* --- metadata -------------------------------------------------------------------------------- */

struct metadata {
    struct http_request *req;
    struct strbuf ids;
    size_t at; /* of the next */
    struct strbuf text;
    size_t sent;
    char base[512]; /* URL up to the study */
};

static void free_metadata(void *state)
{
    struct metadata *m = state;
    strbuf_release(&m->ids);
    strbuf_release(&m->text);
    free(m);
}

static void link_bulk(const struct metadata *m, struct dicom_json *json, const json_t *attributes)
{
    struct strbuf url = STRBUF_INIT;
    const char *series = dicom_json_text(attributes, 0x0020000E);
    const char *instance = dicom_json_text(attributes, 0x00080018);
    strbuf_addf(&url, "%s/series/%s/instances/%s/bulkdata/", m->base, series ? series : "",
                instance ? instance : "");
    dicom_json_link(json, strbuf_cstr(&url));
    strbuf_release(&url);
}

static enum status write_metadata(struct metadata *m, const uint8_t id[OBJECT_ID])
{
    const struct dicom_json_want want = {NULL, 0, true};
    struct download *d = NULL;
    struct object o;
    enum status s = download_new(dicomweb_vault, id, &o, &d);
    if (s != STATUS_OK)
        return s;
    struct dicom_json *json = dicom_json_new(&want);
    struct dicom_parser *p = dicom_parser_new(dicom_json_tap, json);
    s = dicom_walk(d, &o, p);
    json_t *attributes = s == STATUS_OK ? dicom_json_take(json) : NULL;
    if (s == STATUS_OK && !attributes)
        s = STATUS_NOT_ACCEPTABLE;
    if (s == STATUS_OK) {
        link_bulk(m, json, attributes);
        dicom_json_set(attributes, 0x00080005, "CS", "ISO_IR 192");
        dicom_json_set(attributes, 0x00083002, "UI", dicom_transfer_syntax(p));
        json_write(&m->text, attributes);
    }
    json_decref(attributes);
    dicom_parser_free(p);
    dicom_json_free(json);
    download_free(d);
    return s;
}

/* "[" instance "," instance "]", one of them in memory at a time. */
static enum status next_instance(struct metadata *m)
{
    const uint8_t *id = (const uint8_t *)m->ids.bytes + m->at;
    strbuf_reset(&m->text);
    m->sent = 0;
    strbuf_addch(&m->text, m->at == 0 ? '[' : ',');
    enum status s = write_metadata(m, id);
    m->at += OBJECT_ID;
    if (m->at == m->ids.len)
        strbuf_addch(&m->text, ']');
    return s;
}

static enum status read_metadata(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct metadata *m = state;
    enum status s = STATUS_OK;
    if (m->sent == m->text.len && m->at < m->ids.len)
        s = next_instance(m);
    if (s != STATUS_OK) {
        dicomweb_broke_off(m->req, (const uint8_t *)m->ids.bytes + m->at - OBJECT_ID, s);
        return s;
    }
    *n = m->text.len - m->sent < len ? m->text.len - m->sent : len;
    if (*n > 0)
        memcpy(out, m->text.bytes + m->sent, *n);
    m->sent += *n;
    return s;
}

static void release_metadata(void *state)
{
    dicomweb_release_later(free_metadata, state);
}

/* The first instance is made before anything is said; one behind it that fails breaks the reply
 * off. */
enum status dicomweb_metadata(struct http_request *req)
{
    struct found f = {.damaged = false};
    struct strbuf base = STRBUF_INIT;
    struct metadata *m = xcalloc(1, sizeof(*m));
    m->req = req;
    dicomweb_url(req, http_param(req, "study"), NULL, NULL, &base);
    snprintf(m->base, sizeof(m->base), "%s", strbuf_cstr(&base));
    strbuf_release(&base);
    enum status s = find_objects(req, 0, &f);
    m->ids = f.ids;
    if (s == STATUS_OK)
        s = dicomweb_accept_json(req);
    if (s == STATUS_OK)
        s = next_instance(m);
    s = dicomweb_recorded(req, &m->ids, s);
    if (s == STATUS_OK)
        return http_reply_stream(req, 200, DICOM_JSON, UINT64_MAX, read_metadata, m,
                                 release_metadata);
    free_metadata(m);
    return s;
}

/* --- frames ---------------------------------------------------------------------------------- */

/* Media types of compressed frames (PS3.18, table 8.7.3-5). */
static const struct {
    const char *syntax; /* a trailing dot: all that begin so */
    const char *type;
} frame_types[] = {
    {"1.2.840.10008.1.2.4.50", "image/jpeg"},   {"1.2.840.10008.1.2.4.51", "image/jpeg"},
    {"1.2.840.10008.1.2.4.57", "image/jpeg"},   {"1.2.840.10008.1.2.4.70", "image/jpeg"},
    {"1.2.840.10008.1.2.4.80", "image/jls"},    {"1.2.840.10008.1.2.4.81", "image/jls"},
    {"1.2.840.10008.1.2.4.90", "image/jp2"},    {"1.2.840.10008.1.2.4.91", "image/jp2"},
    {"1.2.840.10008.1.2.5", "image/dicom-rle"},
};

static const char *frame_type(const struct dicom_frames *f)
{
    if (!f->encapsulated)
        return octets;
    for (size_t i = 0; i < sizeof(frame_types) / sizeof(frame_types[0]); i++)
        if (strcmp(frame_types[i].syntax, f->syntax) == 0)
            return frame_types[i].type;
    return "application/x-compressed-frame";
}

/* The numbers of the path, "1,3,2". */
static enum status list_frames(struct http_request *req, const struct dicom_frames *f,
                               struct download *d, const uint8_t id[OBJECT_ID],
                               struct strbuf *pieces)
{
    const char *at = http_param(req, "frames");
    enum status s = STATUS_OK;
    for (; s == STATUS_OK; at++) {
        struct strbuf extents = STRBUF_INIT;
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || digits > 9)
            return http_fail(req, STATUS_BAD_REQUEST, "frames are numbers from 1, by comma");
        s = dicom_frame(f, d, strtoull(at, NULL, 10), &extents);
        dicomweb_add_part(pieces, id, &extents);
        strbuf_release(&extents);
        if (pieces->len >
            DICOM_FRAGMENTS_MAX * sizeof(struct piece)) /* one may be asked for twice */
            return http_fail(req, STATUS_BAD_REQUEST, "too many fragments: ask for fewer frames");
        at += digits;
        if (!*at)
            return s;
        if (*at != ',')
            return http_fail(req, STATUS_BAD_REQUEST, "frames are numbers from 1, by comma");
    }
    return s;
}

enum status dicomweb_frames(struct http_request *req)
{
    struct dicom_frames f = {.found = false};
    struct download *d = NULL;
    struct strbuf pieces = STRBUF_INIT;
    struct object o;
    uint8_t id[OBJECT_ID];
    enum status s = dicomweb_find_one(req, id);
    bool found = s == STATUS_OK;
    if (s == STATUS_OK)
        s = download_new(dicomweb_vault, id, &o, &d);
    if (s == STATUS_OK)
        s = dicom_frames_read(d, &o, &f);
    if (s == STATUS_OK)
        s = list_frames(req, &f, d, id, &pieces);
    const struct offer offer = {"multipart/related", frame_type(&f), f.syntax};
    if (s == STATUS_OK)
        s = dicomweb_accept(req, &offer, 1, NULL);
    s = routes_recorded(req, found ? id : NULL, s);
    if (s == STATUS_OK)
        s = dicomweb_reply_parts(req, frame_type(&f), &pieces, false);
    strbuf_release(&pieces);
    dicom_frames_release(&f);
    download_free(d);
    return s;
}

/* --- bulk data ------------------------------------------------------------------------------- */

/* "<offset>-<length>", in one spelling. */
static bool range_valid(const char *text, struct piece *piece)
{
    char again[48];
    char *end = NULL;
    piece->offset = strtoull(text, &end, 10);
    piece->length = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    snprintf(again, sizeof(again), "%llu-%llu", (unsigned long long)piece->offset,
             (unsigned long long)piece->length);
    return strcmp(again, text) == 0;
}

enum status dicomweb_bulkdata(struct http_request *req)
{
    static const struct offer offers[] = {{"multipart/related", octets, ""}, {octets, NULL, ""}};
    struct piece piece = {.begins = true};
    struct strbuf pieces = STRBUF_INIT;
    struct object o;
    size_t which = 0;
    uint8_t data_key[KEY_SIZE];
    enum status s = dicomweb_find_one(req, piece.id);
    bool found = s == STATUS_OK;
    if (s == STATUS_OK)
        s = dicomweb_accept(req, offers, 2, &which);
    if (s == STATUS_OK)
        s = index_find(store_index(dicomweb_vault), piece.id, &o, data_key);
    secret_wipe(data_key, sizeof(data_key));
    if (s == STATUS_OK && (!range_valid(http_param(req, "range"), &piece) ||
                           piece.offset > o.size || piece.length > o.size - piece.offset))
        s = STATUS_NOT_FOUND;
    s = routes_recorded(req, found ? piece.id : NULL, s);
    if (s != STATUS_OK)
        return s;
    strbuf_add(&pieces, &piece, sizeof(piece));
    return dicomweb_reply_parts(req, octets, &pieces, which == 1);
}

/* --- DELETE ---------------------------------------------------------------------------------- */

enum status dicomweb_delete_study(struct http_request *req)
{
    struct found f = {.damaged = false};
    struct audit_by by = routes_caller(req);
    enum status s = find_objects(req, 0, &f);
    if (s != STATUS_OK)
        s = routes_recorded(req, NULL, s);
    for (size_t at = 0; s == STATUS_OK && at < f.ids.len; at += OBJECT_ID) {
        const uint8_t *id = (const uint8_t *)f.ids.bytes + at;
        s = store_delete(dicomweb_vault, id, &by);
        if (s == STATUS_NOT_FOUND) /* by somebody else meanwhile */
            s = STATUS_OK;
        else if (s != STATUS_OK)
            s = routes_recorded(req, id, s);
    }
    strbuf_release(&f.ids);
    return s == STATUS_OK ? http_reply(req, 204, NULL, NULL, 0) : s;
}

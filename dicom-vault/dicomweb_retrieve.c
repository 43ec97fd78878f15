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

/* Ids of what the path names; NOT_FOUND when it is nothing. */
static enum status find_objects(struct http_request *req, struct strbuf *ids)
{
    struct dicom_query q = {.level = INSTANCES};
    dicomweb_path_query(req, &q);
    enum status s = dicom_objects(store_index(dicomweb_vault), &q, ids);
    dicom_query_release(&q);
    return s == STATUS_OK && ids->len == 0 ? STATUS_NOT_FOUND : s;
}

enum status dicomweb_find_one(struct http_request *req, uint8_t id[OBJECT_ID])
{
    struct strbuf ids = STRBUF_INIT;
    enum status s = find_objects(req, &ids);
    if (s == STATUS_OK)
        memcpy(id, ids.bytes, OBJECT_ID);
    strbuf_release(&ids);
    return s;
}

/* --- Accept with a transfer syntax ----------------------------------------------------------- */

/* What Accept lets a reply be: parts of `type` in one of the syntaxes, or that alone. */
struct wish {
    bool multipart, single;
    bool any_syntax;
    char syntax[65]; /* else this one */
};

static bool fits(const struct media *m, const char *type, struct wish *w)
{
    bool all = strcmp(m->name, "*/*") == 0;
    bool related = strcmp(m->name, "multipart/related") == 0 || strcmp(m->name, "multipart/*") == 0;
    if (m->refused || (related && m->type[0] && strcmp(m->type, type) != 0))
        return false;
    w->multipart = all || related;
    w->single = !w->multipart && strcmp(m->name, type) == 0;
    w->any_syntax = !m->syntax[0] || strcmp(m->syntax, "*") == 0;
    snprintf(w->syntax, sizeof(w->syntax), "%s", m->syntax);
    return w->multipart || w->single;
}

static enum status not_acceptable(struct http_request *req)
{
    return http_fail(req, STATUS_NOT_ACCEPTABLE,
                     "only as stored: transfer-syntax=*, or the stored one, in parts of the stored "
                     "type");
}

/* The first member of Accept that `can` be answered. */
static enum status choose(struct http_request *req, const char *type,
                          bool (*can)(void *ctx, const struct wish *w), void *ctx, struct wish *w)
{
    const char *at = http_header(req, "Accept");
    struct media m = {.name = "*/*"};
    for (bool more = true; more; more = at && *at) {
        if (at && media_next(&at, &m) != STATUS_OK)
            return http_fail(req, STATUS_BAD_REQUEST, "Accept: malformed");
        if (fits(&m, type, w) && can(ctx, w))
            return STATUS_OK;
    }
    return not_acceptable(req);
}

/* --- instances as stored --------------------------------------------------------------------- */

struct check {
    const struct wish *w;
    bool others; /* there is an instance of another syntax */
};

static void check_syntax(void *ctx, const struct object *o, json_t *attributes)
{
    struct check *c = ctx;
    const char *syntax = dicom_json_text(attributes, 0x00083002);
    (void)o;
    c->others = c->others || !syntax || strcmp(syntax, c->w->syntax) != 0;
}

struct retrieval {
    struct http_request *req;
    struct strbuf ids;
    enum status failure;
};

static bool can_give(void *ctx, const struct wish *w)
{
    enum { PAGE = 500 };
    struct retrieval *r = ctx;
    struct check check = {w, false};
    struct dicom_query q = {.level = INSTANCES, .limit = PAGE};
    if (w->single && r->ids.len != OBJECT_ID)
        return false;
    if (w->any_syntax)
        return true;
    dicomweb_path_query(r->req, &q);
    for (; !check.others && r->failure == STATUS_OK && q.offset < (int64_t)(r->ids.len / OBJECT_ID);
         q.offset += PAGE)
        r->failure = dicom_search(store_index(dicomweb_vault), &q, check_syntax, &check);
    dicom_query_release(&q);
    return r->failure == STATUS_OK && !check.others;
}

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
    struct retrieval r = {.req = req};
    struct strbuf pieces = STRBUF_INIT;
    struct wish wish = {.multipart = false};
    enum status s = find_objects(req, &r.ids);
    if (s == STATUS_OK)
        s = choose(req, dicom, can_give, &r, &wish);
    if (r.failure != STATUS_OK)
        s = r.failure;
    s = dicomweb_recorded(req, &r.ids, s);
    if (s == STATUS_OK) {
        add_whole(&pieces, &r.ids);
        s = dicomweb_reply_parts(req, dicom, &pieces, wish.single);
    }
    strbuf_release(&r.ids);
    return s;
}

/* --- metadata -------------------------------------------------------------------------------- */

struct metadata {
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
static enum status read_metadata(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct metadata *m = state;
    enum status s = STATUS_OK;
    if (m->sent == m->text.len && m->at < m->ids.len) {
        strbuf_reset(&m->text);
        m->sent = 0;
        strbuf_addch(&m->text, m->at == 0 ? '[' : ',');
        s = write_metadata(m, (const uint8_t *)m->ids.bytes + m->at);
        m->at += OBJECT_ID;
        if (m->at == m->ids.len)
            strbuf_addch(&m->text, ']');
    }
    *n = s != STATUS_OK ? 0 : m->text.len - m->sent < len ? m->text.len - m->sent : len;
    if (*n > 0)
        memcpy(out, m->text.bytes + m->sent, *n);
    m->sent += *n;
    return s;
}

static void release_metadata(void *state)
{
    dicomweb_release_later(free_metadata, state);
}

enum status dicomweb_metadata(struct http_request *req)
{
    static const char *const types[] = {DICOM_JSON, "application/json", NULL};
    struct strbuf ids = STRBUF_INIT, base = STRBUF_INIT;
    enum status s = find_objects(req, &ids);
    if (s == STATUS_OK)
        s = dicomweb_accept(req, types, NULL);
    s = dicomweb_recorded(req, &ids, s);
    if (s != STATUS_OK) {
        strbuf_release(&ids);
        return s;
    }
    struct metadata *m = xcalloc(1, sizeof(*m));
    m->ids = ids;
    dicomweb_url(req, http_param(req, "study"), NULL, NULL, &base);
    snprintf(m->base, sizeof(m->base), "%s", strbuf_cstr(&base));
    strbuf_release(&base);
    return http_reply_stream(req, 200, DICOM_JSON, UINT64_MAX, read_metadata, m, release_metadata);
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

static bool can_give_frames(void *ctx, const struct wish *w)
{
    const struct dicom_frames *f = ctx;
    return w->multipart && (w->any_syntax || strcmp(w->syntax, f->syntax) == 0);
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
    struct wish wish = {.multipart = false};
    uint8_t id[OBJECT_ID];
    enum status s = dicomweb_find_one(req, id);
    bool found = s == STATUS_OK;
    if (s == STATUS_OK)
        s = download_new(dicomweb_vault, id, &o, &d);
    if (s == STATUS_OK)
        s = dicom_frames_read(d, &o, &f);
    if (s == STATUS_OK)
        s = list_frames(req, &f, d, id, &pieces);
    if (s == STATUS_OK)
        s = choose(req, frame_type(&f), can_give_frames, &f, &wish);
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

static bool can_give_bulk(void *ctx, const struct wish *w)
{
    (void)ctx;
    return w->any_syntax;
}

enum status dicomweb_bulkdata(struct http_request *req)
{
    struct piece piece = {.begins = true};
    struct strbuf pieces = STRBUF_INIT;
    struct object o;
    struct wish wish = {.multipart = false};
    uint8_t data_key[KEY_SIZE];
    enum status s = dicomweb_find_one(req, piece.id);
    bool found = s == STATUS_OK;
    if (s == STATUS_OK)
        s = choose(req, octets, can_give_bulk, NULL, &wish);
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
    return dicomweb_reply_parts(req, octets, &pieces, wish.single);
}

/* --- DELETE ---------------------------------------------------------------------------------- */

enum status dicomweb_delete_study(struct http_request *req)
{
    struct strbuf ids = STRBUF_INIT;
    struct audit_by by = routes_caller(req);
    enum status s = find_objects(req, &ids);
    if (s != STATUS_OK)
        s = routes_recorded(req, NULL, s);
    for (size_t at = 0; s == STATUS_OK && at < ids.len; at += OBJECT_ID) {
        const uint8_t *id = (const uint8_t *)ids.bytes + at;
        s = store_delete(dicomweb_vault, id, &by);
        if (s == STATUS_NOT_FOUND) /* by somebody else meanwhile */
            s = STATUS_OK;
        else if (s != STATUS_OK)
            s = routes_recorded(req, id, s);
    }
    strbuf_release(&ids);
    return s == STATUS_OK ? http_reply(req, 204, NULL, NULL, 0) : s;
}

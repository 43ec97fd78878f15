#include "dicom_text.h"
#include "dicomweb.h"
#include "dicomweb_multipart.h"
#include "routes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* STOW-RS (PS3.18, 10.5): each part goes through the parser and into an upload at the same time. */

enum { INSTANCES_MAX = 10000, WHY_MAX = 64 };

/* FailureReason (0008,1197): PS3.18, table 10.5.3-2, and PS3.4, annex B. */
enum failure {
    CANNOT_UNDERSTAND = 0xC000,
    WRONG_STUDY = 0xA900,
    SYNTAX_UNSUPPORTED = 0xC122, /* "cannot understand", as all from 0xC000 on */
    OUT_OF_RESOURCES = 0xA700,
    OTHER_BYTES = 0x0111, /* duplicate SOP instance */
};

struct stow {
    struct http_request *req; /* valid inside a handler */
    struct multipart *parts;
    struct dicom_parser *parser; /* of the part under way; NULL once it failed */
    struct upload *upload;       /* NULL when there is no room for it */
    struct dicom_json *json;
    char why[WHY_MAX + 1];
    size_t count, unsupported;
    json_t *stored, *failed, *others; /* others: which instance is not known */
    struct strbuf retrieve;           /* URL of the study, when all are of one */
};

static void drop_part(struct stow *st)
{
    upload_free(st->upload);
    st->upload = NULL;
    dicom_parser_free(st->parser);
    st->parser = NULL;
    dicom_json_free(st->json);
    st->json = NULL;
}

static void free_stow(void *state)
{
    struct stow *st = state;
    drop_part(st);
    multipart_free(st->parts);
    json_decref(st->stored);
    json_decref(st->failed);
    json_decref(st->others);
    strbuf_release(&st->retrieve);
    free(st);
}

static void release_stow(void *state)
{
    dicomweb_release_later(free_stow, state);
}

/* --- results --------------------------------------------------------------------------------- */

enum { SOP_CLASS = 0x00080016, SOP_INSTANCE = 0x00080018 };

/* NULL when it has none, or what is none and is not to be repeated. */
static const char *uid(const json_t *attributes, uint32_t tag)
{
    const char *text = dicom_json_text(attributes, tag);
    return text && dicom_uid_valid(text) ? text : NULL;
}

static json_t *reference(const json_t *attributes)
{
    json_t *item = json_object();
    dicom_json_set(item, 0x00081150, "UI", uid(attributes, SOP_CLASS));
    dicom_json_set(item, 0x00081155, "UI", uid(attributes, SOP_INSTANCE));
    return item;
}

/* The part failed; `attributes` are what is known of it. */
static enum status part_failed(struct stow *st, const json_t *attributes, enum failure code,
                               const char *why)
{
    bool known = uid(attributes, SOP_INSTANCE);
    json_t *item = known ? reference(attributes) : json_object();
    dicom_json_set_int(item, 0x00081197, "US", code);
    dicom_json_set(item, 0x00000902, "LO", why);
    json_array_append_new(known ? st->failed : st->others, item);
    enum status s = code == OTHER_BYTES        ? STATUS_CONFLICT
                    : code == OUT_OF_RESOURCES ? STATUS_STORAGE_FULL
                                               : STATUS_UNPROCESSABLE;
    return routes_recorded(st->req, NULL, s) == s ? STATUS_OK : STATUS_UNAVAILABLE;
}

static void part_stored(struct stow *st, const json_t *attributes)
{
    const char *study = dicom_json_text(attributes, 0x0020000D);
    struct strbuf url = STRBUF_INIT, of_study = STRBUF_INIT;
    json_t *item = reference(attributes);
    dicomweb_url(st->req, study, dicom_json_text(attributes, 0x0020000E),
                 dicom_json_text(attributes, SOP_INSTANCE), &url);
    dicom_json_set(item, 0x00081190, "UR", strbuf_cstr(&url));
    json_array_append_new(st->stored, item);
    dicomweb_url(st->req, study, NULL, NULL, &of_study);
    if (json_array_size(st->stored) == 1)
        strbuf_addstr(&st->retrieve, strbuf_cstr(&of_study));
    else if (strcmp(strbuf_cstr(&st->retrieve), strbuf_cstr(&of_study)) != 0)
        strbuf_reset(&st->retrieve);
    strbuf_release(&of_study);
    strbuf_release(&url);
}

/* --- a part ---------------------------------------------------------------------------------- */

/* Once something is stored, what there is no room for is read on for its UIDs alone, and told;
 * before, the whole request is refused at once. */
static enum status or_no_room(struct stow *st, enum status s)
{
    if (s != STATUS_STORAGE_FULL || json_array_size(st->stored) == 0)
        return s;
    upload_free(st->upload);
    st->upload = NULL;
    return STATUS_OK;
}

static enum status begin_part(void *ctx, const char *content_type)
{
    struct stow *st = ctx;
    struct media m;
    const struct dicom_json_want want = {dicom_row_tags, dicom_row_tags_count, false};
    if (++st->count > INSTANCES_MAX + 1)
        return STATUS_OK;
    if (st->count > INSTANCES_MAX)
        return part_failed(st, NULL, OUT_OF_RESOURCES,
                           "this and what follows: too many instances in one request");
    if (media_parse(content_type, &m) != STATUS_OK || strcmp(m.name, "application/dicom") != 0) {
        st->unsupported++;
        return part_failed(st, NULL, CANNOT_UNDERSTAND, "the part is not application/dicom");
    }
    st->json = dicom_json_new(&want);
    st->parser = dicom_parser_new(dicom_json_tap, st->json);
    return or_no_room(st, upload_new(dicomweb_vault, &st->upload));
}

static enum status refuse_part(struct stow *st, enum failure code, const char *why)
{
    json_t *attributes = dicom_json_take(st->json);
    enum status s = part_failed(st, attributes, code, why);
    json_decref(attributes);
    drop_part(st);
    return s;
}

static enum status parse_failed(struct stow *st, enum status s)
{
    return refuse_part(st, s == STATUS_UNSUPPORTED_MEDIA ? SYNTAX_UNSUPPORTED : CANNOT_UNDERSTAND,
                       dicom_why(st->parser));
}

static enum status part_bytes(void *ctx, const uint8_t *bytes, size_t len)
{
    struct stow *st = ctx;
    if (!st->parser)
        return STATUS_OK;
    enum status s = dicom_push(st->parser, bytes, len);
    if (s != STATUS_OK)
        return parse_failed(st, s);
    return st->upload ? or_no_room(st, upload_write(st->upload, bytes, len)) : STATUS_OK;
}

/* What the instance must have to be found again. */
static const char *missing(const json_t *attributes)
{
    static const struct {
        uint32_t tag;
        const char *why;
    } needed[] = {
        {SOP_CLASS, "no valid SOPClassUID"},
        {SOP_INSTANCE, "no valid SOPInstanceUID"},
        {0x0020000D, "no valid StudyInstanceUID"},
        {0x0020000E, "no valid SeriesInstanceUID"},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!uid(attributes, needed[i].tag))
            return needed[i].why;
    }
    return NULL;
}

static enum status commit_part(struct stow *st, json_t *attributes)
{
    char name[DICOM_UID_MAX + sizeof(".dcm")];
    struct audit_by by = routes_caller(st->req);
    struct strbuf text = STRBUF_INIT;
    struct object o;
    dicom_json_set(attributes, 0x00083002, "UI", dicom_transfer_syntax(st->parser));
    json_write(&text, attributes);
    struct dicom_row row = {
        .ix = store_index(dicomweb_vault), .attributes = text.bytes, .len = text.len};
    dicom_row_tag(&row, attributes);
    snprintf(name, sizeof(name), "%s.dcm", dicom_json_text(attributes, SOP_INSTANCE));
    upload_once(st->upload, row.tags[FIELD_INSTANCE]);
    upload_also(st->upload, dicom_index_add, &row);
    enum status s =
        text.len > DICOM_ROW_MAX ? STATUS_TOO_LARGE : upload_finish(st->upload, name, &by, &o);
    strbuf_release(&text);
    return s;
}

static enum status store_part(struct stow *st, json_t *attributes)
{
    const char *study = http_param(st->req, "study"), *why = missing(attributes);
    if (why)
        return part_failed(st, attributes, CANNOT_UNDERSTAND, why);
    if (study && strcmp(study, dicom_json_text(attributes, 0x0020000D)) != 0)
        return part_failed(st, attributes, WRONG_STUDY, "of another study than the request's");
    enum status s = st->upload ? or_no_room(st, commit_part(st, attributes)) : STATUS_OK;
    if (!st->upload)
        return part_failed(st, attributes, OUT_OF_RESOURCES, "no space left");
    if (s == STATUS_CONFLICT)
        return part_failed(st, attributes, OTHER_BYTES, "stored before, with other content");
    if (s == STATUS_TOO_LARGE)
        return part_failed(st, attributes, CANNOT_UNDERSTAND, "attributes too long");
    if (s == STATUS_OK)
        part_stored(st, attributes);
    return s;
}

static enum status end_part(void *ctx)
{
    struct stow *st = ctx;
    if (!st->parser)
        return STATUS_OK;
    enum status s = dicom_finish(st->parser);
    if (s != STATUS_OK)
        return parse_failed(st, s);
    json_t *attributes = dicom_json_take(st->json);
    if (attributes)
        s = store_part(st, attributes);
    else
        s = part_failed(st, NULL, CANNOT_UNDERSTAND, "too many elements");
    json_decref(attributes);
    drop_part(st);
    return s;
}

/* --- the request ----------------------------------------------------------------------------- */

static const struct multipart_events events = {begin_part, part_bytes, end_part};

/* What a failed request takes up on disk is free again before its reply goes out; instances that
 * were whole before stay. */
static enum status give_up_on_failure(struct stow *st, enum status s)
{
    if (s == STATUS_OK)
        return s;
    drop_part(st);
    return routes_recorded(st->req, NULL, s);
}

static enum status stow_begin(struct http_request *req)
{
    static const char *const none[] = {NULL};
    struct stow *st = xcalloc(1, sizeof(*st));
    struct media m;
    st->req = req;
    st->stored = json_array();
    st->failed = json_array();
    st->others = json_array();
    http_set_state(req, st, release_stow);
    enum status s = http_query_only(req, none);
    if (s == STATUS_OK)
        s = dicomweb_accept_json(req);
    if (s == STATUS_OK && media_parse(http_header(req, "Content-Type"), &m) != STATUS_OK)
        s = http_fail(req, STATUS_BAD_REQUEST, "Content-Type: malformed");
    if (s == STATUS_OK &&
        (strcmp(m.name, "multipart/related") != 0 || strcmp(m.type, "application/dicom") != 0))
        s = http_fail(req, STATUS_UNSUPPORTED_MEDIA,
                      "want multipart/related; type=\"application/dicom\"; boundary=...");
    if (s == STATUS_OK && !m.boundary[0])
        s = http_fail(req, STATUS_BAD_REQUEST, "Content-Type: no boundary");
    if (s == STATUS_OK)
        st->parts = multipart_new(m.boundary, &events, st);
    return give_up_on_failure(st, s);
}

static enum status stow_chunk(struct http_request *req, const uint8_t *bytes, size_t len)
{
    struct stow *st = http_state(req);
    st->req = req;
    enum status s = multipart_push(st->parts, bytes, len);
    if (s == STATUS_BAD_REQUEST)
        http_fail(req, s, "the multipart body is malformed");
    return give_up_on_failure(st, s);
}

const struct body_stream dicomweb_store_body = {stow_begin, stow_chunk};

static void add_sequence(json_t *to, uint32_t tag, json_t *items)
{
    char name[9];
    dicom_tag_format(tag, name);
    if (json_array_size(items) > 0)
        json_object_set_new(to, name, json_pack("{s:s, s:O}", "vr", "SQ", "Value", items));
}

enum status dicomweb_store(struct http_request *req)
{
    struct stow *st = http_state(req);
    st->req = req;
    enum status s = multipart_finish(st->parts);
    if (s != STATUS_OK)
        http_fail(req, s, "the multipart body ends before its last delimiter");
    else if (st->count == 0)
        s = http_fail(req, STATUS_BAD_REQUEST, "no instance in the body");
    else if (st->unsupported == st->count)
        s = http_fail(req, STATUS_UNSUPPORTED_MEDIA, "no part is application/dicom");
    if (s != STATUS_OK)
        return give_up_on_failure(st, s);
    json_t *reply = json_object();
    if (st->retrieve.len > 0)
        dicom_json_set(reply, 0x00081190, "UR", strbuf_cstr(&st->retrieve));
    add_sequence(reply, 0x00081199, st->stored);
    add_sequence(reply, 0x00081198, st->failed);
    add_sequence(reply, 0x0008119A, st->others);
    size_t failed = json_array_size(st->failed) + json_array_size(st->others);
    return dicomweb_reply(req, failed == 0 ? 200 : json_array_size(st->stored) ? 202 : 409, reply);
}

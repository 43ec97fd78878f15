#include "dicom_render.h"
#include "dicom_walk.h"
#include "dicomweb.h"
#include "dicomweb_parts.h"
#include "routes.h"
#include <stdlib.h>
#include <string.h>

/* Rendered frames and thumbnails (PS3.18, 10.4.1.1.3 and .4): uncompressed ones by dicom_render,
 * JPEG baseline as it is. */

static const char jpeg_baseline[] = "1.2.840.10008.1.2.4.50";

struct picture {
    struct http_request *req;
    bool changed; /* the query asks for more than the picture */
    bool jpeg;    /* the frame is a picture already */
    struct rendering rendering;
    uint64_t number;
    uint8_t id[OBJECT_ID];
    struct object o;
    struct download *d;
    struct dicom_frames frames;
    struct strbuf extents; /* of the frame */
    struct strbuf out;     /* the picture, if the frame is none */
};

/* --- what is asked for ----------------------------------------------------------------------- */

static enum status take_parameters(struct picture *p)
{
    static const char *const known[] = {"window", "viewport", "quality", NULL};
    static enum status (*const parse[])(const char *value, struct rendering *r) = {
        rendering_window, rendering_viewport, rendering_quality};
    struct strbuf value = STRBUF_INIT;
    bool found;
    enum status s = http_query_only(p->req, known);
    for (size_t i = 0; s == STATUS_OK && known[i]; i++) {
        s = http_query(p->req, known[i], &value, &found);
        if (s != STATUS_OK || !found)
            continue;
        p->changed = true;
        s = parse[i](strbuf_cstr(&value), &p->rendering);
        if (s != STATUS_OK)
            http_fail(p->req, s, "query: %s", known[i]);
    }
    strbuf_release(&value);
    return s;
}

static enum status take_number(struct picture *p)
{
    const char *text = http_param(p->req, "frames");
    p->number = 1;
    if (!text)
        return STATUS_OK;
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return http_fail(p->req, STATUS_BAD_REQUEST, "one frame at a time is rendered");
    p->number = strtoull(text, NULL, 10);
    return STATUS_OK;
}

/* --- pixels ---------------------------------------------------------------------------------- */

static bool photometric_parse(const char *text, enum photometric *out)
{
    static const char *const names[] = {"MONOCHROME1", "MONOCHROME2", "RGB"};
    static const enum photometric values[] = {MONOCHROME1, MONOCHROME2, RGB};
    for (size_t i = 0; text && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = values[i];
            return true;
        }
    return false;
}

static uint32_t whole(const json_t *attributes, uint32_t tag, uint32_t fallback)
{
    double value = dicom_json_number(attributes, tag, fallback);
    return value >= 0 && value <= 65535 ? (uint32_t)value : 0;
}

static void take_voi(const json_t *a, struct pixels *px)
{
    const char *function = dicom_json_text(a, 0x00281056);
    px->voi.center = dicom_json_number(a, 0x00281050, 0);
    px->voi.width = dicom_json_number(a, 0x00281051, 0);
    px->has_voi = px->voi.width > 0;
    if (function && strcmp(function, "SIGMOID") == 0)
        px->voi.shape = VOI_SIGMOID;
    else if (function && strcmp(function, "LINEAR_EXACT") == 0)
        px->voi.shape = VOI_LINEAR_EXACT;
}

static bool describe(const json_t *a, struct pixels *px)
{
    *px = (struct pixels){
        .rows = whole(a, 0x00280010, 0),
        .columns = whole(a, 0x00280011, 0),
        .samples = whole(a, 0x00280002, 1),
        .bits_allocated = whole(a, 0x00280100, 0),
        .is_signed = whole(a, 0x00280103, 0) == 1,
        .planar = whole(a, 0x00280006, 0) == 1,
        .slope = dicom_json_number(a, 0x00281053, 1),
        .intercept = dicom_json_number(a, 0x00281052, 0),
    };
    px->bits_stored = whole(a, 0x00280101, px->bits_allocated);
    px->high_bit = whole(a, 0x00280102, px->bits_stored - 1);
    take_voi(a, px);
    return photometric_parse(dicom_json_text(a, 0x00280004), &px->photometric);
}

static enum status render_native(struct picture *p)
{
    struct pixels px;
    uint64_t size;
    const char *why = "its photometric interpretation is not rendered";
    struct dicom_extent extent;
    memcpy(&extent, p->extents.bytes, sizeof(extent));
    if (!describe(p->frames.attributes, &px) || render_check(&px, &size, &why) != STATUS_OK)
        return http_fail(p->req, STATUS_NOT_ACCEPTABLE, "%s", why);
    if (size > extent.length)
        return http_fail(p->req, STATUS_NOT_ACCEPTABLE, "the frame is shorter than it should be");
    uint8_t *frame = xmalloc((size_t)size);
    enum status s = dicom_read(p->d, extent.offset, frame, (size_t)size);
    if (s == STATUS_OK)
        s = render(&px, frame, (size_t)size, &p->rendering, &p->out);
    secret_wipe(frame, (size_t)size);
    free(frame);
    return s;
}

static bool syntax_native(const char *syntax)
{
    return strcmp(syntax, "1.2.840.10008.1.2") == 0 || strcmp(syntax, "1.2.840.10008.1.2.1") == 0;
}

/* The frame, once it is known whether it is a picture already. */
static enum status find_frame(struct picture *p)
{
    enum status s = download_new(dicomweb_vault, p->id, &p->o, &p->d);
    if (s == STATUS_OK)
        s = dicom_frames_read(p->d, &p->o, &p->frames);
    if (s == STATUS_OK && !p->frames.found)
        return http_fail(p->req, STATUS_NOT_ACCEPTABLE, "the instance has no pixel data");
    if (s == STATUS_OK)
        s = dicom_frame(&p->frames, p->d, p->number, &p->extents);
    if (s != STATUS_OK)
        return s;
    bool native = !p->frames.encapsulated && syntax_native(p->frames.syntax);
    p->jpeg = p->frames.encapsulated && strcmp(p->frames.syntax, jpeg_baseline) == 0;
    if (native || (p->jpeg && !p->changed))
        return STATUS_OK;
    return http_fail(p->req, STATUS_NOT_ACCEPTABLE,
                     "compressed frames are not rendered, but for JPEG baseline as it is");
}

static enum status make(struct picture *p)
{
    static const struct offer offers[] = {{"image/jpeg", NULL, NULL}, {"image/png", NULL, NULL}};
    size_t which = 0;
    enum status s = dicomweb_accept(p->req, offers, p->jpeg ? 1 : 2, &which);
    p->rendering.png = which == 1;
    return s != STATUS_OK || p->jpeg ? s : render_native(p);
}

/* --- replies --------------------------------------------------------------------------------- */

static enum status pass_through(struct picture *p)
{
    struct strbuf pieces = STRBUF_INIT;
    dicomweb_add_part(&pieces, p->id, &p->extents);
    return dicomweb_reply_parts(p->req, "image/jpeg", &pieces, true);
}

static enum status reply(struct http_request *req, bool thumbnail)
{
    struct picture p = {.req = req};
    p.rendering = thumbnail ? RENDERING_THUMBNAIL : RENDERING_DEFAULT;
    enum status s = dicomweb_find_one(req, p.id);
    bool found = s == STATUS_OK;
    if (s == STATUS_OK)
        s = take_parameters(&p);
    if (s == STATUS_OK)
        s = take_number(&p);
    if (s == STATUS_OK)
        s = find_frame(&p);
    if (s == STATUS_OK)
        s = make(&p);
    s = routes_recorded(req, found ? p.id : NULL, s);
    if (s == STATUS_OK && p.jpeg)
        s = pass_through(&p);
    else if (s == STATUS_OK)
        s = http_reply(req, 200, p.rendering.png ? "image/png" : "image/jpeg", p.out.bytes,
                       p.out.len);
    strbuf_release(&p.out);
    strbuf_release(&p.extents);
    dicom_frames_release(&p.frames);
    download_free(p.d);
    return s;
}

enum status dicomweb_rendered(struct http_request *req)
{
    return reply(req, false);
}

enum status dicomweb_thumbnail(struct http_request *req)
{
    return reply(req, true);
}

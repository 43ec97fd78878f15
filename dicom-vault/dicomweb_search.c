#include "dicomweb.h"
#include "dicomweb_query.h"
#include "log.h"
#include "routes.h"
#include <stdio.h>
#include <string.h>

/* QIDO-RS (PS3.18, 10.6). */

enum { RESULTS_BYTES = 4 << 20, MODALITIES_MAX = 100 /* told of a study */ };

struct results {
    struct http_request *req;
    struct qido qido;
    struct dicom_query query;
    struct strbuf text; /* "[" result "," result: as JSON in memory it would be ten times as long */
    int64_t seen;
    bool damaged, cut;
    enum status status; /* of what is counted for a result */
};

/* --- attributes that are counted, not stored ------------------------------------------------- */

static bool add_modality(void *ctx, const struct object *o, json_t *attributes)
{
    json_t *list = ctx;
    const char *modality = dicom_json_text(attributes, 0x00080060);
    (void)o;
    for (size_t i = 0; modality && i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), modality) == 0)
            return true;
    if (modality)
        json_array_append_new(list, json_string(modality));
    return json_array_size(list) < MODALITIES_MAX;
}

static enum status add_modalities(struct index *ix, const char *study, json_t *to)
{
    struct dicom_query q = {.level = MODALITIES, .fields = 1};
    json_t *list = json_array();
    dicom_query_add(&q, ix, FIELD_STUDY, study);
    enum status s = dicom_search(ix, &q, add_modality, list);
    json_object_set_new(to, "00080061", json_pack("{s:s, s:o}", "vr", "CS", "Value", list));
    dicom_query_release(&q);
    return s;
}

static enum status add_counts(struct index *ix, enum dicom_level level, const char *study,
                              const char *series, json_t *to)
{
    int64_t n_series, n_instances;
    enum status s =
        dicom_count(ix, study, level == SERIES ? series : NULL, &n_series, &n_instances);
    if (level == SERIES) {
        dicom_json_set_int(to, 0x00201209, "IS", n_instances);
        return s;
    }
    dicom_json_set_int(to, 0x00201206, "IS", n_series);
    dicom_json_set_int(to, 0x00201208, "IS", n_instances);
    return s == STATUS_OK ? add_modalities(ix, study, to) : s;
}

/* --- results --------------------------------------------------------------------------------- */

static json_t *result(struct results *r, json_t *attributes)
{
    json_t *to = json_object();
    const char *uid = dicom_json_text(attributes, 0x0020000D);
    const char *series = dicom_json_text(attributes, 0x0020000E);
    struct strbuf url = STRBUF_INIT;
    dicom_json_set(to, 0x00080005, "CS", "ISO_IR 192");
    dicom_json_set(to, 0x00080056, "CS", "ONLINE");
    for (void *at = json_object_iter(attributes); at; at = json_object_iter_next(attributes, at)) {
        const char *name = json_object_iter_key(at);
        if (qido_tells(r->query.level, (uint32_t)strtoul(name, NULL, 16)))
            json_object_set(to, name, json_object_iter_value(at));
    }
    dicomweb_url(r->req, uid, r->query.level >= SERIES ? series : NULL,
                 r->query.level == INSTANCES ? dicom_json_text(attributes, 0x00080018) : NULL,
                 &url);
    dicom_json_set(to, 0x00081190, "UR", strbuf_cstr(&url));
    strbuf_release(&url);
    return to;
}

static bool add_result(void *ctx, const struct object *o, json_t *attributes)
{
    struct results *r = ctx;
    char id[OBJECT_ID_HEX + 1];
    const char *study = dicom_json_text(attributes, 0x0020000D);
    const char *series = dicom_json_text(attributes, 0x0020000E);
    r->cut = r->text.len >= RESULTS_BYTES;
    if (r->cut)
        return false;
    r->seen++;
    if (!study || !series) {
        object_id_format(o->id, id);
        log_error("object_damaged", F("object", id), F("what", "dicom row"));
        r->damaged = true;
        return true;
    }
    json_t *one = result(r, attributes);
    if (r->query.level != INSTANCES)
        r->status = add_counts(store_index(dicomweb_vault), r->query.level, study, series, one);
    strbuf_addch(&r->text, r->text.len ? ',' : '[');
    json_write(&r->text, one);
    json_decref(one);
    return r->status == STATUS_OK;
}

static enum status find(struct results *r)
{
    struct strbuf why = STRBUF_INIT;
    struct index *ix = store_index(dicomweb_vault);
    enum status s = dicomweb_accept_json(r->req);
    if (s == STATUS_OK) {
        s = qido_parse(http_query_string(r->req), r->query.level, &r->qido, &why);
        if (s != STATUS_OK)
            http_fail(r->req, s, "%s", strbuf_cstr(&why));
    }
    strbuf_release(&why);
    if (s != STATUS_OK)
        return s;
    if ((http_param(r->req, "study") && r->qido.values[FIELD_STUDY].len) ||
        (http_param(r->req, "series") && r->qido.values[FIELD_SERIES].len))
        return http_fail(r->req, STATUS_BAD_REQUEST, "a UID stands in path and query");
    r->query.limit = r->qido.limit;
    r->query.offset = r->qido.offset;
    dicomweb_path_query(r->req, &r->query);
    qido_ask(&r->qido, ix, &r->query);
    s = dicom_search(ix, &r->query, add_result, r);
    return s == STATUS_OK ? r->status : s;
}

static void warn(struct results *r)
{
    char text[128];
    long long next = r->qido.offset + r->seen;
    if (r->qido.untold)
        http_set_header(r->req, "Warning",
                        "299 dicom-vault \"some of includefield is in metadata only\"");
    if (r->damaged)
        http_set_header(r->req, "Warning", "299 dicom-vault \"damaged results are left out\"");
    snprintf(text, sizeof(text), "299 dicom-vault \"there are more results, from offset=%lld\"",
             next);
    if (r->cut)
        http_set_header(r->req, "Warning", text);
}

static enum status search(struct http_request *req, enum dicom_level level)
{
    struct results r = {.req = req, .query.level = level, .status = STATUS_OK};
    enum status s = routes_recorded(req, NULL, find(&r));
    if (s == STATUS_OK)
        warn(&r);
    if (s == STATUS_OK && r.text.len == 0) {
        s = http_reply(req, 204, NULL, NULL, 0);
    } else if (s == STATUS_OK) {
        strbuf_addch(&r.text, ']');
        s = http_reply(req, 200, DICOM_JSON, r.text.bytes, r.text.len);
    }
    strbuf_release(&r.text);
    dicom_query_release(&r.query);
    qido_release(&r.qido);
    return s;
}

enum status dicomweb_search_studies(struct http_request *req)
{
    return search(req, STUDIES);
}

enum status dicomweb_search_series(struct http_request *req)
{
    return search(req, SERIES);
}

enum status dicomweb_search_instances(struct http_request *req)
{
    return search(req, INSTANCES);
}

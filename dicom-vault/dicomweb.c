#include "dicomweb.h"
#include "log.h"
#include "routes.h"
#include <ctype.h>
#include <string.h>

struct store *dicomweb_vault;
static struct workers *pool;

void dicomweb_init(struct store *store, struct workers *workers)
{
    dicomweb_vault = store;
    pool = workers;
}

void dicomweb_release_later(void (*release)(void *state), void *state)
{
    if (workers_submit(pool, release, state) != STATUS_OK)
        release(state);
}

enum status dicomweb_reply(struct http_request *req, int code, json_t *root)
{
    struct strbuf text = STRBUF_INIT;
    json_write(&text, root);
    json_decref(root);
    enum status s = http_reply(req, code, DICOM_JSON, strbuf_cstr(&text), text.len);
    strbuf_release(&text);
    return s;
}

/* --- Accept ---------------------------------------------------------------------------------- */

enum status dicomweb_accept(struct http_request *req, const struct offer *offers, size_t n,
                            size_t *which)
{
    size_t ignored;
    struct strbuf text = STRBUF_INIT;
    enum status s = media_choose(http_header(req, "Accept"), offers, n, which ? which : &ignored);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&text, "%s%s", i ? ", " : "", offers[i].type ? offers[i].type : offers[i].name);
    if (s == STATUS_BAD_REQUEST)
        http_fail(req, s, "Accept: malformed");
    else if (s != STATUS_OK)
        http_fail(req, s, "as stored, this can be %s", strbuf_cstr(&text));
    strbuf_release(&text);
    return s;
}

enum status dicomweb_accept_json(struct http_request *req)
{
    static const struct offer offers[] = {{DICOM_JSON, NULL, NULL},
                                          {"application/json", NULL, NULL}};
    return dicomweb_accept(req, offers, 2, NULL);
}

/* --- paths ----------------------------------------------------------------------------------- */

static bool host_valid(const char *host)
{
    size_t len = strlen(host);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(".-:[]", host[i]))
            return false;
    return len > 0 && len < 256;
}

void dicomweb_url(struct http_request *req, const char *study, const char *series,
                  const char *instance, struct strbuf *out)
{
    const char *host = http_header(req, "Host");
    if (host && host_valid(host))
        strbuf_addf(out, "%s://%s", http_is_tls(req) ? "https" : "http", host);
    strbuf_addf(out, "/dicomweb/studies/%s", study);
    if (series)
        strbuf_addf(out, "/series/%s", series);
    if (series && instance)
        strbuf_addf(out, "/instances/%s", instance);
}

void dicomweb_path_query(struct http_request *req, struct dicom_query *q)
{
    static const struct {
        const char *name;
        enum dicom_field field;
    } parts[] = {{"study", FIELD_STUDY}, {"series", FIELD_SERIES}, {"instance", FIELD_INSTANCE}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *uid = http_param(req, parts[i].name);
        if (!uid)
            continue;
        dicom_query_add(q, store_index(dicomweb_vault), parts[i].field, uid);
        q->fields += parts[i].field != FIELD_INSTANCE;
    }
}

/* --- audit ----------------------------------------------------------------------------------- */

struct many {
    const struct strbuf *ids;
    struct audit_entry entry;
};

static enum status record_many(struct sqlite *db, void *ctx)
{
    struct many *m = ctx;
    enum status s = STATUS_OK;
    for (size_t at = 0; s == STATUS_OK && at < m->ids->len; at += OBJECT_ID) {
        m->entry.object = m->ids->bytes + at;
        s = audit_append(db, store_keys(dicomweb_vault), &m->entry);
    }
    return s;
}

enum status dicomweb_recorded(struct http_request *req, const struct strbuf *ids, enum status s)
{
    struct many m = {ids,
                     {routes_caller(req), routes_action(req), NULL, OBJECT_ID, status_slug(s)}};
    if (s != STATUS_OK || ids->len == 0)
        return routes_recorded(req, ids->len == OBJECT_ID ? (const uint8_t *)ids->bytes : NULL, s);
    if (index_write(store_index(dicomweb_vault), record_many, &m) == STATUS_OK)
        return STATUS_OK;
    return http_fail(req, STATUS_UNAVAILABLE, "the audit log cannot be written");
}

void dicomweb_broke_off(struct http_request *req, const uint8_t id[OBJECT_ID], enum status s)
{
    struct audit_entry e = {routes_caller(req), routes_action(req), id, OBJECT_ID, status_slug(s)};
    if (audit_record(store_index(dicomweb_vault), &e) != STATUS_OK)
        log_error("break_unrecorded", F("why", status_slug(s)));
}

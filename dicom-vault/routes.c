#include "routes.h"
#include "apikey.h"
#include "chunked.h"
#include "clock.h"
#include "demo.h"
#include "dicom-vault_embed.h"
#include "dicomweb.h"
#include "digest.h"
#include "disposition.h"
#include "fault.h"
#include "log.h"
#include "range.h"
#include "refusals.h"
#include "secret.h"
#include "token.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static http_handler get_page, get_files, get_file, get_seal, delete_file, post_begin, post_file,
    get_audit;
static enum status post_chunk(struct http_request *req, const uint8_t *bytes, size_t len);
static const struct body_stream file_body = {post_begin, post_chunk};

#define STUDIES_PATH "/dicomweb/studies"
#define STUDY_PATH STUDIES_PATH "/{study}"
#define SERIES_PATH STUDY_PATH "/series/{series}"
#define INSTANCE_PATH SERIES_PATH "/instances/{instance}"

static const struct route table[] = {
    /* method, pattern, who may, object check, where it runs, handler, body */
    {GET, "/", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/app.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/dom.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/api.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/audit.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/dicom.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/files.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/frame.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/seal.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/studies.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/style.css", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/tags.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/ui.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/uploads.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/viewer.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/openapi.json", ANYONE, NULL, INLINE, get_page, NULL},
    {POST, "/files", SCOPE_WRITE, NULL, BLOCKING, post_file, &file_body},
    {GET, "/files", SCOPE_READ, NULL, BLOCKING, get_files, NULL},
    {GET, "/files/{id}", SCOPE_READ, NULL, BLOCKING, get_file, NULL},
    {GET, "/files/{id}/seal", SCOPE_READ, NULL, BLOCKING, get_seal, NULL},
    {DELETE, "/files/{id}", SCOPE_ADMIN, NULL, BLOCKING, delete_file, NULL},
    {GET, "/audit", SCOPE_ADMIN, NULL, BLOCKING, get_audit, NULL},
    {POST, STUDIES_PATH, SCOPE_WRITE, NULL, BLOCKING, dicomweb_store, &dicomweb_store_body},
    {POST, STUDY_PATH, SCOPE_WRITE, NULL, BLOCKING, dicomweb_store, &dicomweb_store_body},
    {GET, STUDIES_PATH, SCOPE_READ, NULL, BLOCKING, dicomweb_search_studies, NULL},
    {GET, "/dicomweb/series", SCOPE_READ, NULL, BLOCKING, dicomweb_search_series, NULL},
    {GET, "/dicomweb/instances", SCOPE_READ, NULL, BLOCKING, dicomweb_search_instances, NULL},
    {GET, STUDY_PATH "/series", SCOPE_READ, NULL, BLOCKING, dicomweb_search_series, NULL},
    {GET, STUDY_PATH "/instances", SCOPE_READ, NULL, BLOCKING, dicomweb_search_instances, NULL},
    {GET, SERIES_PATH "/instances", SCOPE_READ, NULL, BLOCKING, dicomweb_search_instances, NULL},
    {GET, STUDY_PATH, SCOPE_READ, NULL, BLOCKING, dicomweb_retrieve, NULL},
    {GET, SERIES_PATH, SCOPE_READ, NULL, BLOCKING, dicomweb_retrieve, NULL},
    {GET, INSTANCE_PATH, SCOPE_READ, NULL, BLOCKING, dicomweb_retrieve, NULL},
    {GET, STUDY_PATH "/metadata", SCOPE_READ, NULL, BLOCKING, dicomweb_metadata, NULL},
    {GET, SERIES_PATH "/metadata", SCOPE_READ, NULL, BLOCKING, dicomweb_metadata, NULL},
    {GET, INSTANCE_PATH "/metadata", SCOPE_READ, NULL, BLOCKING, dicomweb_metadata, NULL},
    {GET, INSTANCE_PATH "/frames/{frames}", SCOPE_READ, NULL, BLOCKING, dicomweb_frames, NULL},
    {GET, INSTANCE_PATH "/frames/{frames}/rendered", SCOPE_READ, NULL, BLOCKING, dicomweb_rendered,
     NULL},
    {GET, INSTANCE_PATH "/rendered", SCOPE_READ, NULL, BLOCKING, dicomweb_rendered, NULL},
    {GET, INSTANCE_PATH "/thumbnail", SCOPE_READ, NULL, BLOCKING, dicomweb_thumbnail, NULL},
    {GET, SERIES_PATH "/thumbnail", SCOPE_READ, NULL, BLOCKING, dicomweb_thumbnail, NULL},
    {GET, INSTANCE_PATH "/bulkdata/{range}", SCOPE_READ, NULL, BLOCKING, dicomweb_bulkdata, NULL},
    {DELETE, STUDY_PATH, SCOPE_ADMIN, NULL, BLOCKING, dicomweb_delete_study, NULL},
    {POST, "/demo/flip/{id}", ANYONE, NULL, BLOCKING, demo_flip, NULL}, /* only with DEMO_FAULTS */
};

static struct store *store;
static struct workers *workers;
static struct refusals *refusals;

void routes_init(struct store *s, struct workers *w, struct refusals *r)
{
    store = s;
    workers = w;
    refusals = r;
}

const struct route *routes_table(size_t *n)
{
    *n = sizeof(table) / sizeof(table[0]) - !fault_on();
    return table;
}

static enum status get_page(struct http_request *req)
{
    return http_reply_page(req, &dicom_vault_web,
                           "default-src 'self'; img-src 'self' blob: data:; object-src 'none';"
                           " base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

/* --- audit ----------------------------------------------------------------------------------- */

static const struct {
    http_handler *handler;
    const char *action;
} actions[] = {
    {post_file, "store"},
    {get_files, "list"},
    {get_file, "read"},
    {get_seal, "seal"},
    {delete_file, "delete"},
    {get_audit, "audit"},
    {dicomweb_store, "store"},
    {dicomweb_search_studies, "search"},
    {dicomweb_search_series, "search"},
    {dicomweb_search_instances, "search"},
    {dicomweb_retrieve, "read"},
    {dicomweb_metadata, "read metadata"},
    {dicomweb_frames, "read frames"},
    {dicomweb_rendered, "render"},
    {dicomweb_thumbnail, "render"},
    {dicomweb_bulkdata, "read bulk data"},
    {dicomweb_delete_study, "delete"},
};

const char *routes_action(const struct http_request *req)
{
    const struct route *route = http_route(req);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (actions[i].handler == route->handler)
            return actions[i].action;
    return route->pattern;
}

struct audit_by routes_caller(const struct http_request *req)
{
    return (struct audit_by){http_principal(req)->id, http_client_ip(req)};
}

/* What `by` came to be told or refused is in the audit log before the first byte of the reply. When
 * it cannot be, there is no reply but a failure. */
static enum status recorded_by(struct http_request *req, struct audit_by by,
                               const uint8_t id[OBJECT_ID], enum status s)
{
    struct audit_entry e = {by, routes_action(req), id, id ? OBJECT_ID : 0, status_slug(s)};
    if (s == STATUS_UNAVAILABLE) /* the index itself; trying it once more would double the wait */
        return s;
    if (audit_record(store_index(store), &e) == STATUS_OK)
        return s;
    if (status_http(s) >= 500 && s != STATUS_CORRUPT) /* tells nothing of the file */
        return s;
    return http_fail(req, STATUS_UNAVAILABLE, "the audit log cannot be written");
}

enum status routes_recorded(struct http_request *req, const uint8_t id[OBJECT_ID], enum status s)
{
    return recorded_by(req, routes_caller(req), id, s);
}

static enum status unauthenticated(struct http_request *req)
{
    refusals_count(refusals, http_client_ip(req), clock_mono_ms());
    return STATUS_UNAUTHENTICATED;
}

static enum status throttled(struct http_request *req, unsigned wait_s)
{
    char text[12];
    snprintf(text, sizeof(text), "%u", wait_s);
    http_set_header(req, "Retry-After", text);
    return http_fail(req, STATUS_RATE_LIMITED, "too many tries without a good key");
}

enum status routes_authenticate(struct http_request *req, struct principal *who)
{
    char id[APIKEY_ID_HEX + 1];
    const char *key = token_bearer(http_header(req, "Authorization"));
    unsigned wait_s = refusals_admit(refusals, http_client_ip(req), clock_mono_ms());
    if (wait_s)
        return throttled(req, wait_s);
    if (!key)
        return unauthenticated(req);
    if (!http_on_pool(req))
        return STATUS_NEEDS_POOL;
    enum status s = apikey_check(store_index(store), store_keys(store), key, id, &who->roles);
    if (s == STATUS_UNAUTHENTICATED)
        return unauthenticated(req);
    if (s != STATUS_OK)
        return s;
    snprintf(who->id, sizeof(who->id), "%s", id);
    if (http_route(req)->who & who->roles)
        return STATUS_OK;
    return recorded_by(req, (struct audit_by){id, http_client_ip(req)}, NULL, STATUS_FORBIDDEN);
}

/* --- a file as JSON -------------------------------------------------------------------------- */

static void sha256_hex(const struct object *o, char out[65])
{
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, o->sha256, sizeof(o->sha256));
    memcpy(out, hex.bytes, 65);
    strbuf_release(&hex);
}

static json_t *file_json(const struct object *o)
{
    char id[OBJECT_ID_HEX + 1], hash[65], created[RFC3339_SIZE];
    object_id_format(o->id, id);
    sha256_hex(o, hash);
    rfc3339_format(o->created_ms, created);
    return json_pack("{s:s, s:s?, s:I, s:s, s:s}", "id", id, "name", o->name[0] ? o->name : NULL,
                     "size", (json_int_t)o->size, "sha256", hash, "created", created);
}

static void format_etag(const struct object *o, char etag[67])
{
    char hash[65];
    sha256_hex(o, hash);
    snprintf(etag, 67, "\"%s\"", hash);
}

/* --- POST /files ----------------------------------------------------------------------------- */

enum { IDEMPOTENCY_KEY_MAX = 128 };

struct post {
    struct upload *upload; /* NULL when it is over, and recorded */
    char name[OBJECT_NAME_MAX + 1];
    char who[128], source[64];
};

static void post_free(void *state)
{
    struct post *post = state;
    upload_free(post->upload);
    free(post);
}

/* The client left half-way, or sent more than it may. */
static void post_abandon(void *state)
{
    struct post *post = state;
    struct audit_entry e = {{post->who, post->source}, "store", NULL, 0, "unfinished"};
    if (audit_record(store_index(store), &e) != STATUS_OK)
        log_error("unfinished_unrecorded", F("key", post->who));
    post_free(post);
}

/* All that blocks: on the pool, if it has room. */
static void post_release(void *state)
{
    struct post *post = state;
    if (!post->upload)
        post_free(post);
    else if (workers_submit(workers, post_abandon, post) != STATUS_OK) {
        log_error("unfinished_unrecorded", F("key", post->who));
        post_free(post);
    }
}

static void end_upload(struct post *post)
{
    upload_free(post->upload);
    post->upload = NULL;
}

/* What a failed upload takes up on disk is free again before its reply goes out. */
static enum status give_up_on_failure(struct http_request *req, enum status s)
{
    if (s == STATUS_OK)
        return s;
    end_upload(http_state(req));
    return routes_recorded(req, NULL, s);
}

/* The body is not encoded, so that both fields say the same of it. */
static enum status expect_digest(struct http_request *req, struct upload *u)
{
    static const char *const fields[] = {"Repr-Digest", "Content-Digest"};
    uint8_t sha256[2][32];
    bool found[2] = {false, false};
    for (size_t i = 0; i < 2; i++) {
        if (digest_parse(http_header(req, fields[i]), &found[i], sha256[i]) != STATUS_OK)
            return http_fail(req, STATUS_BAD_REQUEST, "%s: want sha-256=:<base64>:", fields[i]);
        if (found[i])
            upload_expect(u, sha256[i]);
    }
    if (found[0] && found[1] && memcmp(sha256[0], sha256[1], 32) != 0)
        return http_fail(req, STATUS_BAD_REQUEST, "Repr-Digest and Content-Digest differ");
    return STATUS_OK;
}

/* A key is the caller's own: two callers may use the same one. */
static enum status take_idempotency_key(struct http_request *req, struct upload *u)
{
    uint8_t tag[BLIND_TAG];
    const char *key = http_header(req, "Idempotency-Key");
    struct strbuf value = STRBUF_INIT;
    if (!key)
        return STATUS_OK;
    size_t len = strlen(key);
    for (size_t i = 0; i < len; i++)
        if (key[i] <= ' ' || key[i] > '~')
            len = 0;
    if (len < 1 || len > IDEMPOTENCY_KEY_MAX)
        return http_fail(req, STATUS_BAD_REQUEST,
                         "Idempotency-Key must be 1 to %d printable characters without blanks",
                         IDEMPOTENCY_KEY_MAX);
    strbuf_addf(&value, "%s %s", http_principal(req)->id, key);
    index_tag(store_index(store), "idempotency key", value.bytes, value.len, tag);
    strbuf_release(&value);
    upload_once(u, tag);
    return STATUS_OK;
}

static enum status post_begin(struct http_request *req)
{
    static const char *const none[] = {NULL};
    struct post *post = xcalloc(1, sizeof(*post));
    struct audit_by by = routes_caller(req);
    snprintf(post->who, sizeof(post->who), "%s", by.who);
    snprintf(post->source, sizeof(post->source), "%s", by.source);
    http_set_state(req, post, post_release);
    enum status s = http_query_only(req, none);
    if (s == STATUS_OK &&
        disposition_parse(http_header(req, "Content-Disposition"), post->name) != STATUS_OK)
        s = http_fail(req, STATUS_BAD_REQUEST, "Content-Disposition: malformed, or a bad name");
    if (s == STATUS_OK)
        s = upload_new(store, &post->upload);
    if (s == STATUS_OK)
        s = expect_digest(req, post->upload);
    if (s == STATUS_OK)
        s = take_idempotency_key(req, post->upload);
    return give_up_on_failure(req, s);
}

static enum status post_chunk(struct http_request *req, const uint8_t *bytes, size_t len)
{
    struct post *post = http_state(req);
    return give_up_on_failure(req, upload_write(post->upload, bytes, len));
}

static enum status post_file(struct http_request *req)
{
    char etag[67], location[sizeof("/files/") + OBJECT_ID_HEX] = "/files/";
    struct post *post = http_state(req);
    struct object o;
    struct audit_by by = routes_caller(req);
    enum status s = upload_finish(post->upload, post->name, &by, &o);
    if (s == STATUS_UNPROCESSABLE)
        http_fail(req, s, "the body's SHA-256 is another than the digest field's");
    if (s == STATUS_CONFLICT)
        s = http_fail(req, STATUS_UNPROCESSABLE,
                      "this Idempotency-Key was used for another file or name");
    s = give_up_on_failure(req, s);
    if (s != STATUS_OK)
        return s;
    end_upload(post);
    object_id_format(o.id, location + strlen(location));
    http_set_header(req, "Location", location);
    format_etag(&o, etag);
    http_set_header(req, "ETag", etag);
    return http_reply_json(req, 201, file_json(&o));
}

/* --- GET /files ------------------------------------------------------------------------------ */

struct page {
    json_t *files;
    int64_t limit;
    int64_t last; /* seq of the last one on the page */
    bool more;
};

static void add_to_page(void *ctx, const struct object *o, bool sound)
{
    struct page *page = ctx;
    char id[OBJECT_ID_HEX + 1];
    if ((int64_t)json_array_size(page->files) == page->limit) {
        page->more = true;
        return;
    }
    object_id_format(o->id, id);
    json_array_append_new(page->files,
                          sound ? file_json(o) : json_pack("{s:s, s:b}", "id", id, "damaged", 1));
    page->last = o->seq;
}

/* The page, of all files or of those with this name. */
static enum status find_files(const struct strbuf *name, bool named, int64_t after,
                              struct page *page)
{
    uint8_t tag[BLIND_TAG];
    struct index *ix = store_index(store);
    if (!named)
        return index_list(ix, after, page->limit + 1, add_to_page, page);
    index_tag(ix, "name", name->bytes, name->len, tag);
    return index_search(ix, tag, after, page->limit + 1, add_to_page, page);
}

/* Unreserved characters stay (RFC 3986, section 2.3). */
static void percent_encode(struct strbuf *out, const struct strbuf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        char c = text->bytes[i];
        if (isalnum((unsigned char)c) || (c && strchr("-._~", c)))
            strbuf_addch(out, c);
        else
            strbuf_addf(out, "%%%02X", (unsigned char)c);
    }
}

static void set_next_link(struct http_request *req, const struct page *page,
                          const struct strbuf *name)
{
    struct strbuf link = STRBUF_INIT;
    strbuf_addf(&link, "</files?limit=%lld&after=%lld", (long long)page->limit,
                (long long)page->last);
    if (name) {
        strbuf_addstr(&link, "&name=");
        percent_encode(&link, name);
    }
    strbuf_addstr(&link, ">; rel=\"next\"");
    http_set_header(req, "Link", strbuf_cstr(&link));
    strbuf_release(&link);
}

/* A list and, when there is more, the `after` of the next one. Takes `rows`. */
static enum status reply_page(struct http_request *req, const char *name, json_t *rows, bool more,
                              int64_t last)
{
    char next[24];
    snprintf(next, sizeof(next), "%lld", (long long)last);
    return http_reply_json(req, 200,
                           json_pack("{s:o, s:s?}", name, rows, "next", more ? next : NULL));
}

static enum status get_files(struct http_request *req)
{
    static const char *const known[] = {"limit", "after", "name", NULL};
    struct page page = {NULL, 0, 0, false};
    struct strbuf name = STRBUF_INIT;
    bool named = false;
    int64_t after;
    enum status s = http_query_only(req, known);
    if (s == STATUS_OK)
        s = http_query_int(req, "limit", 1, 1000, 100, &page.limit);
    if (s == STATUS_OK)
        s = http_query_int(req, "after", 0, INT64_MAX, 0, &after);
    if (s == STATUS_OK)
        s = http_query(req, "name", &name, &named);
    page.files = json_array();
    if (s == STATUS_OK)
        s = find_files(&name, named, after, &page);
    s = routes_recorded(req, NULL, s);
    if (s == STATUS_OK && page.more)
        set_next_link(req, &page, named ? &name : NULL);
    strbuf_release(&name);
    if (s != STATUS_OK) {
        json_decref(page.files);
        return s;
    }
    return reply_page(req, "files", page.files, page.more, page.last);
}

/* --- GET and DELETE /files/{id} -------------------------------------------------------------- */

struct reading { /* a file on its way out */
    struct http_request *req;
    struct download *d;
    uint8_t id[OBJECT_ID];
};

/* The log has it as read already; now that it breaks off, it has that too. */
static enum status read_file(void *state, uint8_t *out, size_t len, size_t *n)
{
    struct reading *r = state;
    enum status s = download_read(r->d, out, len, n);
    struct audit_entry e = {routes_caller(r->req), routes_action(r->req), r->id, OBJECT_ID,
                            status_slug(s)};
    if (s != STATUS_OK && audit_record(store_index(store), &e) != STATUS_OK)
        log_error("break_unrecorded", F("why", status_slug(s)));
    return s;
}

static enum status attempt_file(void *state, uint8_t *out, size_t len, size_t *n)
{
    const struct reading *r = state;
    return download_attempt(r->d, out, len, n);
}

static void release_file(void *state)
{
    struct reading *r = state;
    download_free(r->d);
    free(r);
}

enum status routes_reply_download(struct http_request *req, int code, const char *type,
                                  const struct object *o, struct download *d, uint64_t len)
{
    struct reading *r = xcalloc(1, sizeof(*r));
    r->req = req;
    r->d = d;
    memcpy(r->id, o->id, OBJECT_ID);
    return http_reply_attempt(req, code, type, len, attempt_file, read_file, r, release_file);
}

/* An etag is quoted and of fixed length, so one that stands inside a list is a member of it. */
static bool etag_listed(const char *list, const char *etag)
{
    return list && (strcmp(list, "*") == 0 || strstr(list, etag));
}

static bool fails_if_match(struct http_request *req, const char *etag)
{
    const char *list = http_header(req, "If-Match");
    return list && !etag_listed(list, etag);
}

/* What is going to be said of a file: nothing of it before that is in the audit log. */
struct answer {
    struct download *d;
    struct object o;
    char etag[67];
    char range[80]; /* Content-Range, or "" */
    int code;
    uint64_t len;
};

/* The bytes asked for. */
static enum status choose_range(struct http_request *req, struct answer *a, uint64_t *first)
{
    bool partial;
    unsigned long long size = a->o.size;
    const char *range = http_header(req, "Range"), *condition = http_header(req, "If-Range");
    if (condition && strcmp(condition, a->etag) != 0)
        range = NULL;
    enum status s = range_parse(range, size, first, &a->len, &partial);
    a->code = partial ? 206 : 200;
    if (s != STATUS_OK)
        snprintf(a->range, sizeof(a->range), "bytes */%llu", size);
    else if (partial)
        snprintf(a->range, sizeof(a->range), "bytes %llu-%llu/%llu", (unsigned long long)*first,
                 (unsigned long long)(*first + a->len - 1), size);
    return s;
}

static void set_disposition(struct http_request *req, const struct object *o)
{
    struct strbuf disposition = STRBUF_INIT;
    disposition_write(o->name, &disposition);
    http_set_header(req, "Content-Disposition", strbuf_cstr(&disposition));
    strbuf_release(&disposition);
}

/* Up to the first chunk, which is authenticated by then. */
static enum status open_file(struct http_request *req, const uint8_t id[OBJECT_ID],
                             struct answer *a)
{
    uint64_t first;
    enum status s = download_new(store, id, &a->o, &a->d);
    if (s != STATUS_OK)
        return s;
    format_etag(&a->o, a->etag);
    if (fails_if_match(req, a->etag))
        return STATUS_PRECONDITION_FAILED;
    if (etag_listed(http_header(req, "If-None-Match"), a->etag)) {
        a->code = 304;
        return STATUS_OK;
    }
    s = choose_range(req, a, &first);
    return s == STATUS_OK ? download_range(a->d, first, a->len) : s;
}

static void set_file_headers(struct http_request *req, const struct answer *a)
{
    char digest[DIGEST_FIELD];
    digest_format(a->o.sha256, digest);
    http_set_header(req, "ETag", a->etag);
    http_set_header(req, "Repr-Digest", digest);
    http_set_header(req, "Accept-Ranges", "bytes");
    if (a->range[0])
        http_set_header(req, "Content-Range", a->range);
}

static enum status get_file(struct http_request *req)
{
    struct answer a = {.d = NULL};
    uint8_t id[OBJECT_ID];
    if (object_id_parse(http_param(req, "id"), id) != STATUS_OK)
        return routes_recorded(req, NULL, STATUS_NOT_FOUND);
    enum status s = routes_recorded(req, id, open_file(req, id, &a));
    if (s == STATUS_OK || s == STATUS_RANGE_NOT_SATISFIABLE)
        set_file_headers(req, &a);
    if (s != STATUS_OK || a.code == 304)
        download_free(a.d);
    if (s != STATUS_OK)
        return s;
    if (a.code == 304)
        return http_reply(req, 304, NULL, NULL, 0);
    set_disposition(req, &a.o);
    http_set_header(req, "Cache-Control", "private, no-cache");
    return routes_reply_download(req, a.code, "application/octet-stream", &a.o, a.d, a.len);
}

static void add_hex(json_t *to, const char *name, const uint8_t *bytes, size_t len)
{
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, bytes, len);
    json_object_set_new(to, name, json_string(hex.bytes));
    strbuf_release(&hex);
}

/* What a person may see of how a file is encrypted, to compare two of them. */
static enum status get_seal(struct http_request *req)
{
    struct download *d = NULL;
    struct object o;
    uint8_t id[OBJECT_ID];
    if (object_id_parse(http_param(req, "id"), id) != STATUS_OK)
        return routes_recorded(req, NULL, STATUS_NOT_FOUND);
    enum status s = routes_recorded(req, id, download_new(store, id, &o, &d));
    if (s != STATUS_OK) {
        download_free(d);
        return s;
    }
    json_t *seal = json_pack(
        "{s:s, s:I, s:I, s:I}", "format", "c2sp.org/chunked-encryption@v1, AES-256-GCM, SHA-512",
        "key", (json_int_t)o.key_id, "chunks", (json_int_t)(o.size / CHUNKED_PLAIN) + 1,
        "stored_size", (json_int_t)chunked_file_size(o.size));
    const uint8_t *header = download_header(d);
    add_hex(seal, "id", id, OBJECT_ID);
    add_hex(seal, "salt", header, CHUNKED_SALT);
    add_hex(seal, "commitment", header + CHUNKED_SALT, CHUNKED_COMMITMENT);
    download_free(d);
    return http_reply_json(req, 200, seal);
}

/* Files never change: what holds before the deletion holds when it is done. */
static enum status check_if_match(struct http_request *req, const uint8_t id[OBJECT_ID])
{
    struct object o;
    uint8_t data_key[KEY_SIZE];
    char etag[67];
    if (!http_header(req, "If-Match"))
        return STATUS_OK;
    enum status s = index_find(store_index(store), id, &o, data_key);
    secret_wipe(data_key, sizeof(data_key));
    if (s != STATUS_OK)
        return s;
    format_etag(&o, etag);
    return fails_if_match(req, etag) ? STATUS_PRECONDITION_FAILED : STATUS_OK;
}

static enum status delete_file(struct http_request *req)
{
    uint8_t id[OBJECT_ID];
    struct audit_by by = routes_caller(req);
    if (object_id_parse(http_param(req, "id"), id) != STATUS_OK)
        return routes_recorded(req, NULL, STATUS_NOT_FOUND);
    enum status s = check_if_match(req, id);
    if (s == STATUS_OK)
        s = store_delete(store, id, &by);
    return s == STATUS_OK ? http_reply(req, 204, NULL, NULL, 0) : routes_recorded(req, id, s);
}

/* --- GET /audit ------------------------------------------------------------------------------ */

struct entries {
    json_t *list;
    int64_t limit;
    int64_t last; /* seq of the last one on the page */
    bool more;
};

/* What is no text shows that somebody wrote on the disk. */
static json_t *entry_json(const struct audit_row *r)
{
    char at[RFC3339_SIZE];
    struct strbuf object = STRBUF_INIT;
    rfc3339_format(r->at_ms, at);
    hex_encode(&object, r->e.object, r->e.object_len);
    json_t *entry =
        json_pack("{s:I, s:s, s:s?, s:s, s:s, s:s?, s:s}", "seq", (json_int_t)r->seq, "at", at,
                  "key", *r->e.by.who ? r->e.by.who : NULL, "source", r->e.by.source, "action",
                  r->e.action, "object", object.len ? object.bytes : NULL, "outcome", r->e.outcome);
    strbuf_release(&object);
    return entry ? entry : json_pack("{s:I, s:b}", "seq", (json_int_t)r->seq, "damaged", 1);
}

static void add_entry(void *ctx, const struct audit_row *r)
{
    struct entries *page = ctx;
    page->more = (int64_t)json_array_size(page->list) == page->limit;
    if (page->more)
        return;
    json_array_append_new(page->list, entry_json(r));
    page->last = r->seq;
}

static enum status list_entries(int64_t before, struct entries *page)
{
    struct sqlite *db = index_borrow(store_index(store));
    enum status s = audit_list(db, before, page->limit + 1, add_entry, page);
    index_return(store_index(store), db);
    return index_status(s);
}

static enum status get_audit(struct http_request *req)
{
    static const char *const known[] = {"limit", "after", NULL};
    struct entries page = {json_array(), 0, 0, false};
    int64_t before;
    enum status s = http_query_only(req, known);
    if (s == STATUS_OK)
        s = http_query_int(req, "limit", 1, 1000, 100, &page.limit);
    if (s == STATUS_OK)
        s = http_query_int(req, "after", 1, INT64_MAX, INT64_MAX, &before);
    if (s == STATUS_OK)
        s = list_entries(before, &page);
    s = routes_recorded(req, NULL, s);
    if (s != STATUS_OK) {
        json_decref(page.list);
        return s;
    }
    return reply_page(req, "entries", page.list, page.more, page.last);
}

#include "routes.h"
#include "apikey.h"
#include "clock.h"
#include "demo.h"
#include "dicom-vault_embed.h"
#include "disposition.h"
#include "fault.h"
#include "range.h"
#include "secret.h"
#include "token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static http_handler get_page, get_files, get_file, delete_file, post_begin, post_file;
static enum status post_chunk(struct http_request *req, const uint8_t *bytes, size_t len);
static const struct body_stream file_body = {post_begin, post_chunk};

static const struct route table[] = {
    /* method, pattern, who may, object check, where it runs, handler, body */
    {GET, "/", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/app.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/style.css", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/openapi.json", ANYONE, NULL, INLINE, get_page, NULL},
    {POST, "/files", SCOPE_WRITE, NULL, BLOCKING, post_file, &file_body},
    {GET, "/files", SCOPE_READ, NULL, BLOCKING, get_files, NULL},
    {GET, "/files/{id}", SCOPE_READ, NULL, BLOCKING, get_file, NULL},
    {DELETE, "/files/{id}", SCOPE_ADMIN, NULL, BLOCKING, delete_file, NULL},
    {POST, "/demo/flip/{id}", ANYONE, NULL, BLOCKING, demo_flip, NULL}, /* only with DEMO_FAULTS */
};

static struct store *store;
static struct workers *workers;

void routes_init(struct store *s, struct workers *w)
{
    store = s;
    workers = w;
}

const struct route *routes_table(size_t *n)
{
    *n = sizeof(table) / sizeof(table[0]) - !fault_on();
    return table;
}

enum status routes_authenticate(struct http_request *req, struct principal *who)
{
    char id[APIKEY_ID_HEX + 1];
    const char *header = http_header(req, "Authorization"), *key = token_bearer(header);
    if (!header)
        return STATUS_OK;
    if (!key)
        return STATUS_UNAUTHENTICATED;
    if (!http_on_pool(req))
        return STATUS_NEEDS_POOL;
    enum status s = apikey_check(store_index(store), store_keys(store), key, id, &who->roles);
    if (s == STATUS_OK)
        snprintf(who->id, sizeof(who->id), "%s", id);
    return s;
}

static enum status get_page(struct http_request *req)
{
    return http_reply_page(req, &dicom_vault_web, "default-src 'self'");
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

static void set_etag(struct http_request *req, const struct object *o, char etag[67])
{
    char hash[65];
    sha256_hex(o, hash);
    snprintf(etag, 67, "\"%s\"", hash);
    http_set_header(req, "ETag", etag);
}

/* --- POST /files ----------------------------------------------------------------------------- */

struct post {
    struct upload *upload;
    char name[OBJECT_NAME_MAX + 1];
};

static void post_free(void *state)
{
    struct post *post = state;
    upload_free(post->upload);
    free(post);
}

/* Unlinking what a client left half-way blocks: on the pool, if it has room. */
static void post_release(void *state)
{
    if (workers_submit(workers, post_free, state) != STATUS_OK)
        post_free(state);
}

static enum status post_begin(struct http_request *req)
{
    static const char *const none[] = {NULL};
    struct post *post = xcalloc(1, sizeof(*post));
    http_set_state(req, post, post_release);
    enum status s = http_query_only(req, none);
    if (s != STATUS_OK)
        return s;
    if (disposition_parse(http_header(req, "Content-Disposition"), post->name) != STATUS_OK)
        return http_fail(req, STATUS_BAD_REQUEST, "Content-Disposition: malformed, or a bad name");
    return upload_new(store, &post->upload);
}

/* What a failed upload takes up on disk is free again before its reply goes out. */
static enum status give_up_on_failure(struct post *post, enum status s)
{
    if (s != STATUS_OK) {
        upload_free(post->upload);
        post->upload = NULL;
    }
    return s;
}

static enum status post_chunk(struct http_request *req, const uint8_t *bytes, size_t len)
{
    struct post *post = http_state(req);
    return give_up_on_failure(post, upload_write(post->upload, bytes, len));
}

static enum status post_file(struct http_request *req)
{
    char etag[67], location[sizeof("/files/") + OBJECT_ID_HEX] = "/files/";
    struct post *post = http_state(req);
    struct object o;
    enum status s = give_up_on_failure(post, upload_finish(post->upload, post->name, &o));
    if (s != STATUS_OK)
        return s;
    object_id_format(o.id, location + strlen(location));
    http_set_header(req, "Location", location);
    set_etag(req, &o, etag);
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

static enum status get_files(struct http_request *req)
{
    static const char *const known[] = {"limit", "after", NULL};
    struct page page = {NULL, 0, 0, false};
    int64_t after;
    enum status s = http_query_only(req, known);
    if (s == STATUS_OK)
        s = http_query_int(req, "limit", 1, 1000, 100, &page.limit);
    if (s == STATUS_OK)
        s = http_query_int(req, "after", 0, INT64_MAX, 0, &after);
    if (s != STATUS_OK)
        return s;
    page.files = json_array();
    s = index_list(store_index(store), after, page.limit + 1, add_to_page, &page);
    if (s != STATUS_OK) {
        json_decref(page.files);
        return s;
    }
    char next[24], link[96];
    snprintf(next, sizeof(next), "%lld", (long long)page.last);
    snprintf(link, sizeof(link), "</files?limit=%lld&after=%s>; rel=\"next\"",
             (long long)page.limit, next);
    if (page.more)
        http_set_header(req, "Link", link);
    return http_reply_json(
        req, 200, json_pack("{s:o, s:s?}", "files", page.files, "next", page.more ? next : NULL));
}

/* --- GET and DELETE /files/{id} -------------------------------------------------------------- */

static enum status read_file(void *state, uint8_t *out, size_t len, size_t *n)
{
    return download_read(state, out, len, n);
}

static void release_file(void *state)
{
    download_free(state);
}

/* An etag is quoted and of fixed length, so one that stands inside a list is a member of it. */
static bool etag_listed(const char *list, const char *etag)
{
    return list && (strcmp(list, "*") == 0 || strstr(list, etag));
}

/* The bytes asked for, as status code and headers. */
static enum status choose_range(struct http_request *req, const struct object *o, const char *etag,
                                uint64_t *first, uint64_t *len, int *code)
{
    char text[80];
    bool partial;
    const char *range = http_header(req, "Range"), *condition = http_header(req, "If-Range");
    if (condition && strcmp(condition, etag) != 0)
        range = NULL;
    enum status s = range_parse(range, o->size, first, len, &partial);
    *code = partial ? 206 : 200;
    http_set_header(req, "Accept-Ranges", "bytes");
    if (s != STATUS_OK)
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)o->size);
    else if (partial)
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)*first,
                 (unsigned long long)(*first + *len - 1), (unsigned long long)o->size);
    if (partial)
        http_set_header(req, "Content-Range", text);
    return s;
}

static void set_disposition(struct http_request *req, const struct object *o)
{
    struct strbuf disposition = STRBUF_INIT;
    disposition_write(o->name, &disposition);
    http_set_header(req, "Content-Disposition", strbuf_cstr(&disposition));
    strbuf_release(&disposition);
}

static enum status get_file(struct http_request *req)
{
    struct download *d;
    struct object o;
    uint8_t id[OBJECT_ID];
    uint64_t first, len;
    char etag[67];
    int code;
    enum status s = object_id_parse(http_param(req, "id"), id);
    if (s == STATUS_OK)
        s = download_new(store, id, &o, &d);
    if (s != STATUS_OK)
        return s;
    set_etag(req, &o, etag);
    if (etag_listed(http_header(req, "If-None-Match"), etag)) {
        download_free(d);
        return http_reply(req, 304, NULL, NULL, 0);
    }
    s = choose_range(req, &o, etag, &first, &len, &code);
    if (s == STATUS_OK)
        s = download_range(d, first, len);
    if (s != STATUS_OK) {
        download_free(d);
        return s;
    }
    set_disposition(req, &o);
    http_set_header(req, "Cache-Control", "private, no-cache");
    return http_reply_stream(req, code, "application/octet-stream", len, read_file, d,
                             release_file);
}

static enum status delete_file(struct http_request *req)
{
    uint8_t id[OBJECT_ID];
    enum status s = object_id_parse(http_param(req, "id"), id);
    if (s == STATUS_OK)
        s = store_delete(store, id);
    return s == STATUS_OK ? http_reply(req, 204, NULL, NULL, 0) : s;
}

#include "reply.h"
#include "problem.h"
#include <string.h>

enum { PAGE_DEFAULT = 50, PAGE_MAX = 200 };

enum status reply_rows(struct http_request *req, enum status st, const char *name, json_t *rows)
{
    if (!st)
        return http_reply_json(req, 200, json_pack("{s:o}", name, rows));
    json_decref(rows);
    return st;
}

enum status reply_refused(struct http_request *req, const char *detail, json_t *members)
{
    struct strbuf body = STRBUF_INIT, extra = STRBUF_INIT;
    json_write(&extra, members);
    extra.bytes[extra.len - 1] = '\0'; /* without its braces */
    problem_write(&body, STATUS_UNPROCESSABLE, detail, http_request_id(req), extra.bytes + 1);
    enum status st = http_reply(req, 422, "application/problem+json", body.bytes, body.len);
    json_decref(members);
    strbuf_release(&extra);
    strbuf_release(&body);
    return st;
}

enum status page_read(struct http_request *req, struct page *page, const char *also)
{
    const char *const known[] = {"after", "limit", also, NULL};
    bool found;
    *page = (struct page){.after = STRBUF_INIT};
    enum status st = http_query_only(req, known);
    if (!st)
        st = http_query_int(req, "limit", 1, PAGE_MAX, PAGE_DEFAULT, &page->limit);
    if (!st)
        st = http_query(req, "after", &page->after, &found);
    return st;
}

static void link_next(struct http_request *req, const struct page *page, const char *path,
                      const char *last)
{
    struct strbuf link = STRBUF_INIT;
    strbuf_addf(&link, "<%s%cafter=%s&limit=%lld>; rel=\"next\"", path,
                strchr(path, '?') ? '&' : '?', last, (long long)page->limit);
    http_set_header(req, "Link", link.bytes);
    strbuf_release(&link);
}

enum status page_reply(struct http_request *req, enum status st, const struct page *page,
                       const char *path, const char *name, const char *key, json_t *rows)
{
    size_t limit = (size_t)page->limit;
    if (!st && json_array_size(rows) > limit) {
        json_array_remove(rows, limit);
        const json_t *last = json_array_get(rows, limit - 1);
        link_next(req, page, path, json_string_value(json_object_get(last, key)));
    }
    return reply_rows(req, st, name, rows);
}

/* What handlers that answer with lists share. Any thread. */
#pragma once
#include "http.h"

/* A reply {"<name>": rows}, or `st`. Takes `rows` over. */
enum status reply_rows(struct http_request *req, enum status st, const char *name, json_t *rows);

/* 422, with these members beside those of every problem. Takes `members` over. */
enum status reply_refused(struct http_request *req, const char *detail, json_t *members);

struct page {
    int64_t limit;
    struct strbuf after; /* the caller's to release */
};
/* `limit` and `after` of the query, and no other name but those in `also` (or NULL). BAD_REQUEST.
 */
enum status page_read(struct http_request *req, struct page *page, const char *also);
/* As reply_rows, for rows of which one more was asked for than the page has: when it came, a Link
 * leads to the next page at `path`, behind the last row's member `key`. */
enum status page_reply(struct http_request *req, enum status st, const struct page *page,
                       const char *path, const char *name, const char *key, json_t *rows);

#include "reads.h"
#include "order_json.h"
#include "orders_db.h"
#include "reply.h"
#include "request.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAGE_DEFAULT = 20 };

static struct db *db;

/* Object check: the order becomes the request's state; who must not see it is told that there is
 * none. */
enum status see_order(struct http_request *req)
{
    struct actor who = request_actor(req);
    struct db_conn *c;
    struct order *o;
    int64_t id = 0;
    enum status st = request_order(req, &id);
    if (st)
        return st;
    st = db_acquire(db, &c);
    if (st)
        return store_failed(req, st);
    o = xmalloc(sizeof(*o));
    http_set_state(req, o, free);
    st = orders_load(c, id, READ_COMMITTED, o);
    db_release(c);
    if (!st && !order_visible(o, &who))
        st = STATUS_NOT_FOUND;
    return st ? store_failed(req, st) : STATUS_OK;
}

enum status get_order(struct http_request *req)
{
    const struct order *o = http_state(req);
    char etag[ETAG_SIZE];
    etag_format(o->version, etag);
    http_set_header(req, "ETag", etag);
    http_set_header(req, "Cache-Control", "private, no-cache"); /* kept, but asked about */
    if (etag_matches(http_header(req, "If-None-Match"), etag))
        return http_reply(req, 304, NULL, NULL, 0);
    return http_reply_json(req, 200, order_json(o));
}

struct page {
    struct orders_query query;
    enum order_state status;
    struct order orders[ORDERS_PAGE_MAX];
    size_t n;
    bool more;
};

static enum status page_query(struct http_request *req, struct page *page)
{
    static const char *const known[] = {"status", "limit", "after", NULL};
    struct strbuf text = STRBUF_INIT;
    int64_t limit = 0;
    bool found = false;
    enum status st = http_query_only(req, known);
    if (!st)
        st = http_query_int(req, "limit", 1, ORDERS_PAGE_MAX, PAGE_DEFAULT, &limit);
    if (!st)
        st = http_query_int(req, "after", 1, INT64_MAX, INT64_MAX, &page->query.after);
    if (!st)
        st = http_query(req, "status", &text, &found);
    if (!st && found) {
        page->query.status = &page->status;
        if (order_state_parse(strbuf_cstr(&text), &page->status))
            st = http_fail(req, STATUS_BAD_REQUEST, "status names no state of an order");
    }
    page->query.limit = (size_t)limit;
    strbuf_release(&text);
    return st;
}

static enum status page_reply(struct http_request *req, const struct page *page)
{
    json_t *orders = json_array();
    for (size_t i = 0; i < page->n; i++)
        json_array_append_new(orders, order_json(&page->orders[i]));
    if (page->more) {
        char link[128];
        snprintf(link, sizeof(link), "</orders?limit=%zu&after=%" PRId64 "%s%s>; rel=\"next\"",
                 page->query.limit, page->orders[page->n - 1].id,
                 page->query.status ? "&status=" : "",
                 page->query.status ? order_state_name(page->status) : "");
        http_set_header(req, "Link", link);
    }
    return http_reply_json(req, 200, json_pack("{s:o}", "orders", orders));
}

enum status get_orders(struct http_request *req)
{
    struct actor who = request_actor(req);
    struct page *page = xcalloc(1, sizeof(*page));
    struct db_conn *c = NULL;
    page->query.who = &who;
    enum status st = page_query(req, page);
    if (st)
        goto out;
    st = db_acquire(db, &c);
    if (!st)
        st = orders_list(c, &page->query, page->orders, &page->n, &page->more);
    db_release(c);
    st = st ? store_failed(req, st) : page_reply(req, page);
out:
    free(page);
    return st;
}

void reads_init(struct db *database)
{
    db = database;
}

#include "reads.h"
#include "consistency.h"
#include "order_json.h"
#include "orders_db.h"
#include "reply.h"
#include "request.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_DEFAULT = 20 };

static struct status_sources sources;

/* From the map on the event thread, else from further away on the pool. */
enum status see_order(struct http_request *req)
{
    struct status_query q = {.who = request_actor(req)};
    struct snapshot *shown = NULL;
    enum status st = request_order(req, &q.order);
    if (!st)
        st = consistency_take(req, q.order, &q.least, NULL);
    if (st)
        return st;
    if (http_on_pool(req))
        st = status_read_far(&sources, &q, &shown);
    else if (!(shown = status_read_near(&sources, &q)))
        return STATUS_NEEDS_POOL;
    http_set_state(req, shown, snapshot_unref);
    return st ? store_failed(req, st) : STATUS_OK;
}

enum status get_order(struct http_request *req)
{
    const struct snapshot *shown = http_state(req);
    http_set_header(req, "ETag", shown->etag);
    http_set_header(req, "Cache-Control", "private, no-cache"); /* kept, but asked about */
    if (etag_matches(http_header(req, "If-None-Match"), shown->etag))
        return http_reply(req, 304, NULL, NULL, 0);
    return http_reply_static(req, 200, "application/json", shown->json, shown->len);
}

struct page {
    struct orders_query query;
    enum order_state status;
    struct strbuf partner;
    struct order orders[ORDERS_PAGE_MAX];
    size_t n;
    bool more;
};

static enum status take_status(struct http_request *req, struct page *page)
{
    struct strbuf text = STRBUF_INIT;
    bool found;
    enum status st = http_query(req, "status", &text, &found);
    if (!st && found) {
        page->query.status = &page->status;
        if (order_state_parse(strbuf_cstr(&text), &page->status))
            st = http_fail(req, STATUS_BAD_REQUEST, "status names no state of an order");
    }
    strbuf_release(&text);
    return st;
}

static enum status take_partner(struct http_request *req, struct page *page)
{
    bool found;
    enum status st = http_query(req, "partner", &page->partner, &found);
    if (st || !found)
        return st;
    if (page->query.who->role != DISPATCHER)
        return http_fail(req, STATUS_FORBIDDEN, "partner is a dispatcher's filter");
    page->query.partner = strbuf_cstr(&page->partner);
    if (strlen(page->query.partner) != page->partner.len ||
        !name_valid(page->query.partner, PERSON_MAX))
        return http_fail(req, STATUS_BAD_REQUEST, "partner is nobody's id");
    return STATUS_OK;
}

static enum status page_query(struct http_request *req, struct page *page)
{
    static const char *const known[] = {"status", "partner", "limit", "after", NULL};
    int64_t limit = 0;
    enum status st = http_query_only(req, known);
    if (!st)
        st = http_query_int(req, "limit", 1, ORDERS_PAGE_MAX, PAGE_DEFAULT, &limit);
    if (!st)
        st = http_query_int(req, "after", 1, INT64_MAX, INT64_MAX, &page->query.after);
    if (!st)
        st = take_status(req, page);
    if (!st)
        st = take_partner(req, page);
    page->query.limit = (size_t)limit;
    return st;
}

static void link_next(struct http_request *req, const struct page *page)
{
    struct strbuf link = STRBUF_INIT;
    strbuf_addf(&link, "</orders?limit=%zu&after=%" PRId64, page->query.limit,
                page->orders[page->n - 1].id);
    if (page->query.status)
        strbuf_addf(&link, "&status=%s", order_state_name(page->status));
    if (page->query.partner)
        strbuf_addf(&link, "&partner=%s", page->query.partner);
    strbuf_addstr(&link, ">; rel=\"next\"");
    http_set_header(req, "Link", link.bytes);
    strbuf_release(&link);
}

static enum status page_reply(struct http_request *req, const struct page *page)
{
    json_t *orders = json_array();
    for (size_t i = 0; i < page->n; i++)
        json_array_append_new(orders, order_json(&page->orders[i]));
    if (page->more)
        link_next(req, page);
    return http_reply_json(req, 200, json_pack("{s:o}", "orders", orders));
}

static enum status load_page(struct db *db, struct page *page)
{
    struct db_conn *c;
    enum status st = db ? db_acquire(db, &c) : STATUS_UNAVAILABLE;
    if (st)
        return st;
    st = orders_list(c, &page->query, page->orders, &page->n, &page->more);
    db_release(c);
    return st;
}

enum status get_orders(struct http_request *req)
{
    struct actor who = request_actor(req);
    struct page *page = xcalloc(1, sizeof(*page));
    int64_t least;
    bool exact = false;
    page->query.who = &who;
    enum status st = page_query(req, page);
    if (!st)
        st = consistency_take(req, 0, &least, &exact);
    if (st)
        goto out;
    if (exact || load_page(sources.replica, page))
        st = load_page(sources.primary, page);
    st = st ? store_failed(req, st) : page_reply(req, page);
out:
    strbuf_release(&page->partner);
    free(page);
    return st;
}

void reads_init(const struct status_sources *from)
{
    sources = *from;
    status_read_init();
}

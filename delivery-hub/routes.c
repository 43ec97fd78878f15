#include "routes.h"
#include "accept.h"
#include "delivery-hub_embed.h"
#include "history.h"
#include "login.h"
#include "orders.h"
#include "reads.h"
#include "stats.h"
#include "writes.h"

static struct hub hub;

static enum status get_page(struct http_request *req)
{
    return http_reply_page(req, &delivery_hub_web,
                           "default-src 'none'; script-src 'self'; style-src 'self'; "
                           "connect-src 'self'; img-src data:; base-uri 'none'; "
                           "form-action 'none'; frame-ancestors 'none'");
}

static enum status post_demo_login(struct http_request *req)
{
    if (!hub.demo_login)
        return http_fail(req, STATUS_NOT_FOUND, "demo logins are off");
    return login_demo(req, hub.token_key);
}

static enum status get_events(struct http_request *req)
{
    return events_reply(hub.events, req);
}

enum status hub_authenticate(struct http_request *req, struct principal *who)
{
    return login_bearer(req, hub.token_key, who);
}

#define ANY (CUSTOMER | PARTNER | DISPATCHER)

const struct route hub_routes[] = {
    /* method, pattern, who may, object check, where it runs, handler */
    {POST, "/orders", CUSTOMER, NULL, BLOCKING, post_order, NULL},
    {GET, "/orders", ANY, NULL, BLOCKING, get_orders, NULL},
    {POST, "/orders/next", PARTNER, NULL, BLOCKING, post_next, NULL},
    {GET, "/orders/{order}", ANY, see_order, INLINE_OR_POOL, get_order, NULL},
    {GET, "/orders/{order}/history", ANY, NULL, BLOCKING, get_history, NULL},
    {POST, "/orders/{order}/accept", PARTNER, NULL, INLINE_OR_POOL, post_accept, NULL},
    {POST, "/orders/{order}/pickup", PARTNER, NULL, BLOCKING, post_pickup, NULL},
    {POST, "/orders/{order}/deliver", PARTNER, NULL, BLOCKING, post_deliver, NULL},
    {POST, "/orders/{order}/release", PARTNER, NULL, BLOCKING, post_release, NULL},
    {POST, "/orders/{order}/cancel", CUSTOMER | DISPATCHER, NULL, BLOCKING, post_cancel, NULL},
    {GET, "/stats", DISPATCHER, NULL, INLINE_OR_POOL, get_stats, NULL},
    {GET, "/events", ANY, NULL, INLINE, get_events, NULL},
    {POST, "/demo/login", ANYONE, NULL, INLINE, post_demo_login, NULL},
    {GET, "/", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/app.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/dom.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/api.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/ui.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/board.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/partner.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/customer.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/style.css", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/openapi.json", ANYONE, NULL, INLINE, get_page, NULL},
};
const size_t hub_route_count = sizeof(hub_routes) / sizeof(hub_routes[0]);

void hub_routes_init(const struct hub *h)
{
    hub = *h;
    writes_init(h);
    accept_init(h);
    reads_init(&h->stores);
    stats_init(&h->stores);
    history_init(h->db);
}

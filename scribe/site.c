#include "site.h"
#include "embed.h"
#include "fault.h"
#include "health.h"
#include "login.h"
#include "metrics.h"
#include "problem.h"
#include "router.h"
#include "scribe_embed.h"
#include <stdio.h>
#include <string.h>

struct http_request {
    struct route_match match;
    const char *authorization;
    const char *body;
    size_t len;
    struct site_reply *reply;
    struct strbuf *why;
};

static struct router router;
static const char *key;
static bool demo;

static enum status get_file(struct http_request *req)
{
    const char *path = req->match.route->pattern;
    const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;
    const struct embed_file *file = embed_find(&scribe_web, name);
    if (!file)
        return STATUS_NOT_FOUND;
    req->reply->type = embed_type(name);
    strbuf_add(&req->reply->body, file->bytes, file->len);
    return STATUS_OK;
}

static enum status get_healthz(struct http_request *req)
{
    req->reply->type = "application/json";
    strbuf_addstr(&req->reply->body, "{\"status\":\"alive\"}");
    return STATUS_OK;
}

static enum status get_readyz(struct http_request *req)
{
    req->reply->type = "application/json";
    enum status status = health_ready(&req->reply->body);
    req->reply->code = status_http(status);
    req->reply->retry_after = status != STATUS_OK;
    return STATUS_OK;
}

static enum status get_metrics(struct http_request *req)
{
    req->reply->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_render(&req->reply->body);
    return STATUS_OK;
}

static enum status post_demo_login(struct http_request *req)
{
    if (!demo)
        return STATUS_NOT_FOUND;
    req->reply->type = "application/json";
    return login_demo(key, req->body, req->len, &req->reply->body, req->why);
}

static enum status post_demo_crash(struct http_request *req)
{
    enum status status = fault_check(req->authorization);
    if (status != STATUS_OK)
        return status;
    fault_crash();
}

static const struct route routes[] = {
    {GET, "/", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/app.js", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/dom.js", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/store.js", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/view.js", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/wire.js", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/style.css", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/icon.svg", ANYONE, NULL, INLINE, get_file, NULL},
    {GET, "/healthz", ANYONE, NULL, INLINE, get_healthz, NULL},
    {GET, "/readyz", ANYONE, NULL, INLINE, get_readyz, NULL},
    {GET, "/metrics", ANYONE, NULL, INLINE, get_metrics, NULL},
    {POST, "/demo/login", ANYONE, NULL, INLINE, post_demo_login, NULL},
    {POST, "/demo/crash", ANYONE, NULL, INLINE, post_demo_crash, NULL}, /* only with DEMO_FAULTS */
};

enum status site_init(const char *token_key, bool demo_login, struct strbuf *why)
{
    key = token_key;
    demo = demo_login;
    return router_init(&router, routes, sizeof(routes) / sizeof(routes[0]) - !fault_on(), why);
}

void site_problem(struct site_reply *out, enum status status, const char *detail)
{
    strbuf_reset(&out->body);
    out->code = status_http(status);
    out->type = "application/problem+json";
    out->retry_after = out->code == 503;
    problem_write(&out->body, status, *detail ? detail : NULL, NULL, NULL);
}

static void allow(struct site_reply *out, unsigned methods)
{
    struct strbuf list = STRBUF_INIT;
    router_allow(methods, &list);
    snprintf(out->allow, sizeof(out->allow), "%s", strbuf_cstr(&list));
    strbuf_release(&list);
}

void site_answer(const char *method, const char *target, const char *authorization,
                 const char *body, size_t len, struct site_reply *out)
{
    struct strbuf why = STRBUF_INIT;
    struct http_request req = {
        .authorization = authorization, .body = body, .len = len, .reply = out, .why = &why};
    bool options = strcmp(method, "OPTIONS") == 0;
    *out = (struct site_reply){.code = 200};
    enum status status = router_match(&router, method, target, &req.match, &why);
    if (status == STATUS_METHOD_NOT_ALLOWED || (status == STATUS_OK && options))
        allow(out, req.match.allow);
    if (status == STATUS_OK && options)
        out->code = 204;
    else if (status == STATUS_OK)
        status = req.match.route->handler(&req);
    out->head_only = req.match.head;
    if (status != STATUS_OK)
        site_problem(out, status, strbuf_cstr(&why));
    strbuf_release(&why);
}

void site_reply_release(struct site_reply *reply)
{
    strbuf_release(&reply->body);
}

/* GET /me/attendance as most would write it, on the portal's own queries: the session from Redis,
 * and the page from the database or, with NAIVE_TTL, from Redis for so many seconds, whatever
 * changes meanwhile. Whoever misses loads; nobody waits for anybody. */
#include "attendance_db.h"
#include "auth.h"
#include "health.h"
#include "page.h"
#include "portal.h"
#include "service.h"
#include <inttypes.h>
#include <stdio.h>

static const char *listen_at, *mysql_url, *redis_url;
static int64_t ttl_s;

static const struct config_option options[] = {
    {"PORTAL_LISTEN", CONFIG_LISTEN, &listen_at, "127.0.0.1:8400", "address and port", 0, 0, NULL},
    {"MYSQL_URL", CONFIG_URL, &mysql_url, NULL, "the portal's database", 1, 0, "mysql"},
    {"REDIS_URL", CONFIG_URL, &redis_url, NULL, "the portal's Redis", 1, 0, "redis"},
    {"NAIVE_TTL", CONFIG_INT, &ttl_s, "0", "seconds that a page is kept; 0: not at all", 0, 3600,
     NULL},
};
enum { THREADS = 16, QUEUE = 2048 }; /* the portal's own */

static enum status find_student(struct http_request *req, struct principal *who)
{
    char id[SESSION_ID_SIZE];
    struct session session;
    bool found;
    if (!http_on_pool(req))
        return STATUS_NEEDS_POOL;
    enum status st = auth_session_id(req, id, &found);
    if (!st)
        st = found ? session_find(portal.sessions, id, &session) : STATUS_UNAUTHENTICATED;
    if (st)
        return st;
    snprintf(who->id, sizeof(who->id), "%" PRId64, session.user_id);
    who->session = session.user_id;
    who->roles = STUDENT;
    return STATUS_OK;
}

static void write_page(void *ctx, const struct attendance_page *page)
{
    page_write(ctx, page);
}

static enum status get_kept(int64_t student, struct strbuf *body)
{
    struct redis_reply *reply = NULL;
    size_t len;
    if (!ttl_s)
        return STATUS_OK;
    enum status st = redis_command(portal.redis, &reply, "GET naive:%lld", (long long)student);
    const char *kept = redis_str(reply, &len);
    if (!st && kept)
        strbuf_add(body, kept, len);
    redis_reply_free(reply);
    return st;
}

static enum status load(int64_t student, struct strbuf *body)
{
    enum status st = attendance_load(portal.db, &student, 1, write_page, body);
    if (!st && ttl_s)
        st = redis_command(portal.redis, NULL, "SETEX naive:%lld %lld %b", (long long)student,
                           (long long)ttl_s, body->bytes, body->len);
    return st;
}

static enum status get_page(struct http_request *req)
{
    struct strbuf body = STRBUF_INIT;
    int64_t student = http_principal(req)->session;
    enum status st = get_kept(student, &body);
    if (!st && body.len == 0)
        st = load(student, &body);
    if (!st)
        st = http_reply(req, 200, "application/json", body.bytes, body.len);
    strbuf_release(&body);
    return st;
}

static const struct route routes[] = {
    {GET, "/me/attendance", STUDENT, NULL, BLOCKING, get_page, NULL},
};

int main(int argc, char **argv)
{
    struct strbuf why = STRBUF_INIT;
    struct http *http;
    service_init("naive", "attendance, the usual way", options,
                 sizeof(options) / sizeof(options[0]), argc, argv);
    const struct db_options db = {.url = mysql_url, .connections_max = THREADS};
    const struct redis_options redis = {.url = redis_url, .connections_max = THREADS};
    struct workers *workers = workers_new("requests", THREADS, QUEUE);
    const struct http_options server = {.listen = listen_at,
                                        .routes = routes,
                                        .route_count = 1,
                                        .authenticate = find_student,
                                        .workers = workers};
    if (db_new(&db, &portal.db, &why) || redis_new(&redis, &portal.redis, &why))
        service_die("stores", &why);
    health_add("mysql", db_health, portal.db);
    health_add("redis", redis_health, portal.redis);
    portal.sessions = sessions_new(portal.redis, 1800, 43200);
    if (http_start(&server, &http, &why))
        service_die("start", &why);
    service_wait();
    http_stop(http, SERVICE_DRAIN_MS);
    workers_free(workers);
    sessions_free(portal.sessions);
    redis_free(portal.redis);
    db_free(portal.db);
    return service_exit();
}

#include "auth.h"
#include "config.h"
#include "health.h"
#include "http.h"
#include "portal.h"
#include "routes.h"
#include "service.h"
#include "student-portal_embed.h"
#include "warm.h"
#include <string.h>

static const char *listen_at, *mysql_url, *redis_url, *proxies;
static int64_t threads, connections, idle_s, absolute_s, hash_threads, hash_queue, near_places,
    warm_minutes;
static bool cache_on;

static const struct config_option options[] = {
    {"PORTAL_LISTEN", CONFIG_LISTEN, &listen_at, "127.0.0.1:8400", "address and port", 0, 0, NULL},
    {"MYSQL_URL", CONFIG_URL, &mysql_url, NULL, "mysql://user:pass@host:3306/db", 1, 0, "mysql"},
    {"REDIS_URL", CONFIG_URL, &redis_url, NULL, "redis://:pass@host:6379/0", 1, 0, "redis|rediss"},
    {"PORTAL_CACHE", CONFIG_BOOL, &cache_on, "1", "keep attendance in memory and in Redis", 0, 0,
     NULL},
    {"PORTAL_NEAR", CONFIG_INT, &near_places, "16384", "students kept in memory; 0: none", 0,
     1000000, NULL},
    {"PORTAL_WARM", CONFIG_INT, &warm_minutes, "0",
     "minutes before a class in which its students' pages are loaded; 0: none", 0, 1440, NULL},
    {"PORTAL_WORKERS", CONFIG_INT, &threads, "16", "threads for requests", 1, 256, NULL},
    {"PORTAL_CONNECTIONS", CONFIG_INT, &connections, "20000", "clients at once", 1, 1000000, NULL},
    {"PORTAL_HASH_THREADS", CONFIG_INT, &hash_threads, "2", "passwords hashed at once, 19 MiB each",
     1, 64, NULL},
    {"PORTAL_HASH_QUEUE", CONFIG_INT, &hash_queue, "64", "logins that may wait", 1, 10000, NULL},
    {"PORTAL_SESSION_IDLE", CONFIG_INT, &idle_s, "1800", "seconds a session may be idle", 1,
     31536000, NULL},
    {"PORTAL_SESSION_MAX", CONFIG_INT, &absolute_s, "43200", "seconds a session lasts", 1, 31536000,
     NULL},
    {"TRUSTED_PROXIES", CONFIG_STRING, &proxies, "", "whose X-Forwarded-For and -Proto count", 0, 0,
     NULL},
};

/* Beside the workers: the loader, the invalidation and the warm-up. */
enum { OTHER_THREADS = 3 };
static struct workers *workers;
static struct warm *warm;

static void open_caches(void)
{
    struct strbuf why = STRBUF_INIT;
    portal.near = near_new((size_t)near_places);
    portal.cache = cache_new(portal.redis);
    const struct invalidation_options invalidation = {.redis_url = redis_url,
                                                      .redis = portal.redis,
                                                      .db = portal.db,
                                                      .cache = portal.cache,
                                                      .near = portal.near,
                                                      .use_near = cache_on && near_places};
    if (invalidation_new(&invalidation, &portal.invalidation, &why))
        service_die("REDIS_URL", &why);
    const struct fills_options fills = {.redis = portal.redis,
                                        .db = portal.db,
                                        .cache = portal.cache,
                                        .near = portal.near,
                                        .use_cache = cache_on};
    portal.fills = fills_new(&fills);
    portal.loader = loader_new(portal.sessions, portal.fills, portal.near);
    warm = warm_new(portal.db, portal.fills, portal.near, warm_minutes);
}

static void open_stores(void)
{
    struct strbuf why = STRBUF_INIT;
    const struct db_options db = {.url = mysql_url,
                                  .connections_max = (size_t)threads + OTHER_THREADS,
                                  .schema = &student_portal_schema};
    const struct redis_options redis = {.url = redis_url,
                                        .connections_max = (size_t)threads + OTHER_THREADS};
    if (db_new(&db, &portal.db, &why))
        service_die("MYSQL_URL", &why);
    if (redis_new(&redis, &portal.redis, &why))
        service_die("REDIS_URL", &why);
    health_add("mysql", db_health, portal.db);
    health_add("redis", redis_health, portal.redis);
    portal.sessions = sessions_new(portal.redis, idle_s, absolute_s);
    portal.session_absolute_s = absolute_s;
    portal.throttle = throttle_new();
    open_caches();
    portal.hashing = workers_new("hashing", (size_t)hash_threads, (size_t)hash_queue);
    workers = workers_new("requests", (size_t)threads, 2048);
}

static struct http *serve(void)
{
    struct http *http;
    struct strbuf why = STRBUF_INIT;
    const struct http_options server = {.listen = listen_at,
                                        .routes = portal_routes,
                                        .route_count = portal_route_count,
                                        .authenticate = authenticate,
                                        .workers = workers,
                                        .connections_max = (size_t)connections,
                                        .connection_memory = 16384,
                                        .body_max = 16384,
                                        .trusted_proxies = proxies};
    if (http_start(&server, &http, &why))
        service_die("start", &why);
    service_started(listen_at);
    return http;
}

static void close_stores(void)
{
    workers_free(workers);
    workers_free(portal.hashing);
    warm_free(warm);
    loader_free(portal.loader);
    fills_free(portal.fills);
    invalidation_free(portal.invalidation);
    cache_free(portal.cache);
    near_free(portal.near);
    throttle_free(portal.throttle);
    sessions_free(portal.sessions);
    redis_free(portal.redis);
    db_free(portal.db);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--routes") == 0) {
        routes_print();
        return 0;
    }
    service_init("student-portal", "attendance over HTTP", options,
                 sizeof(options) / sizeof(options[0]), argc, argv);
    open_stores();
    struct http *http = serve();
    service_wait();
    http_stop(http, SERVICE_DRAIN_MS);
    close_stores();
    return service_exit();
}

#include "command.h"
#include "delivery-hub_embed.h"
#include "health.h"
#include "lease.h"
#include "listen.h"
#include "relay.h"
#include "routes.h"
#include "service.h"
#include "stream_reader.h"
#include "token.h"

enum {
    CONNECTION_MEMORY = 32 * 1024,
    QUEUE_MAX = 4096,
    WAITING_MAX = 10000,
    RELAY_EVERY_MS = 500,
    READ_EVERY_MS = 100,
    SWEEP_EVERY_MS = 5000,
    REAP_EVERY_MS = 1000,
    REPLICA_WAIT_MS = 10,
    REPLICA_TIMEOUT_S = 1
};
enum demo_login { DEMO_OFF, DEMO_ON, DEMO_FORCE };

static struct {
    const char *listen, *token_key, *mysql_url, *replica_url, *redis_url, *cors_origin;
    const char *trusted_proxies;
    int64_t capacity, lease_s, strategy, workers, connections, map, demo_login;
    bool allow_naive, gate, cache, queue;
} config;

static const struct config_option options[] = {
    {"HUB_LISTEN", CONFIG_LISTEN, &config.listen, "127.0.0.1:8200", "address and port", 0, 0, NULL},
    {"HUB_TOKEN_KEY", CONFIG_SECRET, &config.token_key, NULL,
     "key of the tokens (JWT, HS256), 32 bytes or more", TOKEN_KEY_MIN, 0, NULL},
    {"MYSQL_URL", CONFIG_URL, &config.mysql_url, NULL, "mysql://user:password@host:3306/db", 1, 0,
     "mysql"},
    {"MYSQL_REPLICA_URL", CONFIG_URL, &config.replica_url, "",
     "a replica for reads that may be a little old; empty: none", 0, 0, "mysql"},
    {"REDIS_URL", CONFIG_URL, &config.redis_url, NULL, "redis://host:6379", 1, 0, "redis|rediss"},
    {"HUB_CAPACITY", CONFIG_INT, &config.capacity, "3", "most orders a partner may hold", 1,
     1000000, NULL},
    {"HUB_LEASE", CONFIG_INT, &config.lease_s, "600", "seconds to pick an accepted order up", 1,
     86400, NULL},
    {"HUB_ASSIGN", CONFIG_CHOICE, &config.strategy, "for-update", "how a winner is found", 0, 0,
     "for-update|optimistic|naive"},
    {"HUB_ALLOW_NAIVE", CONFIG_BOOL, &config.allow_naive, "0",
     "let HUB_ASSIGN=naive give one order to several partners", 0, 0, NULL},
    {"HUB_GATE", CONFIG_BOOL, &config.gate, "1",
     "settle a hot order in the process, before the database", 0, 0, NULL},
    {"HUB_WORKERS", CONFIG_INT, &config.workers, "16", "threads, each with a database connection",
     1, 512, NULL},
    {"HUB_CONNECTIONS", CONFIG_INT, &config.connections, "20000", "most clients connected", 1,
     1000000, NULL},
    {"HUB_MAP", CONFIG_INT, &config.map, "32768", "orders kept in memory for a second; 0: none", 0,
     16777216, NULL},
    {"HUB_CACHE", CONFIG_BOOL, &config.cache, "1", "keep orders in Redis, for reads", 0, 0, NULL},
    {"HUB_QUEUE", CONFIG_BOOL, &config.queue, "1",
     "publish in the background; 0: in the request, after its commit", 0, 0, NULL},
    {"HUB_CORS_ORIGIN", CONFIG_STRING, &config.cors_origin, "",
     "one origin that pages may call from", 0, 0, NULL},
    {"TRUSTED_PROXIES", CONFIG_STRING, &config.trusted_proxies, "",
     "addresses whose X-Forwarded-For counts", 0, 0, NULL},
    {"HUB_DEMO_LOGIN", CONFIG_CHOICE, &config.demo_login, "0",
     "POST /demo/login mints tokens without a password; other than on loopback only by force", 0, 0,
     "0|1|force"},
};

static void check_demo_login(void)
{
    struct strbuf why = STRBUF_INIT;
    if (config.demo_login != DEMO_ON || listen_is_loopback(config.listen))
        return;
    strbuf_addf(&why, "1 on %s would let anybody in; force means it", config.listen);
    service_die("HUB_DEMO_LOGIN", &why);
}

static void check_strategy(void)
{
    struct strbuf why = STRBUF_INIT;
    if (config.strategy != ASSIGN_NAIVE || config.allow_naive)
        return;
    strbuf_addstr(&why, "naive gives one order to several partners; HUB_ALLOW_NAIVE=1 means it");
    service_die("HUB_ASSIGN", &why);
}

static struct db *open_db(void)
{
    struct strbuf why = STRBUF_INIT;
    struct db *db;
    const struct db_options o = {
        .url = config.mysql_url,
        /* Who publishes holds two; and the three jobs. */
        .connections_max = (size_t)config.workers * (config.queue ? 1 : 2) + 4,
        .schema = &delivery_hub_schema,
    };
    if (db_new(&o, &db, &why))
        service_die("MYSQL_URL", &why);
    health_add("mysql", db_health, db);
    return db;
}

/* Never part of readiness: without it the primary answers. So few workers wait for it, and not for
 * long: one that stands still is to hold up nobody else. */
static struct db *open_replica(void)
{
    struct strbuf why = STRBUF_INIT;
    struct db *db;
    const struct db_options o = {
        .url = config.replica_url,
        .name = "replica",
        .connections_max = (size_t)config.workers / 4 + 1,
        .wait_ms = REPLICA_WAIT_MS,
        .io_timeout_s = REPLICA_TIMEOUT_S,
    };
    if (!config.replica_url[0])
        return NULL;
    if (db_new(&o, &db, &why))
        service_die("MYSQL_REPLICA_URL", &why);
    return db;
}

/* Redis carries events, which can wait, and copies: it belongs to readiness until it was reached
 * once, so that a wrong address is seen at deployment, but an outage turns nobody away. */
static bool redis_reached(void *redis, struct strbuf *why)
{
    return redis_epoch(redis) > 0 || redis_health(redis, why);
}

static struct redis *open_redis(void)
{
    struct strbuf why = STRBUF_INIT;
    struct redis *redis;
    const struct redis_options o = {
        .url = config.redis_url,
        .connections_max = (size_t)config.workers + 2, /* the relay, and the reader */
    };
    if (redis_new(&o, &redis, &why))
        service_die("REDIS_URL", &why);
    health_add("redis", redis_reached, redis);
    return redis;
}

static struct http *serve(struct workers *workers)
{
    struct strbuf why = STRBUF_INIT;
    struct http *http;
    const struct http_options o = {
        .listen = config.listen,
        .routes = hub_routes,
        .route_count = hub_route_count,
        .authenticate = hub_authenticate,
        .workers = workers,
        .connections_max = (size_t)config.connections,
        .connection_memory = CONNECTION_MEMORY,
        .body_max = 8 * 1024,
        .warning = config.strategy == ASSIGN_NAIVE ? "one order may have several winners" : NULL,
        .cors_origins = config.cors_origin[0] ? config.cors_origin : NULL,
        .trusted_proxies = config.trusted_proxies[0] ? config.trusted_proxies : NULL,
    };
    if (http_start(&o, &http, &why))
        service_die("HUB_LISTEN", &why);
    service_started(config.listen);
    return http;
}

int main(int argc, char **argv)
{
    service_init("delivery-hub", "order assignment over HTTP", options,
                 sizeof(options) / sizeof(options[0]), argc, argv);
    check_demo_login();
    check_strategy();
    struct db *db = open_db(), *replica = open_replica();
    struct redis *redis = open_redis();
    struct relay relay;
    relay_init(&relay, db, redis, config.cache);
    struct job *publish = job_start(relay_job, &relay, RELAY_EVERY_MS);
    struct reaper reaper = {.db = db, .relay = publish};
    struct job *reap = job_start(lease_reap, &reaper, REAP_EVERY_MS);
    struct job *sweep = job_start(command_sweep, db, SWEEP_EVERY_MS);
    struct status_map *map = status_map_new((size_t)config.map);
    struct events *events = events_new();
    struct stream_reader reader = {.redis = redis, .map = map, .events = events};
    struct job *read = job_start(stream_reader_run, &reader, READ_EVERY_MS);
    struct workers *workers = workers_new("http", (size_t)config.workers, QUEUE_MAX);
    /* A gate would hide what naive is there to show. */
    bool gated = config.gate && config.strategy != ASSIGN_NAIVE;
    struct gate *gate = gated ? gate_new(WAITING_MAX) : NULL;
    hub_routes_init(&(struct hub){
        .db = db,
        .stores = {map, config.cache ? redis : NULL, replica, db},
        .relay = config.queue ? publish : NULL,
        .direct = config.queue ? NULL : &relay,
        .events = events,
        .token_key = config.token_key,
        .workers = workers,
        .gate = gate,
        .strategy = (enum assign_strategy)config.strategy,
        .capacity = config.capacity,
        .lease_s = config.lease_s,
        .demo_login = config.demo_login != DEMO_OFF,
    });
    struct http *http = serve(workers);

    service_wait();

    http_stop(http, SERVICE_DRAIN_MS);
    workers_free(workers);
    gate_free(gate);
    job_stop(sweep);
    job_stop(reap);
    job_stop(publish);
    job_stop(read);
    events_free(events);
    status_map_free(map);
    redis_free(redis);
    db_free(replica);
    db_free(db);
    return service_exit();
}

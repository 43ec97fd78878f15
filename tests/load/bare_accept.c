/* The transaction of an accept with nothing around it: the statements of delivery-hub, prepared,
 * in its order, through MySQL's C API, from THREADS connections, each order once. The limit for
 * whoever assigns orders in that way.
 * usage: bare_accept PORT DATABASE THREADS FIRST-ORDER ORDERS PARTNERS; prints a JSON object. */
#include "clock.h"
#include "hist.h"
#include "net.h"
#include "strbuf.h"
#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELECT_ORDER                                                                               \
    "SELECT id, status, version, fence, customer, partner, pickup, dropoff, note, fee_cents, "     \
    "created_at, updated_at, lease_until, SYSDATE(3) FROM orders WHERE id = ?"

enum step { READ, LOCK_PARTNER, COUNT, LOCK, UPDATE, EVENT, RECORD, STEPS };
enum { PARAMS_MAX = 8 };

static const char *const statements[STEPS] = {
    [READ] = SELECT_ORDER,
    [LOCK_PARTNER] = "SELECT id FROM partners WHERE id = ? FOR UPDATE",
    [COUNT] = "SELECT COUNT(*) FROM orders FORCE INDEX (by_partner_status) "
              "WHERE partner = ? AND status IN ('assigned', 'picked_up')",
    [LOCK] = SELECT_ORDER " FOR UPDATE",
    [UPDATE] = "UPDATE orders SET status = ?, version = ?, fence = ?, partner = ?, lease_until = "
               "?, updated_at = ? WHERE id = ? AND version = ?",
    [EVENT] = "INSERT INTO outbox (order_id, version, event, actor, body, created_at) VALUES "
              "(?, ?, ?, ?, ?, ?)",
    [RECORD] = "INSERT INTO idempotency (caller, idem_key, request, code, order_id, version, "
               "body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, NOW(3))",
};

static struct {
    unsigned port;
    const char *database;
    size_t threads;
    int64_t first, orders, partners;
} opt;

static atomic_int_fast64_t next_order;
static struct hist latency;
static pthread_mutex_t latency_lock = PTHREAD_MUTEX_INITIALIZER;

static _Noreturn void die(MYSQL *mysql, MYSQL_STMT *stmt)
{
    net_die("bare_accept: %s", stmt ? mysql_stmt_error(stmt) : mysql_error(mysql));
}

static MYSQL *dial(void)
{
    unsigned protocol = MYSQL_PROTOCOL_TCP;
    MYSQL *mysql = mysql_init(NULL);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (!mysql_real_connect(mysql, "127.0.0.1", "root", "", opt.database, opt.port, NULL, 0) ||
        mysql_query(mysql, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        die(mysql, NULL);
    return mysql;
}

/* NULL in `texts`: the next of `numbers`. */
static void run(MYSQL_STMT *stmt, const char *const *texts, size_t n, int64_t *numbers)
{
    MYSQL_BIND bind[PARAMS_MAX] = {0};
    unsigned long lengths[PARAMS_MAX];
    for (size_t i = 0; i < n; i++) {
        bind[i].buffer_type = texts[i] ? MYSQL_TYPE_STRING : MYSQL_TYPE_LONGLONG;
        bind[i].buffer = texts[i] ? (void *)(uintptr_t)texts[i] : numbers++;
        bind[i].buffer_length = lengths[i] = texts[i] ? strlen(texts[i]) : sizeof(int64_t);
        bind[i].length = &lengths[i];
    }
    if (mysql_stmt_bind_param(stmt, bind) || mysql_stmt_execute(stmt) ||
        (mysql_stmt_field_count(stmt) > 0 && mysql_stmt_store_result(stmt)))
        die(NULL, stmt);
    mysql_stmt_free_result(stmt);
}

#define TEXTS(...)                                                                                 \
    (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)
#define NUMBERS(...) ((int64_t[]){__VA_ARGS__})

static void accept_order(MYSQL *mysql, MYSQL_STMT **stmts, int64_t order)
{
    /* As long as the JSON of an order of the benchmark. */
    static const char now
        [] = "2026-01-31T09:00:00.123",
     body[] =
         "{\"id\":\"1234567\",\"status\":\"assigned\",\"version\":2,\"fence\":1,\"customer\":"
         "\"carla\",\"partner\":\"p1234\",\"lease_until\":\"2026-01-31T09:10:00.123Z\",\"pickup\":"
         "\"Main Street 1\",\"dropoff\":\"Market Square 2\",\"fee_cents\":450,\"note\":\"\","
         "\"created_at\":\"2026-01-31T09:00:00.123Z\",\"updated_at\":\"2026-01-31T09:00:00.123Z\"}";
    static const char hash[] = "0123456789abcdef0123456789abcdef";
    char partner[32], key[40];
    snprintf(partner, sizeof(partner), "p%lld", 1 + (long long)order % (long long)opt.partners);
    snprintf(key, sizeof(key), " %032llx", (unsigned long long)order);
    if (mysql_query(mysql, "BEGIN"))
        die(mysql, NULL);
    run(stmts[READ], TEXTS(NULL), NUMBERS(order));
    run(stmts[LOCK_PARTNER], TEXTS(partner), NULL);
    run(stmts[COUNT], TEXTS(partner), NULL);
    run(stmts[LOCK], TEXTS(NULL), NUMBERS(order));
    run(stmts[UPDATE], TEXTS("assigned", NULL, NULL, partner, now, now, NULL, NULL),
        NUMBERS(2, 1, order, 1));
    run(stmts[EVENT], TEXTS(NULL, NULL, "accepted", partner, body, now), NUMBERS(order, 2));
    run(stmts[RECORD], TEXTS(partner, key, hash, NULL, NULL, NULL, body), NUMBERS(200, order, 2));
    if (mysql_query(mysql, "COMMIT"))
        die(mysql, NULL);
}

static void *accept_orders(void *barrier)
{
    struct hist *own = xcalloc(1, sizeof(*own));
    MYSQL_STMT *stmts[STEPS];
    mysql_thread_init();
    MYSQL *mysql = dial();
    for (size_t i = 0; i < STEPS; i++) {
        stmts[i] = mysql_stmt_init(mysql);
        if (mysql_stmt_prepare(stmts[i], statements[i], strlen(statements[i])))
            die(NULL, stmts[i]);
    }
    pthread_barrier_wait(barrier);
    for (int64_t i; (i = atomic_fetch_add(&next_order, 1)) < opt.orders;) {
        int64_t start_us = clock_mono_us();
        accept_order(mysql, stmts, opt.first + i);
        hist_add(own, clock_mono_us() - start_us);
    }
    pthread_mutex_lock(&latency_lock);
    for (size_t i = 0; i < sizeof(own->counts) / sizeof(own->counts[0]); i++)
        latency.counts[i] += own->counts[i];
    latency.total += own->total;
    latency.max = latency.max > own->max ? latency.max : own->max;
    pthread_mutex_unlock(&latency_lock);
    for (size_t i = 0; i < STEPS; i++)
        mysql_stmt_close(stmts[i]);
    mysql_close(mysql);
    mysql_thread_end();
    free(own);
    return NULL;
}

static void run_threads(void)
{
    pthread_t *threads = xcalloc(opt.threads, sizeof(threads[0]));
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)opt.threads + 1);
    for (size_t i = 0; i < opt.threads; i++)
        if (pthread_create(&threads[i], NULL, accept_orders, &barrier))
            net_die("bare_accept: no thread");
    pthread_barrier_wait(&barrier);
    int64_t start_us = clock_mono_us();
    for (size_t i = 0; i < opt.threads; i++)
        pthread_join(threads[i], NULL);
    double seconds = (double)(clock_mono_us() - start_us) / 1e6;
    printf("{\"requests\": %lld, \"seconds\": %.3f, \"per_s\": %.1f, \"p50_us\": %llu, "
           "\"p99_us\": %llu}\n",
           (long long)opt.orders, seconds, (double)opt.orders / seconds,
           (unsigned long long)hist_percentile(&latency, 0.5),
           (unsigned long long)hist_percentile(&latency, 0.99));
    pthread_barrier_destroy(&barrier);
    free(threads);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        net_die("usage: bare_accept PORT DATABASE THREADS FIRST-ORDER ORDERS PARTNERS");
    opt.port = (unsigned)strtoul(argv[1], NULL, 10);
    opt.database = argv[2];
    opt.threads = strtoul(argv[3], NULL, 10);
    opt.first = strtoll(argv[4], NULL, 10);
    opt.orders = strtoll(argv[5], NULL, 10);
    opt.partners = strtoll(argv[6], NULL, 10);
    if (opt.threads == 0 || opt.partners <= 0)
        net_die("bare_accept: no threads, or no partners");
    mysql_library_init(0, NULL, NULL);
    run_threads();
    mysql_library_end();
    return 0;
}

#include "db.h"
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "pool.h"
#include "secret.h"
#include "url.h"
#include <mysql.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db_conn.h"

enum {
    CONNECTIONS_MAX = 16,
    WAIT_MS = 1000,
    LOCK_WAIT_S = 1,
    RETRY_MS = 1000,
    WATCH_MS = 1000,
    CONNECT_TIMEOUT_S = 2,
    IO_TIMEOUT_S = 10,
    KEEPER_TIMEOUT_S = 2,    /* a frozen server is noticed soon */
    SCHEMA_TIMEOUT_S = 3600, /* an ALTER TABLE of a big table */
    TRIES_MAX = 8,
    TRIES_MS = 5000, /* no new try begins after that */
    JITTER_MS = 10,
    JITTER_MAX_MS = 320,
    PORT = 3306,
};

struct db {
    struct url url;
    unsigned io_timeout_s, lock_wait_s;
    const struct embed_folder *schema;
    struct pool_ops ops; /* under its own name */
    struct pool *pool;
    struct metric *retries;
};

/* --- the library ----------------------------------------------------------------------------- */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

static void end_thread(void *unused)
{
    (void)unused;
    mysql_thread_end();
}

static void init_library(void)
{
    if (mysql_library_init(0, NULL, NULL) != 0 || pthread_key_create(&thread_key, end_thread) != 0)
        abort(); /* at start only */
}

/* Every thread that calls the library must have said so, and must say when it ends. */
static void init_thread(void)
{
    if (pthread_getspecific(thread_key))
        return;
    mysql_thread_init();
    pthread_setspecific(thread_key, &thread_key);
}

/* --- connections ----------------------------------------------------------------------------- */

static bool set_tls(MYSQL *mysql, const struct url *url)
{
    const char *ca = url_param(url, "ca");
    const char *tls = url_param(url, "tls");
    bool verify = tls && *tls == '1';
#ifdef MARIADB_BASE_VERSION
    /* Said in either case: from 3.4 on the library verifies unless told otherwise. */
    if (mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify) != 0)
        return false;
    if (tls && mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &verify) != 0)
        return false;
#else
    unsigned mode = verify ? SSL_MODE_VERIFY_IDENTITY
                    : tls  ? SSL_MODE_DISABLED
                           : SSL_MODE_PREFERRED;
    if (mysql_options(mysql, MYSQL_OPT_SSL_MODE, &mode) != 0)
        return false;
#endif
    return !ca || mysql_options(mysql, MYSQL_OPT_SSL_CA, ca) == 0;
}

static bool set_options(MYSQL *mysql, const struct url *url, unsigned io_timeout_s)
{
    unsigned connect_timeout_s = CONNECT_TIMEOUT_S;
    /* Said, since "localhost" would be the default socket, whatever the port. */
    unsigned protocol = url_param(url, "socket") ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    return mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol) == 0 &&
           mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout_s) == 0 &&
           mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &io_timeout_s) == 0 &&
           mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &io_timeout_s) == 0 &&
           mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4") == 0 && set_tls(mysql, url);
}

/* Statements of their own: the name of the variable for the isolation differs between servers. */
static bool set_session(MYSQL *mysql, unsigned lock_wait_s)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "SET SESSION time_zone = '+00:00', sql_mode = 'TRADITIONAL,ONLY_FULL_GROUP_BY', "
             "innodb_lock_wait_timeout = %u, group_concat_max_len = 1048576",
             lock_wait_s);
    return mysql_query(mysql, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED") == 0 &&
           mysql_query(mysql, sql) == 0;
}

static MYSQL *connect(const struct db *db, unsigned io_timeout_s, unsigned long flags,
                      struct strbuf *why)
{
    const struct url *u = &db->url;
    const char *socket = url_param(u, "socket");
    init_thread();
    MYSQL *mysql = mysql_init(NULL);
    if (mysql && set_options(mysql, u, io_timeout_s) &&
        mysql_real_connect(mysql, socket ? NULL : u->host, u->user, u->password, u->path + 1,
                           u->port ? u->port : PORT, socket, flags) &&
        set_session(mysql, db->lock_wait_s))
        return mysql;
    if (mysql)
        strbuf_addf(why, "%s (%u)", mysql_error(mysql), mysql_errno(mysql));
    else
        strbuf_addstr(why, "out of memory");
    mysql_close(mysql);
    return NULL;
}

static struct db_conn *dial_with(struct db *db, unsigned io_timeout_s, struct strbuf *why)
{
    MYSQL *mysql = connect(db, io_timeout_s, 0, why);
    if (!mysql)
        return NULL;
    struct db_conn *c = xcalloc(1, sizeof(*c));
    c->mysql = mysql;
    return c;
}

static void *dial(void *ctx, struct strbuf *why)
{
    return dial_with(ctx, ((struct db *)ctx)->io_timeout_s, why);
}

static bool upgrade(struct db *db, struct strbuf *why)
{
    if (!db->schema)
        return true;
    MYSQL *mysql = connect(db, SCHEMA_TIMEOUT_S, CLIENT_MULTI_STATEMENTS, why);
    if (!mysql)
        return false;
    enum status st = db_schema_upgrade(mysql, db->schema, why);
    mysql_close(mysql);
    return st == STATUS_OK;
}

static void *dial_keeper(void *ctx, struct strbuf *why)
{
    return upgrade(ctx, why) ? dial_with(ctx, KEEPER_TIMEOUT_S, why) : NULL;
}

static bool check(void *conn, struct strbuf *why)
{
    struct db_conn *c = conn;
    init_thread();
    if (mysql_ping(c->mysql) == 0)
        return true;
    strbuf_addf(why, "%s (%u)", mysql_error(c->mysql), mysql_errno(c->mysql));
    return false;
}

static int descriptor(void *conn)
{
    return ((struct db_conn *)conn)->mysql->net.fd;
}

static void hang_up(void *conn)
{
    struct db_conn *c = conn;
    init_thread();
    mysql_close(c->mysql); /* first: then closing a statement needs no word to the server */
    for (size_t i = 0; i < c->statement_count; i++)
        mysql_stmt_close(c->statements[i].stmt);
    free(c);
}

static const struct pool_ops ops = {"mysql", dial, dial_keeper, check, descriptor, hang_up};

/* --- the pool -------------------------------------------------------------------------------- */

static const char *find_fault(const struct url *u)
{
    static const char *const known[] = {"socket", "tls", "ca"};
    if (strcmp(u->scheme, "mysql") != 0)
        return "a MySQL URL begins with mysql://";
    if (!u->host[0] && !url_param(u, "socket"))
        return "the MySQL URL has neither a host nor ?socket=";
    if (strlen(u->path) < 2)
        return "the MySQL URL names no database";
    for (size_t i = 0; i < u->param_count; i++) {
        size_t k = 0;
        while (k < 3 && strcmp(known[k], u->params[i].name) != 0)
            k++;
        if (k == 3)
            return "the MySQL URL has a parameter that is none of socket, tls, ca";
    }
    const char *tls = url_param(u, "tls");
    if (tls && strcmp(tls, "0") != 0 && strcmp(tls, "1") != 0)
        return "the MySQL URL's tls is neither 0 nor 1";
    return NULL;
}

enum status db_new(const struct db_options *o, struct db **out, struct strbuf *why)
{
    struct db *db = xcalloc(1, sizeof(*db));
    *out = NULL;
    enum status st = url_parse(o->url, &db->url, why);
    const char *fault = st == STATUS_OK ? find_fault(&db->url) : NULL;
    if (fault) {
        strbuf_addstr(why, fault);
        st = STATUS_UNPROCESSABLE;
    }
    if (st != STATUS_OK) {
        secret_wipe(&db->url, sizeof(db->url));
        free(db);
        return st;
    }
    pthread_once(&library_once, init_library);
    db->io_timeout_s = o->io_timeout_s ? o->io_timeout_s : IO_TIMEOUT_S;
    db->lock_wait_s = o->lock_wait_s ? o->lock_wait_s : LOCK_WAIT_S;
    db->schema = o->schema;
    db->ops = ops;
    if (o->name)
        db->ops.store = o->name;
    db->retries = metric_counter("db_transaction_retries_total", "",
                                 "Transactions begun again after a lock.");
    db->pool =
        pool_new(&db->ops, db,
                 &(struct pool_options){
                     .connections_max = o->connections_max ? o->connections_max : CONNECTIONS_MAX,
                     .wait_ms = o->wait_ms ? o->wait_ms : WAIT_MS,
                     .retry_ms = RETRY_MS,
                     .watch_ms = WATCH_MS,
                 });
    *out = db;
    return STATUS_OK;
}

void db_free(struct db *db)
{
    if (!db)
        return;
    pool_free(db->pool);
    secret_wipe(&db->url, sizeof(db->url));
    free(db);
}

bool db_health(void *db, struct strbuf *why)
{
    return pool_health(((struct db *)db)->pool, why);
}

enum status db_acquire(struct db *db, struct db_conn **out)
{
    void *conn;
    uint64_t epoch;
    init_thread();
    enum status st = pool_take(db->pool, &conn, &epoch);
    *out = conn;
    if (st != STATUS_OK)
        return st;
    (*out)->pool = db->pool;
    (*out)->epoch = epoch;
    return STATUS_OK;
}

static void rollback(struct db_conn *c)
{
    bool open = c->doomed || (c->mysql->server_status & SERVER_STATUS_IN_TRANS);
    c->doomed = false;
    if (open && !c->broken[0])
        db_simple(c, "ROLLBACK");
}

void db_release(struct db_conn *c)
{
    if (!c)
        return;
    rollback(c);
    pool_give(c->pool, c, c->epoch, c->broken[0] ? c->broken : NULL);
}

/* --- transactions ---------------------------------------------------------------------------- */

/* Any time from 0 to a limit that doubles with each try. */
static void sleep_jitter(unsigned tries)
{
    unsigned limit = (unsigned)JITTER_MS << tries, r;
    secret_random(&r, sizeof(r));
    unsigned ms = r % (limit < JITTER_MAX_MS ? limit : JITTER_MAX_MS);
    nanosleep(&(struct timespec){0, (long)ms * 1000000}, NULL);
}

/* Whatever goes wrong here but a lost race leaves open whether the server committed. */
static enum status commit(struct db_conn *c)
{
    if (c->broken[0])
        return STATUS_UNAVAILABLE;
    if (c->doomed)
        return STATUS_CONTENDED;
    enum status st = db_simple(c, "COMMIT");
    return st == STATUS_OK || st == STATUS_CONTENDED ? st : STATUS_OUTCOME_UNKNOWN;
}

static enum status try_once(struct db_conn *c, enum status (*work)(struct db_conn *c, void *ctx),
                            void *ctx)
{
    enum status st = db_simple(c, "BEGIN");
    if (st == STATUS_OK)
        st = work(c, ctx);
    if (st == STATUS_OK)
        st = commit(c);
    if (st != STATUS_OK)
        rollback(c);
    return st;
}

enum status db_transaction(struct db *db, enum status (*work)(struct db_conn *c, void *ctx),
                           void *ctx)
{
    struct db_conn *c;
    int64_t deadline = clock_mono_ms() + TRIES_MS;
    enum status st = db_acquire(db, &c);
    if (st != STATUS_OK)
        return st;
    for (unsigned tries = 1;; tries++) {
        st = try_once(c, work, ctx);
        if (st != STATUS_CONTENDED)
            break;
        if (tries == TRIES_MAX || clock_mono_ms() >= deadline) {
            st = STATUS_OVERLOADED;
            break;
        }
        metric_add(db->retries, 1);
        sleep_jitter(tries);
    }
    db_release(c);
    return st;
}

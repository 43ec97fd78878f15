/* A bounded pool of connections to one store, with a circuit breaker and a keeper thread; the
 * inside of db and redis.
 *
 * The keeper dials a connection of its own, watches the store over it and dials again when it is
 * lost. The circuit is closed (current flows) from the keeper's success until its next failure;
 * while it is open nobody waits for a dead store. Each closing begins a new epoch, and connections
 * of an older epoch are closed when they come back. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stdint.h>

struct pool;

/* Connections are opaque; ctx is pool_new's. All of these block; dial and check say why not. */
struct pool_ops {
    const char *store; /* in log lines and metrics */
    void *(*dial)(void *ctx, struct strbuf *why);
    void *(*dial_keeper)(void *ctx, struct strbuf *why);
    bool (*check)(void *conn, struct strbuf *why); /* the keeper's PING */
    int (*fd)(void *conn);                         /* readable while idle: it is dead */
    void (*close)(void *conn);
};

struct pool_options {
    size_t connections_max;
    unsigned wait_ms;          /* longest wait for a free connection */
    unsigned retry_ms;         /* between dials while the store is down */
    unsigned watch_ms;         /* between checks while it is up */
    bool broken_opens_circuit; /* else a broken connection only makes the keeper check at once */
};

/* `ops` outlives the pool. Starts the keeper. Main thread. */
struct pool *pool_new(const struct pool_ops *ops, void *ctx, const struct pool_options *options);
/* Every connection has been given back. Waits for a dial or a check under way. */
void pool_free(struct pool *p);

/* UNAVAILABLE at once while the circuit is open, or when no connection could be dialled;
 * OVERLOADED when none became free in time. */
enum status pool_take(struct pool *p, void **conn, uint64_t *epoch);
/* `broken`, or NULL for a connection in order, is why it cannot be used any more. */
void pool_give(struct pool *p, void *conn, uint64_t epoch, const char *broken);

/* How many times the circuit was closed so far. Any thread. */
uint64_t pool_epoch(const struct pool *p);
/* As health_check. Reads memory only. */
bool pool_health(struct pool *p, struct strbuf *why);

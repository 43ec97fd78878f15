/* Every route of the hub: who may, and its handler. */
#pragma once
#include "assign.h"
#include "events.h"
#include "gate.h"
#include "http.h"
#include "jobs.h"
#include "status_read.h"

/* What the handlers work on; set once, before http_start. */
struct hub {
    struct db *db;
    struct status_sources stores; /* for reads */
    struct job *relay;            /* woken when there is something to publish; or */
    struct relay *direct;         /* published by the request itself, after its commit */
    struct events *events;
    const char *token_key;
    struct workers *workers;
    struct gate *gate; /* of hot orders; or NULL: the database alone */
    enum assign_strategy strategy;
    int64_t capacity; /* most orders a partner may hold */
    int64_t lease_s;  /* time to pick an order up, in seconds */
    bool demo_login;  /* POST /demo/login mints tokens */
};

extern const struct route hub_routes[];
extern const size_t hub_route_count;

void hub_routes_init(const struct hub *hub);
/* For http_options: the bearer token. */
enum status hub_authenticate(struct http_request *req, struct principal *who);

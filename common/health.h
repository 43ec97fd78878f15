/* Health: what this process depends on, each named. `/healthz` says alive; `/readyz` says 200
 * when every dependency is well and the process does not drain, else 503 with the ones that are
 * not. Checks read memory only (a store's keeper thread knows its state). Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>

/* `why` gets a short reason when not well. Registered at start; `name` is static. */
typedef bool health_check(void *ctx, struct strbuf *why);
void health_add(const char *name, health_check *check, void *ctx);
/* From now on not ready: the process drains. */
void health_drain(void);
bool health_draining(void);

/* Append the JSON body, {"status":"ready"|"unready"|"draining","checks":{name:"ok"|reason}}.
 * OK or UNAVAILABLE. */
enum status health_ready(struct strbuf *out);

/* What the port answers over plain HTTP: the page, /healthz, /readyz, /metrics and the demo
 * login. Bytes in, a reply out; knows nothing of libwebsockets. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>

struct site_reply {
    int code;
    const char *type; /* media type */
    char allow[64];   /* for 405 and OPTIONS; or "" */
    bool retry_after, head_only;
    struct strbuf body;
};

/* Before site_answer. `demo_login`: POST /demo/login gives tokens away. UNPROCESSABLE with the
 * reason in `why`: a bad table of routes. */
enum status site_init(const char *token_key, bool demo_login, struct strbuf *why);
/* Answer a request. `method` is its token, `target` its path, `authorization` that header or NULL.
 * `out` is the caller's to release. */
void site_answer(const char *method, const char *target, const char *authorization,
                 const char *body, size_t len, struct site_reply *out);
/* A problem (RFC 9457) as the reply. */
void site_problem(struct site_reply *out, enum status status, const char *detail);
void site_reply_release(struct site_reply *reply);

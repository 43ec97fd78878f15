/* GET /guess/{guess} is "ok" for the secret and "no" for anything else: the same bytes otherwise.
 * usage: timing_server leaky|constant-time SLOW_NS DELAY_NS SECRET; prints "port N". */
#include "compared.h"
#include "http.h"
#include "service.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct compared how;
static const char *secret;

static enum status get_guess(struct http_request *req)
{
    const char *guess = http_param(req, "guess");
    size_t len = strlen(secret);
    bool same = strlen(guess) == len && compared(&how, secret, guess, len);
    return http_reply_static(req, 200, "text/plain", same ? "ok\n" : "no\n", 3);
}

static const struct route routes[] = {
    {GET, "/guess/{guess}", ANYONE, NULL, INLINE, get_guess, NULL},
};

int main(int argc, char **argv)
{
    struct http *http;
    struct strbuf why = STRBUF_INIT;
    const struct http_options options = {
        .listen = "127.0.0.1:0", .routes = routes, .route_count = 1};
    char *service[] = {argv[0], (char[]){"--log-level=warn"}, NULL};
    if (argc != 5 || !compared_by_name(argv[1], &how)) {
        fputs("usage: timing_server leaky|constant-time SLOW_NS DELAY_NS SECRET\n", stderr);
        return 2;
    }
    how.slow_ns = strtoull(argv[2], NULL, 10);
    how.delay_ns = strtoull(argv[3], NULL, 10);
    secret = argv[4];
    service_init("timing_server", "answers guesses", NULL, 0, 2, service);
    if (http_start(&options, &http, &why))
        service_die("start", &why);
    printf("port %u\n", http_port(http));
    fflush(stdout);
    service_wait();
    http_stop(http, SERVICE_DRAIN_MS);
    return service_exit();
}

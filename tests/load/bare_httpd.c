/* libmicrohttpd, set up as common/http.c does (KIB: connection_memory), and nothing behind it:
 * every request is answered with the same bytes. The limit for whoever uses that library. usage:
 * bare_httpd BODY-FILE [CONTENT-TYPE [KIB]]; prints its port. */
#include "net.h"
#include "strbuf.h"
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNECTIONS = 8192, MEMORY_KIB = 64 };

static struct MHD_Response *response;

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **state)
{
    (void)ctx, (void)url, (void)method, (void)version, (void)body;
    if (!*state || *body_len > 0) { /* the head, or a part of the body */
        *state = connection;
        *body_len = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

static void read_body(const char *path, struct strbuf *out)
{
    char buffer[4096];
    FILE *file = fopen(path, "rb");
    if (!file)
        net_die("cannot read %s", path);
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;)
        strbuf_add(out, buffer, n);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct strbuf body = STRBUF_INIT;
    uint16_t port;
    if (argc < 2)
        net_die("usage: bare_httpd BODY-FILE [CONTENT-TYPE [KIB]]");
    read_body(argv[1], &body);
    net_no_file_limit();
    response = MHD_create_response_from_buffer(body.len, body.bytes, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", argc > 2 ? argv[2] : "application/json");
    size_t memory = (argc > 3 ? strtoul(argv[3], NULL, 10) : MEMORY_KIB) * 1024;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int fd = net_listen(&port);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)(cpus > 2 ? cpus : 2),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        memory, MHD_OPTION_END);
    if (!daemon)
        net_die("libmicrohttpd does not start");
    net_print_port(port);
    for (;;)
        pause();
}

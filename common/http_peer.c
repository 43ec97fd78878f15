#include "http_internal.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const uint8_t v4_prefix[12] = {[10] = 0xFF, [11] = 0xFF};

static bool parse_address(const char *text, uint8_t out[16])
{
    memcpy(out, v4_prefix, sizeof(v4_prefix));
    return inet_pton(AF_INET, text, out + 12) == 1 || inet_pton(AF_INET6, text, out) == 1;
}

static void format_address(const uint8_t address[16], char out[INET6_ADDRSTRLEN])
{
    bool v4 = memcmp(address, v4_prefix, sizeof(v4_prefix)) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, out, INET6_ADDRSTRLEN);
}

void http_network(const char *address, char out[HTTP_NETWORK])
{
    uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, address, bytes) != 1) {
        snprintf(out, HTTP_NETWORK, "%s", address);
        return;
    }
    memset(bytes + 8, 0, 8);
    inet_ntop(AF_INET6, bytes, text, sizeof(text));
    snprintf(out, HTTP_NETWORK, "%s/64", text);
}

/* "10.0.0.0/8", "::1", "192.0.2.7". */
static bool parse_range(char *text, struct ip_range *out)
{
    char *slash = strchr(text, '/');
    unsigned max = strchr(text, ':') ? 128 : 32;
    unsigned bits = max;
    if (slash) {
        char *end;
        *slash = '\0';
        unsigned long given = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || given > max)
            return false;
        bits = (unsigned)given;
    }
    out->bits = bits + 128 - max;
    return parse_address(text, out->address);
}

enum status http_proxies_parse(const char *list, struct http *h, struct strbuf *why)
{
    char *copy = xstrdup(list ? list : ""), *rest = copy, *item;
    enum status s = STATUS_OK;
    while (!s && (item = strtok_r(rest, ", ", &rest))) {
        struct ip_range range;
        if (!parse_range(item, &range)) {
            strbuf_addf(why, "trusted proxies: %s is no address or CIDR range", item);
            s = STATUS_INTERNAL;
            break;
        }
        h->proxies = xrealloc(h->proxies, (h->proxy_count + 1) * sizeof(range));
        h->proxies[h->proxy_count++] = range;
    }
    free(copy);
    return s;
}

static bool in_range(const uint8_t address[16], const struct ip_range *range)
{
    unsigned bytes = range->bits / 8, bits = range->bits % 8;
    if (memcmp(address, range->address, bytes) != 0)
        return false;
    return bits == 0 || (address[bytes] ^ range->address[bytes]) >> (8 - bits) == 0;
}

static bool is_trusted(const struct http *h, const uint8_t address[16])
{
    for (size_t i = 0; i < h->proxy_count; i++)
        if (in_range(address, &h->proxies[i]))
            return true;
    return false;
}

static void socket_address(struct MHD_Connection *conn, uint8_t out[16])
{
    const struct sockaddr *sa =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    if (sa->sa_family == AF_INET) {
        memcpy(out, v4_prefix, sizeof(v4_prefix));
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    }
}

static enum MHD_Result gather_hops(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    if (value && strcasecmp(name, "X-Forwarded-For") == 0)
        strbuf_addf(cls, ",%s", value);
    return MHD_YES;
}

/* From the right, each hop was written down by the one after it: go left as long as the writer
 * is trusted. */
static void follow_hops(struct http_request *req, uint8_t address[16])
{
    struct strbuf hops = STRBUF_INIT;
    uint8_t hop[16];
    MHD_get_connection_values(req->conn, MHD_HEADER_KIND, gather_hops, &hops);
    while (hops.len && is_trusted(req->h, address)) {
        char *comma = strrchr(hops.bytes, ',');
        char *text = comma + 1 + strspn(comma + 1, " \t");
        text[strcspn(text, " \t")] = '\0';
        if (!parse_address(text, hop))
            break;
        memcpy(address, hop, sizeof(hop));
        *comma = '\0';
        hops.len = (size_t)(comma - hops.bytes);
    }
    strbuf_release(&hops);
}

void http_peer_find(struct http_request *req)
{
    socket_address(req->conn, req->address);
    if (is_trusted(req->h, req->address)) {
        const char *proto = http_header(req, "X-Forwarded-Proto");
        req->tls = proto && strcmp(proto, "https") == 0;
        follow_hops(req, req->address);
    }
}

const char *http_client_ip(const struct http_request *req)
{
    if (!req->ip[0]) /* written once, as nothing changes by it that a caller could see */
        format_address(req->address, ((struct http_request *)(uintptr_t)req)->ip);
    return req->ip;
}

#include "listen.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool listen_parse(const char *listen, struct sockaddr_storage *out, socklen_t *len)
{
    const char *colon = strrchr(listen, ':');
    char host[INET6_ADDRSTRLEN + 2], *end;
    if (!colon || (size_t)(colon - listen) >= sizeof(host))
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535)
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
    size_t n = strlen(host);
    memset(out, 0, sizeof(*out));
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
        host[n - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof(*v6);
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *len = sizeof(*v4);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

bool listen_is_loopback(const char *listen)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (!listen_parse(listen, &address, &len))
        return false;
    if (address.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address)->sin6_addr);
    return ntohl(((struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == 127;
}

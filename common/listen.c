#include "listen.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool listen_is_loopback(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    char host[INET_ADDRSTRLEN];
    struct in_addr v4;
    if (!colon)
        return false;
    if (strncmp(listen, "[::1]:", 6) == 0)
        return colon == listen + 5;
    if ((size_t)(colon - listen) >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
    return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

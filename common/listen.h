/* Listen addresses, "127.0.0.1:8200" or "[::1]:8200". Any thread. */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>

/* False, with nothing in the outputs that means anything, for anything else: no names, no port
 * without an address. */
bool listen_parse(const char *listen, struct sockaddr_storage *out, socklen_t *len);

/* True when only this machine can reach it: what is too open for a network, such as a login
 * without a password, may be served there. Anything in doubt is false. */
bool listen_is_loopback(const char *listen);

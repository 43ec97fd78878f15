/* Listen addresses, "127.0.0.1:8200" or "[::1]:8200". Any thread. */
#pragma once
#include <stdbool.h>

/* True when only this machine can reach it: what is too open for a network, such as a login
 * without a password, may be served there. Anything in doubt is false. */
bool listen_is_loopback(const char *listen);

/* What the load clients share: sockets that do not block, on one epoll, by the microsecond. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct net_address {
    struct sockaddr_storage at;
    socklen_t len;
};

/* "127.0.0.1:8200". Ends the program, exit 2, when it cannot be read or, without `anywhere`, is
 * not on loopback: load on a machine of somebody else's must be meant. */
struct net_address net_address(const char *text, bool anywhere);
/* A socket that connects or has connected, TCP_NODELAY; -1 with errno. */
int net_connect(const struct net_address *to);
/* The same, connected; ends the program, exit 1, when that fails. */
int net_connect_now(const struct net_address *to);
int net_listen(uint16_t *port);     /* on 127.0.0.1, a port of the system's choice; never -1 */
void net_print_port(uint16_t port); /* the line that tests/load/bench.py waits for */

/* Wait until something happens, but not past `until_us` on the clock of clock_mono_us;
 * INT64_MAX: for ever. */
int net_wait(int epoll, struct epoll_event *events, int max, int64_t until_us);
void net_no_delay(int fd);
double net_cpu_s(void); /* of this process so far, system time included */
void net_no_file_limit(void);
/* Print an error as printf does, exit 2. */
void net_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

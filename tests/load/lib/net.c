#include "net.h"
#include "clock.h"
#include "listen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

void net_die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}

struct net_address net_address(const char *text, bool anywhere)
{
    struct net_address a;
    if (!listen_parse(text, &a.at, &a.len))
        net_die("%s: want an address and port, 127.0.0.1:8200", text);
    if (!anywhere && !listen_is_loopback(text))
        net_die("%s is not this machine: --anywhere if it is yours", text);
    return a;
}

void net_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int open_socket(int family, int flags)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd >= 0)
        net_no_delay(fd);
    return fd;
}

int net_connect(const struct net_address *to)
{
    int fd = open_socket(to->at.ss_family, SOCK_NONBLOCK);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to->at, to->len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int net_connect_now(const struct net_address *to)
{
    int fd = open_socket(to->at.ss_family, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to->at, to->len) == 0)
        return fd;
    perror("connect");
    exit(1);
}

int net_listen(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        net_die("listen: %s", strerror(errno));
    *port = ntohs(at.sin_port);
    return fd;
}

void net_print_port(uint16_t port)
{
    printf("port %u\n", port);
    fflush(stdout);
}

int net_wait(int epoll, struct epoll_event *events, int max, int64_t until_us)
{
    int64_t us = until_us == INT64_MAX ? 0 : until_us - clock_mono_us();
    struct timespec left = {us > 0 ? us / 1000000 : 0, us > 0 ? us % 1000000 * 1000 : 0};
    int n = epoll_pwait2(epoll, events, max, until_us == INT64_MAX ? NULL : &left, NULL);
    return n > 0 ? n : 0;
}

double net_cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void net_no_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

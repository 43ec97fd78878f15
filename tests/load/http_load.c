/* HTTP/1.1 load on one address, from one thread: http_load --help.
 *
 * Latency counts from the moment when a request was to be sent, whether or not a connection was
 * free then: a server that stalls does not thereby slow down its own test. */
#include "clock.h"
#include "hist.h"
#include "net.h"
#include "reply.h"
#include "requests.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ = 64 * 1024, EVENTS = 256, HOPELESS = 1000, POLL_US = 100 * 1000 };

struct conn {
    int fd; /* -1: none */
    uint32_t waits_for;
    int64_t due_us;
    struct strbuf own; /* a request with its serial */
    const char *out;
    size_t out_len, sent;
    struct reply reply;
};

static struct {
    size_t connections, requests;
    double seconds, rate, grace;
    bool new_connections, anywhere;
} opt = {.connections = 1, .requests = SIZE_MAX, .seconds = 5, .grace = 10};

static struct net_address target;
static struct requests requests;
static int epoll;
static struct conn **idle; /* a ring: the one that waited longest is next */
static size_t idle_first, idle_count;

static int64_t start_us, end_us, last_us;
static size_t issued, replies, errors;
static uint64_t bytes_in;
static size_t statuses[1000];
static struct hist latency;

/* --- one connection ------------------------------------------------------------------------- */

static void disconnect(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void now_idle(struct conn *c)
{
    if (opt.new_connections || c->reply.close)
        disconnect(c);
    idle[(idle_first + idle_count++) % opt.connections] = c;
}

static void fail(struct conn *c, const char *what, int error)
{
    if (errors++ == 0)
        fprintf(stderr, "http_load: %s: %s\n", what, error ? strerror(error) : "connection ended");
    disconnect(c);
    now_idle(c);
}

static void finish(struct conn *c)
{
    last_us = clock_mono_us();
    hist_add(&latency, last_us - c->due_us);
    statuses[c->reply.status]++;
    replies++;
    now_idle(c);
}

static bool wait_for(struct conn *c, uint32_t what)
{
    struct epoll_event e = {.events = what, .data.ptr = c};
    int change = c->waits_for ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (c->waits_for == what)
        return true;
    c->waits_for = what;
    return epoll_ctl(epoll, change, c->fd, &e) == 0;
}

static void send_on(struct conn *c)
{
    while (c->sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->sent, c->out_len - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            fail(c, "send", errno);
            return;
        }
        if (n < 0) {
            wait_for(c, EPOLLIN | EPOLLOUT);
            return;
        }
        c->sent += (size_t)n;
    }
    wait_for(c, EPOLLIN);
}

static void receive(struct conn *c)
{
    static char buffer[READ];
    ssize_t n;
    do {
        n = recv(c->fd, buffer, sizeof(buffer), 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n == 0 && c->reply.state == REPLY_UNTIL_CLOSE) {
            c->reply.close = true;
            finish(c);
            return;
        }
        if (n <= 0) {
            fail(c, "receive", n < 0 ? errno : 0);
            return;
        }
        bytes_in += (size_t)n;
        size_t taken = reply_feed(&c->reply, buffer, (size_t)n);
        if (c->reply.state == REPLY_MALFORMED || taken < (size_t)n) {
            fail(c, "reply", EBADMSG);
            return;
        }
        if (c->reply.state == REPLY_DONE) {
            finish(c);
            return;
        }
    } while ((size_t)n == sizeof(buffer));
}

/* Outside of a request a connection is heard only when its server ends it. */
static void on_event(struct conn *c, uint32_t events)
{
    bool busy = c->out != NULL && c->reply.state != REPLY_DONE;
    if (!busy)
        disconnect(c);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(c);
    if (busy && c->fd >= 0 && events & EPOLLOUT && c->sent < c->out_len)
        send_on(c);
}

static void issue(struct conn *c, int64_t due_us)
{
    const struct raw_request *r = &requests.all[issued % requests.count];
    c->out = r->bytes;
    c->out_len = r->len;
    c->sent = 0;
    c->due_us = due_us;
    if (r->has_serial) {
        requests_write(r, (unsigned)issued, &c->own);
        c->out = c->own.bytes;
    }
    reply_begin(&c->reply, r->head);
    issued++;
    if (c->fd < 0) {
        c->waits_for = 0;
        c->fd = net_connect(&target);
        if (c->fd < 0 || !wait_for(c, EPOLLIN | EPOLLOUT))
            fail(c, "connect", errno);
        return; /* it is writable when it has connected */
    }
    send_on(c);
}

/* --- all of them ---------------------------------------------------------------------------- */

static int64_t next_due(int64_t now_us)
{
    return opt.rate > 0 ? start_us + (int64_t)((double)issued * 1e6 / opt.rate) : now_us;
}

static bool all_issued(int64_t now_us)
{
    return issued >= opt.requests || next_due(now_us) >= end_us ||
           (errors >= HOPELESS && replies == 0);
}

/* Give to the connections that are free what is due. */
static void issue_due(void)
{
    int64_t now_us = clock_mono_us();
    while (idle_count > 0 && !all_issued(now_us) && next_due(now_us) <= now_us) {
        struct conn *c = idle[idle_first];
        idle_first = (idle_first + 1) % opt.connections;
        idle_count--;
        issue(c, next_due(now_us));
    }
}

static void turn(void)
{
    struct epoll_event events[EVENTS];
    int64_t now_us = clock_mono_us(), until_us = now_us + POLL_US;
    if (idle_count > 0 && !all_issued(now_us) && next_due(now_us) < until_us)
        until_us = next_due(now_us);
    int n = net_wait(epoll, events, EVENTS, until_us);
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
    issue_due();
}

static void set_up(struct conn *conns)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < opt.connections; i++) {
        conns[i] = (struct conn){.fd = -1};
        if (!opt.new_connections) {
            conns[i].fd = net_connect_now(&target);
            wait_for(&conns[i], EPOLLIN);
        }
        idle[idle_count++] = &conns[i];
    }
    start_us = last_us = clock_mono_us();
    end_us = start_us + (int64_t)(opt.seconds * 1e6);
}

static void run(void)
{
    struct conn *conns = xcalloc(opt.connections, sizeof(*conns));
    idle = xcalloc(opt.connections, sizeof(idle[0]));
    set_up(conns);
    issue_due();
    int64_t give_up_us = end_us + (int64_t)(opt.grace * 1e6), now_us = start_us;
    while (now_us < give_up_us && !(all_issued(now_us) && idle_count == opt.connections)) {
        turn();
        now_us = clock_mono_us();
    }
    for (size_t i = 0; i < opt.connections; i++) {
        disconnect(&conns[i]);
        strbuf_release(&conns[i].own);
    }
    free(conns);
}

/* What was due and never sent, and what was sent and not answered, are errors. */
static size_t count_unanswered(void)
{
    size_t in_time = (size_t)(opt.seconds * opt.rate), due = issued;
    if (opt.rate > 0)
        due = in_time < opt.requests ? in_time : opt.requests;
    return due > replies + errors ? due - replies - errors : 0;
}

static void print_result(void)
{
    const char *separator = "";
    double seconds = (double)(last_us - start_us) / 1e6;
    printf("{\"requests\": %zu, \"seconds\": %.3f, \"per_s\": %.1f, \"statuses\": {", replies,
           seconds, seconds > 0 ? (double)replies / seconds : 0);
    for (int i = 0; i < 1000; i++)
        if (statuses[i] > 0) {
            printf("%s\"%d\": %zu", separator, i, statuses[i]);
            separator = ", ";
        }
    printf("}, \"errors\": %zu, \"bytes_in\": %lu", errors + count_unanswered(), bytes_in);
    static const struct {
        const char *name;
        double fraction;
    } rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf(", \"%s_us\": %lu", rows[i].name, hist_percentile(&latency, rows[i].fraction));
    printf(", \"client_cpu_s\": %.3f}\n", net_cpu_s());
}

/* --- command line --------------------------------------------------------------------------- */

static const char usage[] =
    "usage: http_load [options] ADDRESS:PORT FILE\n"
    "Send the raw HTTP/1.1 requests that stand in FILE (-: standard input), one behind the other,\n"
    "again and again in this order. %SERIAL% in one becomes eight digits, new each time. Prints a\n"
    "JSON object. Exit 0, also with errors.\n"
    "  --connections N     1; kept alive, each with one request at a time\n"
    "  --new-connections   a connection for each request\n"
    "  --seconds S         5\n"
    "  --requests N        at most so many\n"
    "  --rate R            an open loop: R a second, whatever becomes of them; else a closed one\n"
    "  --grace S           10; then what is still unanswered is an error\n"
    "  --anywhere          not only on loopback\n";

static void parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'}, {"new-connections", no_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},     {"requests", required_argument, NULL, 'q'},
        {"rate", required_argument, NULL, 'r'},        {"grace", required_argument, NULL, 'g'},
        {"anywhere", no_argument, NULL, 'a'},          {0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        double value = optarg ? strtod(optarg, NULL) : 0;
        if (c == '?' || (optarg && value <= 0))
            net_die("%s", usage);
        opt.connections = c == 'c' ? (size_t)value : opt.connections;
        opt.requests = c == 'q' ? (size_t)value : opt.requests;
        opt.seconds = c == 's' ? value : opt.seconds;
        opt.grace = c == 'g' ? value : opt.grace;
        opt.rate = c == 'r' ? value : opt.rate;
        opt.new_connections |= c == 'n';
        opt.anywhere |= c == 'a';
    }
    if (argc - optind != 2)
        net_die("%s", usage);
}

static void read_requests(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file)
        net_die("%s: %s", path, strerror(errno));
    struct strbuf text = STRBUF_INIT;
    static char buffer[READ];
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;)
        strbuf_add(&text, buffer, n);
    fclose(file);
    size_t where;
    if (!requests_parse(&requests, &text, &where))
        net_die("%s: no whole request at byte %zu", path, where);
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    target = net_address(argv[optind], opt.anywhere);
    read_requests(argv[optind + 1]);
    net_no_file_limit();
    run();
    print_result();
    requests_release(&requests);
    free(idle);
    return 0;
}

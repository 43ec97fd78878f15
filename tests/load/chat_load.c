/* A room full of chat clients, from one thread: chat_load --help.
 *
 * Every delivery is looked at: its latency counts from the moment when the message was to be sent,
 * its seq must follow the last one of its connection, and each message must reach everybody. */
#include "clock.h"
#include "hist.h"
#include "net.h"
#include "strbuf.h"
#include "ws.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ = 256 * 1024,
    EVENTS = 512,
    TEXT = 100, /* bytes of a message */
    DIGITS = 10,
    JOINING_MAX = 64, /* at a time */
    JOIN_US = 120 * 1000000,
    GRACE_S = 20,
    SENT_MAX = 1 << 20, /* messages under way */
};

enum stage { UPGRADING, GREETING, JOINING, JOINED };

struct member {
    int fd;
    enum stage stage;
    char *hello;
    struct strbuf rest; /* of a frame that came in part */
    uint64_t seq;
};

struct sent {
    int64_t due_us;
    size_t left; /* members that don't have it yet */
};

static const char text_mark[] = "\"text\":\"@";
enum { MARK = sizeof(text_mark) - 1 };

static int epoll;
static const char *room;
static struct member *members;
static size_t member_count, joining, joined;
static struct sent *sent; /* by serial % SENT_MAX */

/* Of a run: what `--help` says of its result. */
static struct {
    size_t window;
    double rate;
    int64_t start_us, end_us, give_up_us, last_us, now_us;
    uint64_t first, sent, done, refused, deliveries, foreign, gaps, bytes;
    struct hist latency;
} run;
static uint64_t serial; /* of the next message of all runs */

/* --- out ------------------------------------------------------------------------------------ */

static void put(struct member *m, enum ws_opcode opcode, const char *payload, size_t len)
{
    static struct strbuf frame;
    strbuf_reset(&frame);
    ws_add(&frame, opcode, payload, len, true);
    if (send(m->fd, frame.bytes, frame.len, MSG_NOSIGNAL) != (ssize_t)frame.len)
        net_die("send: %s", strerror(errno));
}

static void put_message(struct member *m, int64_t due_us)
{
    char json[512];
    int n = snprintf(json, sizeof(json),
                     "{\"type\":\"send\",\"room\":\"%s\",\"id\":\"m%0*" PRIu64
                     "\",\"text\":\"@%0*" PRIu64 "%0*d\"}",
                     room, DIGITS, serial, DIGITS, serial, TEXT - DIGITS - 1, 0);
    sent[serial % SENT_MAX] = (struct sent){due_us, member_count};
    serial++;
    run.sent++;
    put(m, WS_TEXT, json, (size_t)n);
}

/* --- in ------------------------------------------------------------------------------------- */

static uint64_t digits(const char *text, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    return value;
}

/* The text is the last member of a message, or anywhere else. */
static const char *find_text(const struct ws_frame *f)
{
    const size_t tail = MARK - 1 + TEXT + 2;
    if (f->len > tail && memcmp(f->payload + f->len - tail, text_mark, MARK) == 0)
        return f->payload + f->len - tail + MARK;
    const char *at = memmem(f->payload, f->len, text_mark, MARK);
    return at ? at + MARK : NULL;
}

static void on_message(struct member *m, const struct ws_frame *f)
{
    static const char head[] = "{\"type\":\"message\",\"seq\":";
    const char *text = find_text(f);
    uint64_t number = text ? digits(text, DIGITS) : UINT64_MAX;
    if (number < run.first || number >= serial || sent[number % SENT_MAX].left == 0) {
        run.foreign++;
        return;
    }
    uint64_t seq = digits(f->payload + sizeof(head) - 1, f->len - sizeof(head));
    run.gaps += m->seq > 0 && seq != m->seq + 1;
    m->seq = seq;
    struct sent *s = &sent[number % SENT_MAX];
    hist_add(&run.latency, run.now_us - s->due_us);
    run.deliveries++;
    run.last_us = run.now_us;
    run.done += --s->left == 0;
}

/* A message that was refused comes to nobody. */
static void on_nack(const struct ws_frame *f)
{
    const char *id = memmem(f->payload, f->len, "\"id\":\"m", 7);
    uint64_t number = id ? digits(id + 7, DIGITS) : UINT64_MAX;
    if (run.refused++ == 0)
        fprintf(stderr, "chat_load: %.*s\n", (int)f->len, f->payload);
    if (number < run.first || number >= serial)
        return;
    sent[number % SENT_MAX].left = 0;
    run.done++;
}

static bool is_type(const struct ws_frame *f, const char *type)
{
    static const char head[] = "{\"type\":\"";
    size_t n = strlen(type);
    return f->len > sizeof(head) + n && memcmp(f->payload, head, sizeof(head) - 1) == 0 &&
           memcmp(f->payload + sizeof(head) - 1, type, n) == 0 &&
           f->payload[sizeof(head) - 1 + n] == '"';
}

static void on_joining(struct member *m, const struct ws_frame *f)
{
    char join[256];
    if (m->stage == GREETING && is_type(f, "welcome")) {
        int n = snprintf(join, sizeof(join), "{\"type\":\"join\",\"room\":\"%s\"}", room);
        put(m, WS_TEXT, join, (size_t)n);
        m->stage = JOINING;
    } else if (m->stage == JOINING && is_type(f, "joined")) {
        m->stage = JOINED;
        joining--;
        joined++;
    } else if (is_type(f, "error"))
        net_die("%.*s", (int)f->len, f->payload);
}

static void on_frame(struct member *m, const struct ws_frame *f)
{
    if (f->opcode == WS_PING)
        put(m, WS_PONG, f->payload, f->len);
    else if (f->opcode == WS_CLOSE)
        net_die("the server closes: %.*s", f->len > 2 ? (int)f->len - 2 : 0, f->payload + 2);
    else if (is_type(f, "message"))
        on_message(m, f);
    else if (is_type(f, "nack"))
        on_nack(f);
    else if (m->stage < JOINED)
        on_joining(m, f);
}

/* The bytes behind the reply to the upgrade; 0: it is not whole yet. */
static size_t on_upgraded(struct member *m, char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (len < 12 || memcmp(bytes + 9, "101", 3) != 0)
        net_die("%.*s", (int)(end - bytes), bytes);
    m->stage = GREETING;
    put(m, WS_TEXT, m->hello, strlen(m->hello));
    return (size_t)(end - bytes) + 4;
}

static void receive(struct member *m)
{
    static char buffer[READ];
    size_t kept = m->rest.len, taken = 0;
    memcpy(buffer, strbuf_cstr(&m->rest), kept);
    ssize_t n = recv(m->fd, buffer + kept, sizeof(buffer) - kept, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        net_die("connection lost: %s", n < 0 ? strerror(errno) : "end of stream");
    size_t len = kept + (size_t)n;
    run.now_us = clock_mono_us();
    run.bytes += (size_t)n;
    if (m->stage == UPGRADING)
        taken = on_upgraded(m, buffer, len);
    struct ws_frame f;
    for (size_t size; m->stage > UPGRADING && (size = ws_parse(buffer + taken, len - taken, &f));
         taken += size)
        on_frame(m, &f);
    if (taken == len)
        strbuf_release(&m->rest);
    else {
        strbuf_reset(&m->rest);
        strbuf_add(&m->rest, buffer + taken, len - taken);
    }
}

/* One turn of the loop. True when standard input has something. */
static bool turn(int64_t until_us)
{
    struct epoll_event events[EVENTS];
    bool input = false;
    int n = net_wait(epoll, events, EVENTS, until_us);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr)
            receive(events[i].data.ptr);
        else
            input = true;
    }
    return input;
}

/* --- set up --------------------------------------------------------------------------------- */

static void watch(int fd, void *ptr)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = ptr};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        net_die("epoll: %s", strerror(errno));
}

static void unbuffered_line(char **line, size_t *size)
{
    ssize_t n = getline(line, size, stdin);
    if (n > 0 && (*line)[n - 1] == '\n')
        (*line)[n - 1] = '\0';
    if (n <= 0)
        exit(0);
}

static void set_up(const struct net_address *to)
{
    int64_t until_us = clock_mono_us() + JOIN_US;
    for (size_t begun = 0; joined < member_count;) {
        while (begun < member_count && joining < JOINING_MAX) {
            struct member *m = &members[begun++];
            m->fd = net_connect_now(to);
            watch(m->fd, m);
            if (send(m->fd, ws_upgrade, strlen(ws_upgrade), MSG_NOSIGNAL) < 0)
                net_die("send: %s", strerror(errno));
            joining++;
        }
        turn(until_us);
        if (clock_mono_us() > until_us)
            net_die("%zu of %zu joined", joined, member_count);
    }
    printf("{\"joined\": %zu}\n", joined);
    fflush(stdout);
}

/* --- a run ---------------------------------------------------------------------------------- */

/* INT64_MAX: not before another one is done. */
static int64_t next_due(void)
{
    if (run.rate > 0)
        return run.start_us + (int64_t)((double)run.sent * 1e6 / run.rate);
    return run.sent - run.done < run.window ? run.now_us : INT64_MAX;
}

static void send_due(void)
{
    run.now_us = clock_mono_us();
    for (int64_t due; (due = next_due()) <= run.now_us && due < run.end_us;)
        put_message(&members[serial % member_count], due);
}

static void print_result(double cpu_s)
{
    static const struct {
        const char *name;
        double fraction;
    } rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    double seconds = (double)(run.last_us - run.start_us) / 1e6;
    uint64_t wanted = (run.sent - run.refused) * member_count;
    printf("{\"messages\": %" PRIu64 ", \"deliveries\": %" PRIu64
           ", \"seconds\": %.3f, \"per_s\": %.1f, \"lost\": %" PRId64 ", \"gaps\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"foreign\": %" PRIu64 ", \"bytes_in\": %" PRIu64,
           run.sent, run.deliveries, seconds, seconds > 0 ? (double)run.deliveries / seconds : 0,
           (int64_t)(wanted - run.deliveries), run.gaps, run.refused, run.foreign, run.bytes);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf(", \"%s_us\": %" PRIu64, rows[i].name,
               hist_percentile(&run.latency, rows[i].fraction));
    printf(", \"client_cpu_s\": %.3f}\n", cpu_s);
    fflush(stdout);
}

static void run_once(double seconds, size_t window, double rate, double grace_s)
{
    double cpu_s = net_cpu_s();
    memset(&run, 0, sizeof(run));
    run.window = window;
    run.rate = rate;
    run.first = serial;
    run.start_us = run.last_us = clock_mono_us();
    run.end_us = run.start_us + (int64_t)(seconds * 1e6);
    run.give_up_us = run.end_us + (int64_t)(grace_s * 1e6);
    for (send_due(); run.now_us < run.end_us || run.done < run.sent; send_due()) {
        int64_t until_us = run.now_us < run.end_us ? run.end_us : run.give_up_us;
        turn(next_due() < until_us ? next_due() : until_us);
        if (run.now_us > run.give_up_us)
            break;
    }
    print_result(net_cpu_s() - cpu_s);
}

static const char usage[] =
    "usage: chat_load ADDRESS:PORT ROOM MEMBERS [--anywhere]\n"
    "Standard input: a line for each member, its hello; when all have joined, {\"joined\": N} is\n"
    "printed, and each further line makes a run:\n"
    "    closed SECONDS WINDOW [GRACE]   so many messages are always under way\n"
    "    open SECONDS RATE [GRACE]       so many are sent a second, whatever becomes of them\n"
    "GRACE, in seconds, is how long what was sent last may take. The result is a line of JSON. "
    "lost: deliveries that never came; gaps: seqs out of order;\n"
    "foreign: messages of others, or a second time.\n";

static void command(const char *line)
{
    double seconds, number, grace_s = GRACE_S;
    if (sscanf(line, "closed %lf %lf %lf", &seconds, &number, &grace_s) >= 2)
        run_once(seconds, (size_t)number, 0, grace_s);
    else if (sscanf(line, "open %lf %lf %lf", &seconds, &number, &grace_s) >= 2)
        run_once(seconds, 0, number, grace_s);
    else
        net_die("%s", usage);
}

int main(int argc, char **argv)
{
    bool anywhere = argc == 5 && strcmp(argv[4], "--anywhere") == 0;
    if (argc != 4 + anywhere || atol(argv[3]) <= 0)
        net_die("%s", usage);
    struct net_address to = net_address(argv[1], anywhere);
    char *line = NULL;
    size_t size = 0;
    room = argv[2];
    member_count = (size_t)atol(argv[3]);
    members = xcalloc(member_count, sizeof(*members));
    sent = xcalloc(SENT_MAX, sizeof(*sent));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    net_no_file_limit();
    setvbuf(stdin, NULL, _IONBF, 0); /* what stands in it must be seen by epoll */
    for (size_t i = 0; i < member_count; i++) {
        size_t n = 0;
        unbuffered_line(&members[i].hello, &n);
    }
    set_up(&to);
    watch(STDIN_FILENO, NULL);
    for (;;)
        if (turn(INT64_MAX)) {
            unbuffered_line(&line, &size);
            command(line);
        }
}

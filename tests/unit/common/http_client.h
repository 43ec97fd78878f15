/* An HTTP client that says exactly the bytes it is told to, and notices how a reply ends. */
#pragma once
#include "../unit.h"
#include "strbuf.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 20000 };

static inline int dial_port(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {WAIT_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static inline bool put(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static inline void say(int fd, const char *text)
{
    assert_true(put(fd, text, strlen(text)));
}

enum ending { WHOLE, CLOSED, CUT };

struct reply {
    int code;
    struct strbuf head, body;
    enum ending ending; /* WHOLE: by its framing; CUT: before that; CLOSED: nothing came */
};

static inline void reply_release(struct reply *r)
{
    strbuf_release(&r->head);
    strbuf_release(&r->body);
    *r = (struct reply){0};
}

/* Up to and with `mark`, and not a byte further: what follows is the next reply. */
static inline bool get_until(int fd, const char *mark, struct strbuf *out)
{
    size_t mark_len = strlen(mark);
    for (;;) {
        char c;
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        strbuf_addch(out, c);
        if (out->len >= mark_len && memcmp(out->bytes + out->len - mark_len, mark, mark_len) == 0)
            return true;
    }
}

static inline bool get_exactly(int fd, struct strbuf *out, size_t len)
{
    while (len > 0) {
        char buf[16384];
        ssize_t n = recv(fd, buf, len < sizeof(buf) ? len : sizeof(buf), 0);
        if (n <= 0)
            return false;
        strbuf_add(out, buf, (size_t)n);
        len -= (size_t)n;
    }
    return true;
}

static inline bool get_to_end(int fd, struct strbuf *out)
{
    char buf[16384];
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        strbuf_add(out, buf, (size_t)n);
    return n == 0;
}

static const char *field(const struct reply *r, const char *name)
{
    static char value[512];
    struct strbuf wanted = STRBUF_INIT;
    strbuf_addf(&wanted, "\r\n%s: ", name);
    const char *at = strcasestr(strbuf_cstr(&r->head), wanted.bytes);
    if (at) {
        at += wanted.len;
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
    }
    strbuf_release(&wanted);
    return at ? value : NULL;
}

static inline bool get_chunks(int fd, struct strbuf *out)
{
    for (;;) {
        struct strbuf line = STRBUF_INIT;
        bool good = get_until(fd, "\r\n", &line);
        size_t size = good ? strtoul(line.bytes, NULL, 16) : 0;
        strbuf_release(&line);
        if (!good)
            return false;
        if (!get_exactly(fd, out, size))
            return false;
        good = get_until(fd, "\r\n", &line);
        strbuf_release(&line);
        if (!good || size == 0)
            return good;
    }
}

static inline struct reply hear(int fd, bool head_request)
{
    struct reply r = {0};
    r.ending = CLOSED;
    if (!get_until(fd, "\r\n\r\n", &r.head)) {
        if (r.head.len)
            r.ending = CUT;
        return r;
    }
    sscanf(r.head.bytes, "HTTP/1.%*d %d", &r.code);
    const char *length = field(&r, "Content-Length");
    bool whole = true;
    if (head_request || r.code == 204 || r.code == 304 || r.code == 100)
        whole = true;
    else if (length)
        whole = get_exactly(fd, &r.body, strtoul(length, NULL, 10));
    else if (field(&r, "Transfer-Encoding"))
        whole = get_chunks(fd, &r.body);
    else
        whole = get_to_end(fd, &r.body);
    r.ending = whole ? WHOLE : CUT;
    return r;
}

/* Does the other side close? Bytes before that are passed over: libmicrohttpd 0.9.75 sends its own
 * reply to a broken Content-Length twice. */
static inline bool is_closed(int fd)
{
    char rest[1024];
    ssize_t n;
    while ((n = recv(fd, rest, sizeof(rest), 0)) > 0)
        ;
    return n == 0 || errno == ECONNRESET || errno == EPIPE;
}

static inline struct reply ask_on(int fd, const char *text)
{
    say(fd, text);
    return hear(fd, strncmp(text, "HEAD ", 5) == 0);
}

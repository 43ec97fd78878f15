/* One room over WebSocket, in memory, with nothing in it that a chat server could leave out: the
 * limit for scribe. It speaks as much of scribe.v1 as chat_load needs, and its messages are as
 * long as scribe's. Each is framed once, into one log, and every socket has its place there.
 * usage: bare_chat each|turn|naive; prints its port.
 *   each: write each message to each socket
 *   turn: write to each socket at most once a turn of the loop, all that is due
 *   naive: no log: each message is built, framed, queued and written for each receiver */
#include "net.h"
#include "strbuf.h"
#include "ws.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READ = 64 * 1024, EVENTS = 256, NAME = 64 };

struct member {
    int fd;
    size_t index;
    bool upgraded, joined, blocked;
    char name[NAME];
    struct strbuf in, own; /* replies */
    size_t own_sent;
    uint64_t at; /* in the log, as from the beginning of time */
};

static bool each, naive;
static int epoll;
static struct member **members;
static size_t member_count, member_size;
static struct strbuf message_log;
static uint64_t log_start; /* how much of it has been dropped */
static unsigned seq;

/* --- out ------------------------------------------------------------------------------------ */

static void member_end(struct member *m)
{
    members[m->index] = members[--member_count];
    members[m->index]->index = m->index;
    close(m->fd);
    strbuf_release(&m->in);
    strbuf_release(&m->own);
    free(m);
}

static void block(struct member *m, bool blocked)
{
    if (m->blocked == blocked)
        return;
    m->blocked = blocked;
    struct epoll_event e = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data.ptr = m};
    epoll_ctl(epoll, EPOLL_CTL_MOD, m->fd, &e);
}

/* Replies, then messages, in one write. */
static void flush(struct member *m)
{
    const struct iovec due[2] = {
        {m->own.bytes + m->own_sent, m->own.len - m->own_sent},
        {message_log.bytes + (m->at - log_start), log_start + message_log.len - m->at},
    };
    size_t own = due[0].iov_len, all = own + (m->joined ? due[1].iov_len : 0);
    if (all == 0)
        return;
    ssize_t n = writev(m->fd, due, m->joined ? 2 : 1);
    size_t sent = n < 0 ? 0 : (size_t)n;
    m->own_sent += sent < own ? sent : own;
    m->at += sent < own ? 0 : sent - own;
    if (m->own_sent == m->own.len)
        m->own_sent = m->own.len = 0;
    block(m, sent < all); /* one that is gone is heard of when it is read */
}

static void flush_all(void)
{
    uint64_t end = log_start + message_log.len, least = end;
    for (size_t i = 0; i < member_count; i++) {
        struct member *m = members[i];
        if (!m->joined)
            m->at = end;
        if (!m->blocked)
            flush(m);
        least = m->at < least ? m->at : least;
    }
    if (least == end) {
        log_start = end;
        strbuf_reset(&message_log);
    }
}

/* --- in ------------------------------------------------------------------------------------- */

static void reply(struct member *m, const char *json)
{
    ws_add(&m->own, WS_TEXT, json, strlen(json), false);
}

/* The value of a member that is a string without escapes. */
static void copy_value(const struct ws_frame *f, const char *name, char *out, size_t size)
{
    char key[NAME];
    size_t n = (size_t)snprintf(key, sizeof(key), "\"%s\":\"", name);
    const char *at = memmem(f->payload, f->len, key, n);
    const char *end = at ? memchr(at + n, '"', f->len - (size_t)(at + n - f->payload)) : NULL;
    snprintf(out, size, "%.*s", end ? (int)(end - at - (ptrdiff_t)n) : 0, end ? at + n : "");
}

struct message {
    const char *room, *sender, *id, *text;
};

static void write_message(struct strbuf *out, const struct message *m)
{
    char json[5000];
    snprintf(json, sizeof(json),
             "{\"type\":\"message\",\"seq\":%u,\"room\":\"%s\",\"sender\":\"%s\",\"id\":\"%s\","
             "\"at\":\"2026-01-31T09:00:00.123Z\",\"text\":\"%s\"}",
             seq, m->room, m->sender, m->id, m->text);
    ws_add(out, WS_TEXT, json, strlen(json), false);
}

static void write_to_each(const struct message *message)
{
    for (size_t i = 0; i < member_count; i++) {
        struct member *m = members[i];
        if (!m->joined)
            continue;
        write_message(&m->own, message);
        if (!m->blocked)
            flush(m);
    }
}

static void on_send(struct member *m, const struct ws_frame *f)
{
    char id[NAME], room[NAME], text[4096], json[256];
    copy_value(f, "id", id, sizeof(id));
    copy_value(f, "room", room, sizeof(room));
    copy_value(f, "text", text, sizeof(text));
    seq++;
    snprintf(json, sizeof(json), "{\"type\":\"ack\",\"room\":\"%s\",\"id\":\"%s\",\"seq\":%u}",
             room, id, seq);
    reply(m, json);
    const struct message message = {room, m->name, id, text};
    if (naive)
        write_to_each(&message);
    else
        write_message(&message_log, &message);
    if (each)
        flush_all();
}

static void on_frame(struct member *m, const struct ws_frame *f)
{
    char type[NAME];
    copy_value(f, "type", type, sizeof(type));
    if (strcmp(type, "send") == 0)
        on_send(m, f);
    else if (strcmp(type, "join") == 0) {
        m->joined = true;
        m->at = log_start + message_log.len;
        reply(m, "{\"type\":\"joined\"}");
    } else {
        snprintf(m->name, sizeof(m->name), "user-%d", m->fd);
        reply(m, "{\"type\":\"welcome\"}");
    }
}

/* Returns the bytes taken. */
static size_t take(struct member *m, char *bytes, size_t len)
{
    struct ws_frame f;
    size_t taken = 0;
    if (!m->upgraded) {
        const char *end = memmem(bytes, len, "\r\n\r\n", 4);
        if (!end)
            return 0;
        m->upgraded = true;
        strbuf_addstr(&m->own, ws_accept);
        taken = (size_t)(end - bytes) + 4;
    }
    for (size_t n; (n = ws_parse(bytes + taken, len - taken, &f)) > 0; taken += n)
        if (f.opcode == WS_TEXT)
            on_frame(m, &f);
    return taken;
}

static bool receive(struct member *m)
{
    static char buffer[READ];
    ssize_t n = recv(m->fd, buffer, sizeof(buffer), 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (m->in.len == 0) {
        size_t taken = take(m, buffer, (size_t)n);
        strbuf_add(&m->in, buffer + taken, (size_t)n - taken);
        return true;
    }
    strbuf_add(&m->in, buffer, (size_t)n);
    size_t taken = take(m, m->in.bytes, m->in.len);
    memmove(m->in.bytes, m->in.bytes + taken, m->in.len - taken);
    m->in.len -= taken;
    return true;
}

static void accept_all(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct member *m = xcalloc(1, sizeof(*m));
        *m = (struct member){.fd = fd, .index = member_count};
        net_no_delay(fd);
        if (member_count == member_size) {
            member_size = member_size ? 2 * member_size : 64;
            members = xrealloc(members, member_size * sizeof(struct member *));
        }
        members[member_count++] = m;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = m};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

/* A member that ends is freed after the turn: another event may name it. */
static void turn(int listener)
{
    struct epoll_event events[EVENTS];
    int n = net_wait(epoll, events, EVENTS, INT64_MAX);
    struct member *gone[EVENTS];
    size_t gone_count = 0;
    for (int i = 0; i < n; i++) {
        struct member *m = events[i].data.ptr;
        if (m && events[i].events & EPOLLOUT)
            flush(m);
        if (!m)
            accept_all(listener);
        else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !receive(m))
            gone[gone_count++] = m;
    }
    while (gone_count > 0)
        member_end(gone[--gone_count]);
    flush_all();
}

int main(int argc, char **argv)
{
    const char *how = argc == 2 ? argv[1] : "";
    each = strcmp(how, "each") == 0;
    naive = strcmp(how, "naive") == 0;
    if (!each && !naive && strcmp(how, "turn") != 0)
        net_die("usage: bare_chat each|turn|naive");
    net_no_file_limit();
    uint16_t port;
    int listener = net_listen(&port);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    net_print_port(port);
    for (;;)
        turn(listener);
}

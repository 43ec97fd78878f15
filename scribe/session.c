#include "session.h"
#include "clock.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

enum { RING_MIN = 16, CLOSE_POLICY = 1008, REPLIES_BYTES = 1 << 20 };

struct session *session_new(size_t bytes_max, void *transport, void (*wake)(struct session *s))
{
    struct session *s = xcalloc(1, sizeof(*s));
    s->refs = 1;
    s->transport = transport;
    s->wake = wake;
    s->bytes_max = bytes_max;
    s->opened_ms = s->took_ms = clock_mono_ms();
    return s;
}

struct session *session_ref(struct session *s)
{
    s->refs++;
    return s;
}

static struct frame *pop(struct session *s)
{
    struct frame *f = s->ring[s->first];
    s->first = (s->first + 1) & (s->ring_size - 1);
    s->count--;
    s->bytes -= f->len;
    return f;
}

static void clear(struct session *s)
{
    while (s->count > 0)
        frame_unref(pop(s));
}

void session_unref(struct session *s)
{
    if (--s->refs > 0)
        return;
    clear(s);
    free(s->ring);
    free(s);
}

static void grow(struct session *s)
{
    size_t size = s->ring_size ? 2 * s->ring_size : RING_MIN;
    struct frame **ring = xcalloc(size, sizeof(ring[0]));
    for (size_t i = 0; i < s->count; i++)
        ring[i] = s->ring[(s->first + i) & (s->ring_size - 1)];
    free(s->ring);
    s->ring = ring;
    s->ring_size = size;
    s->first = 0;
}

static void push(struct session *s, struct frame *f)
{
    if (s->count == s->ring_size)
        grow(s);
    s->ring[(s->first + s->count++) & (s->ring_size - 1)] = f;
    s->bytes += f->len;
    if (s->count > 1)
        return;
    s->took_ms = clock_mono_ms(); /* whoever had nothing to take was not slow */
    s->wake(s);
}

bool session_offer(struct session *s, struct frame *f)
{
    if (s->close_code || (s->count > 0 && s->bytes + f->len > s->bytes_max))
        return false;
    push(s, frame_ref(f));
    return true;
}

void session_reply(struct session *s, struct frame *f)
{
    if (!s->close_code && s->bytes > s->bytes_max + REPLIES_BYTES)
        session_abandon(s, CLOSE_POLICY, "slow_consumer");
    if (s->close_code)
        frame_unref(f);
    else
        push(s, f);
}

bool session_idle(const struct session *s)
{
    return s->count == 0 && !s->close_code;
}

size_t session_take(struct session *s, unsigned char *out, size_t size, struct frame **big)
{
    size_t n = 0;
    *big = NULL;
    if (s->count > 0)
        s->took_ms = clock_mono_ms();
    if (s->count > 0 && s->ring[s->first]->len > size) {
        *big = pop(s);
        return 0;
    }
    while (s->count > 0 && n + s->ring[s->first]->len <= size) {
        struct frame *f = pop(s);
        memcpy(out + n, f->bytes, f->len);
        n += f->len;
        frame_unref(f);
    }
    return n;
}

void session_end(struct session *s, int code, const char *reason)
{
    if (s->close_code)
        return;
    s->close_code = code;
    s->closing_ms = clock_mono_ms();
    push(s, frame_close(code, reason));
}

void session_abandon(struct session *s, int code, const char *reason)
{
    clear(s);
    session_end(s, code, reason);
}

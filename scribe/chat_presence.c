#include "chat_internal.h"
#include "clock.h"
#include <stdlib.h>
#include <string.h>

enum {
    REANNOUNCE_MS = 2200, /* a subscriber is back 2 s after Redis at most */
    SOON_MS = 200,        /* after somebody came, so that many who come are told of at once */
    LISTED = 50,          /* up to so many members are told the names unasked */
    TYPING_MS = 3000,     /* of one member, no more often */
    TYPING_GAP_MS = 500   /* of a room, likewise */
};

/* --- this server's users of a room ---------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sort, and drop what is twice; the number that stays. */
static size_t sort_names(char (*names)[NAME_MAX_LEN + 1], size_t n)
{
    size_t kept = 0;
    qsort(names, n, sizeof(names[0]), by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && strcmp(names[kept - 1], names[i]) == 0)
            continue;
        if (kept != i)
            memcpy(names[kept], names[i], sizeof(names[0]));
        kept++;
    }
    return kept;
}

static void add_here(struct presence_query *q, const struct room *r)
{
    q->users = xcalloc(r->count + 1, sizeof(q->users[0]));
    for (size_t i = 0; i < r->count; i++)
        memcpy(q->users[i], r->members[i]->session->user, sizeof(q->users[0]));
    q->count = q->user_count = sort_names(q->users, r->count);
}

bool chat_room_full(struct chat *c, const struct room *r, const char *user)
{
    struct presence_query q = {.count = 0};
    if (r->count < c->options.room_limit)
        return false;
    add_here(&q, r);
    bool here = bsearch(user, q.users, q.user_count, sizeof(q.users[0]), by_name) != NULL;
    free(q.users);
    return !here && q.count >= c->options.room_limit;
}

/* --- who is here ---------------------------------------------------------------------------- */

static struct frame *presence_frame(struct presence_query *q, size_t listed)
{
    struct strbuf text = STRBUF_INIT;
    size_t n = sort_names(q->users, q->user_count);
    strbuf_addf(&text, "{\"type\":\"presence\",\"room\":\"%s\",\"count\":%zu", q->room, q->count);
    for (size_t i = 0; q->count <= listed && i < n; i++)
        strbuf_addf(&text, "%s\"%s\"", i == 0 ? ",\"users\":[" : ",", q->users[i]);
    strbuf_addstr(&text, q->count <= listed && n > 0 ? "]}" : "}");
    struct frame *f = frame_new(text.bytes, text.len);
    strbuf_release(&text);
    return f;
}

static bool same_text(const struct frame *a, const struct frame *b)
{
    return a && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Redis answered, or could not be asked: then those of this server are all that is known. */
static void beaten(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct presence_query *q = (struct presence_query *)m;
    struct room *r = room_find(c->rooms, q->room);
    if (r) {
        struct frame *f = presence_frame(q, LISTED);
        r->here.asked = false;
        if (q->status != STATUS_OK && c->bus_up)
            r->here.beat_at = clock_mono_ms() + SOON_MS;
        if (!same_text(r->here.told, f)) {
            room_tell(r, f);
            frame_unref(r->here.told);
            r->here.told = frame_ref(f);
        }
        frame_unref(f);
    }
    presence_query_free(q);
}

static void beat(struct chat *c, struct room *r, int64_t now)
{
    struct here *h = &r->here;
    if (r->count == 0 || h->asked || now < h->beat_at)
        return;
    struct presence_query *q = presence_query_new(r->name, beaten);
    add_here(q, r);
    h->asked = true;
    h->beat_at = now + PRESENCE_BEAT_MS;
    presence_ask(c->presence, &c->mailbox, q);
}

void chat_claim(struct chat *c, const char *room, const char *user, void *owner,
                void (*done)(void *ctx, struct mail *m))
{
    struct presence_query *q = presence_query_new(room, done);
    q->owner = owner;
    q->limit = c->options.room_limit;
    q->users = xcalloc(1, sizeof(q->users[0]));
    q->user_count = 1;
    memcpy(q->users[0], user, strlen(user) + 1);
    if (clock_mono_ms() < c->claim_at) {
        q->mail.next = c->claims;
        c->claims = &q->mail;
    } else
        presence_ask(c->presence, &c->mailbox, q);
}

void chat_ask_claims(struct chat *c)
{
    for (struct mail *m; (m = c->claims) != NULL;) {
        c->claims = m->next;
        presence_ask(c->presence, &c->mailbox, (struct presence_query *)m);
    }
}

static void beat_now(struct room *r, void *unused)
{
    (void)unused;
    r->here.beat_at = 0;
}

void chat_announce(struct chat *c)
{
    rooms_each(c->rooms, beat_now, NULL);
    c->claim_at = clock_mono_ms() + REANNOUNCE_MS;
}

void chat_came(struct room *r, struct session *s)
{
    int64_t soon = clock_mono_ms() + SOON_MS;
    if (soon < r->here.beat_at)
        r->here.beat_at = soon;
    if (r->here.told)
        session_offer(s, r->here.told);
}

static void presence_read(void *ctx, struct mail *m)
{
    (void)ctx;
    struct presence_query *q = (struct presence_query *)m;
    struct session *s = q->owner;
    session_reply(s, presence_frame(q, SIZE_MAX));
    s->pending--;
    session_unref(s);
    presence_query_free(q);
}

void chat_presence(struct chat *c, struct session *s, const struct request *r)
{
    const struct member *m = chat_require_member(s, r);
    if (!m)
        return;
    if (s->pending >= PENDING_MAX) {
        chat_refuse(s, r, STATUS_RATE_LIMITED, "too many requests under way");
        return;
    }
    struct presence_query *q = presence_query_new(r->room, presence_read);
    add_here(q, m->room);
    q->owner = session_ref(s);
    s->pending++;
    presence_ask(c->presence, &c->mailbox, q);
}

/* --- who types ------------------------------------------------------------------------------ */

void chat_types(struct room *r, const char *user)
{
    struct here *h = &r->here;
    for (size_t i = 0; i < h->typist_count; i++)
        if (strcmp(h->typing[i], user) == 0)
            return;
    if (h->typist_count < TYPISTS)
        memcpy(h->typing[h->typist_count++], user, strlen(user) + 1);
}

void chat_typing(struct chat *c, struct session *s, const struct request *r)
{
    struct member *m = chat_require_member(s, r);
    int64_t now = clock_mono_ms();
    if (!m || (m->typed_ms && now - m->typed_ms < TYPING_MS))
        return;
    m->typed_ms = now;
    chat_types(m->room, s->user);
    bus_publish(c->bus, &(struct bus_event){BUS_TYPING, r->room, 1, s->user, strlen(s->user)});
}

static void tell_typing(struct room *r, int64_t now)
{
    struct here *h = &r->here;
    if (h->typist_count == 0 || now < h->typing_at)
        return;
    struct strbuf text = STRBUF_INIT;
    strbuf_addf(&text, "{\"type\":\"typing\",\"room\":\"%s\",\"users\":[", r->name);
    for (size_t i = 0; i < h->typist_count; i++)
        strbuf_addf(&text, "%s\"%s\"", i > 0 ? "," : "", h->typing[i]);
    strbuf_addstr(&text, "]}");
    struct frame *f = frame_new(text.bytes, text.len);
    room_tell(r, f);
    frame_unref(f);
    strbuf_release(&text);
    h->typist_count = 0;
    h->typing_at = now + TYPING_GAP_MS;
}

struct tick {
    struct chat *chat;
    int64_t now;
};

static void tick_room(struct room *r, void *ctx)
{
    const struct tick *tick = ctx;
    beat(tick->chat, r, tick->now);
    tell_typing(r, tick->now);
}

void chat_presence_tick(struct chat *c, int64_t now)
{
    if (now >= c->claim_at || !c->bus_up)
        chat_ask_claims(c);
    rooms_each(c->rooms, tick_room, &(struct tick){c, now});
}

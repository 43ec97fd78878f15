#include "chat_internal.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 2000, POLL_SLOW_MS = 1000 }; /* and POLL_FAST_MS while the bus is down */

/* --- the history's pages -------------------------------------------------------------------- */

static void pulled(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    struct room *room = room_find(c->rooms, job->room);
    int64_t from = job->after + 1;
    size_t n = job->first_seq == from ? job->frame_count : 0;
    if (room)
        room_page(c->rooms, room, from, job->frames, n);
    job_free(job);
}

static bool pull(void *ctx, const char *room, int64_t from)
{
    struct chat *c = ctx;
    struct job *job = job_new(JOB_PAGE, room, pulled);
    job->after = from - 1;
    job->before = SEQ_MAX;
    job->limit = PAGE_MAX;
    bool asked = history_submit(c->history, job) == STATUS_OK;
    if (!asked)
        job_free(job);
    return asked;
}

/* --- the bus -------------------------------------------------------------------------------- */

/* What the bus brought, on its way to the loop. */
struct bus_mail {
    struct mail mail;
    enum bus_kind kind;
    char name[NAME_MAX_LEN + 1];
    int64_t number;
    struct frame *frame; /* message, user */
    char typist[NAME_MAX_LEN + 1];
    bool up;
};

static struct bus_mail *bus_mail_new(const char *name, void (*open)(void *, struct mail *))
{
    struct bus_mail *m = xcalloc(1, sizeof(*m));
    m->mail.open = open;
    strncpy(m->name, name, NAME_MAX_LEN);
    return m;
}

static void poll_now(struct chat *c)
{
    c->poll_at = 0;
    c->poll_again = c->polls > 0;
}

static void brought_message(struct chat *c, const struct bus_mail *m)
{
    struct room *room = room_find(c->rooms, m->name);
    if (room && m->number > room->head)
        room_deliver(c->rooms, room, m->number, m->frame);
}

static void brought_members(struct chat *c, const struct bus_mail *m)
{
    struct room *room = room_find(c->rooms, m->name);
    if (room)
        chat_members_changed(c, room, m->number);
}

static void brought_typing(struct chat *c, const struct bus_mail *m)
{
    struct room *room = room_find(c->rooms, m->name);
    if (room && name_valid(m->typist, NAME_MAX_LEN))
        chat_types(room, m->typist);
}

static void brought_to_user(struct chat *c, const struct bus_mail *m)
{
    for (struct session *s = users_find(c->users, m->name); s; s = s->next_of_user)
        session_offer(s, m->frame);
}

static void (*const brought[BUS_KINDS])(struct chat *c, const struct bus_mail *m) = {
    [BUS_MESSAGE] = brought_message,
    [BUS_MEMBERS] = brought_members,
    [BUS_TYPING] = brought_typing,
    [BUS_USER] = brought_to_user,
};

static void bus_brought(void *ctx, struct mail *mail)
{
    struct bus_mail *m = (struct bus_mail *)mail;
    brought[m->kind](ctx, m);
    frame_unref(m->frame);
    free(m);
}

static void bus_changed(void *ctx, struct mail *mail)
{
    struct chat *c = ctx;
    struct bus_mail *m = (struct bus_mail *)mail;
    c->bus_up = m->up;
    if (m->up && c->bus_lost)
        chat_announce(c);
    c->bus_lost |= m->up;
    c->poll_ms = POLL_FAST_MS;
    metric_set(c->metrics.bus_up, m->up);
    poll_now(c);
    free(m);
}

static void bus_subscribed(void *ctx, struct mail *mail)
{
    poll_now(ctx); /* what came before the subscription was not brought */
    free(mail);
}

static void on_event(void *ctx, const struct bus_event *e)
{
    struct chat *c = ctx;
    struct bus_mail *m = bus_mail_new(e->name, bus_brought);
    m->kind = e->kind;
    m->number = e->number;
    if (e->kind == BUS_MESSAGE || e->kind == BUS_USER)
        m->frame = frame_new(e->bytes, e->len);
    else if (e->kind == BUS_TYPING && e->len < sizeof(m->typist))
        memcpy(m->typist, e->bytes, e->len);
    mailbox_put(&c->mailbox, &m->mail);
}

static void on_bus_up(void *ctx, bool up)
{
    struct chat *c = ctx;
    if (up)
        log_info("bus_up", F("bus", "redis"));
    else
        log_warn("bus_down", F("bus", "redis"));
    struct bus_mail *m = bus_mail_new("", bus_changed);
    m->up = up;
    mailbox_put(&c->mailbox, &m->mail);
}

static void on_bus_subscribed(void *ctx, const char *room)
{
    struct chat *c = ctx;
    mailbox_put(&c->mailbox, &bus_mail_new(room, bus_subscribed)->mail);
}

const struct bus_events chat_bus_events = {on_event, on_bus_up, on_bus_subscribed, NULL};

static void room_opened(void *ctx, const char *room)
{
    struct chat *c = ctx;
    bus_subscribe(c->bus, BUS_MESSAGE, room);
}

static void room_closed(void *ctx, const char *room)
{
    struct chat *c = ctx;
    bus_unsubscribe(c->bus, BUS_MESSAGE, room);
}

const struct room_events chat_room_events = {pull, room_opened, room_closed, NULL};

static void user_came(void *ctx, const char *user)
{
    struct chat *c = ctx;
    bus_subscribe(c->bus, BUS_USER, user);
}

static void user_went(void *ctx, const char *user)
{
    struct chat *c = ctx;
    bus_unsubscribe(c->bus, BUS_USER, user);
}

const struct user_events chat_user_events = {user_came, user_went, NULL};

/* --- polling the heads ---------------------------------------------------------------------- */

static void polled(void *ctx, struct mail *m)
{
    struct chat *c = ctx;
    struct job *job = (struct job *)m;
    for (size_t i = 0; job->status == STATUS_OK && i < job->head_count; i++) {
        struct room *room = room_find(c->rooms, job->heads[i].room);
        if (room)
            chat_members_changed(c, room, job->heads[i].version);
        if (!room || job->heads[i].head <= room->head)
            continue;
        c->poll_found = true;
        room_advance(c->rooms, room, job->heads[i].head);
    }
    c->polls--;
    job_free(job);
    if (c->polls > 0)
        return;
    int64_t slower = 2 * c->poll_ms < POLL_SLOW_MS ? 2 * c->poll_ms : POLL_SLOW_MS;
    c->poll_ms = c->poll_found ? POLL_FAST_MS : slower;
    c->poll_at = c->poll_again ? 0 : clock_mono_ms() + (c->bus_up ? POLL_MS : c->poll_ms);
    c->poll_found = c->poll_again = false;
}

static void submit_poll(struct chat *c, struct job *job)
{
    if (history_submit(c->history, job) == STATUS_OK)
        c->polls++;
    else
        job_free(job);
}

struct gather {
    struct chat *chat;
    struct job *job;
};

static void gather_head(struct room *r, void *ctx)
{
    struct gather *g = ctx;
    if (r->count == 0)
        return;
    if (!g->job) {
        g->job = job_new(JOB_HEADS, "", polled);
        g->job->heads = xcalloc(HEADS_PER_JOB, sizeof(struct room_head));
    }
    struct room_head *head = &g->job->heads[g->job->head_count++];
    memcpy(head->room, r->name, sizeof(head->room));
    head->head = r->head;
    head->version = r->version;
    if (g->job->head_count == HEADS_PER_JOB) {
        submit_poll(g->chat, g->job);
        g->job = NULL;
    }
}

void chat_poll_heads(struct chat *c, int64_t now)
{
    if (c->polls > 0 || now < c->poll_at)
        return;
    struct gather g = {.chat = c};
    rooms_each(c->rooms, gather_head, &g);
    if (g.job)
        submit_poll(c, g.job);
}

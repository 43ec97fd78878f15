/* The making of gapless sequences, against a store in memory that fails as stores do. */
#include "clock.h"
#include "history.h"
#include "sequence.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { STORE_MAX = 2048 };

struct row {
    char room[16], sender[16], id[16];
    int64_t seq;
    bool hidden; /* its place is taken, but it is not durable yet */
};

/* What goes wrong at the n-th insert, counted from 0. */
enum trouble {
    NONE,
    RIVAL,        /* another writer is first at the next place */
    LOST_ANSWER,  /* all stored, the answer is lost */
    LOST_HALF,    /* half stored, the answer is lost */
    LOST_REQUEST, /* nothing stored, the answer is lost */
    LATE,         /* stored when the next insert begins, the answer is lost */
    DOWN,         /* never sent */
    HIDDEN,       /* stored by a write that is not durable before some more tries */
};

struct history {
    struct row rows[STORE_MAX];
    size_t n;
    enum trouble troubles[8];
    size_t inserts;
    struct message late[16];
    size_t late_count;
    unsigned finds_until_durable;
    int64_t marker[2]; /* ada's in r and in q */
};

static struct history store;

static bool put(const struct message *m, bool hidden)
{
    for (size_t i = 0; i < store.n; i++) {
        const struct row *r = &store.rows[i];
        if (strcmp(r->room, m->room) == 0 &&
            (r->seq == m->seq ||
             (strcmp(r->sender, m->sender) == 0 && strcmp(r->id, m->client_id) == 0)))
            return false;
    }
    struct row *r = &store.rows[store.n++];
    snprintf(r->room, sizeof(r->room), "%s", m->room);
    snprintf(r->sender, sizeof(r->sender), "%s", m->sender);
    snprintf(r->id, sizeof(r->id), "%s", m->client_id);
    r->seq = m->seq;
    r->hidden = hidden;
    return true;
}

static enum status fake_head(struct history *h, const char *room, int64_t *head)
{
    *head = 0;
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->rows[i].room, room) == 0 && h->rows[i].seq > *head)
            *head = h->rows[i].seq;
    return STATUS_OK;
}

static enum status fake_find(struct history *h, const struct message *m, int64_t *seq)
{
    if (h->finds_until_durable > 0 && --h->finds_until_durable == 0)
        for (size_t i = 0; i < h->n; i++)
            h->rows[i].hidden = false;
    *seq = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct row *r = &h->rows[i];
        if (strcmp(r->room, m->room) == 0 && strcmp(r->sender, m->sender) == 0 &&
            strcmp(r->id, m->client_id) == 0 && !r->hidden)
            *seq = r->seq;
    }
    return STATUS_OK;
}

static void rival(const char *room)
{
    char id[16];
    struct message m = {.room = room, .sender = "eve", .client_id = id};
    snprintf(id, sizeof(id), "rival%zu", store.n);
    fake_head(&store, room, &m.seq);
    m.seq++;
    assert_true(put(&m, false));
}

static enum status store_in_order(struct message *const *batch, size_t n, size_t *done)
{
    for (*done = 0; *done < n; (*done)++)
        if (!put(batch[*done], false))
            return STATUS_DUPLICATE;
    return STATUS_OK;
}

static void store_late(struct history *h)
{
    for (size_t i = 0; i < h->late_count && put(&h->late[i], false); i++)
        ;
    h->late_count = 0;
}

static enum status fake_insert(struct history *h, struct message *const *batch, size_t n,
                               size_t *done)
{
    enum trouble trouble = h->troubles[h->inserts < 8 ? h->inserts : 7];
    size_t ignored;
    h->inserts++;
    store_late(h);
    switch (trouble) {
    case RIVAL:
        rival(batch[0]->room);
        break;
    case LOST_ANSWER:
        store_in_order(batch, n, &ignored);
        return STATUS_OUTCOME_UNKNOWN;
    case LOST_HALF:
        store_in_order(batch, n / 2, &ignored);
        return STATUS_OUTCOME_UNKNOWN;
    case LATE:
        for (size_t i = 0; i < n; i++)
            h->late[h->late_count++] = *batch[i];
        return STATUS_OUTCOME_UNKNOWN;
    case LOST_REQUEST:
        return STATUS_OUTCOME_UNKNOWN;
    case DOWN:
        return STATUS_UNAVAILABLE;
    case HIDDEN:
        put(batch[0], true);
        h->finds_until_durable = 5;
        break;
    case NONE:
        break;
    }
    return store_in_order(batch, n, done);
}

static enum status fake_mark_own(struct history *h, struct message *const *batch, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t *marker = &h->marker[batch[i]->room[0] == 'q'];
        if (strcmp(batch[i]->sender, "ada") == 0 && *marker == batch[i]->seq - 1)
            *marker = batch[i]->seq;
    }
    return STATUS_OK;
}

static enum status fake_write(struct history *h, enum status (*work)(void *ctx), void *ctx)
{
    (void)h;
    return work(ctx);
}

/* A transaction: what fails leaves nothing behind. */
static enum status atomic_write(struct history *h, enum status (*work)(void *ctx), void *ctx)
{
    size_t before = h->n;
    enum status status = work(ctx);
    if (status != STATUS_OK)
        h->n = before;
    return status;
}

static const struct history_driver loose = {.write = fake_write,
                                            .head = fake_head,
                                            .find = fake_find,
                                            .insert = fake_insert,
                                            .mark_own = fake_mark_own};
static const struct history_driver atomic = {.atomic = true,
                                             .write = atomic_write,
                                             .head = fake_head,
                                             .find = fake_find,
                                             .insert = fake_insert,
                                             .mark_own = fake_mark_own};

static int fresh(void **state)
{
    (void)state;
    memset(&store, 0, sizeof(store));
    return 0;
}

static struct entry entry(const char *room, const char *sender, const char *id)
{
    return (struct entry){.message = {.room = room, .sender = sender, .client_id = id, .text = "x"},
                          .status = STATUS_INTERNAL};
}

static void append_by(const struct history_driver *driver, struct entry *entries, size_t n)
{
    struct entry *pointers[16];
    for (size_t i = 0; i < n; i++)
        pointers[i] = &entries[i];
    sequence_append(driver, &store, pointers, n, NULL, clock_mono_ms() + 300);
}

static void append(struct entry *entries, size_t n)
{
    append_by(&loose, entries, n);
}

/* 1, 2, 3 ... each once, each client id once. */
static void assert_gapless(const char *room, int64_t head)
{
    for (int64_t seq = 1; seq <= head; seq++) {
        size_t times = 0;
        for (size_t i = 0; i < store.n; i++)
            times += strcmp(store.rows[i].room, room) == 0 && store.rows[i].seq == seq;
        assert_int_equal(times, 1);
    }
    int64_t found;
    fake_head(&store, room, &found);
    assert_int_equal(found, head);
}

static void assert_ack(const struct entry *e, int64_t seq, bool duplicate)
{
    assert_int_equal(e->status, STATUS_OK);
    assert_int_equal(e->message.seq, seq);
    assert_int_equal(e->duplicate, duplicate);
}

static void test_rooms_count_on_their_own(void **state)
{
    (void)state;
    struct entry e[] = {entry("r", "ada", "1"), entry("q", "ada", "1"), entry("r", "bob", "1")};
    append(e, 3);
    assert_ack(&e[0], 1, false);
    assert_ack(&e[1], 1, false);
    assert_ack(&e[2], 2, false);
    assert_int_equal(store.inserts, 1); /* one write for all */
}

static void test_a_retry_gets_its_first_place(void **state)
{
    (void)state;
    struct entry first[] = {entry("r", "ada", "1"), entry("r", "ada", "2")};
    append(first, 2);
    struct entry again[] = {entry("r", "ada", "3"), entry("r", "ada", "1"), entry("r", "bob", "1"),
                            entry("r", "ada", "4")};
    append(again, 4);
    assert_ack(&again[0], 3, false);
    assert_ack(&again[1], 1, true);
    assert_ack(&again[2], 4, false); /* the id is the sender's own */
    assert_ack(&again[3], 5, false);
    assert_gapless("r", 5);
}

static void test_twice_in_one_batch(void **state)
{
    (void)state;
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "1"), entry("r", "ada", "2")};
    append(e, 3);
    assert_ack(&e[0], 1, false);
    assert_ack(&e[1], 1, true);
    assert_ack(&e[2], 2, false);
    assert_gapless("r", 2);
}

static void test_a_rival_is_first(void **state)
{
    (void)state;
    store.troubles[0] = store.troubles[1] = RIVAL;
    struct entry e[] = {entry("r", "ada", "1"), entry("q", "ada", "1"), entry("r", "ada", "2")};
    append(e, 3);
    assert_ack(&e[0], 3, false);
    assert_ack(&e[2], 4, false);
    assert_gapless("r", 4);
    assert_gapless("q", 1);
}

static void unknown_then_known(enum trouble trouble)
{
    fresh(NULL);
    store.troubles[0] = trouble;
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "2"), entry("r", "ada", "3"),
                        entry("q", "ada", "1")};
    append(e, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(e[i].status, STATUS_OK);
        assert_int_equal(e[i].message.seq, i + 1);
    }
    assert_gapless("r", 3);
    assert_gapless("q", 1);
    assert_int_equal(store.n, 4);
    assert_int_equal(store.marker[0], 3);
    assert_int_equal(store.marker[1], 1);
}

static void test_unknown_outcomes_are_settled(void **state)
{
    (void)state;
    unknown_then_known(LOST_ANSWER);
    unknown_then_known(LOST_HALF);
    unknown_then_known(LOST_REQUEST);
    unknown_then_known(LATE);
}

static void test_late_write_behind_a_rival(void **state)
{
    (void)state;
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "2")};
    store.troubles[0] = LATE;
    store.troubles[1] = RIVAL; /* after the late write came in */
    append(e, 2);
    assert_int_equal(e[0].status, STATUS_OK);
    assert_int_equal(e[1].status, STATUS_OK);
    assert_gapless("r", (int64_t)store.n);
}

static void test_down_is_said_at_once(void **state)
{
    (void)state;
    store.troubles[0] = DOWN;
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "2")};
    append(e, 2);
    assert_int_equal(e[0].status, STATUS_UNAVAILABLE);
    assert_int_equal(e[1].status, STATUS_UNAVAILABLE);
    assert_int_equal(store.inserts, 1);
    assert_int_equal(store.n, 0);
}

static void test_unknown_for_good_is_said_so(void **state)
{
    (void)state;
    struct entry e[] = {entry("r", "ada", "1")};
    for (size_t i = 0; i < 8; i++)
        store.troubles[i] = i == 0 ? LOST_REQUEST : DOWN;
    append(e, 1);
    /* Not sent after the first, yet the first may still come: not known, not refused. */
    assert_int_equal(e[0].status, STATUS_OUTCOME_UNKNOWN);
    assert_true(store.inserts > 2);
}

static void test_what_is_not_durable_is_waited_for(void **state)
{
    (void)state;
    store.troubles[0] = HIDDEN;
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "2")};
    append(e, 2);
    assert_ack(&e[0], 1, true);
    assert_ack(&e[1], 2, false);
    assert_gapless("r", 2);
}

static void test_a_transaction_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct entry old[] = {entry("r", "ada", "1")};
    append_by(&atomic, old, 1);
    /* The retry is resolved, then the store goes away: nobody gets an ack for what was undone. */
    store.troubles[1] = NONE;
    store.troubles[2] = DOWN;
    struct entry e[] = {entry("r", "ada", "2"), entry("r", "ada", "1"), entry("r", "ada", "3")};
    append_by(&atomic, e, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(e[i].status, STATUS_UNAVAILABLE);
        assert_false(e[i].duplicate);
    }
    assert_gapless("r", 1);
}

static void test_own_messages_move_a_marker_that_stands_before(void **state)
{
    (void)state;
    store.marker[0] = 0;
    store.marker[1] = 7; /* ada read on; her own message in q is not next to it */
    struct entry e[] = {entry("r", "ada", "1"), entry("r", "ada", "2"), entry("q", "ada", "1"),
                        entry("r", "bob", "1"), entry("r", "ada", "3")};
    append(e, 5);
    assert_int_equal(store.marker[0], 2); /* bob's message is unread, so hers after it count */
    assert_int_equal(store.marker[1], 7);
}

/* Any order of troubles; clients repeat what was not acknowledged. */
static void test_random_troubles(void **state)
{
    (void)state;
    static const enum trouble troubles[] = {NONE, NONE, NONE,         RIVAL, LOST_ANSWER,
                                            NONE, LATE, LOST_REQUEST, DOWN,  LOST_HALF};
    char ids[300][8];
    int64_t acked[300] = {0};
    srandom(7);
    for (size_t left = 300; left > 0;) {
        struct entry e[8];
        size_t n = 0, which[8];
        for (size_t i = 0; n < 8 && i < 300; i++)
            if (acked[i] == 0 || random() % 100 == 0)
                which[n++] = i;
        for (size_t i = 0; i < n; i++) {
            snprintf(ids[which[i]], sizeof(ids[0]), "%zu", which[i]);
            e[i] = entry(which[i] % 3 ? "r" : "q", "ada", ids[which[i]]);
        }
        for (size_t i = 0; i < 8; i++)
            store.troubles[i] = troubles[random() % 10];
        store.troubles[7] = NONE;
        store.inserts = 0;
        append(e, n);
        for (size_t i = 0; i < n; i++) {
            if (e[i].status != STATUS_OK)
                continue;
            left -= acked[which[i]] == 0;
            assert_true(acked[which[i]] == 0 || acked[which[i]] == e[i].message.seq);
            acked[which[i]] = e[i].message.seq;
        }
    }
    for (size_t i = 0; i < 300; i++) {
        int64_t seq;
        const struct entry e = entry(i % 3 ? "r" : "q", "ada", ids[i]);
        fake_find(&store, &e.message, &seq);
        assert_int_equal(seq, acked[i]);
    }
    int64_t r, q;
    fake_head(&store, "r", &r);
    fake_head(&store, "q", &q);
    assert_gapless("r", r);
    assert_gapless("q", q);
    assert_int_equal(store.n, r + q);
}

/* What is written before the messages: how often it was, and what it says. */
struct before {
    unsigned runs;
    size_t rows; /* there when it ran last */
    enum status status;
};

static enum status run_before(void *ctx)
{
    struct before *before = ctx;
    before->runs++;
    before->rows = store.n;
    return before->status;
}

static enum status append_after(const struct history_driver *driver, struct before *before,
                                struct entry *e, size_t n)
{
    return sequence_append(driver, &store, &e, n, &(struct prelude){run_before, before},
                           clock_mono_ms() + 300);
}

static void test_what_comes_first_is_written_once_or_with_each_try(void **state)
{
    (void)state;
    struct before before = {0};
    struct entry e = entry("r", "ada", "one");
    store.troubles[0] = LOST_REQUEST;
    assert_int_equal(append_after(&loose, &before, &e, 1), STATUS_OK);
    assert_int_equal(before.runs, 1);
    assert_int_equal(before.rows, 0);
    e = entry("r", "ada", "two");
    store.inserts = 0;
    assert_int_equal(append_after(&atomic, &before, &e, 1), STATUS_OK);
    assert_int_equal(before.runs, 3); /* the first try's went with its transaction */
    assert_int_equal(e.message.seq, 2);
    assert_int_equal(append_after(&atomic, &before, NULL, 0),
                     STATUS_OK); /* nothing else to write */
    assert_int_equal(before.runs, 4);
    before.status = STATUS_STORAGE_FULL;
    e = entry("r", "ada", "three");
    assert_int_equal(append_after(&atomic, &before, &e, 1), STATUS_STORAGE_FULL);
    assert_int_equal(e.status, STATUS_STORAGE_FULL);
    assert_int_equal(store.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rooms_count_on_their_own, fresh),
        cmocka_unit_test_setup(test_a_retry_gets_its_first_place, fresh),
        cmocka_unit_test_setup(test_twice_in_one_batch, fresh),
        cmocka_unit_test_setup(test_a_rival_is_first, fresh),
        cmocka_unit_test_setup(test_unknown_outcomes_are_settled, fresh),
        cmocka_unit_test_setup(test_late_write_behind_a_rival, fresh),
        cmocka_unit_test_setup(test_down_is_said_at_once, fresh),
        cmocka_unit_test_setup(test_unknown_for_good_is_said_so, fresh),
        cmocka_unit_test_setup(test_what_is_not_durable_is_waited_for, fresh),
        cmocka_unit_test_setup(test_a_transaction_that_fails_leaves_nothing, fresh),
        cmocka_unit_test_setup(test_what_comes_first_is_written_once_or_with_each_try, fresh),
        cmocka_unit_test_setup(test_random_troubles, fresh),
        cmocka_unit_test_setup(test_own_messages_move_a_marker_that_stands_before, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

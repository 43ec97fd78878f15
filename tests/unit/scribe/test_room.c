/* Delivery strictly by seq, with a history that is an array and sockets that are read by hand. */
#include "room.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SESSIONS = 4, FRAME_BYTES = 2 + 8 };

static struct rooms *rooms;
static struct room *room;
static struct session *sessions[SESSIONS];
static int64_t got[SESSIONS]; /* the last seq that was read */
static int64_t asked[64];     /* pages pulled */
static size_t asked_count;
static bool history_up;
static unsigned opened, closed;

static bool on_pull(void *ctx, const char *name, int64_t from)
{
    (void)ctx;
    assert_string_equal(name, "r");
    if (!history_up)
        return false;
    asked[asked_count++] = from;
    return true;
}

static void on_opened(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    opened++;
}

static void on_closed(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    closed++;
}

static void wake(struct session *s)
{
    (void)s;
}

static struct frame *message(int64_t seq)
{
    char text[16];
    snprintf(text, sizeof(text), "%08lld", (long long)seq);
    return frame_new(text, 8);
}

static int set_up(void **state)
{
    (void)state;
    const struct room_events events = {on_pull, on_opened, on_closed, NULL};
    rooms = rooms_new(&events);
    asked_count = opened = closed = 0;
    history_up = true;
    room = room_hold(rooms, "r");
    for (size_t i = 0; i < SESSIONS; i++) {
        sessions[i] = session_new(10 * FRAME_BYTES, NULL, wake);
        got[i] = 0;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++) {
        while (sessions[i]->members)
            room_leave(rooms, sessions[i]->members);
        session_unref(sessions[i]);
    }
    room_drop(rooms, room);
    assert_int_equal(rooms_count(rooms), 0);
    assert_int_equal(opened, closed);
    rooms_free(rooms);
    return 0;
}

static void deliver(int64_t seq)
{
    struct frame *f = message(seq);
    room_deliver(rooms, room, seq, f);
    frame_unref(f);
}

static void page(int64_t from, size_t n)
{
    struct frame *frames[200];
    for (size_t i = 0; i < n; i++)
        frames[i] = message(from + (int64_t)i);
    room_page(rooms, room, from, frames, n);
    for (size_t i = 0; i < n; i++)
        frame_unref(frames[i]);
}

/* Read everything that is queued: each seq is the one after the last. */
static void read_all(size_t i)
{
    unsigned char out[4 * FRAME_BYTES];
    struct frame *big;
    size_t n;
    while ((n = session_take(sessions[i], out, sizeof(out), &big)) > 0)
        for (size_t at = 0; at < n; at += FRAME_BYTES) {
            char text[9] = {0};
            memcpy(text, out + at + 2, 8);
            assert_int_equal(atoll(text), ++got[i]);
        }
    session_pull(rooms, sessions[i]);
}

static void test_live(void **state)
{
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        room_join(rooms, room, sessions[i], 1);
    for (int64_t seq = 1; seq <= 5; seq++)
        deliver(seq);
    for (size_t i = 0; i < SESSIONS; i++) {
        read_all(i);
        assert_int_equal(got[i], 5);
    }
    assert_int_equal(asked_count, 0);
    assert_int_equal(rooms_behind(rooms), 0);
}

static void test_doubles_are_dropped(void **state)
{
    (void)state;
    room_join(rooms, room, sessions[0], 1);
    deliver(1);
    deliver(1);
    deliver(2);
    deliver(1);
    deliver(2);
    read_all(0);
    assert_int_equal(got[0], 2);
    assert_int_equal(asked_count, 0);
}

static void test_a_gap_is_filled_from_history(void **state)
{
    (void)state;
    room_join(rooms, room, sessions[0], 1);
    room_join(rooms, room, sessions[1], 1);
    deliver(1);
    read_all(0);
    read_all(1);
    deliver(3);                       /* the bus lost 2 */
    assert_int_equal(asked_count, 1); /* one page for both */
    assert_int_equal(asked[0], 2);
    deliver(4);
    deliver(2); /* late, while the page is on its way */
    assert_int_equal(asked_count, 1);
    page(2, 3);
    read_all(0);
    read_all(1);
    assert_int_equal(got[0], 4);
    assert_int_equal(got[1], 4);
    assert_int_equal(rooms_behind(rooms), 0);
}

static void test_resume_goes_over_to_live(void **state)
{
    (void)state;
    room_advance(rooms, room, 6);
    got[0] = 2;
    room_join(rooms, room, sessions[0], 3);
    assert_int_equal(asked[0], 3);
    deliver(7); /* while the page is read */
    page(3, 4); /* 3..6: read before 7 was written */
    read_all(0);
    assert_int_equal(asked_count, 2);
    assert_int_equal(asked[1], 7);
    page(7, 1);
    deliver(8);
    read_all(0);
    assert_int_equal(got[0], 8);
}

static void test_a_slow_reader_is_behind_and_catches_up(void **state)
{
    (void)state;
    room_join(rooms, room, sessions[0], 1);
    room_join(rooms, room, sessions[1], 1);
    for (int64_t seq = 1; seq <= 40; seq++) {
        deliver(seq);
        read_all(1);
    }
    assert_int_equal(got[1], 40);             /* the other one waits for nobody */
    assert_int_equal(sessions[0]->count, 10); /* its queue's bound */
    assert_int_equal(asked_count, 0);         /* nothing is read for who does not take */
    assert_int_equal(rooms_behind(rooms), 1);
    for (int64_t from = 11; from <= 31; from += 10) {
        read_all(0);
        assert_int_equal(asked[asked_count - 1], from);
        page(from, (size_t)(41 - from)); /* more than its queue takes */
    }
    read_all(0);
    assert_int_equal(got[0], 40);
    assert_int_equal(asked_count, 3);
    deliver(41);
    read_all(0);
    assert_int_equal(got[0], 41);
}

static void test_a_failed_page_is_asked_for_again(void **state)
{
    (void)state;
    room_join(rooms, room, sessions[0], 1);
    history_up = false;
    room_advance(rooms, room, 2);
    assert_int_equal(asked_count, 0);
    history_up = true;
    rooms_pull(rooms);
    rooms_pull(rooms);
    assert_int_equal(asked_count, 1); /* one at a time */
    page(1, 0);
    rooms_pull(rooms);
    assert_int_equal(asked_count, 2);
    page(1, 2);
    read_all(0);
    assert_int_equal(got[0], 2);
}

static void test_different_places_have_pages_of_their_own(void **state)
{
    (void)state;
    room_advance(rooms, room, 9);
    for (size_t i = 0; i < SESSIONS; i++) {
        got[i] = (int64_t)i / 2 * 4;
        room_join(rooms, room, sessions[i], got[i] + 1);
    }
    assert_int_equal(asked_count, 2);
    page(5, 5);
    page(1, 9);
    for (size_t i = 0; i < SESSIONS; i++) {
        read_all(i);
        assert_int_equal(got[i], 9);
    }
}

static void test_leaving_in_between(void **state)
{
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        room_join(rooms, room, sessions[i], 1);
    deliver(1);
    room_leave(rooms, room_member(sessions[0], "r"));
    room_leave(rooms, room_member(sessions[2], "r"));
    assert_null(room_member(sessions[0], "r"));
    deliver(2);
    for (size_t i = 0; i < SESSIONS; i++) {
        read_all(i);
        assert_int_equal(got[i], i % 2 ? 2 : 1);
    }
    page(7, 1); /* nobody asked */
    assert_int_equal(room->count, 2);
}

static void test_a_closing_session_gets_nothing(void **state)
{
    (void)state;
    room_join(rooms, room, sessions[0], 1);
    session_end(sessions[0], 1001, "draining");
    deliver(1);
    assert_int_equal(sessions[0]->count, 1); /* the close frame alone */
    assert_int_equal(asked_count, 0);
}

static void test_rooms_live_as_long_as_somebody_is_in(void **state)
{
    (void)state;
    struct room *other = room_hold(rooms, "other");
    assert_ptr_equal(room_find(rooms, "other"), other);
    room_join(rooms, other, sessions[0], 1);
    room_drop(rooms, other);
    assert_int_equal(rooms_count(rooms), 2);
    room_leave(rooms, sessions[0]->members);
    assert_null(room_find(rooms, "other"));
    assert_int_equal(closed, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_live),
        TEST(test_doubles_are_dropped),
        TEST(test_a_gap_is_filled_from_history),
        TEST(test_resume_goes_over_to_live),
        TEST(test_a_slow_reader_is_behind_and_catches_up),
        TEST(test_a_failed_page_is_asked_for_again),
        TEST(test_different_places_have_pages_of_their_own),
        TEST(test_leaving_in_between),
        TEST(test_a_closing_session_gets_nothing),
        TEST(test_rooms_live_as_long_as_somebody_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every state x action x person against a table written from the description of the domain, not
 * from the code; and the parser of an order against nasty bodies. */
#include "etag.h"
#include "order_json.h"
#include "orders.h"
#include "reply.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The order is carla's; once assigned it is p1's, with fence 7. */
static const struct {
    const char *name;
    struct actor who;
} people[] = {
    {"owner", {"carla", CUSTOMER}},       {"other customer", {"mallory", CUSTOMER}},
    {"holder", {"p1", PARTNER}},          {"other partner", {"p2", PARTNER}},
    {"dispatcher", {"dora", DISPATCHER}}, {"nobody", {"carla", 0}},
    {"namesake", {"p1", CUSTOMER}}, /* a customer who is called like the holder */
    {"reaper", {":lease", REAPER}},
};
enum { PEOPLE = sizeof(people) / sizeof(people[0]) };

/* A letter a person: Y done, f role never does it (403), n not theirs to see (404), m another
 * fence (412), c not in this state (409). The holder's actions are tried with fence 7; a pending
 * order has no holder, so everybody's fence is another one there. No lease is over. */
static const char *const expected[ORDER_STATE_COUNT][ORDER_ACTION_COUNT] = {
    [ORDER_PENDING] = {[ACCEPT] = "ffYYffff",
                       [PICKUP] = "ffmmffff",
                       [DELIVER] = "ffmmffff",
                       [RELEASE] = "ffmmffff",
                       [CANCEL] = "YnffYfnf",
                       [EXPIRE] = "fffffffc"},
    [ORDER_ASSIGNED] = {[ACCEPT] = "ffccffff",
                        [PICKUP] = "ffYnffff",
                        [DELIVER] = "ffcnffff",
                        [RELEASE] = "ffYnffff",
                        [CANCEL] = "YnffYfnf",
                        [EXPIRE] = "fffffffc"},
    [ORDER_PICKED_UP] = {[ACCEPT] = "ffccffff",
                         [PICKUP] = "ffcnffff",
                         [DELIVER] = "ffYnffff",
                         [RELEASE] = "ffcnffff",
                         [CANCEL] = "cnffcfnf",
                         [EXPIRE] = "fffffffc"},
    [ORDER_DELIVERED] = {[ACCEPT] = "ffccffff",
                         [PICKUP] = "ffcnffff",
                         [DELIVER] = "ffcnffff",
                         [RELEASE] = "ffcnffff",
                         [CANCEL] = "cnffcfnf",
                         [EXPIRE] = "fffffffc"},
    [ORDER_CANCELLED] = {[ACCEPT] = "ffccffff",
                         [PICKUP] = "ffcnffff",
                         [DELIVER] = "ffcnffff",
                         [RELEASE] = "ffcnffff",
                         [CANCEL] = "cnffcfnf",
                         [EXPIRE] = "fffffffc"},
};

static const struct {
    enum order_state to;
    const char *event;
} outcomes[ORDER_ACTION_COUNT] = {
    [ACCEPT] = {ORDER_ASSIGNED, "accepted"},    [PICKUP] = {ORDER_PICKED_UP, "picked_up"},
    [DELIVER] = {ORDER_DELIVERED, "delivered"}, [RELEASE] = {ORDER_PENDING, "released"},
    [CANCEL] = {ORDER_CANCELLED, "cancelled"},  [EXPIRE] = {ORDER_PENDING, "expired"},
};

static enum status status_of(char letter)
{
    switch (letter) {
    case 'Y':
        return STATUS_OK;
    case 'f':
        return STATUS_FORBIDDEN;
    case 'n':
        return STATUS_NOT_FOUND;
    case 'm':
        return STATUS_PRECONDITION_FAILED;
    case 'c':
        return STATUS_CONFLICT;
    default:
        fail_msg("the table has '%c'", letter);
        return STATUS_INTERNAL;
    }
}

static struct order an_order(enum order_state state)
{
    struct order o = {.id = 1, .version = 41, .fence = 7, .state = state, .customer = "carla"};
    if (state != ORDER_PENDING)
        strcpy(o.partner, "p1");
    strcpy(o.updated_at, "2026-01-01T00:00:00.000Z");
    strcpy(o.read_at, "2026-01-31T09:00:00.123Z");
    if (state == ORDER_ASSIGNED)
        strcpy(o.lease_until, "2026-01-31T09:00:00.124Z");
    return o;
}

static void check_moved(const struct order *o, enum order_action a, const struct actor *who)
{
    assert_int_equal(o->state, outcomes[a].to);
    assert_int_equal(o->version, 42);
    assert_int_equal(o->fence, a == ACCEPT ? 8 : 7);
    assert_string_equal(o->updated_at, "2026-01-31T09:00:00.123Z");
    assert_string_equal(o->lease_until, "");
    if (a == ACCEPT)
        assert_string_equal(o->partner, who->id);
    if (a == RELEASE)
        assert_string_equal(o->partner, "");
}

static void every_state_action_and_person(void **unused)
{
    (void)unused;
    for (unsigned state = 0; state < ORDER_STATE_COUNT; state++) {
        for (unsigned a = 0; a < ORDER_ACTION_COUNT; a++) {
            assert_int_equal(strlen(expected[state][a]), PEOPLE);
            for (unsigned p = 0; p < PEOPLE; p++) {
                struct order before = an_order((enum order_state)state), o = before;
                enum status st = order_move(&o, (enum order_action)a, &people[p].who, 7);
                if (st != status_of(expected[state][a][p]))
                    fail_msg("%s, action %u, %s: %s", order_state_name((enum order_state)state), a,
                             people[p].name, status_slug(st));
                if (st)
                    assert_memory_equal(&o, &before, sizeof(o));
                else
                    check_moved(&o, (enum order_action)a, &people[p].who);
            }
        }
    }
}

static void a_holder_must_quote_the_fence(void **unused)
{
    (void)unused;
    const struct actor holder = {"p1", PARTNER};
    struct order o = an_order(ORDER_ASSIGNED);
    assert_int_equal(order_move(&o, PICKUP, &holder, 0), STATUS_PRECONDITION_REQUIRED);
    assert_int_equal(order_move(&o, PICKUP, &holder, 6), STATUS_PRECONDITION_FAILED);
    assert_int_equal(order_move(&o, PICKUP, &holder, 8), STATUS_PRECONDITION_FAILED);
    assert_int_equal(order_move(&o, PICKUP, &holder, -7), STATUS_PRECONDITION_FAILED);
    assert_int_equal(order_move(&o, PICKUP, &holder, 7), STATUS_OK);
}

static void an_old_fence_stays_refused(void **unused)
{
    (void)unused;
    const struct actor holder = {"p1", PARTNER};
    struct order o = an_order(ORDER_ASSIGNED);
    assert_int_equal(order_move(&o, RELEASE, &holder, 7), STATUS_OK);
    assert_int_equal(order_move(&o, ACCEPT, &holder, 0), STATUS_OK);
    assert_int_equal(order_move(&o, DELIVER, &holder, 7), STATUS_PRECONDITION_FAILED);
    assert_int_equal(order_move(&o, PICKUP, &holder, 8), STATUS_OK);
}

static void a_lease_is_over_by_the_clock_alone(void **unused)
{
    (void)unused;
    const struct actor holder = {"p1", PARTNER}, reaper = {":lease", REAPER};
    struct order fresh = an_order(ORDER_ASSIGNED), o = fresh;
    assert_false(order_lapsed(&o));
    strcpy(fresh.read_at, fresh.lease_until); /* the very millisecond */
    static const enum order_action holders[] = {PICKUP, DELIVER, RELEASE};
    for (size_t i = 0; i < 3; i++) {
        o = fresh;
        assert_true(order_lapsed(&o));
        assert_int_equal(order_move(&o, holders[i], &holder, 7), STATUS_PRECONDITION_FAILED);
        assert_memory_equal(&o, &fresh, sizeof(o));
    }
    assert_int_equal(order_move(&o, EXPIRE, &reaper, 0), STATUS_OK);
    assert_int_equal(o.state, ORDER_PENDING);
    assert_string_equal(o.partner, "");
    assert_string_equal(o.lease_until, "");
    assert_int_equal(o.fence, 7); /* only an assignment makes a higher one */
    assert_int_equal(o.version, 42);
}

static void a_lease_begins_when_the_row_is_read(void **unused)
{
    (void)unused;
    struct order o = an_order(ORDER_ASSIGNED);
    strcpy(o.read_at, "2026-02-28T23:59:59.999Z");
    order_lease(&o, 600);
    assert_string_equal(o.lease_until, "2026-03-01T00:09:59.999Z");
    assert_false(order_lapsed(&o));
    order_lease(&o, 0);
    assert_true(order_lapsed(&o));
}

static void who_sees_what(void **unused)
{
    (void)unused;
    static const char *const sees[ORDER_STATE_COUNT] = {
        [ORDER_PENDING] = "y.yyy..y",   [ORDER_ASSIGNED] = "y.y.y..y",
        [ORDER_PICKED_UP] = "y.y.y..y", [ORDER_DELIVERED] = "y.y.y..y",
        [ORDER_CANCELLED] = "y.y.y..y",
    };
    for (unsigned state = 0; state < ORDER_STATE_COUNT; state++) {
        struct order o = an_order((enum order_state)state);
        for (unsigned p = 0; p < PEOPLE; p++)
            assert_int_equal(order_visible(&o, &people[p].who), sees[state][p] == 'y');
    }
}

static void cancelled_before_anybody_held_it(void **unused)
{
    (void)unused;
    struct order o = an_order(ORDER_CANCELLED);
    o.partner[0] = '\0';
    assert_false(order_visible(&o, &(struct actor){"p1", PARTNER}));
    assert_false(order_visible(&o, &(struct actor){"", 0}));
}

static void states_have_names(void **unused)
{
    (void)unused;
    enum order_state s;
    for (unsigned i = 0; i < ORDER_STATE_COUNT; i++) {
        assert_int_equal(order_state_parse(order_state_name((enum order_state)i), &s), STATUS_OK);
        assert_int_equal(s, i);
    }
    assert_int_equal(order_state_parse("", &s), STATUS_NOT_FOUND);
    assert_int_equal(order_state_parse("Pending", &s), STATUS_NOT_FOUND);
    for (unsigned a = 0; a < ORDER_ACTION_COUNT; a++)
        assert_string_equal(order_event((enum order_action)a), outcomes[a].event);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static enum status parse(const char *text, struct order *o)
{
    struct strbuf why = STRBUF_INIT;
    json_t *body = NULL;
    enum status st = json_parse(text, strlen(text), &body, &why);
    if (!st)
        st = order_parse(body, o, &why);
    assert_int_equal(st == STATUS_OK, why.len == 0);
    strbuf_release(&why);
    json_decref(body);
    return st;
}

static void good_bodies(void **unused)
{
    (void)unused;
    struct order o = {0};
    assert_int_equal(parse("{\"pickup\":\"Mühlgasse 1\",\"dropoff\":\"寿司屋\",\"fee_cents\":450,"
                           "\"note\":\"ring\\ntwice\"}",
                           &o),
                     STATUS_OK);
    assert_string_equal(o.pickup, "Mühlgasse 1");
    assert_string_equal(o.dropoff, "寿司屋");
    assert_string_equal(o.note, "ring\ntwice");
    assert_int_equal(o.fee_cents, 450);
    assert_int_equal(parse("{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":0}", &o), STATUS_OK);
    assert_string_equal(o.note, "");
}

static void bad_bodies(void **unused)
{
    (void)unused;
    static const char *const bad[] = {
        "{}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\"}",
        "{\"pickup\":\"\",\"dropoff\":\"b\",\"fee_cents\":1}",
        "{\"pickup\":\"a\\nb\",\"dropoff\":\"b\",\"fee_cents\":1}",
        "{\"pickup\":\"a\\u0000b\",\"dropoff\":\"b\",\"fee_cents\":1}",
        "{\"pickup\":\"a\",\"dropoff\":7,\"fee_cents\":1}",
        "{\"pickup\":\"a\",\"dropoff\":null,\"fee_cents\":1}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":-1}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":1000001}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":4294967297}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":9223372036854775808}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":1.0}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":1e2}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":\"1\"}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":true}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":1,\"status\":\"assigned\"}",
        "{\"pickup\":\"a\",\"dropoff\":\"b\",\"fee_cents\":1,\"note\":null}",
        "{\"pickup\":\"a\",\"pickup\":\"c\",\"dropoff\":\"b\",\"fee_cents\":1}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct order o = {0};
        if (!parse(bad[i], &o))
            fail_msg("taken: %s", bad[i]);
    }
}

static void lengths_are_bytes(void **unused)
{
    (void)unused;
    for (int extra = 0; extra <= 1; extra++) {
        struct order o = {0};
        struct strbuf text = STRBUF_INIT;
        strbuf_addstr(&text, "{\"dropoff\":\"b\",\"fee_cents\":1,\"pickup\":\"");
        for (int i = 0; i < ADDRESS_MAX / 2 + extra; i++)
            strbuf_addstr(&text, "ü");
        strbuf_addstr(&text, "\"}");
        assert_int_equal(parse(text.bytes, &o), extra ? STATUS_UNPROCESSABLE : STATUS_OK);
        strbuf_release(&text);
    }
}

static void etags(void **unused)
{
    (void)unused;
    char tag[ETAG_SIZE];
    etag_format(3, tag);
    assert_string_equal(tag, "\"v3\"");
    static const char *const yes[] = {"\"v3\"", "*", "W/\"v3\"", "\"v1\", \"v3\"",
                                      "\"v1\",\"v3\" ,"};
    static const char *const no[] = {"",   "\"v33\"", "v3",      "\"v3",    "\"v1\"",
                                     ",,", "W/",      "\"v3\"x", "w/\"v3\""};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(etag_matches(yes[i], tag));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(etag_matches(no[i], tag));
    assert_false(etag_matches(NULL, tag));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_action_and_person),
        cmocka_unit_test(a_holder_must_quote_the_fence),
        cmocka_unit_test(an_old_fence_stays_refused),
        cmocka_unit_test(a_lease_is_over_by_the_clock_alone),
        cmocka_unit_test(a_lease_begins_when_the_row_is_read),
        cmocka_unit_test(who_sees_what),
        cmocka_unit_test(cancelled_before_anybody_held_it),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(good_bodies),
        cmocka_unit_test(bad_bodies),
        cmocka_unit_test(lengths_are_bytes),
        cmocka_unit_test(etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

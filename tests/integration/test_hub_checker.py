"""The checker of histories, on a good one and on ones with planted faults."""

import copy

import pytest
from hub_checker import faults

CAPACITY = 2


class Story:
    """A history, and the rows and entries that a right hub would have left."""

    def __init__(self):
        self.history, self.rows, self.orders, self.stream = [], [], {}, {}
        self.now = 0

    def ask(self, client, f, order=None, key=None):
        self.now += 1
        op = len(self.history)
        self.history.append({"op": op, "type": "invoke", "t": self.now, "client": client, "f": f,
                             "order": order, "key": key})
        return op

    def end(self, op, type, status=None, body=None):
        self.now += 1
        self.history.append({"op": op, "type": type, "t": self.now, "status": status, "body": body})

    def happen(self, order, event, actor, status, fence, partner):
        """The database's part; the body that the hub replies."""
        version = self.orders[order]["version"] + 1 if order in self.orders else 1
        event_id = len(self.rows) + 1
        state = {"status": status, "fence": fence, "partner": partner}
        self.rows.append({"event_id": event_id, "order": order, "version": version,
                          "event": event, "actor": actor, **state})
        self.orders[order] = {"version": version, **state}
        self.stream.setdefault(order, []).append(
            {"event_id": event_id, "version": version, "event": event, "body": "{}"})
        return {"id": order, "version": version, **state}

    def do(self, client, f, order, event, status, fence, partner, key=None):
        op = self.ask(client, f, order if f != "create" else None, key)
        body = self.happen(order, event, client, status, fence, partner)
        self.end(op, "ok", 201 if f == "create" else 200, body)
        return body

    def faults(self):
        return faults(self.history, self.rows, self.orders, self.stream, CAPACITY)


def taken(state="assigned"):
    return {"reason": "state", "state": state}


def good():
    s = Story()
    for order in "1", "2", "3", "4":
        s.do("carla", "create", order, "created", "pending", 0, None)
    s.do("p1", "accept", "1", "accepted", "assigned", 1, "p1", key="a")
    again = s.ask("p1", "accept", "1", "a")
    s.end(again, "ok", 200, s.history[9]["body"])
    loser = s.ask("p2", "accept", "1", "b")
    s.end(loser, "fail", 409, taken())
    s.do("p1", "release", "1", "released", "pending", 1, None)
    s.end(s.ask("p2", "accept", "1", "b"), "fail", 409, taken())  # a replay, though pending now
    s.do("p2", "accept", "1", "accepted", "assigned", 2, "p2")
    s.do("p2", "pickup", "1", "picked_up", "picked_up", 2, "p2")
    s.do("p2", "deliver", "1", "delivered", "delivered", 2, "p2")
    # Two that were never answered: one had its effect, the other not.
    s.ask("p1", "next")
    s.happen("2", "accepted", "p1", "assigned", 1, "p1")
    s.end(s.ask("p1", "accept", "3"), "info")
    # A lost answer, asked for again by its key.
    s.end(s.ask("p1", "accept", "3", "c"), "info", 503)
    s.do("p1", "accept", "3", "accepted", "assigned", 1, "p1", key="c")
    s.happen("2", "expired", ":lease", "pending", 1, None)
    s.do("p2", "accept", "2", "accepted", "assigned", 2, "p2")
    s.do("carla", "cancel", "2", "cancelled", "cancelled", 2, "p2")
    s.end(s.ask("p1", "pickup", "4"), "fail", 412, {"reason": "fence"})
    s.end(s.ask("p1", "accept", "4", "d"), "fail", 503, {})
    s.do("p1", "accept", "4", "accepted", "assigned", 1, "p1", key="d")
    s.history.append({"type": "held", "t": s.now, "held": {"p1": 2}})
    s.stream["1"].insert(3, s.stream["1"][1])  # at least once
    return s


def test_a_good_run():
    s = good()
    assert s.faults() == []


def two_holders(s):
    s.do("carla", "create", "9", "created", "pending", 0, None)
    s.do("p3", "accept", "9", "accepted", "assigned", 1, "p3")
    s.do("p4", "accept", "9", "accepted", "assigned", 2, "p4")
    return "while p3 held it"


def both_told_one_version(s):
    op = s.ask("p9", "accept", "1")
    s.end(op, "ok", 200, {**s.history[9]["body"]})
    return "both told version 2"


def acknowledged_and_lost(s):
    s.rows = [r for r in s.rows if (r["order"], r["version"]) != ("4", 2)]
    s.stream["4"].pop()
    s.orders["4"].update(version=1, status="pending", fence=0, partner=None)
    return "is lost"


def acknowledged_otherwise(s):
    s.rows[-1]["partner"] = s.orders["4"]["partner"] = "p7"
    return "the database has"


def order_row_differs(s):
    s.orders["1"]["fence"] = 9
    return "its last event"


def version_left_out(s):
    for r in s.rows:
        if r["order"] == "1" and r["version"] > 2:
            r["version"] += 1
    return "as number"


def fence_repeated(s):
    for r in s.rows:
        if r["order"] == "1":
            r["fence"] = min(r["fence"], 1)
    return "with fence 1 after 1"


def somebody_elses_action(s):
    s.do("p2", "pickup", "3", "picked_up", "picked_up", 1, "p1")
    return "p2 picked_up version 3 while p1 held it"


def illegal_move(s):
    s.do("p1", "deliver", "3", "delivered", "delivered", 1, "p1")
    return "when it was assigned"


def failed_and_done(s):
    op = s.ask("p5", "release", "3")
    s.happen("3", "released", "p5", "pending", 1, None)
    s.end(op, "fail", 503, {})
    return "nobody may have done this"


def nobody_asked(s):
    s.happen("3", "cancelled", "dora", "cancelled", 1, "p1")
    return "nobody may have done this"


def one_key_done_twice(s):
    s.do("p3", "create", "8", "created", "pending", 0, None, key="k")
    s.do("p3", "create", "9", "created", "pending", 0, None, key="k")
    return "then 201"


def replay_differs(s):
    s.end(s.ask("p2", "accept", "1", "b"), "fail", 409, taken("delivered"))
    return "was answered 409"


def refused_while_pending(s):
    s.do("carla", "create", "9", "created", "pending", 0, None)
    s.end(s.ask("p3", "accept", "9"), "fail", 409, taken())
    return "refused while the order was pending"


def stale_refusal_after_release(s):
    s.do("carla", "create", "9", "created", "pending", 0, None)
    s.do("p3", "accept", "9", "accepted", "assigned", 1, "p3")
    s.do("p3", "release", "9", "released", "pending", 1, None)
    s.end(s.ask("p4", "accept", "9"), "fail", 409, taken())
    s.do("p4", "accept", "9", "accepted", "assigned", 2, "p4")
    return "refused while the order was pending"


def older_version_later(s):
    s.do("carla", "create", "9", "created", "pending", 0, None)
    s.do("p3", "accept", "9", "accepted", "assigned", 1, "p3")
    s.do("p3", "release", "9", "released", "pending", 1, None)
    accept, release = s.history[-4:-2], s.history[-2:]
    for line in accept:
        line["t"] += 10
    assert release
    return "after 3 was known"


def above_the_capacity(s):
    for order in "7", "8", "9":
        s.do("carla", "create", order, "created", "pending", 0, None)
        s.do("p6", "accept", order, "accepted", "assigned", 1, "p6")
    return "p6 held 3 orders at once"


def above_the_capacity_in_the_database(s):
    s.history.append({"type": "held", "t": s.now, "held": {"p1": 3}})
    return "p1 held 3 orders in the database"


def stream_lacks_one(s):
    s.stream["3"].pop()
    return "the stream has"


def stream_has_too_much(s):
    s.stream["3"].append({"event_id": 999, "version": 3, "event": "released", "body": "{}"})
    return "the stream has"


def stream_out_of_order(s):
    s.stream["2"].reverse()
    return "the stream has"


def stream_repeats_otherwise(s):
    s.stream["2"].append({**s.stream["2"][0], "body": "{1}"})
    return "the stream has"


def test_a_crash_may_take_back_what_a_refusal_saw():
    s = good()
    refused_while_pending(s)
    s.history.append({"type": "crash", "t": s.now})
    assert s.faults() == []
    for line in s.history[:-1]:
        line["t"] -= 2_000_000_000
    assert s.faults() != []


@pytest.mark.parametrize("plant", [
    two_holders, both_told_one_version, acknowledged_and_lost, acknowledged_otherwise,
    order_row_differs, version_left_out, fence_repeated, somebody_elses_action, illegal_move,
    failed_and_done, nobody_asked, one_key_done_twice, replay_differs, refused_while_pending,
    stale_refusal_after_release, older_version_later, above_the_capacity,
    above_the_capacity_in_the_database, stream_lacks_one, stream_has_too_much, stream_out_of_order,
    stream_repeats_otherwise])
def test_a_planted_fault_is_found(plant):
    s = copy.deepcopy(good())
    expected = plant(s)
    assert any(expected in fault for fault in s.faults()), s.faults()

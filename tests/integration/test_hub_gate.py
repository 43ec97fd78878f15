"""The gate of hot orders: who waits where, and that its answers are those of the database."""

import http.client
import json
import signal

import hub
from harness.process import until
from hub import start  # noqa: F401  a fixture

PARTNERS = 50


class Crowd:
    """Accepts of one order, all sent before an answer is read, on connections that are open
    already: so all arrive well within the second that the first one waits for its lock."""

    def __init__(self, server, order, names, key=None):
        self.calls = []
        headers = {"Idempotency-Key": key} if key else {}
        for name in names:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.connect()
            bearer = {"Authorization": f"Bearer {hub.token(name, 'partner')}"}
            self.calls.append((connection, f"/orders/{order}/accept", {**headers, **bearer}))

    def ask(self):
        for connection, path, headers in self.calls:
            connection.request("POST", path, headers=headers)

    def answers(self):
        """[(status, body without the request's id, headers)]"""
        found = []
        for connection, _, _ in self.calls:
            r = connection.getresponse()
            body = {k: v for k, v in json.loads(r.read()).items() if k != "request_id"}
            found.append((r.status, body, r.headers))
            connection.close()
        return found


def crowd(server, order, names=None, key=None):
    """A sitter holds the order's row and fifty partners ask for it. The crowd, when the first is
    in line for the row."""
    them = Crowd(server, order, names or [f"p{i}" for i in range(PARTNERS)], key)
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    them.ask()
    until(lambda: hub.lock_waiter(server.database), what="a lock waiter")
    return them


def codes(answers):
    return sorted(status for status, _, _ in answers)


def test_fifty_want_one_order_and_one_connection_is_used(start):
    server = start()
    order = hub.customer(server).place()
    them = crowd(server, order)
    until(lambda: hub.metric(server, "hub_gate_waiting") == PARTNERS - 1, what="49 at the gate")
    assert hub.status_of(server.database, "Innodb_row_lock_current_waits") == 1
    before = hub.status_of(server.database, "Com_stmt_execute")
    server.sitter.rollback()
    answers = them.answers()
    assert codes(answers) == [200] + [409] * (PARTNERS - 1)
    assert hub.metric(server, "hub_gate_told_total") == PARTNERS - 1
    assert hub.metric(server, "hub_gate_waiting") == 0
    # The winner's few statements and the jobs' (relay, reaper): no query of 49 losers.
    assert hub.status_of(server.database, "Com_stmt_execute") - before < PARTNERS - 1
    # What they were told is what the database says.
    asked = hub.partner(server, "late").accept(order)
    assert asked.status_code == 409
    expected = {k: v for k, v in asked.json().items() if k != "request_id"}
    losers = [(body, headers) for status, body, headers in answers if status == 409]
    assert all(body == expected for body, _ in losers)
    for name in "Content-Type", "Consistency-Token":
        assert {h[name] for _, h in losers} == {asked.headers[name]}


def test_the_gate_is_shut_by_a_lock_that_does_not_come(start):
    """The lock wait of the one inside runs out: those who waited for it are told so, too."""
    server = start()
    order = hub.customer(server).place()
    them = crowd(server, order)
    until(lambda: hub.metric(server, "hub_gate_waiting") == PARTNERS - 1, what="49 at the gate")
    answers = them.answers()
    server.sitter.rollback()
    assert {status for status, _, _ in answers} == {503}
    assert {headers["Retry-After"] for _, _, headers in answers} == {"1"}
    assert hub.partner(server).accept(order).status_code == 200


def test_taken_by_somebody_else_while_they_wait(start):
    """Another process's commit: one finds it, the others are told, with its state."""
    server = start()
    order = hub.customer(server).place()
    them = crowd(server, order)
    hub.rows(server.sitter, "UPDATE orders SET status = 'cancelled', version = 2 WHERE id = %s",
             order)
    server.sitter.commit()
    answers = them.answers()
    assert {(status, body.get("state")) for status, body, _ in answers} == {(409, "cancelled")}


def test_who_may_hold_no_more_lets_the_next_one_in(start):
    """A refusal that concerns one partner is not told to the others."""
    server = start(HUB_CAPACITY=1)
    carla = hub.customer(server)
    full = [hub.partner(server, f"full{i}") for i in range(5)]
    for p in full:
        assert p.accept(carla.place()).status_code == 200
    order = carla.place()
    them = Crowd(server, order, [p.sub for p in full[1:]] + ["free"])
    first = Crowd(server, order, ["full0"])
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM partners WHERE id = 'full0' FOR UPDATE")
    first.ask()
    until(lambda: hub.lock_waiter(server.database), what="a lock waiter")
    them.ask()
    until(lambda: hub.metric(server, "hub_gate_waiting") == 5, what="5 at the gate")
    server.sitter.rollback()
    reasons = sorted((status, body.get("reason", ""))
                     for status, body, _ in first.answers() + them.answers())
    # Those behind the free one were told that it won; those before it, that they may not.
    assert reasons[0] == (200, "") and {r for _, r in reasons[1:]} <= {"capacity", "state"}
    assert ("capacity" in {r for _, r in reasons[1:]}) and len(reasons) == 6


def test_losers_with_a_key_are_recorded(start):
    """They wait at the gate like all others; their refusal is replayed, though the order is
    pending again."""
    server = start()
    order = hub.customer(server).place()
    them = crowd(server, order, key="mine")
    server.sitter.rollback()
    answers = them.answers()
    winner, = (body["partner"] for status, body, _ in answers if status == 200)
    hub.partner(server, winner).post(f"/orders/{order}/release", json={"fence": 1})
    for i in range(PARTNERS):
        r = hub.partner(server, f"p{i}").accept(order, **{"Idempotency-Key": "mine"})
        body = {k: v for k, v in r.json().items() if k != "request_id"}
        assert (r.status_code, body) == answers[i][:2]


def test_copies_of_the_winner_at_the_gate(start):
    """They are the same request: not told that somebody won, but what they won."""
    server = start()
    order, p1 = hub.customer(server).place(), hub.partner(server)
    them = crowd(server, order, ["p1"] * 8, key="k")
    until(lambda: hub.metric(server, "hub_gate_waiting") == 7, what="7 at the gate")
    server.sitter.rollback()
    answers = them.answers()
    assert codes(answers) == [200] * 8
    assert all(body == answers[0][1] for _, body, _ in answers)
    assert p1.accept(order).status_code == 409


def test_sigterm_with_a_crowd_at_the_gate(start):
    server = start()
    order = hub.customer(server).place()
    them = crowd(server, order)
    until(lambda: hub.metric(server, "hub_gate_waiting") == PARTNERS - 1, what="49 at the gate")
    server.signal(signal.SIGTERM)
    server.sitter.rollback()
    answers = them.answers()
    assert codes(answers) == [200] + [409] * (PARTNERS - 1)
    assert server.ended() == 0


def test_without_the_gate_they_wait_in_the_database(start):
    """The control of the first test: what the gate saves."""
    server = start(HUB_GATE=0)
    order = hub.customer(server).place()
    them = crowd(server, order)
    until(lambda: hub.status_of(server.database, "Innodb_row_lock_current_waits") > 5,
          what="many lock waits")
    server.sitter.rollback()
    answers = them.answers()
    assert codes(answers) == [200] + [409] * (PARTNERS - 1)
    assert hub.metric(server, "hub_gate_told_total") == 0

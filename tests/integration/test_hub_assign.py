"""Who gets an order: the three strategies, the next order of the queue, leases, the history."""

import json
import threading
from datetime import datetime, timedelta

import pytest
import requests

import hub
from harness.process import until
from hub import start  # noqa: F401  a fixture


def order_row(server, order):
    return hub.rows(server.database, "SELECT * FROM orders WHERE id = %s", order)[0]


def events(server, order):
    return [(e["event"], e["actor"]) for e in hub.rows(
        server.database, "SELECT event, actor FROM outbox WHERE order_id = %s ORDER BY version", order)]


def in_background(call):
    """Run it in a thread; the list has what it returned once join() came back."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


# --- strategies ----------------------------------------------------------------------------------

def race(server, orders=12, partners=20):
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(orders)]
    burst = hub.Burst(server, [f"p{i}" for i in range(partners)])
    answers = {order: burst.accept(order) for order in orders}
    burst.close()
    return hub.violations(answers, server.database)


def test_naive_gives_one_order_to_several_and_the_others_do_not(start):
    """One checker, one race, three strategies: it flags the one that it must."""
    assert race(start(HUB_ASSIGN="for-update", HUB_CAPACITY=1000, HUB_GATE=0)) == []
    assert race(start(HUB_ASSIGN="optimistic", HUB_CAPACITY=1000, HUB_GATE=0)) == []
    naive = start(HUB_ASSIGN="naive", HUB_ALLOW_NAIVE=1, HUB_CAPACITY=1000)
    assert any("won by" in wrong for wrong in race(naive))


def test_naive_says_so_in_every_reply(start):
    server = start(HUB_ASSIGN="naive", HUB_ALLOW_NAIVE=1)
    order = hub.customer(server).place()
    replies = [hub.partner(server).accept(order), hub.partner(server).accept(order),
               requests.get(server.url + "/healthz", timeout=10),
               requests.get(server.url + "/orders", timeout=10),
               requests.get(server.url + "/nowhere", timeout=10),
               requests.get(server.url + "/", timeout=10),
               requests.options(server.url + "/orders", timeout=10)]
    assert [r.status_code for r in replies[:5]] == [200, 409, 200, 401, 404]
    assert {r.headers.get("X-Warning") for r in replies} == {"one order may have several winners"}


@pytest.mark.parametrize("strategy", ["for-update", "optimistic"])
def test_an_order_that_changes_under_the_read(start, strategy):
    """Somebody else's transaction holds the row and commits: a new version that is still pending
    is assigned after all, one that is taken is 409 with its state. No 503, and nothing is lost."""
    server = start(HUB_ASSIGN=strategy)
    carla, p1 = hub.customer(server), hub.partner(server)
    for change, status in (("version = version + 1", 200),
                           ("version = version + 1, status = 'cancelled'", 409)):
        order = carla.place()
        server.sitter.begin()
        hub.rows(server.sitter, f"UPDATE orders SET {change} WHERE id = %s", order)
        thread, answers = in_background(lambda: p1.accept(order))
        until(lambda: hub.lock_waiter(server.database), what="a lock waiter")
        server.sitter.commit()
        thread.join()
        assert answers[0].status_code == status, answers[0].text
        # A row of the outbox had no part in the sitter's change: versions 1 and then 3.
        if status == 200:
            assert answers[0].json()["version"] == 3
        else:
            assert answers[0].json()["state"] == "cancelled"


@pytest.mark.parametrize("strategy", ["for-update", "optimistic"])
def test_a_lock_that_does_not_come(start, strategy):
    server = start(HUB_ASSIGN=strategy)
    order, p1 = hub.customer(server).place(), hub.partner(server)
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    r = p1.accept(order)
    assert (r.status_code, r.json()["type"]) == (503, "/problems/overloaded")
    assert r.headers["Retry-After"] == "1"
    server.sitter.rollback()
    assert p1.accept(order).status_code == 200


# --- next ----------------------------------------------------------------------------------------

def test_next_is_the_oldest_pending(start):
    server = start(HUB_CAPACITY=3)
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    assert p1.post("/orders/next").status_code == 204
    a, b, c, d = [carla.place() for _ in range(4)]
    carla.post(f"/orders/{b}/cancel")
    r = p1.post("/orders/next")
    assert r.status_code == 200 and r.headers["ETag"] == '"v2"'
    assert (r.json()["id"], r.json()["partner"], r.json()["fence"]) == (a, "p1", 1)
    assert p2.post("/orders/next").json()["id"] == c
    p1.post(f"/orders/{a}/release", json={"fence": 1})
    r = p2.post("/orders/next")
    assert (r.json()["id"], r.json()["fence"]) == (a, 2)  # back in its old place
    assert p2.post("/orders/next").json()["id"] == d
    r = p2.post("/orders/next")
    assert (r.status_code, r.json()["reason"]) == (409, "capacity")
    r = p1.post("/orders/next")
    assert r.status_code == 204 and r.content == b"" and "Content-Type" not in r.headers
    assert p1.post("/orders/next", json={}).status_code == 422
    assert events(server, a) == [("created", "carla"), ("accepted", "p1"), ("released", "p1"),
                                 ("accepted", "p2")]


def test_next_skips_what_is_locked(start):
    server = start()
    carla, p1 = hub.customer(server), hub.partner(server)
    first, second = carla.place(), carla.place()
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", first)
    assert p1.post("/orders/next").json()["id"] == second
    assert p1.post("/orders/next").status_code == 204
    server.sitter.rollback()
    assert p1.post("/orders/next").json()["id"] == first


def test_next_is_replayed(start):
    server = start()
    carla, p1 = hub.customer(server), hub.partner(server)
    order, other = carla.place(), carla.place()
    ask = lambda key: p1.post("/orders/next", headers={"Idempotency-Key": key})
    first = ask("one")
    assert first.json()["id"] == order and ask("one").content == first.content
    assert ask("two").json()["id"] == other
    assert ask("none").status_code == 204
    carla.place()
    assert ask("none").status_code == 204  # what this key was answered
    assert ask("some").status_code == 200


def test_everybody_asks_for_the_next(start):
    """Twenty partners empty a queue of sixty, some by accept, with hubs side by side: every order
    once, nobody above the capacity."""
    hubs = [start(), start()]
    carla = hub.customer(hubs[0])
    orders = [carla.place() for _ in range(60)]
    got, codes, lock = [], set(), threading.Lock()

    def take(i):
        p = hub.partner(hubs[i % 2], f"p{i}")
        for n in range(3):
            r = p.accept(orders[i * 3 + n]) if i % 5 == 0 else p.post("/orders/next")
            with lock:
                codes.add(r.status_code)
                if r.status_code == 200:
                    got.append((r.json()["id"], p.sub))

    threads = [threading.Thread(target=take, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes <= {200, 204, 409}
    assert len({order for order, _ in got}) == len(got)
    stored = hub.rows(hubs[0].database, "SELECT id, partner FROM orders WHERE status = 'assigned'")
    assert {(str(o["id"]), o["partner"]) for o in stored} == set(got)
    assert max([sum(p == q for _, q in got) for _, p in got]) <= 3


# --- leases --------------------------------------------------------------------------------------

def at(text):
    return datetime.fromisoformat(text[:-1])


def test_a_lease_begins_with_the_assignment(start):
    server = start(HUB_LEASE=77)
    carla, p1 = hub.customer(server), hub.partner(server)
    carla.place(), carla.place()
    for r in p1.accept(carla.place()), p1.post("/orders/next"):
        o = r.json()
        assert at(o["lease_until"]) == at(o["updated_at"]) + timedelta(seconds=77)
    r = p1.post(f"/orders/{o['id']}/pickup", json={"fence": 1})
    assert r.status_code == 200 and r.json()["lease_until"] is None
    assert order_row(server, o["id"])["lease_until"] is None


LAPSE = "UPDATE orders SET lease_until = SYSDATE(3) - INTERVAL 1 SECOND WHERE id = %s"


@pytest.mark.parametrize("verb", ["pickup", "deliver", "release"])
def test_past_the_lease_before_the_reaper_came(start, verb):
    """The holder is already in line for the row's lock, which the reaper skips, when the lease
    ends."""
    server = start()
    order, p1 = hub.customer(server).place(), hub.partner(server)
    p1.accept(order)
    server.sitter.begin()
    hub.rows(server.sitter, LAPSE, order)
    thread, answers = in_background(lambda: p1.post(f"/orders/{order}/{verb}", json={"fence": 1}))
    until(lambda: hub.lock_waiter(server.database), what="a lock waiter")
    server.sitter.commit()
    thread.join()
    assert answers[0].status_code == 412
    assert (answers[0].json()["reason"], answers[0].json()["state"]) == ("lease", "assigned")


def test_the_reaper_takes_orders_back(start):
    """More than a batch of them, by two hubs at once; each once, and only those whose time is
    over."""
    servers = [start(HUB_CAPACITY=1000), start(HUB_CAPACITY=1000)]
    server = servers[0]
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    orders = [carla.place() for _ in range(52)]
    for order in orders:
        assert p1.accept(order).status_code == 200
    kept, picked = orders[0], orders[1]
    p1.post(f"/orders/{picked}/pickup", json={"fence": 1})
    hub.rows(server.database, "UPDATE orders SET lease_until = NOW(3) WHERE status = 'assigned' "
             "AND id <> %s", kept)
    until(lambda: hub.rows(server.database, "SELECT COUNT(*) n FROM orders WHERE status = 'pending'")
          == [{"n": 50}], what="fifty orders back")
    for order in orders[2:]:
        row = order_row(server, order)
        assert (row["partner"], row["lease_until"], row["fence"], row["version"]) == (None, None, 1, 3)
        assert events(server, order)[2:] == [("expired", ":lease")]
    assert order_row(server, kept)["status"] == "assigned"
    assert order_row(server, picked)["status"] == "picked_up"
    # Back in the queue. The late holder's fence is passed, whether or not somebody else has it.
    late = lambda: p1.post(f"/orders/{orders[2]}/pickup", json={"fence": 1})
    assert (late().status_code, late().json()["reason"]) == (412, "fence")
    assert p2.accept(orders[2]).json()["fence"] == 2
    assert late().status_code == 404


def test_the_reaper_skips_what_is_locked(start):
    server = start()
    carla, p1 = hub.customer(server), hub.partner(server)
    first, second = carla.place(), carla.place()
    p1.accept(first), p1.accept(second)
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", first)
    hub.rows(server.database, "SET innodb_lock_wait_timeout = 5")
    hub.rows(server.database, LAPSE, second)
    until(lambda: order_row(server, second)["status"] == "pending", what="the second back")
    hub.rows(server.sitter, LAPSE, first)
    server.sitter.commit()
    until(lambda: order_row(server, first)["status"] == "pending", what="the first back")


# --- the order of checks -------------------------------------------------------------------------

def test_checks_come_in_order(start):
    """404 before 428 and 412, these before 409."""
    server = start()
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    order = carla.place()
    p1.accept(order)
    call = lambda who, verb, **body: who.post(f"/orders/{order}/{verb}", **body).status_code
    assert call(p2, "deliver") == 404  # no fence, and the wrong state
    assert call(p2, "deliver", json={"fence": 9}) == 404
    assert call(p1, "deliver") == 428  # and the wrong state
    assert call(p1, "deliver", json={"fence": 9}) == 412  # and the wrong state
    assert call(p1, "deliver", json={"fence": 1}) == 409


# --- history -------------------------------------------------------------------------------------

def test_history(start):
    server = start()
    carla, p1, dora = hub.customer(server), hub.partner(server), hub.dispatcher(server)
    order = carla.place()
    for fence in range(1, 5):
        p1.accept(order)
        p1.post(f"/orders/{order}/release", json={"fence": fence})
    p1.accept(order)
    path = f"/orders/{order}/history"
    whole = carla.get(path).json()["events"]
    stored = hub.rows(server.database, "SELECT * FROM outbox WHERE order_id = %s ORDER BY version",
                      order)
    assert [(e["event_id"], e["version"], e["event"], e["actor"]) for e in whole] == [
        (str(e["id"]), e["version"], e["event"], e["actor"]) for e in stored]
    assert [at(e["at"]) for e in whole] == [e["created_at"] for e in stored]
    assert whole[-1]["at"] == json.loads(stored[-1]["body"])["updated_at"]
    assert [e["event"] for e in whole] == ["created"] + ["accepted", "released"] * 4 + ["accepted"]
    assert p1.get(path).json() == dora.get(path).json() == {"events": whole}
    assert hub.partner(server, "p2").get(path).status_code == 404
    assert hub.customer(server, "dave").get(path).status_code == 404
    pages, page = [], path + "?limit=4"
    while page:
        r = dora.get(page)
        pages += r.json()["events"]
        page = r.links.get("next", {}).get("url")
    assert pages == whole
    assert "next" not in dora.get(path + "?limit=10").links
    for query in "limit=0", "limit=101", "after=-1", "after=x", "version=1":
        assert dora.get(f"{path}?{query}").status_code == 400

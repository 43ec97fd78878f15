"""One winner per order, whatever the timing; and the checker that says so can say no."""

import random
import threading
from datetime import datetime

import pymysql
import pytest

import hub
from harness.process import until

ORDERS, PARTNERS = 200, 50


@pytest.fixture
def gate():
    return 1


@pytest.fixture
def server(mariadb, redis, start_server, folder, gate):
    database = folder.name.replace("-", "_")[:60]
    server = start_server("delivery-hub", hub.env(mariadb, redis, database, HUB_CAPACITY=1000,
                                                  HUB_GATE=gate))
    server.database = hub.connect(mariadb, database)
    server.database_name = database
    return server


@pytest.mark.parametrize("gate,count", [(0, 50), (1, ORDERS)])  # 0: the database alone judges
def test_200_orders_50_partners_one_winner_each(server, count):
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(count)]
    burst = hub.Burst(server, [f"p{i}" for i in range(1, PARTNERS + 1)])
    answers = {order: burst.accept(order) for order in orders}
    burst.close()

    assert hub.violations(answers, server.database) == []
    assert sum(len(a) for a in answers.values()) == count * PARTNERS
    held = hub.rows(server.database, "SELECT COUNT(*) n FROM orders WHERE status = 'assigned'")
    assert held == [{"n": count}]
    assert len({p for a in answers.values() for p, status, _ in a if status == 200}) > 1

    # The positive control: the same checker, on the same race, flags what it must.
    order = orders[0]
    loser = next(p for p, status, _ in answers[order] if status == 409)
    won = next(body for _, status, body in answers[order] if status == 200)
    told_twice = {**answers, order: [(p, 200, won) if p == loser else (p, status, body)
                                     for p, status, body in answers[order]]}
    assert any(loser in w and "won by" in w for w in hub.violations(told_twice, server.database))
    hub.rows(server.database, "UPDATE orders SET partner = %s WHERE id = %s", loser, order)
    assert any(f"order {order}: " in w for w in hub.violations(answers, server.database))
    hub.rows(server.database, "DELETE FROM outbox WHERE order_id = %s AND version = 2", orders[1])
    assert any(f"order {orders[1]}: outbox" in w
               for w in hub.violations(answers, server.database))


def test_two_hubs_one_database(server, start_server, mariadb, redis):
    """Between processes the database alone decides."""
    other = start_server("delivery-hub", server.env)
    carla = hub.customer(server)
    bursts = [hub.Burst(s, [f"p{i}" for i in range(n, 20, 2)])
              for n, s in ((0, server), (1, other))]
    answers = {}
    for order in [carla.place() for _ in range(30)]:
        answers[order] = []
        threads = [threading.Thread(target=lambda b=b: answers[order].extend(b.accept(order)))
                   for b in bursts]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert hub.violations(answers, server.database) == []


def test_partners_in_orders_of_their_own(server):
    """Every partner walks the orders in another sequence, so that each holds some while it asks
    for others that somebody else is at."""
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(40)]
    answers = {order: [] for order in orders}

    def walk(name):
        burst = hub.Burst(server, [name])
        for order in random.Random(name).sample(orders, len(orders)):
            answers[order].extend(burst.accept(order))
        burst.close()

    threads = [threading.Thread(target=walk, args=(f"p{i}",)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(len(a) == 16 for a in answers.values())
    assert hub.violations(answers, server.database) == []


def test_capacity_holds_under_its_own_race(mariadb, redis, start_server, folder):
    """Forty accepts of one partner at once, for forty orders: three succeed."""
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_capacity"))
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(40)]
    codes, lock = [], threading.Lock()

    def take(order):
        burst = hub.Burst(server, ["p1"])
        (_, status, body), = burst.accept(order)
        burst.close()
        with lock:
            codes.append((status, body.get("reason"), body.get("state")))

    threads = [threading.Thread(target=take, args=(order,)) for order in orders]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(codes, key=str) == [(200, None, None)] * 3 + [(409, "capacity", "pending")] * 37
    with hub.connect(mariadb, "hub_capacity") as database:
        assert hub.rows(database, "SELECT COUNT(*) n FROM orders WHERE partner = 'p1'")[0]["n"] == 3
    # Still pending, so somebody else may have them.
    left = [o["id"] for o in hub.dispatcher(server).get("/orders?status=pending").json()["orders"]]
    assert hub.partner(server, "p2").accept(left[0]).status_code == 200


def test_capacity_holds_when_next_races_with_itself(server, start_server, mariadb, redis):
    """Sixteen calls of one partner at once, on two hubs, with orders for all of them: three
    succeed, again and again."""
    hubs = [start_server("delivery-hub", {**server.env, "HUB_CAPACITY": 3}) for _ in range(2)]
    carla = hub.customer(server)
    for _ in range(16):
        carla.place()
    for name in "pa", "pb", "pc":
        people = [hub.partner(hubs[i % 2], name) for i in range(16)]
        for p in people:
            p.get("/orders?limit=1")  # connected
        codes = []

        def take(p):
            while (r := p.post("/orders/next")).status_code == 503:  # a long wait for the turn
                pass
            codes.append(r.status_code)

        threads = [threading.Thread(target=take, args=(p,)) for p in people]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(codes) == [200] * 3 + [409] * 13
        for o in people[0].get("/orders?status=assigned").json()["orders"]:
            people[0].post(f"/orders/{o['id']}/release", json={"fence": o["fence"]})


@pytest.mark.parametrize("held", ["order", "partner"])
def test_a_lock_that_does_not_come(server, mariadb, held):
    """Another transaction sits on the row: past the lock wait the truth is read again."""
    carla, p1 = hub.customer(server), hub.partner(server)
    first, second = carla.place(), carla.place()
    p1.accept(first)  # so that the partner's row is there
    sitter = hub.connect(mariadb, server.database_name)
    sitter.begin()
    if held == "order":
        hub.rows(sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", second)
    else:
        hub.rows(sitter, "SELECT * FROM partners WHERE id = 'p1' FOR UPDATE")
    r = p1.accept(second)
    assert r.status_code == 503 and r.headers["Retry-After"] == "1"
    assert r.json()["type"] == "/problems/overloaded"
    assert p1.accept(first).status_code == 409  # needs no lock to be refused
    sitter.rollback()
    assert p1.accept(second).status_code == 200
    sitter.close()


def accept_behind(server, mariadb, order, change):
    """p1 accepts the order while another transaction holds its row, makes a change and commits.
    (the answer, the row as the other one left it)"""
    sitter = hub.connect(mariadb, server.database_name)
    sitter.begin()
    hub.rows(sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    answers = []
    p1 = hub.partner(server)
    waiting = threading.Thread(target=lambda: answers.append(p1.accept(order)))
    waiting.start()
    wait_for_lock_waiter(server.database)
    hub.rows(sitter, change, order)
    left, = hub.rows(sitter, "SELECT * FROM orders WHERE id = %s", order)
    sitter.commit()
    sitter.close()
    waiting.join()
    return answers[0], left


def test_taken_while_waiting_for_the_lock(server, mariadb):
    order = hub.customer(server).place()
    answer, _ = accept_behind(server, mariadb, order, "UPDATE orders SET status = 'cancelled', "
                              "version = 2 WHERE id = %s")
    assert answer.status_code == 409
    assert answer.json()["state"] == "cancelled"


def test_the_time_is_of_the_lock_not_of_the_wait(server, mariadb):
    """NOW() in the locking read would be from before the wait, and the order would go back in
    time."""
    order = hub.customer(server).place()
    answer, left = accept_behind(server, mariadb, order,
                                 "UPDATE orders SET updated_at = SYSDATE(3) WHERE id = %s")
    assert answer.status_code == 200
    updated = datetime.fromisoformat(answer.json()["updated_at"][:-1])
    assert updated >= left["updated_at"]


def wait_for_lock_waiter(database):
    until(lambda: hub.lock_waiter(database), what="a lock waiter")


def test_a_deadlock_is_run_again(server, mariadb):
    """An outsider takes the locks the other way round: InnoDB ends one of the two; the hub's
    transaction either wins or is run again, and its client sees 200 alone."""
    carla, p1 = hub.customer(server), hub.partner(server)
    p1.accept(carla.place())
    for _ in range(5):
        order = carla.place()
        outsider = hub.connect(mariadb, server.database_name)
        outsider.begin()
        # Heavier in changed rows than the hub's transaction, so that InnoDB ends the hub's.
        for i in range(20):
            hub.rows(outsider, "INSERT INTO partners (id) VALUES (%s)", f"ghost{i}")
        hub.rows(outsider, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
        answer = []
        waiting = threading.Thread(target=lambda: answer.append(p1.accept(order)))
        waiting.start()
        wait_for_lock_waiter(server.database)
        try:
            hub.rows(outsider, "SELECT * FROM partners WHERE id = 'p1' FOR UPDATE")
        except pymysql.err.OperationalError as e:
            assert e.args[0] == 1213
        outsider.rollback()
        outsider.close()
        waiting.join()
        assert answer[0].status_code == 200, answer[0].text

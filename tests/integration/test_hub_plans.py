"""What the product's own statements cost among 20,000 orders: no full scan, no sort, and as much as
among few. Counted by the server while the hub works, and explained from its log afterwards."""

import re

import pytest

import hub
from harness.process import until
from harness.stores import MariaDB

FILL = """
INSERT INTO orders (status, version, fence, customer, partner, pickup, dropoff, note, fee_cents,
                    created_at, updated_at, lease_until)
SELECT ELT(1 + seq % 5, 'pending', 'assigned', 'picked_up', 'delivered', 'cancelled'), 1, 0,
       CONCAT('c', seq % 100), IF(seq % 5 = 0, NULL, CONCAT('p', seq % 1000)), 'a', 'b', '', 1,
       NOW(3), NOW(3), IF(seq % 5 = 1, NOW(3) + INTERVAL 1 HOUR, NULL)
FROM seq_1_to_20000;
INSERT INTO outbox (order_id, version, event, actor, body, created_at, published_at)
SELECT id, 1, 'created', customer, '{}', NOW(3), NOW(3) FROM orders;
INSERT INTO idempotency SELECT CONCAT('p', seq % 1000), seq, REPEAT('x', 32), 200, 1, 1, '{}', NOW(3)
FROM seq_1_to_20000;
ANALYZE TABLE orders, outbox, idempotency;
"""


@pytest.fixture
def server(own_mariadb, redis, start_server):
    server = start_server("delivery-hub", hub.env(own_mariadb, redis, "hub_plans", HUB_CAPACITY=9))
    own_mariadb.sql(FILL, "hub_plans")
    server.database = hub.connect(own_mariadb, "hub_plans")
    return server


def work(server):
    """name -> call of everything that people do."""
    carla, c7 = hub.customer(server), hub.customer(server, "c7")
    p7, p8, dora = hub.partner(server, "p7"), hub.partner(server, "fresh"), hub.dispatcher(server)
    taken, *more = [carla.place() for _ in range(12)]
    assert hub.partner(server, "p1000").accept(taken).status_code == 200
    mine = more[:6]
    for order in mine:
        assert p8.accept(order).status_code == 200
    step = lambda verb: lambda: p8.post(f"/orders/{mine.pop()}/{verb}", json={"fence": 1})
    return {
        "place": lambda: carla.post("/orders", json=hub.NEW_ORDER),
        "read": lambda: carla.get(f"/orders/{taken}"),
        "pickup": step("pickup"),
        "release": step("release"),
        "accept": lambda: p8.accept(more.pop()),
        "accept with a key": lambda: p8.accept(more.pop(), **{"Idempotency-Key": more[-1]}),
        "refuse": lambda: p8.accept(taken),
        "full": lambda: p7.accept(20000),  # p7 holds more than they may
        "next": lambda: p8.post("/orders/next"),
        "cancel": lambda: carla.post(f"/orders/{more.pop()}/cancel"),
        "history": lambda: dora.get(f"/orders/{taken}/history"),
        **{f"{who.sub} {query}": lambda who=who, query=query: who.get("/orders" + query)
           for who in (dora, c7, p7)
           for query in ("", "?after=1000", "?status=pending", "?status=assigned&after=1000",
                         "?status=delivered")},
    }


def lapse(server):
    """An order's lease ends; until the reaper and the relay have done their part."""
    order = hub.customer(server).place()
    assert hub.partner(server, "sleepy").accept(order).status_code == 200
    hub.rows(server.database, "UPDATE orders SET lease_until = NOW(3) WHERE id = %s", order)
    until(lambda: hub.rows(server.database, "SELECT 1 FROM outbox WHERE order_id = %s AND "
                           "version = 3 AND published_at IS NOT NULL", order), what="its event")


def rows_touched(database):
    """(rows read, rows sorted) by everybody since the server started."""
    status = {v["Variable_name"]: int(v["Value"]) for v in hub.rows(
        database, "SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler_read%%' OR "
        "Variable_name = 'Sort_rows'")}
    return sum(n for name, n in status.items() if name != "Sort_rows"), status["Sort_rows"]


def test_no_full_scan_and_no_sort(server):
    calls = work(server)
    looks = [rows_touched(server.database)[0] for _ in range(2)]  # MySQL counts that, too
    most = 500 + looks[1] - looks[0]
    for name, call in {**calls, "a lapsed lease": lambda: lapse(server)}.items():
        call()  # the first one prepares statements
        before = rows_touched(server.database)
        r = call()
        assert r is None or r.status_code in (200, 201, 409), (name, r.text)
        after = rows_touched(server.database)
        assert after[0] - before[0] < most and after[1] == before[1], (name, before, after)
    # The control: what a scan of the table would have shown.
    before = rows_touched(server.database)
    hub.rows(server.database, "SELECT COUNT(*) FROM orders WHERE note = 'x' ORDER BY pickup")
    assert rows_touched(server.database)[0] - before[0] > 19000
    until(lambda: hub.rows(server.database, "SELECT COUNT(*) n FROM outbox WHERE published_at IS "
                           "NULL")[0]["n"] == 0)


def bad_plan(database, sql):
    """Why the plan is none for a big table, or None."""
    for line in hub.rows(database, f"{MariaDB.explain} {sql.replace('%', '%%')}"):
        extra = line["Extra"] or ""
        if line["type"] == "ALL" or (line["type"] == "index" and not line["ref"] and
                                     "LIMIT" not in sql):
            return f"{line['type']} over {line['table']}"
        if "filesort" in extra or "temporary" in extra:
            return extra
    return None


def test_every_statement_has_a_plan(server):
    """All that the hub said to the server, EXPLAINed with the values that it said."""
    hub.rows(server.database, "SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1")
    for call in work(server).values():
        assert call().status_code in (200, 201, 409)
    lapse(server)
    hub.rows(server.database, "SET GLOBAL general_log = 0")
    statements = {}
    for row in hub.rows(server.database, "SELECT CONVERT(argument USING latin1) sql_text FROM "
                        "mysql.general_log WHERE command_type = 'Execute'"):
        sql = row["sql_text"].replace("LIMIT ?", "LIMIT 20")  # the log leaves that one out
        statements.setdefault(re.sub(r"'[^']*'|\b\d+\b", "?", sql), sql)
    explained = {shape: bad_plan(server.database, sql) for shape, sql in statements.items()
                 if re.match("SELECT|UPDATE|DELETE", sql)}
    assert {shape: why for shape, why in explained.items() if why} == {}
    for part in ("FOR UPDATE", "SKIP LOCKED", "lease_until <=", "published_at IS NULL",
                 "FROM idempotency|UPDATE idempotency", "FROM partners", "COUNT"):
        assert any(re.search(part, shape) for shape in explained), part
    # The control.
    assert bad_plan(server.database, "SELECT * FROM orders WHERE note = 'x'")
    assert bad_plan(server.database, "SELECT * FROM orders WHERE status = 'pending' ORDER BY note "
                    "LIMIT 1")

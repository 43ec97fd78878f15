"""Stores that are dead or die, and the hub itself ended: what was acknowledged stays true."""

import http.client
import json
import signal
import subprocess
import threading
import time

import pytest
import redis as redis_client
import requests

import hub
from harness.process import free_port, until
from harness.proxy import Proxy, commits

PARTNERS = 12


def ready(server):
    r = requests.get(server.url + "/readyz", timeout=10)
    assert ("Retry-After" in r.headers) == (r.status_code == 503)
    return r.status_code, r.json()


def wait_ready(server):
    until(lambda: ready(server)[0] == 200, what="ready again")


# --- dead at start -------------------------------------------------------------------------------

def test_database_dead_at_start(own_mariadb, redis, start_server):
    env = hub.env(own_mariadb, redis, "hub")
    own_mariadb.kill()
    server = start_server("delivery-hub", env, wait="/healthz")
    status, body = ready(server)
    assert status == 503 and body["status"] == "unready"
    assert body["checks"]["mysql"] != "ok"
    assert "store_down store=mysql" in server.log_text()
    r = hub.customer(server).post("/orders", json=hub.NEW_ORDER)
    assert r.status_code == 503 and r.headers["Retry-After"]
    assert r.json()["type"] == "/problems/unavailable"
    assert requests.get(server.url + "/", timeout=10).status_code == 200
    own_mariadb.start()
    wait_ready(server)
    hub.customer(server).place()


def test_redis_dead_at_start(mariadb, own_redis, start_server):
    own_redis.kill()
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_no_redis"),
                          wait="/healthz")
    until(lambda: ready(server)[1]["checks"]["mysql"] == "ok")
    status, body = ready(server)
    assert status == 503 and body["checks"]["redis"] != "ok"
    order = hub.customer(server).place()  # but it works
    assert hub.partner(server).accept(order).status_code == 200
    own_redis.start()
    wait_ready(server)


def run_binary(server_binary, env):
    return subprocess.run([server_binary], env=env, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("change,code,named", [
    ({"HUB_TOKEN_KEY": None}, 2, "HUB_TOKEN_KEY"),
    ({"HUB_TOKEN_KEY": "hunter2"}, 2, "HUB_TOKEN_KEY"),
    ({"MYSQL_URL": "postgres://x"}, 2, "MYSQL_URL"),
    ({"REDIS_URL": "http://x"}, 2, "REDIS_URL"),
    ({"HUB_CAPACITY": "0"}, 2, "HUB_CAPACITY"),
    ({"HUB_ASSIGN": "pessimistic"}, 2, "HUB_ASSIGN"),
    ({"HUB_ASSIGN": "naive"}, 1, "HUB_ASSIGN"),
    ({"HUB_ASSIGN": "naive", "HUB_ALLOW_NAIVE": "0"}, 1, "HUB_ASSIGN"),
    ({"HUB_DEMO_LOGIN": "yes"}, 2, "HUB_DEMO_LOGIN"),
    ({"HUB_LISTEN": "0.0.0.0:1", "HUB_DEMO_LOGIN": "1"}, 1, "HUB_DEMO_LOGIN"),
])
def test_configuration_that_cannot_be(variant, change, code, named):
    from harness.server import binary
    env = {"HUB_TOKEN_KEY": hub.KEY, "MYSQL_URL": "mysql://root@127.0.0.1:1/x",
           "REDIS_URL": "redis://127.0.0.1:1", "HUB_LISTEN": f"127.0.0.1:{free_port()}", **change}
    done = run_binary(binary("delivery-hub", variant), {k: v for k, v in env.items() if v})
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "hunter2" not in done.stderr  # a secret is not shown


# --- a race in the face of kill -9 ---------------------------------------------------------------

class Racers:
    """Partners that accept orders until told to stop. Every one notes what it was told; a broken
    connection or a 503 is asked again, as a client should."""

    def __init__(self, server, orders):
        self.server = server
        self.orders = orders
        self.acknowledged = {}  # order -> [partner]
        self.refused = {}
        self.failures = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.walk, args=(f"p{i}", i))
                        for i in range(PARTNERS)]
        for t in self.threads:
            t.start()

    def walk(self, name, offset):
        headers = {"Authorization": f"Bearer {hub.token(name, 'partner')}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        n = len(self.orders)
        for i in range(n):  # a few at the same order, others elsewhere
            self.accept(connection, headers, name, self.orders[(i + offset % 3 * 7) % n])
        connection.close()

    def accept(self, connection, headers, name, order):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                connection.request("POST", f"/orders/{order}/accept", headers=headers)
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                response = None
            with self.lock:
                if response and response.status == 200:
                    self.acknowledged.setdefault(order, []).append(name)
                    return
                if response and response.status == 409:
                    self.refused.setdefault(order, []).append(name)
                    return
                assert not response or response.status == 503, body
                self.failures += 1
            time.sleep(0.1)
        raise AssertionError(f"{name} got no answer for order {order}")

    def answered(self):
        with self.lock:
            return sum(map(len, self.acknowledged.values())) + sum(map(len, self.refused.values()))

    def join(self):
        for t in self.threads:
            t.join()


def check_acknowledged(racers, database):
    """At most one 200 an order, and it is what the database has. An order whose winner's answer
    was lost has none: then everybody was refused by the winner's commit."""
    for order in racers.orders:
        row, = hub.rows(database, "SELECT * FROM orders WHERE id = %s", order)
        events = hub.rows(database, "SELECT version, event, actor FROM outbox WHERE order_id = %s "
                          "ORDER BY version", order)
        told = racers.acknowledged.get(order, [])
        assert (row["status"], row["version"], row["fence"]) == ("assigned", 2, 1)
        assert told in ([], [row["partner"]]), (order, told, row["partner"])
        assert [(e["version"], e["event"], e["actor"]) for e in events] == [
            (1, "created", "carla"), (2, "accepted", row["partner"])]


def test_database_killed_in_mid_race(own_mariadb, redis, start_server):
    server = start_server("delivery-hub", hub.env(own_mariadb, redis, "hub", HUB_CAPACITY=1000))
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(100)]
    racers = Racers(server, orders)
    for share in 0.1, 0.4:
        until(lambda: racers.answered() > share * len(orders) * PARTNERS, timeout=60)
        own_mariadb.kill()
        until(lambda: ready(server)[0] == 503, what="noticed")
        own_mariadb.start()
        wait_ready(server)
    racers.join()
    assert racers.failures > 0  # the kill was felt
    with hub.connect(own_mariadb, "hub") as database:
        check_acknowledged(racers, database)


def test_hub_killed_in_mid_race(mariadb, own_redis, start_server):
    """kill -9 between commit and answer, and between commit and publishing: what was acknowledged
    is there, and after the restart every event reaches the stream."""
    stream = redis_client.Redis(port=own_redis.port)
    env = hub.env(mariadb, own_redis, "hub_killed", HUB_CAPACITY=1000)
    server = start_server("delivery-hub", env)
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(60)]
    racers = Racers(server, orders)
    for share in 0.2, 0.6:
        until(lambda: racers.answered() > share * len(orders) * PARTNERS, timeout=60)
        server.kill()
        server.start()
    racers.join()
    with hub.connect(mariadb, "hub_killed") as database:
        check_acknowledged(racers, database)
        events_arrive(database, stream)


def without_tls(env, mariadb, proxy):
    """The hub's statements are to be readable on their way through the proxy."""
    env["MYSQL_URL"] = env["MYSQL_URL"].replace(f":{mariadb.port}/", f":{proxy.port}/") + "?tls=0"
    # Without Redis the relay commits nothing.
    env["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}"
    return env


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "once"}])
@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_to_commit_is_cleared_up(mariadb, redis, start_server, committed, key):
    """One connection is cut at its COMMIT, behind or before it; the next one works. The client
    sees a plain 200, and the work is done once."""
    armed, near, cuts = threading.Event(), set(), []

    def cutter(direction, data):
        if direction == "up" and b"accepted" in data and armed.is_set():
            near.add(threading.get_ident())  # the outbox row: this connection's next COMMIT
        if direction == "up" and commits(data) and threading.get_ident() in near:
            armed.clear(), near.clear(), cuts.append(data)
            return Proxy.AFTER if committed else True
        return False

    name = f"hub_cleared_{committed}_{len(key)}"
    proxy = Proxy(mariadb.port, cutter)
    server = start_server("delivery-hub", without_tls(hub.env(mariadb, redis, name), mariadb, proxy),
                          wait="/healthz")
    until(lambda: ready(server)[1]["checks"]["mysql"] == "ok")
    order, p1 = hub.customer(server).place(), hub.partner(server)
    armed.set()
    r = p1.accept(order, **key)
    assert (r.status_code, r.json()["version"], r.json()["fence"]) == (200, 2, 1), r.text
    assert cuts and "commit_unanswered" in server.log_text()
    with hub.connect(mariadb, name) as database:
        events = hub.rows(database, "SELECT event FROM outbox WHERE order_id = %s", order)
        assert [e["event"] for e in events] == ["created", "accepted"]
    proxy.close()


def test_the_key_is_locked_while_an_answer_is_cleared_up(mariadb, redis, start_server):
    """That is no other request in flight: it may be our own first transaction, not yet ended. So
    the wait for it goes on, past one lock wait."""
    armed, near = threading.Event(), set()
    env = hub.env(mariadb, redis, "hub_unsure")
    database, sitter = (hub.connect(mariadb, "hub_unsure") for _ in range(2))

    def sit():
        sitter.begin()
        hub.rows(sitter, "INSERT INTO idempotency VALUES ('p1', 'k', '', 0, 0, 0, '', NOW(3))")

    sitting = threading.Thread(target=sit)

    def cutter(direction, data):
        if direction == "up" and b"accepted" in data and armed.is_set():
            near.add(threading.get_ident())  # the outbox row: this connection's next COMMIT
        if direction == "up" and commits(data) and threading.get_ident() in near:
            armed.clear(), near.clear(), sitting.start()
            until(lambda: hub.lock_waiter(database), what="the sitter in line for the key")
            return True
        return False

    proxy = Proxy(mariadb.port, cutter)
    server = start_server("delivery-hub", without_tls(env, mariadb, proxy), wait="/healthz")
    until(lambda: ready(server)[1]["checks"]["mysql"] == "ok")
    order, p1, answers = hub.customer(server).place(), hub.partner(server), []
    asking = threading.Thread(target=lambda: answers.append(
        p1.accept(order, **{"Idempotency-Key": "k"})))
    waits = hub.status_of(database, "Innodb_row_lock_waits")
    armed.set()
    asking.start()
    until(lambda: not armed.is_set(), what="the COMMIT")
    sitting.join()
    # The sitter's, the hub's, and the hub's next: a moment without one may pass unseen.
    until(lambda: hub.status_of(database, "Innodb_row_lock_waits") >= waits + 3,
          what="the hub in line for the key again")
    sitter.rollback()
    asking.join()
    assert (answers[0].status_code, answers[0].json().get("version")) == (200, 2), answers[0].text
    proxy.close()
    database.close()
    sitter.close()


@pytest.mark.parametrize("committed", [True, False])
def test_lost_answer_to_commit(mariadb, redis, start_server, committed):
    """The connection is cut behind or before the COMMIT. The hub cannot know which, says so, and
    the same key then finds the work done or does it: once, in either case."""
    armed, near, cut = threading.Event(), set(), threading.Event()

    def cutter(direction, data):
        if direction == "up" and b"accepted" in data and armed.is_set():
            near.add(threading.get_ident())  # the outbox row: this connection's next COMMIT
        if direction == "up" and commits(data) and threading.get_ident() in near:
            armed.clear(), near.clear(), cut.set()
            return not committed
        return direction == "down" and cut.is_set()

    env = hub.env(mariadb, redis, f"hub_lost_{committed}")
    proxy = Proxy(mariadb.port, cutter)
    server = start_server("delivery-hub", without_tls(env, mariadb, proxy), wait="/healthz")
    until(lambda: ready(server)[1]["checks"]["mysql"] == "ok")
    order = hub.customer(server).place()
    p1, key = hub.partner(server), {"Idempotency-Key": "once"}
    with hub.connect(mariadb, f"hub_lost_{committed}") as database:
        armed.set()
        r = p1.accept(order, **key)
        assert (r.status_code, r.json()["type"]) == (503, "/problems/outcome-unknown")
        assert r.headers["Retry-After"]
        until(lambda: hub.rows(database, "SELECT status FROM orders WHERE id = %s", order) ==
              [{"status": "assigned" if committed else "pending"}])
        cut.clear()
        r = until(lambda: [a for a in [p1.accept(order, **key)] if a.status_code != 503])[0]
        assert r.status_code == 200 and r.json()["version"] == 2 and r.json()["fence"] == 1
        events = hub.rows(database, "SELECT event FROM outbox WHERE order_id = %s", order)
        assert [e["event"] for e in events] == ["created", "accepted"]
    proxy.close()


# --- the stream ----------------------------------------------------------------------------------

def published(stream):
    """{order: [version, ...]} in the stream's order, without what it has twice. The Redis must be
    the test's own: hubs with other databases have the same event ids."""
    seen, versions = set(), {}
    for _, fields in stream.xrange("hub:events"):
        if fields[b"event_id"] not in seen:
            seen.add(fields[b"event_id"])
            versions.setdefault(fields[b"order"].decode(), []).append(int(fields[b"version"]))
    return versions


def events_arrive(database, stream):
    """Everything in the outbox is marked and in the stream, an order's versions in order."""
    until(lambda: not hub.rows(database, "SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1"),
          what="an empty outbox")
    expected = {}
    for row in hub.rows(database, "SELECT order_id, version FROM outbox ORDER BY version"):
        expected.setdefault(str(row["order_id"]), []).append(row["version"])
    got = published(stream)
    assert {order: got.get(order) for order in expected} == expected


def test_events(mariadb, own_redis, start_server):
    stream = redis_client.Redis(port=own_redis.port)
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_events"))
    order = hub.customer(server).place(pickup="寿司屋")
    taken = hub.partner(server).accept(order).json()
    with hub.connect(mariadb, "hub_events") as database:
        events_arrive(database, stream)
    (_, first), (_, second) = stream.xrange("hub:events")
    assert (first[b"event"], second[b"event"]) == (b"created", b"accepted")
    assert json.loads(second[b"body"]) == taken
    assert second[b"order"].decode() == order and second[b"version"] == b"2"


def test_redis_dies_and_rows_wait(mariadb, own_redis, start_server):
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_wait", HUB_CAPACITY=999))
    carla, p1 = hub.customer(server), hub.partner(server)
    carla.place()
    own_redis.kill()
    orders = [carla.place() for _ in range(30)]
    assert [p1.accept(order).status_code for order in orders] == [200] * 30
    assert ready(server)[0] == 200  # an outage of Redis turns nobody away
    with hub.connect(mariadb, "hub_wait") as database:
        waiting = hub.rows(database, "SELECT COUNT(*) n FROM outbox WHERE published_at IS NULL")
        assert waiting[0]["n"] >= 60
        until(lambda: hub.metric(server, "hub_outbox_lag_seconds") > 0.5, what="a lag")
        own_redis.start()
        until(lambda: not hub.rows(database, "SELECT 1 FROM outbox WHERE published_at IS NULL"))
        until(lambda: hub.metric(server, "hub_outbox_lag_seconds") == 0, what="no lag")
    got = published(redis_client.Redis(port=own_redis.port))
    assert {order: got[order] for order in orders} == {order: [1, 2] for order in orders}


def test_redis_stopped_not_dead(mariadb, own_redis, start_server):
    """SIGSTOP: connected, and no answer. No request waits for it."""
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_stopped",
                                                  HUB_CAPACITY=999))
    carla, p1 = hub.customer(server), hub.partner(server)
    own_redis.pause()
    orders = [carla.place() for _ in range(10)]
    assert [p1.accept(order).status_code for order in orders] == [200] * 10
    own_redis.resume()
    with hub.connect(mariadb, "hub_stopped") as database:
        events_arrive(database, redis_client.Redis(port=own_redis.port))


def test_two_relays_keep_the_order_of_versions(mariadb, own_redis, start_server):
    """Two hubs on one outbox, filled while Redis was away: every order's events once each but for
    repeats, and in their order. The rows are written by the test, ten versions an order."""
    stream = redis_client.Redis(port=own_redis.port)
    env = hub.env(mariadb, own_redis, "hub_relays")
    start_server("delivery-hub", env)
    own_redis.kill()
    start_server("delivery-hub", env, wait="/healthz")
    mariadb.sql("INSERT INTO outbox (order_id, version, event, actor, body, created_at) "
                "SELECT 1000 + seq % 50, 1 + seq DIV 50, 'test', 'x', '{}', NOW(3) "
                "FROM seq_0_to_499", "hub_relays")
    own_redis.start()
    with hub.connect(mariadb, "hub_relays") as database:
        events_arrive(database, stream)


CLAIMS = ("SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND = 'Execute' AND "
          "INFO LIKE 'SELECT id, order_id, version, event%%SKIP LOCKED'")
ASKED = ("SELECT 1 FROM mysql.general_log WHERE command_type = 'Execute' AND CAST(argument AS CHAR) "
         "LIKE '%%order_id = {} AND version < 2 %%'")


def add_row(mariadb, database, order, version):
    """A row of the outbox in a transaction that is still open."""
    connection = hub.connect(mariadb, database)
    connection.begin()
    hub.rows(connection, "INSERT INTO outbox (order_id, version, event, actor, body, created_at) "
             "VALUES (%s, %s, 'test', 'x', '{}', NOW(3))", order, version)
    return connection


def test_a_row_that_comes_while_a_relay_claims(mariadb, own_redis, start_server):
    """A claim's subquery sees what was committed when its first row was read, and its locks what is
    committed now. Versions 1 and 2 are committed while it is under way, and version 1 is another
    relay's by then: 2 looks like the oldest. Between the claim's first row and these two stand
    50,000 that somebody has locked, so that it lasts. (A server with snapshot isolation, as MariaDB
    11.8 has it, refuses such a claim, and it is tried again.)"""
    stream = redis_client.Redis(port=own_redis.port)
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_between"))
    watch, crowd = hub.connect(mariadb, "hub_between"), hub.connect(mariadb, "hub_between")
    crowd.begin()
    hub.rows(crowd, mariadb.spell(
        "INSERT INTO outbox (id, order_id, version, event, actor, body, created_at) "
        "SELECT 1000 + seq, 1000 + seq, 1, 'test', 'x', '{}', NOW(3) FROM seq_1_to_50000"))
    hub.rows(watch, "SET GLOBAL log_output = 'TABLE'")
    hub.rows(watch, "SET GLOBAL general_log = 1")
    orders = []
    while not (orders and hub.rows(watch, ASKED.format(orders[-1]))) and \
            not hub.metric(server, "db_transaction_retries_total"):
        assert len(orders) < 20, "no claim was met"
        order = len(orders) + 1
        earlier, later = (add_row(mariadb, "hub_between", order, version) for version in (1, 2))
        other = hub.connect(mariadb, "hub_between")
        claim = threading.Thread(target=hub.rows, args=(
            other, "SELECT * FROM outbox WHERE order_id = %s AND version = 1 FOR UPDATE", order))
        other.begin()
        claim.start()
        until(lambda: hub.lock_waiter(watch), what="the other relay")
        hub.rows(watch, "INSERT INTO outbox (id, order_id, version, event, actor, body, created_at) "
                 "VALUES (%s, %s, 1, 'test', 'x', '{}', NOW(3))", order, 100 + order)
        until(lambda: hub.rows(watch, CLAIMS), what="a claim", interval=0)
        earlier.commit()
        later.commit()
        claim.join()
        orders.append(order)
        until(lambda: not hub.rows(watch, CLAIMS), what="the end of the claim")
        other.rollback()
        for connection in earlier, later, other:
            connection.close()
    hub.rows(watch, "SET GLOBAL general_log = 0")
    crowd.rollback()
    events_arrive(watch, stream)
    assert all(published(stream)[str(order)] == [1, 2] for order in orders)
    watch.close(), crowd.close()


# --- what a crash of the database could still take back ------------------------------------------

def hold_barrier(mariadb, database):
    """A connection that lets nobody pass until it rolls back."""
    sitter = hub.connect(mariadb, database)
    sitter.begin()
    assert len(hub.rows(sitter, "SELECT * FROM barrier FOR UPDATE")) == 16
    return sitter


def test_nobody_hears_of_what_may_not_be_on_disk(mariadb, own_redis, start_server):
    """InnoDB shows a commit before it is on disk. A relay makes sure that it is, by a commit of its
    own, before it publishes: a vanished transaction's event would be in the stream for ever, under a
    number that the next one is given, too."""
    stream = redis_client.Redis(port=own_redis.port)
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_barrier"))
    sitter = hold_barrier(mariadb, "hub_barrier")
    order = hub.customer(server).place()
    with hub.connect(mariadb, "hub_barrier") as database:
        until(lambda: hub.lock_waiter(database), what="a relay at the barrier")
        assert stream.xlen("hub:events") == 0
        sitter.rollback()
        events_arrive(database, stream)
        assert published(stream) == {order: [1]}
    sitter.close()


def test_redis_keeps_nothing_that_may_not_be_on_disk(mariadb, own_redis, start_server):
    """A read shows it, and puts it into Redis for half a minute only once it is published."""
    store = redis_client.Redis(port=own_redis.port)
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_kept", HUB_MAP=0))
    carla, sitter = hub.customer(server), hold_barrier(mariadb, "hub_kept")
    order = carla.place()
    assert carla.get(f"/orders/{order}").json()["version"] == 1
    assert store.keys("hub:order:*") == []
    sitter.rollback()
    until(lambda: store.xlen("hub:events") == 1, what="the event")
    store.flushdb()
    with hub.connect(mariadb, "hub_kept") as database:
        until(lambda: hub.rows(database, "SELECT 1 FROM outbox WHERE published_at IS NOT NULL"))
    assert carla.get(f"/orders/{order}").json()["version"] == 1
    assert store.hget(f"hub:order:{order}", "v") == b"1"
    sitter.close()


def test_a_replay_is_as_durable_as_the_first_answer(mariadb, redis, start_server):
    """A copy may find the record of a transaction whose commit is not on disk yet."""
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_replay"))
    carla, key = hub.customer(server), {"Idempotency-Key": "k"}
    first = carla.post("/orders", json=hub.NEW_ORDER, headers=key)
    with hub.connect(mariadb, "hub_replay") as database:
        until(lambda: not hub.rows(database, "SELECT 1 FROM outbox WHERE published_at IS NULL"))
    sitter = hold_barrier(mariadb, "hub_replay")
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(
        carla.post("/orders", json=hub.NEW_ORDER, headers=key)))
    waiting.start()
    until(lambda: hub.lock_waiter(sitter), what="the replay at the barrier")
    assert answers == []
    sitter.rollback()
    waiting.join()
    assert answers[0].status_code == 201 and answers[0].content == first.content
    sitter.close()


# --- the end -------------------------------------------------------------------------------------

def test_sigterm_in_flight(mariadb, redis, start_server):
    """Everything that was sent before is answered, then exit 0."""
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_term", HUB_CAPACITY=1000))
    carla = hub.customer(server)
    orders = [carla.place() for _ in range(40)]
    racers = Racers(server, orders)
    until(lambda: racers.answered() > len(orders), timeout=60)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    server.start()
    racers.join()
    with hub.connect(mariadb, "hub_term") as database:
        check_acknowledged(racers, database)


def test_sigterm_waits_for_a_slow_lock(mariadb, redis, start_server):
    """A request that waits in the database when the signal comes is finished, not cut."""
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_slow"))
    order = hub.customer(server).place()
    sitter = hub.connect(mariadb, "hub_slow")
    sitter.begin()
    hub.rows(sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    answers = []
    p1 = hub.partner(server)
    waiting = threading.Thread(target=lambda: answers.append(p1.accept(order).status_code))
    waiting.start()
    until(lambda: hub.lock_waiter(sitter), what="a lock waiter")
    server.signal(signal.SIGTERM)
    sitter.rollback()
    waiting.join()
    assert answers == [200]
    assert server.ended() == 0
    assert hub.rows(sitter, "SELECT partner FROM orders WHERE id = %s", order) == [{"partner": "p1"}]
    sitter.close()

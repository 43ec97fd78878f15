"""Many clients, every fault, one checker (hub_checker): no promise is broken. The strategy with the
bug in it is flagged by the same checker in the same run.

HUB_HISTORY_SECONDS=60 goes on with the faults for that long, HUB_HISTORY_PARTNERS=200 by that many
partners. The history stays in build/run when something was found."""

import os
import random
import threading
import time

import hub
import hub_checker
import hub_people
import pymysql
import pytest
import redis as redis_client
from harness import stores
from harness.process import until
from harness.proxy import Proxy, commits

SECONDS = float(os.environ.get("HUB_HISTORY_SECONDS", 0))
PARTNERS = int(os.environ.get("HUB_HISTORY_PARTNERS", 50))
CAPACITY = 3


class Run:
    """Two hubs with a relay each, on stores of their own. The second one speaks to its database
    through a proxy that can cut connections behind a COMMIT."""

    def __init__(self, folder, mariadb, redis, start_server, **options):
        self.folder, self.mariadb, self.redis = folder, mariadb, redis
        self.cut_share, self.cuts = 0, 0
        self.proxy = Proxy(mariadb.port, self.cut)
        env = hub.env(mariadb, redis, "hub", HUB_CAPACITY=CAPACITY, HUB_LEASE=2, **options)
        through = env["MYSQL_URL"].replace(f":{mariadb.port}/", f":{self.proxy.port}/") + "?tls=0"
        self.hubs = [start_server("delivery-hub", env),
                     start_server("delivery-hub", {**env, "MYSQL_URL": through})]
        self.random = random.Random(1)

    def cut(self, direction, data):
        if direction == "up" and commits(data) and self.random.random() < self.cut_share:
            self.cuts += 1
            return Proxy.AFTER
        return False

    def connect(self, **kwargs):
        return hub.connect(self.mariadb, "hub", **kwargs)

    def people(self, partners, trouble):
        """Let them work while trouble(self) makes trouble; then the faults that are found."""
        history = hub_people.History(self.folder / "history.jsonl")
        self.world = hub_people.World([h.port for h in self.hubs], history, CAPACITY)
        threads = hub_people.crowd(self.world, partners)
        threads.append(hub_people.Sampler(self.world, self.connect))
        for t in threads:
            t.start()
        try:
            trouble(self)
        finally:
            self.world.over.set()
            for t in threads:
                t.join()
            history.close()
        assert self.world.errors == []
        return self.found()

    def found(self):
        with self.connect() as database:
            until(lambda: not hub.rows(database, "SELECT 1 FROM orders WHERE lease_until IS NOT "
                                       "NULL LIMIT 1"), what="no lease that can end")
            until(lambda: not hub.rows(database, "SELECT 1 FROM outbox WHERE published_at IS NULL "
                                       "LIMIT 1"), timeout=300, what="an empty outbox")
            self.history = hub_checker.load(self.world.history.path)
            self.rows, orders, stream = hub_checker.read(
                database, redis_client.Redis(port=self.redis.port))
        return hub_checker.faults(self.history, self.rows, orders, stream, CAPACITY)

    def go_on(self, answers=50):
        """Until the people got that many more plain answers."""
        counts = self.world.history.counts
        before = counts["ok"]
        until(lambda: counts["ok"] >= before + answers or self.world.errors, timeout=60,
              what=f"{answers} more answers")


# --- faults: each leaves everything running ------------------------------------------------------

def kill(which):
    def fault(run):
        process = which(run)
        process.kill()
        process.start()
    return fault


def freeze(which, seconds):
    def fault(run):
        process = which(run)
        process.pause()
        time.sleep(seconds)  # that is the fault
        process.resume()
    return fault


def cut_commits(run):
    run.cut_share, before = 0.3, run.cuts
    until(lambda: run.cuts > before + 10, timeout=60, what="ten cut connections")
    run.cut_share = 0


def no_connection_left(run):
    """Every connection that the server allows is taken, and the hubs' are ended."""
    taken = []
    try:
        with run.connect() as root:
            while True:
                try:
                    taken.append(run.connect())
                except pymysql.err.OperationalError as e:
                    assert e.args[0] == 1040, e
                    break
            own = {c.thread_id() for c in [root, *taken]}
            for process in hub.rows(root, "SHOW PROCESSLIST"):
                if process["Id"] not in own and process["db"] == "hub":
                    try:
                        hub.rows(root, f"KILL {process['Id']}")
                        taken.append(run.connect())  # its place, before the hub has it again
                    except pymysql.err.OperationalError:
                        pass
        counts = run.world.history.counts
        before = counts["fail"]
        until(lambda: counts["fail"] > before + 50, what="refusals")
    finally:
        for connection in taken:
            connection.close()


def crash(run):
    run.world.history.write(type="crash")
    kill(lambda run: run.mariadb)(run)


FAULTS = {
    "kill -9 mariadbd": crash,
    "kill -9 redis": kill(lambda run: run.redis),
    "kill -9 hub": kill(lambda run: run.hubs[0]),
    "SIGSTOP mariadbd": freeze(lambda run: run.mariadb, 1.5),
    "SIGSTOP redis": freeze(lambda run: run.redis, 1),
    "SIGSTOP hub": freeze(lambda run: run.hubs[1], 2.5),  # longer than a lease
    "cut behind COMMIT": cut_commits,
    "no connection left": no_connection_left,
}


def trouble(run):
    run.go_on()
    end = time.monotonic() + SECONDS
    order = list(FAULTS)
    while True:
        for name in order:
            FAULTS[name](run)
            run.go_on()
        if time.monotonic() > end:
            return
        run.random.shuffle(order)


@pytest.fixture
def checked_mariadb(folder):
    store = stores.MariaDB(folder / "mariadb", options=["--max-connections=120"]).start()
    yield store
    store.stop()


@pytest.fixture
def durable_redis(folder):
    """An entry that XADD has answered survives kill -9."""
    store = stores.Redis(folder / "redis", persist=True).start()
    yield store
    store.stop()


def test_no_fault_breaks_a_promise(folder, checked_mariadb, durable_redis, start_server):
    run = Run(folder, checked_mariadb, durable_redis, start_server)
    found = run.people(PARTNERS, trouble)
    assert found == [], "\n".join(found[:20])
    # It was a run in which there was something to break.
    events = {row["event"] for row in run.rows}
    assert events == {"created", "accepted", "picked_up", "delivered", "released", "cancelled",
                      "expired"}
    types = {line["type"] for line in run.history}
    assert types == {"invoke", "ok", "fail", "info", "held", "crash"}
    assert any("commit_unanswered" in h.log_text() for h in run.hubs)
    run.proxy.close()


def test_the_bug_is_found(folder, own_mariadb, own_redis, start_server):
    """The positive control: the same people and the same checker, no fault but the strategy."""
    run = Run(folder, own_mariadb, own_redis, start_server, HUB_ASSIGN="naive", HUB_ALLOW_NAIVE=1)
    found = run.people(PARTNERS, lambda run: run.go_on(300))
    assert any(" held it" in fault for fault in found), found[:20]
    run.proxy.close()

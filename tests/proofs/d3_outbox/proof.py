"""Is an event ever lost?"""

import http.client
import itertools
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import hub
import redis as redis_client
from frame import BUILD, QUICK, Proof
from harness import server, stores
from harness.process import until
from harness.proxy import Proxy

# Every so many chunks of a stage one is a crash point.
STEP, CONTROL_STEP = (4, 2) if QUICK else (1, 1)
STAGES = ("before the commit", "committed, not published", "published, not marked", "all done")


class Wire:
    """Everything that a server says to its database and to Redis, and hears from them, goes through
    here, chunk by chunk. crash(stage, n, pass_on): kill -9 at the n-th chunk of an accept that is in
    that stage, with that chunk still delivered or not; whatever comes later is dropped."""

    def __init__(self, mariadb, redis):
        self.lock = threading.Lock()
        self.victim, self.at = None, 0
        self.rest()
        self.database = Proxy(mariadb.port, lambda *chunk: self.see("database", *chunk))
        self.redis = Proxy(redis.port, lambda *chunk: self.see("redis", *chunk))

    def rest(self):
        self.at = self.chunks = self.stage = 0
        self.crashed = self.accepting = False

    def crash(self, stage, at, pass_on):
        with self.lock:
            self.rest()
            self.begin, self.at, self.pass_on = stage, at, pass_on

    def see(self, store, direction, data):
        with self.lock:
            if self.crashed:
                return True
            if not self.at:
                return False
            self.chunks += self.stage >= self.begin
            here = self.chunks == self.at
            if not here or self.pass_on:
                self.note(store, direction, data)
            if not here:
                return False
            self.crashed = True
            self.victim.kill()
            return Proxy.AFTER if self.pass_on else True

    def note(self, store, direction, data):
        """How far it got, by what was delivered."""
        if direction != "up":
            return
        if store == "database" and (b"accepted" in data or b"UPDATE orders" in data):
            self.accepting = True
        if store == "database" and self.stage == 0 and self.accepting and b"\x03COMMIT" in data:
            self.stage = 1
        elif store == "redis" and self.stage == 1 and (b"EVAL" in data or b"XADD" in data):
            self.stage = 2
        elif store == "database" and self.stage == 2 and b"\x03COMMIT" in data:
            self.stage = 3

    def close(self):
        self.database.close()
        self.redis.close()


class Outbox:
    """The real hub. A client repeats its request, under one key, until it is answered."""

    step = STEP

    def __init__(self, folder, mariadb, redis, wire):
        env = hub.env(mariadb, redis, "ours", HUB_CAPACITY=1000000, HUB_WORKERS=1, LOG_LEVEL="warn")
        env["MYSQL_URL"] = f"mysql://root@127.0.0.1:{wire.database.port}/ours?tls=0"
        env["REDIS_URL"] = f"redis://127.0.0.1:{wire.redis.port}"
        self.wire = wire
        self.server = server.Server("delivery-hub", env, folder, (), "release").start()
        self.database = hub.connect(mariadb, "ours")
        self.headers = {"Authorization": f"Bearer {hub.token('p1', 'partner')}"}
        wire.victim = self

    def kill(self):
        self.server.signal(9)

    def accept(self, order):
        """True once it is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("POST", f"/orders/{order}/accept",
                               headers={**self.headers, "Idempotency-Key": f"k{order}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def idle(self):
        return not hub.rows(self.database, "SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1")

    def trial(self, *where):
        """One order with a crash at that chunk. Its end, or how far it was when it crashed."""
        warm, order = (hub.customer(self.server).place() for _ in range(2))
        assert self.accept(warm)
        until(self.idle, what="an empty outbox")
        self.wire.crash(*where)
        answered = self.accept(order)
        until(lambda: self.wire.crashed or (answered and self.idle()), what="the crash, or the end")
        stage = self.wire.stage if self.wire.crashed else None
        if self.wire.crashed:
            self.server.ended()
            self.wire.rest()
            self.server.start()
        self.wire.rest()
        until(lambda: self.accept(order), what="an answer")
        until(self.idle, what="an empty outbox")
        return stage

    def close(self):
        self.server.stop()
        self.database.close()


class DualWrite:
    """The control, dual_write.py. Its client, too, repeats its request."""

    step = CONTROL_STEP

    def __init__(self, mode, wire, database):
        self.mode, self.wire, self.database = mode, wire, database
        hub.rows(database, "CREATE TABLE IF NOT EXISTS orders (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                 "status VARCHAR(20) NOT NULL, partner VARCHAR(20), version BIGINT NOT NULL)")
        hub.rows(database, "DELETE FROM orders")

    def accept(self, order):
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("dual_write.py"), self.mode,
             str(self.wire.database.port), "control", str(self.wire.redis.port), str(order), "p1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        child.stdout.readline()
        self.wire.victim = child
        return child

    def trial(self, *where):
        """As Outbox.trial, but for who publishes first: there the client does not come back."""
        with self.database.cursor() as cursor:
            cursor.execute("INSERT INTO orders (status, version) VALUES ('pending', 1)")
            order = cursor.lastrowid
        child = self.accept(order)
        self.wire.crash(*where)
        child.communicate(b"\n")
        stage = self.wire.stage if self.wire.crashed else None
        self.wire.rest()
        if stage is not None and self.mode == "commit-first":
            self.accept(order).communicate(b"\n")
        return stage

    def close(self):
        pass


def settle(subject):
    """Kill at every step-th chunk of each stage, before and behind it, until the stage is over."""
    crashes = Counter()
    for stage, pass_on in itertools.product(range(len(STAGES) - 1), (False, True)):
        for at in itertools.count(1, subject.step):
            reached = subject.trial(stage, at, pass_on)
            if reached is not None:
                crashes[reached] += 1
            if reached is None or reached > stage:
                break
    return crashes


def events_of(stream):
    return [(fields[b"event_id"], (int(fields[b"order"]), int(fields[b"version"])))
            for _, fields in stream.xrange("hub:events")]


def judge(database, stream, first_version):
    """What the database says that happened, held against what a reader of the stream is told."""
    happened = {(row["id"], version) for row in hub.rows(database, "SELECT id, version FROM orders")
                for version in range(first_version, row["version"] + 1)}
    told = events_of(stream)
    known = dict(told)  # by event id: what a reader that drops what it knows is left with
    return {"happened": len(happened), "lost": len(happened - {event for _, event in told}),
            "invented": len({event for _, event in told} - happened),
            "doubled": len(told) - len(known),
            "doubled after dedupe": len(known) - len(set(known.values()))}


def measure(subject, database, stream, first_version):
    stream.flushall()
    crashes = settle(subject)
    found = judge(database, stream, first_version)
    subject.close()
    return crashes, {"kills (-9)": sum(crashes.values()), **found}


def prove(proof, folder, mariadb, redis, wire):
    stream = redis_client.Redis(port=redis.port)
    mariadb.url("control")
    control = hub.connect(mariadb, "control")
    outbox = Outbox(folder, mariadb, redis, wire)
    crashes, ours = measure(outbox, hub.connect(mariadb, "ours"), stream, 1)
    _, commit_first = measure(DualWrite("commit-first", wire, control), control, stream, 2)
    _, publish_first = measure(DualWrite("publish-first", wire, control), control, stream, 2)
    results = {"outbox": ours, "commit, then publish": commit_first,
               "publish, then commit": publish_first}
    proof.table(["events", *results], [[what, *(r[what] for r in results.values())] for what in ours])
    proof.table(["how far an accept with the outbox was", "kills"],
                [[stage, crashes[n]] for n, stage in enumerate(STAGES)])

    proof.control(crashes[1] > 0, "kills fell between the commit and the publication")
    proof.control(commit_first["lost"] > 0, "an accept that commits, then publishes, loses events")
    proof.control(publish_first["invented"] > 0,
                  "an accept that publishes, then commits, tells of what never happened")
    proof.control(ours["doubled"] > 0, "some events came twice, so that there is something to drop")
    proof.check(ours["lost"] == 0, "with the outbox no event is lost")
    proof.check(ours["invented"] == 0, "and none is made up")
    proof.check(ours["doubled after dedupe"] == 0, "who drops known event ids sees each event once")
    kinds = ("lost", "invented", "doubled", "doubled after dedupe")
    proof.plot("Events after a kill at every step", "", "events",
               {kind: [(who, found[kind]) for who, found in results.items()] for kind in kinds},
               "What a reader of the stream is told, held against what the database says.")


def main():
    proof = Proof(
        "d3", "The outbox", "The order is assigned, and the process dies before it says so: is the "
        "event lost?",
        "The event is a row of the same transaction, published afterwards as often as it takes. A "
        "kill at any step loses none and makes none up; some come twice, and a reader that drops "
        "the event ids it knows sees each once. Without the outbox, committing first loses events, "
        "and publishing first tells of what never happened.",
        "All that the server says to MariaDB and Redis, and hears from them, goes through a proxy. "
        "It kills the server (-9) at one chunk, in one round with that chunk still delivered and in "
        f"another without; {'at every chunk' if STEP == 1 else f'at every {STEP}th'} of an accept, "
        "from its BEGIN to the mark that its event was published. Then the server starts again, and "
        "the client repeats its request. The same kills hit an accept without outbox.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        mariadb = stores.MariaDB(folder / "mariadb").start()
        redis = stores.Redis(folder / "redis").start()
        wire = Wire(mariadb, redis)
        try:
            prove(proof, folder, mariadb, redis, wire)
        finally:
            wire.close()
            redis.stop()
            mariadb.stop()
    proof.finish()


main()

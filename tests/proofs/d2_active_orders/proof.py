"""100,000 active orders: what carries them?"""

import itertools
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import hub
import requests
from frame import BUILD, QUICK, Proof
from harness import server, stores
from harness.process import until
from load import bench

ORDERS = 10_000 if QUICK else 100_000
HOT = 20 if QUICK else 100  # new orders, which most people look at
PARTNERS = 200
DONE = 20  # delivered ones, which nobody changes
RATES = (100, 400) if QUICK else (100, 200, 400, 800, 1600, 3200, 6400)
STEP_S = 0.5 if QUICK else 2
SLOW_MS = 500
COUNTED = 40  # requests of a kind whose work is counted
SOURCES = ("map", "cache", "replica", "primary")

# Each thing by itself, then all: how the hub is started without it.
OFF = {"map": {"HUB_MAP": 0}, "cache": {"HUB_CACHE": 0}, "replica": {"MYSQL_REPLICA_URL": ""},
       "queue": {"HUB_QUEUE": 0}, "index": {}}
SETUPS = {"everything on": (), **{f"no {what}": (what,) for what in OFF}, "all off": tuple(OFF)}

ROWS = """
INSERT INTO partners SELECT CONCAT('p', seq) FROM seq_1_to_{partners};
INSERT INTO orders (status, version, fence, customer, pickup, dropoff, note, fee_cents, created_at,
                    updated_at)
SELECT 'pending', 1, 0, CONCAT('c', seq % 1000), 'Main Street 1', 'Market Square 2', '', 450, NOW(3),
       NOW(3) FROM seq_1_to_{orders};
INSERT INTO orders (id, status, version, fence, customer, partner, pickup, dropoff, note, fee_cents,
                    created_at, updated_at)
SELECT {orders} + seq, 'delivered', 4, 1, 'carla', CONCAT('p', seq), 'Main Street 1', 'Market Square 2', '', 450,
       NOW(3), NOW(3) FROM seq_1_to_{done};
ANALYZE TABLE orders;
"""
# Statements name their index, so it is not dropped but leads nowhere.
INDEXES = ("by_status", "by_customer", "by_customer_status", "by_partner", "by_partner_status",
           "by_lease")
NO_INDEX = "ALTER TABLE orders " + ", ".join(
    f"DROP KEY {name}, ADD KEY {name} (fee_cents)" for name in INDEXES) + "; ANALYZE TABLE orders"


class Site:
    """Two databases, Redis, and a hub with something switched off."""

    def __init__(self, folder):
        self.folder = folder
        options = ["--innodb-buffer-pool-size=256M"]
        self.primary = stores.MariaDB(folder / "primary", options=[
            *options, "--server-id=1", "--log-bin=log"]).start()
        self.replica = stores.MariaDB(folder / "replica",
                                      options=[*options, "--server-id=2"]).start()
        self.replica.follow(self.primary)
        self.redis = stores.Redis(folder / "redis").start()
        self.env = hub.env(self.primary, self.redis, "orders", HUB_CAPACITY=1_000_000,
                           HUB_WORKERS=32, LOG_LEVEL="error",
                           MYSQL_REPLICA_URL=f"mysql://root@127.0.0.1:{self.replica.port}/orders")
        self.hub = None
        self.start(())  # for the schema
        self.sql(ROWS.format(partners=PARTNERS, orders=ORDERS, done=DONE))
        self.unseen = itertools.count(ORDERS // 2)  # whose orders nobody asked for yet
        self.connections = [hub.connect(s, "orders") for s in (self.primary, self.replica)]

    def sql(self, text):
        """On the primary; the replica has it, too, when this returns."""
        self.primary.sql(text, "orders")
        at = self.primary.sql("SELECT @@gtid_binlog_pos").strip()
        self.replica.sql(f"SELECT MASTER_GTID_WAIT('{at}', 120)")

    def start(self, off):
        env = dict(self.env)
        for what in off:
            env.update(OFF[what])
        self.hub = server.Server("delivery-hub", env, self.folder, (), "release").start()
        self.port = self.hub.port
        if env["MYSQL_REPLICA_URL"]:
            until(lambda: 'store_up{store="replica"} 1' in self.metrics(), what="the replica")

    def place(self):
        """New orders, of which everybody has heard."""
        carla = hub.customer(self.hub)
        self.hot = [carla.place() for _ in range(HOT)]
        until(lambda: not hub.rows(self.connections[0], "SELECT 1 FROM outbox WHERE published_at IS "
                                   "NULL LIMIT 1"), what="an empty outbox")

    def metrics(self):
        return requests.get(self.hub.url + "/metrics", timeout=20).text

    def reads(self):
        """{source: reads it answered}"""
        return Counter({source: int(n) for source, n in re.findall(
            r'^hub_reads_total{\w+="(\w+)"} (\d+)$', self.metrics(), re.M)})

    def rows_read(self):
        """By both databases."""
        return sum(int(row["Value"]) for c in self.connections
                   for row in hub.rows(c, "SHOW GLOBAL STATUS LIKE 'Handler_read%%'"))

    def cpu_s(self):
        parts = {"hub": self.hub, "primary": self.primary, "replica": self.replica,
                 "Redis": self.redis}
        return Counter({name: bench.cpu_s(part.pid) for name, part in parts.items()})

    def stop(self):
        for c in self.connections:
            c.close()
        for part in self.hub, self.redis, self.replica, self.primary:
            part.stop()


# --- requests ------------------------------------------------------------------------------------

BEARER = {who: {"Authorization": f"Bearer {hub.token(who, role)}"} for who, role in [
    ("dora", "dispatcher"), *((f"p{i}", "partner") for i in range(1, PARTNERS + 1))]}


def status(order):
    return bench.request("GET", f"/orders/{order}", BEARER["dora"])


def hot(site):
    return status(random.choice(site.hot))


def unseen(site):
    return status(next(site.unseen))


def own_list(_):
    return bench.request("GET", "/orders?limit=20", BEARER[f"p{random.randint(1, PARTNERS)}"])


def take_next(_):
    return bench.request("POST", "/orders/next", BEARER[f"p{random.randint(1, PARTNERS)}"])


KINDS = {"status of a new order": hot, "of an old one": unseen, "a partner's list": own_list,
         "next": take_next}
MIX = [hot] * 7 + [unseen] + [own_list] + [take_next]


# --- what is measured ----------------------------------------------------------------------------

def count(site, kind):
    """Rows read for each request of this kind, and who answered the reads."""
    rows, reads = site.rows_read(), site.reads()
    reply = bench.http_load(site.port, [KINDS[kind](site) for _ in range(COUNTED)], connections=1,
                            max_requests=COUNTED, seconds=60)
    assert reply["statuses"] == {"200": COUNTED}, (kind, reply)
    return (site.rows_read() - rows) / COUNTED, site.reads() - reads


def climb(site):
    """Steps of (requests a second, p99 in ms, why it broke or None, processors used by each) until
    one breaks."""
    steps = []
    for rate in RATES:
        mix = [kind(site) for kind in MIX * (rate // 10 or 1)]
        before, started = site.cpu_s(), time.monotonic()
        reply = bench.http_load(site.port, mix, connections=64, rate=rate, seconds=STEP_S, grace=3)
        took = time.monotonic() - started
        busy = {name: round(s / took, 2) for name, s in (site.cpu_s() - before).items()}
        p99 = reply["p99_us"] / 1000
        bad = {code: n for code, n in reply["statuses"].items() if code != "200"}
        why = (f"{reply['errors']} unanswered" if reply["errors"] else
               ", ".join(f"{n} times {code}" for code, n in bad.items()) if bad else
               f"p99 {p99:.0f} ms" if p99 > SLOW_MS else None)
        steps.append((rate, p99, why, busy))
        if why:
            break
    return steps


def answers(site):
    """What is said of orders that nobody changes."""
    dora, first = hub.dispatcher(site.hub), ORDERS + 1
    return [dora.get(f"/orders/{order}").content for order in range(first, first + DONE)]


def wait_for_redis(site):
    """Redis stands still: how long, in s, does somebody wait who takes an order?"""
    taker = hub.partner(site.hub)
    taker.get("/orders")
    site.redis.pause()
    started = time.monotonic()
    code = taker.post("/orders/next").status_code
    waited = time.monotonic() - started
    site.redis.resume()
    assert code == 200, code
    return round(waited, 3)


def measure(site, name):
    off = SETUPS[name]
    site.hub.stop()
    site.start(off)
    site.place()
    result = {"answers": answers(site), "counts": {kind: count(site, kind) for kind in KINDS}}
    if name in ("everything on", "no queue"):
        result["waited"] = wait_for_redis(site)
    result["steps"] = climb(site)
    rate, p99, why, busy = result["steps"][-1]
    print(f"  {name}: {rate}/s, p99 {p99:.0f} ms, {why or 'not broken'}, {busy}", flush=True)
    return result


# --- the report ----------------------------------------------------------------------------------

def check(proof, results):
    on, bare = results["everything on"], results["all off"]

    def rows(name, kind):
        return results[name]["counts"][kind][0]

    def sources(name, kind):
        return results[name]["counts"][kind][1]

    for kind in "a partner's list", "next":
        proof.control(rows("no index", kind) > ORDERS / 2,
                      f"without the index, {kind} reads over half of the {ORDERS:,} orders")
        proof.check(rows("everything on", kind) < ORDERS / 50,
                    f"with it, {kind} reads less than a fiftieth of them")
    proof.control(sources("all off", "status of a new order") == {"primary": COUNTED},
                  "with all off every read is the primary's")
    proof.check(sources("everything on", "status of a new order")["map"] > COUNTED / 2,
                "with all on most reads of new orders are the map's")
    proof.check(sources("no map", "status of a new order")["cache"] > COUNTED / 2,
                "without the map they are Redis'")
    proof.check(sources("everything on", "of an old one") == {"replica": COUNTED},
                "an order that nothing happened to lately is read from the replica")
    proof.check(sources("no replica", "of an old one") == {"primary": COUNTED},
                "without the replica, from the primary")
    proof.check(on["waited"] < results["no queue"]["waited"],
                "while Redis stands still, who takes an order waits for it only without the queue")
    proof.check(all(r["answers"] == bare["answers"] and b"delivered" in r["answers"][0] for r in results.values()),
                "whatever is off, the answers are the same to the byte")


def report(proof, results):
    check(proof, results)
    proof.table(["rows read for each", *KINDS], [
        [name, *(round(r["counts"][kind][0], 1) for kind in KINDS)] for name, r in results.items()])
    proof.table([f"of {COUNTED} reads of new orders, answered by", *SOURCES], [
        [name, *(r["counts"]["status of a new order"][1][source] for source in SOURCES)]
        for name, r in results.items()])
    last = {name: r["steps"][-1] for name, r in results.items()}
    proof.table(["last step", "requests/s", "broke by", "processors: hub", "primary", "replica",
                 "Redis"], [[name, rate, why or "not broken", *busy.values()]
                            for name, (rate, _, why, busy) in last.items()])
    for name in "everything on", "no queue":
        proof.figure(f"taking an order while Redis stands still, {name}", results[name]["waited"],
                     "s")
    alone = {name: step for name, step in last.items() if len(SETUPS[name]) == 1 and step[2]}
    if alone:
        first = min(alone, key=lambda name: alone[name][0])
        rate, _, why, busy = alone[first]
        proof.figure("breaks first", f"{first}, at {rate} requests/s: {why}; busiest was the "
                     f"{max(busy, key=busy.get)}")
    proof.plot("Rising load", "requests a second, open loop", "p99, ms",
               {name: [(rate, p99) for rate, p99, *_ in r["steps"]] for name, r in results.items()},
               f"Of ten requests seven ask for the status of one of {HOT} new orders, one of an old "
               "one, one for a partner's list, one takes the next order. A line ends where it broke: "
               f"p99 over {SLOW_MS} ms, or something else than 200. Who takes the next order gets "
               "204 when another's search holds locks on all that wait.",
               log="xy")
    proof.plot("Rows read", "", "rows of both databases", {
        kind: [(name, max(r["counts"][kind][0], 0.1)) for name, r in results.items()]
        for kind in KINDS}, "For one request of each kind, counted by the databases.", log="y")


def main():
    proof = Proof(
        "d2", f"{ORDERS:,} active orders", "100,000 orders are active at once: what carries them, "
        "and what breaks first?",
        "The index: without it each list and each accept reads the table, and the primary is busy "
        "with a handful of people. The map, Redis and the replica each take reads off what is behind "
        "them; the queue takes Redis out of the request. None of them changes an answer.",
        f"{ORDERS:,} pending orders on a primary with a replica. Index, map, cache, replica, queue "
        "are turned off, one at a time, then all. Each time the work of a request of each kind is "
        "counted; then the load rises step by step until it breaks.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        site = Site(Path(name))
        try:
            results = {}
            for setup, off in SETUPS.items():
                if off == ("index",):
                    site.sql(NO_INDEX)
                results[setup] = measure(site, setup)
        finally:
            site.stop()
        report(proof, results)
    proof.finish()


main()

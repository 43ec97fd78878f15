"""Can two drivers get one delivery?"""

import statistics
import tempfile
from pathlib import Path

import hub
from frame import BUILD, QUICK, Proof
from harness import server, stores
from load import bench

PARTNERS = 50
ORDERS = 30 if QUICK else 1000
WANTED_BY = (1, PARTNERS) if QUICK else (1, 2, 5, 10, PARTNERS)  # partners after each order
ALONE = 150 if QUICK else 1000  # orders with few who want them, at least
RUNS = 1 if QUICK else 3
STRATEGIES = ("naive", "for-update", "optimistic")


class Hub:
    """The gate off: the database alone is the judge, as between several servers."""

    def __init__(self, strategy, folder, mariadb, redis):
        database = "race_" + strategy.replace("-", "_")
        env = hub.env(mariadb, redis, database, HUB_ASSIGN=strategy, HUB_GATE=0, HUB_WORKERS=32,
                      HUB_CAPACITY=1000000, LOG_LEVEL="warn")
        if strategy == "naive":
            env["HUB_ALLOW_NAIVE"] = "1"
        self.server = server.Server("delivery-hub", {k: str(v) for k, v in env.items()},
                                    folder / strategy, (), "release").start()
        self.database = hub.connect(mariadb, database)
        self.partners = [{"Authorization": f"Bearer {hub.token(f'p{i}', 'partner')}"}
                         for i in range(PARTNERS)]

    def rows(self, sql, *values):
        return hub.rows(self.database, sql, *values)

    def place(self, n):
        """n pending orders; the ids."""
        last = self.rows("SELECT COALESCE(MAX(id), 0) AS id FROM orders")[0]["id"]
        self.rows("INSERT INTO orders (status, version, fence, customer, pickup, dropoff, note, "
                  "fee_cents, created_at, updated_at) SELECT 'pending', 1, 0, 'carla', 'Here 1', "
                  f"'There 2', '', 450, NOW(3), NOW(3) FROM seq_1_to_{n}")
        return [row["id"] for row in self.rows("SELECT id FROM orders WHERE id > %s", last)]

    def race(self, wanted_by):
        """As many requests under way as there are partners; each order wanted by so many."""
        orders = self.place(ORDERS if wanted_by == PARTNERS else max(ORDERS, ALONE // wanted_by))
        requests = [bench.request("POST", f"/orders/{order}/accept",
                                  self.partners[(n * wanted_by + k) % PARTNERS])
                    for n, order in enumerate(orders) for k in range(wanted_by)]
        reply = bench.http_load(self.server.port, requests, connections=PARTNERS, seconds=600,
                                max_requests=len(requests))
        events = self.rows("SELECT order_id, COUNT(*) AS n FROM outbox WHERE order_id >= %s AND event "
                           "= 'accepted' GROUP BY order_id", orders[0])
        return {"orders": len(orders), "won": reply["statuses"].get("200", 0),
                "other": {c: n for c, n in reply["statuses"].items() if c not in ("200", "409")},
                "errors": reply["errors"], "doubled": sum(row["n"] > 1 for row in events),
                "assigned": len(events), "per_s": len(orders) / reply["seconds"],
                "p99_ms": reply["p99_us"] / 1000}

    def close(self):
        self.database.close()
        self.server.stop()


def measure(folder, mariadb, redis):
    """{(strategy, partners after each order): runs}; the strategies in turn."""
    hubs = {strategy: Hub(strategy, folder, mariadb, redis) for strategy in STRATEGIES}
    found = {}
    try:
        for wanted_by in WANTED_BY:
            for _ in range(RUNS):
                for strategy, one in hubs.items():
                    found.setdefault((strategy, wanted_by), []).append(one.race(wanted_by))
    finally:
        for one in hubs.values():
            one.close()
    return found


def total(found, what, strategy):
    return sum(run[what] for (name, _), runs in found.items() for run in runs if name == strategy)


def median(found, what, strategy, wanted_by):
    return statistics.median(run[what] for run in found[strategy, wanted_by])


def check(proof, found):
    for strategy in STRATEGIES:
        orders, doubled = total(found, "orders", strategy), total(found, "doubled", strategy)
        proof.figure(f"{strategy}: orders given to several partners, of {orders:,}", doubled)
        if strategy == "naive":
            proof.control(doubled > 0, "naive: some orders have several winners")
            continue
        won, assigned = (total(found, what, strategy) for what in ("won", "assigned"))
        proof.check(doubled == 0 and won == assigned == orders,
                    f"{strategy}: every order has one winner, by the answers and by the outbox")
    proof.check(not any(run["errors"] or run["other"] for runs in found.values() for run in runs),
                "who does not win is told so (409); nobody is left without an answer")


def report(proof, found):
    for title, what, unit in (("orders settled a second", "per_s", "orders settled a second"),
                              ("p99 of an accept, ms", "p99_ms", "p99 of an accept, ms")):
        proof.table([title, *(f"{n} after each" for n in WANTED_BY)],
                    [[s, *(round(median(found, what, s, n), 1) for n in WANTED_BY)]
                     for s in STRATEGIES])
        proof.plot(title[0].upper() + title[1:], "partners after each order", unit,
                   {s: [(n, round(median(found, what, s, n), 1)) for n in WANTED_BY]
                    for s in STRATEGIES},
                   f"{PARTNERS} requests are under way all the time: on the left each for another "
                   "order, on the right all for one.", log="x" if what == "per_s" else "xy")
    for n in WANTED_BY:
        times, wait = (median(found, what, "optimistic", n) / median(found, what, "for-update", n)
                       for what in ("per_s", "p99_ms"))
        proof.figure(f"optimistic against for-update, {n} after each order",
                     f"{times:.2f} times the orders, {wait:.2f} times the p99")


def main():
    proof = Proof(
        "d1", "The race", "Can two drivers be assigned one delivery, and when is optimistic the better "
        "choice?",
        "Read, then write gives one order to several partners. A row lock (SELECT ... FOR UPDATE) or "
        "a compare-and-set on the version gives it to one. With either, who comes second waits for "
        "the first one's commit: the one to read, the other to write, after having read for nothing. "
        "So optimistic is no faster where many want the same, and about as fast where nobody does. "
        "It is the better choice where something slow stands between reading and writing, such as a "
        "person with a form or a call to another service: no lock is held meanwhile.",
        f"{PARTNERS} requests under way, {max(ORDERS, ALONE):,} orders at the least, wanted by "
        f"{', '.join(map(str, WANTED_BY))} partners each: from no contention to all after one. The "
        "strategies take turns; they differ in a few lines of assign.c.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        mariadb = stores.MariaDB(folder / "mariadb").start()
        redis = stores.Redis(folder / "redis").start()
        try:
            found = measure(folder, mariadb, redis)
        finally:
            redis.stop()
            mariadb.stop()
    check(proof, found)
    report(proof, found)
    proof.finish()


main()

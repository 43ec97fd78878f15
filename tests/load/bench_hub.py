"""Accepts beside the bare transaction, a hot order with the gate and without, reads from each of
the copies, and 100,000 active orders beside 1,000."""

import itertools
import time
import urllib.request

from harness.server import Server
from harness.stores import MariaDB, Redis
from load.bench import (QUICK, Bench, Limit, by_form, cpu_s, http_load, private_folder, request,
                        rss_kib, run, token)

KEY = "k" * 32
PARTNERS = 2000
RUNS, SECONDS = by_form((2, 1), (2, 1), (5, 3))
ACCEPTS = by_form(400, 1200, 4000)
LEVELS = (8, 32, 64)

ORDERS = """
INSERT INTO orders (status, version, fence, customer, pickup, dropoff, note, fee_cents, created_at,
                    updated_at)
SELECT 'pending', 1, 0, 'carla', 'Main Street 1', 'Market Square 2', '', 450, NOW(3), NOW(3)
FROM seq_1_to_{n};
"""


class Hub:
    """A hub on a database of its own, with a Redis database of its own."""

    numbers = itertools.count()

    def __init__(self, folder, mariadb, redis, database, **env):
        self.mariadb, self.database = mariadb, database
        self.env = {"HUB_TOKEN_KEY": KEY, "MYSQL_URL": mariadb.url(database),
                    "REDIS_URL": f"{redis.url}/{next(self.numbers)}", "HUB_CAPACITY": 1000000,
                    "HUB_WORKERS": 32, "LOG_LEVEL": "warn", **env}
        self.server = Server("delivery-hub", self.env, folder, variant="release").start()
        self.port = self.server.port
        self.sql(f"INSERT IGNORE INTO partners SELECT CONCAT('p', seq) FROM seq_1_to_{PARTNERS}")

    def sql(self, text):
        return self.mariadb.sql(text, self.database)

    def place(self, n):
        """n pending orders; the first one's id. They follow one another."""
        first = int(self.sql("SELECT COALESCE(MAX(id), 0) FROM orders")) + 1
        self.sql(f"ALTER TABLE orders AUTO_INCREMENT = {first};" + ORDERS.format(n=n))
        assert self.sql(f"SELECT COUNT(*) FROM orders WHERE id >= {first} AND id < {first + n}"
                        ).strip() == str(n)
        return first

    def published(self):
        """Wait until the relay has nothing left to do, so that it does not slow the next run."""
        while self.sql("SELECT COUNT(*) FROM outbox WHERE published_at IS NULL").strip() != "0":
            time.sleep(0.05)


TOKENS = {}


def bearer(sub, role):
    if sub not in TOKENS:
        TOKENS[sub] = {"Authorization": f"Bearer {token(KEY, sub, role=role)}"}
    return TOKENS[sub]


def partner(n):
    return bearer(f"p{1 + n % PARTNERS}", "partner")


def accept(order, n):
    return request("POST", f"/orders/{order}/accept", partner(n))


def only(reply, *codes):
    """What http_load says, if nothing else was answered than these."""
    assert not reply["errors"] and set(reply["statuses"]) <= set(map(str, codes)), reply
    return reply


# --- accept beside the bare transaction ----------------------------------------------------------

def statements(hub, work):
    """What was prepared for one accept, while `work` ran, up to the record of its key."""
    hub.sql("SET GLOBAL log_output = 'TABLE', general_log = 1; TRUNCATE mysql.general_log")
    work()
    hub.sql("SET GLOBAL general_log = 0")
    said = hub.sql("SELECT argument FROM mysql.general_log WHERE command_type = 'Prepare' AND "
                   "thread_id = (SELECT thread_id FROM mysql.general_log WHERE argument LIKE "
                   "'INSERT INTO idempotency%' LIMIT 1) ORDER BY event_time").splitlines()
    return said[:1 + next(i for i, text in enumerate(said) if "idempotency" in text)]


def prove_same(hub):
    """The bare program's statements are those of an accept, in order: else it is no limit."""
    first = hub.place(2)
    of_hub = statements(hub, lambda: only(http_load(hub.port, [accept(first, 1)], max_requests=1),
                                          200))
    of_bare = statements(hub, lambda: run("bare_accept", hub.mariadb.port, hub.database, 1,
                                          first + 1, 1, PARTNERS))
    assert of_hub == of_bare and len(of_bare) == 7, (of_hub, of_bare)


def bench_accept(b, hub):
    processes = {"hub": hub.server, "database": hub.mariadb}
    for level in LEVELS:
        bare, ours, spent = [], [], {name: [] for name in processes}
        for _ in range(RUNS):
            first = hub.place(ACCEPTS)
            bare.append(run("bare_accept", hub.mariadb.port, hub.database, level, first, ACCEPTS,
                            PARTNERS))
            hub.published()  # it left events, too
            first = hub.place(ACCEPTS)
            requests = [accept(first + i, first + i) for i in range(ACCEPTS)]
            before = {name: cpu_s(p.pid) for name, p in processes.items()}
            ours.append(only(http_load(hub.port, requests, connections=level, seconds=600,
                                       max_requests=ACCEPTS), 200))
            hub.published()
            for name, process in processes.items():
                spent[name].append((cpu_s(process.pid) - before[name]) / ACCEPTS * 1e6)
        b.add(f"hub.accepts_per_s.{level}", [r["per_s"] for r in ours], "/s",
              [r["per_s"] for r in bare])
        for p in "p50", "p99":
            b.add(f"hub.accept_{p}_ms.{level}", [r[f"{p}_us"] / 1000 for r in ours], "ms",
                  [r[f"{p}_us"] / 1000 for r in bare])
        for name, runs in spent.items():
            b.add(f"hub.accept_cpu_us_of_{name}.{level}", runs, "us")
    for name, process in processes.items():
        b.add(f"hub.memory_mib_of_{name}", [rss_kib(process.pid) / 1024], "MiB")


# --- a hot order ---------------------------------------------------------------------------------

def race(hub, partners, orders):
    """Everybody wants each order, one after the other. Also the processor time that an order costs
    the hub and its database, since the time by the clock depends on what else the machine does."""
    first = hub.place(orders)
    spent = lambda: cpu_s(hub.server.pid) + cpu_s(hub.mariadb.pid)
    before = spent()
    requests = [accept(first + i, n) for i in range(orders) for n in range(partners)]
    reply = http_load(hub.port, requests, connections=partners, seconds=600,
                      max_requests=len(requests))
    only(reply, 200, 409, 503)
    spent_ms = (spent() - before) * 1000
    won = hub.sql(f"SELECT COUNT(*) FROM orders WHERE id >= {first} AND status = 'assigned'")
    assert reply["statuses"]["200"] == orders == int(won), (reply, won)
    assert reply["requests"] == len(requests)
    hub.published()
    return {"orders_s": orders / reply["seconds"], "p99_ms": reply["p99_us"] / 1000,
            "cpu_ms": spent_ms / orders, "busy": reply["statuses"].get("503", 0)}


def bench_hot(b, gated, bare):
    for partners, orders in ((50, 40 if QUICK else 200), (500, 10 if QUICK else 40)):
        pairs = [(race(gated, partners, orders), race(bare, partners, orders))
                 for _ in range(RUNS)]
        for name, metric, unit in (("orders_s", "orders_per_s", "/s"), ("p99_ms", "p99_ms", "ms"),
                                   ("cpu_ms", "cpu_ms_an_order", "ms")):
            b.add(f"hub.hot_{metric}_beside_no_gate.{partners}", [g[name] for g, _ in pairs], unit,
                  [n[name] for _, n in pairs])
        b.add(f"hub.hot_503_percent_beside_no_gate.{partners}",
              [g["busy"] / (partners * orders) * 100 for g, _ in pairs], "%",
              [n["busy"] / (partners * orders) * 100 for _, n in pairs])


# --- reads ---------------------------------------------------------------------------------------

def read_load(process, path, orders):
    """Reads a second, and the processor time of each in the server, in us: the one depends on
    what else the machine does, the other hardly."""
    requests = [request("GET", path.format(order), bearer("dora", "dispatcher"))
                for order in orders]
    before = cpu_s(process.pid)
    reply = only(http_load(process.port, requests, connections=50, seconds=SECONDS), 200)
    return reply["per_s"], (cpu_s(process.pid) - before) / reply["requests"] * 1e6


def bench_reads(b, folder, mariadb, redis):
    sources = {"": {}, "_from_redis": {"HUB_MAP": 0},
               "_from_primary": {"HUB_MAP": 0, "HUB_CACHE": 0}}
    hubs = {name: Hub(folder, mariadb, redis, f"reads{name}", **env)
            for name, env in sources.items()}
    firsts = {name: hub.place(100) for name, hub in hubs.items()}
    some = urllib.request.Request(f"{hubs[''].server.url}/orders/{firsts['']}",
                                  headers=bearer("dora", "dispatcher"))
    with urllib.request.urlopen(some) as reply:
        (folder / "body").write_bytes(reply.read())
    limit = Limit("bare_httpd", folder, folder / "body", "application/json", 32).start()
    bare, ours = [], {name: [] for name in hubs}
    for _ in range(RUNS):
        bare.append(read_load(limit, "/orders/{}", range(1, 101)))
        for name, hub in hubs.items():
            first = firsts[name]
            ours[name].append(read_load(hub.server, "/orders/{}", range(first, first + 100)))
    for name, runs in ours.items():
        b.add(f"hub.status_per_s{name}", [r[0] for r in runs], "/s", [r[0] for r in bare])
        b.add(f"hub.status_cpu_us{name}", [r[1] for r in runs], "us", [r[1] for r in bare])
    limit.stop()
    for hub in hubs.values():
        hub.server.stop()


# --- 100,000 active orders -----------------------------------------------------------------------

def bench_size(b, folder, mariadb, redis):
    off = {"HUB_MAP": 0, "HUB_CACHE": 0}
    few, many = 1000, 100000
    small, large = (Hub(folder, mariadb, redis, f"active_{n}", **off) for n in (few, many))
    small.place(few)
    large.place(many)
    for hub in small, large:
        hub.sql("ANALYZE TABLE orders, outbox, idempotency")
    n = 200 if QUICK else 1000

    def accepts(hub):
        first = hub.place(n)  # those that are waiting stay as many
        return [accept(first + i, i) for i in range(n)]

    def nexts(hub):
        hub.place(n)
        return [request("POST", "/orders/next", partner(i)) for i in range(n)]

    dora = bearer("dora", "dispatcher")
    kinds = {
        "accept": accepts,
        "next": nexts,
        "pending_list": lambda hub: [request("GET", "/orders?status=pending", dora)] * n,
        "partner_list": lambda hub: [request("GET", "/orders", partner(i)) for i in range(n)],
        "status": lambda hub: [request("GET", f"/orders/{1 + i % 1000}", dora) for i in range(n)],
    }
    for kind, requests in kinds.items():
        pairs = []
        for _ in range(RUNS):
            pair = []
            for hub in large, small:
                ask = requests(hub)
                pair.append(only(http_load(hub.port, ask, connections=8, seconds=600,
                                           max_requests=n), 200)["per_s"])
                hub.published()
            pairs.append(pair)
        b.add(f"hub.{kind}_per_s_at_active.{few}", [p[1] for p in pairs], "/s")
        b.add(f"hub.{kind}_per_s_at_active.{many}", [p[0] for p in pairs], "/s",
              [p[1] for p in pairs])
    for hub in small, large:
        hub.server.stop()


def main():
    folder = private_folder()
    mariadb = MariaDB(folder, options=["--innodb-buffer-pool-size=512M"]).start()
    redis = Redis(folder).start()
    b = Bench("hub")
    hub = Hub(folder, mariadb, redis, "accepts")
    prove_same(hub)
    bench_accept(b, hub)
    bare = Hub(folder, mariadb, redis, "ungated", HUB_GATE=0)
    bench_hot(b, hub, bare)
    hub.server.stop()
    bare.server.stop()
    bench_reads(b, folder, mariadb, redis)
    bench_size(b, folder, mariadb, redis)
    mariadb.stop()
    redis.stop()
    b.add("hub.errors", [0], "")  # only() ends the run at the first
    b.finish()


main()

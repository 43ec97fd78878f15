"""Can two drivers get one delivery?"""

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hub
from frame import BUILD, QUICK, Proof
from harness import server, stores

ORDERS, PARTNERS = (30, 50) if QUICK else (1000, 50)
QUIET_PARTNERS, QUIET_ORDERS = 8, 30 if QUICK else 200
STRATEGIES = ("naive", "for-update", "optimistic")


def start(strategy, folder, mariadb, redis):
    """The gate off: the database alone is the judge, as between several servers."""
    env = hub.env(mariadb, redis, "race_" + strategy.replace("-", "_"), HUB_ASSIGN=strategy,
                  HUB_GATE=0, HUB_CAPACITY=1000000, LOG_LEVEL="warn")
    if strategy == "naive":
        env["HUB_ALLOW_NAIVE"] = "1"
    env = {name: str(value) for name, value in env.items()}
    return server.Server("delivery-hub", env, folder / strategy, (), "release").start()


def contended(running):
    """Every order wanted by everybody at once: orders with several winners, orders a second."""
    carla = hub.customer(running)
    orders = [carla.place() for _ in range(ORDERS)]
    burst = hub.Burst(running, [f"p{i}" for i in range(1, PARTNERS + 1)])
    started = time.monotonic()
    winners = [sum(status == 200 for _, status, _ in burst.accept(order)) for order in orders]
    took = time.monotonic() - started
    burst.close()
    return winners, ORDERS / took


def quiet(running):
    """Everybody an order of their own, so that nobody waits for a row."""
    carla = hub.customer(running)
    orders = [[carla.place() for _ in range(QUIET_ORDERS)] for _ in range(QUIET_PARTNERS)]

    def accept_all(n):
        partner = hub.Client(running, f"q{n}", "partner")
        return [partner.accept(order).status_code for order in orders[n]]

    started = time.monotonic()
    with ThreadPoolExecutor(QUIET_PARTNERS) as pool:
        codes = [code for some in pool.map(accept_all, range(QUIET_PARTNERS)) for code in some]
    return codes, len(codes) / (time.monotonic() - started)


def measure(proof, strategy, folder, mariadb, redis):
    running = start(strategy, folder, mariadb, redis)
    try:
        winners, busy_rate = contended(running)
        codes, quiet_rate = quiet(running)
    finally:
        running.stop()
    doubled = sum(n > 1 for n in winners)
    proof.figure(f"{strategy}: orders given to several partners, of {ORDERS}", doubled)
    proof.figure(f"{strategy}: orders settled, {PARTNERS} partners on each", round(busy_rate, 1), "1/s")
    proof.figure(f"{strategy}: accepts, everybody an own order", round(quiet_rate, 1), "1/s")
    return winners, doubled, set(codes)


def main():
    proof = Proof(
        "d1", "The race", "Can two drivers be assigned one delivery?",
        "Read, then write gives one order to several partners. A row lock (SELECT ... FOR UPDATE) or "
        "a compare-and-set on the version gives it to one.",
        f"{PARTNERS} partners want the same order at the same moment, {ORDERS} times, under each "
        "strategy; the three differ in a few lines of assign.c. Then nobody wants the same one: "
        "there the two right ones cost about the same, so that optimistic is the better choice only "
        "where a held lock would be dear, as with work between read and write.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        mariadb = stores.MariaDB(folder / "mariadb").start()
        redis = stores.Redis(folder / "redis").start()
        try:
            for strategy in STRATEGIES:
                winners, doubled, codes = measure(proof, strategy, folder, mariadb, redis)
                if strategy == "naive":
                    proof.control(doubled > 0, "naive: some orders have several winners")
                else:
                    proof.check(winners == [1] * ORDERS, f"{strategy}: every order has one winner")
                proof.check(codes == {200}, f"{strategy}: nobody is refused an order of their own")
        finally:
            redis.stop()
            mariadb.stop()
    proof.finish()


main()

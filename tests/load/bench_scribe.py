"""Deliveries in one room: scribe on SQLite, beside two bare servers that hold nothing durable.

For each number of members, twice, in turn on each server: a closed loop (WINDOW messages of 100
bytes under way) for deliveries a second; then open loops at 50% and 80% of what scribe reached,
for the latency of each delivery from the time when its message was to be sent. The limit of a row
is the server that writes to each socket once a turn of the loop, at the same rate; a message is
refused when its sender has too many under way. Then the memory of idle connections, whose limit is
what is aimed at."""

import os

from harness.server import Server
from load import bench

KEY = "a-key-of-the-benchmark-of-64-bytes-so-that-it-is-long-enough-for"
WINDOW = int(os.environ.get("WINDOW", "64"))
SECONDS = bench.by_form(1, 1, 4)
RUNS = 1 if bench.QUICK else 2
MEMBERS = (5, 500) if bench.QUICK else (5, 50, 500, 2000)
IDLE = 500 if bench.QUICK else 5000
LOADS = (50, 80)


def measure(servers, members, n):
    """One run on each server: by server and loop (0: closed, else percent) what came of it."""
    results = {}
    for name in ("scribe", "turn", "each"):  # scribe sets the rate of the open loops
        with bench.Room(servers[name], f"room-{members}-{n}", members, KEY) as room:
            results[name, 0] = room.run("closed", SECONDS, WINDOW)
            per_message = results["scribe", 0]["per_s"] / members
            for percent in LOADS if name != "each" else ():
                results[name, percent] = room.run("open", SECONDS, per_message * percent / 100)
    return results


def cpu_us(result):
    return result["server_cpu_s"] * 1e6 / result["deliveries"]


def report(table, members, runs):
    def add(metric, unit, loop, figure, limit="turn"):
        table.add(f"scribe.{metric}.{members}", [figure(r["scribe", loop]) for r in runs], unit,
                  [figure(r[limit, loop]) for r in runs])

    add("deliveries_per_s", "1/s", 0, lambda r: r["per_s"])
    add("deliveries_per_s_beside_naive", "1/s", 0, lambda r: r["per_s"], "each")
    add("cpu_us_a_delivery", "us", 0, cpu_us)
    add("client_cpu_to_server_cpu", "", 0, lambda r: r["client_cpu_s"] / r["server_cpu_s"])
    for percent in LOADS:
        for p in ("p50", "p99"):
            add(f"{p}_ms_at_{percent}_percent", "ms", percent, lambda r, p=p: r[f"{p}_us"] / 1000)


def total(runs, *keys):
    return sum(r[key] for run in runs for (server, _), r in run.items() if server == "scribe"
               for key in keys)


def idle_memory(table, scribe):
    """A new server: what earlier rooms left in its allocator would hide the growth."""
    before = bench.rss_kib(scribe.pid)
    with bench.Room(scribe, "idle", IDLE, KEY):
        kib = (bench.rss_kib(scribe.pid) - before) / IDLE
        table.add("scribe.idle_kib_per_connection", [kib], "KiB", [10])


def start_scribe(folder):
    folder.mkdir()
    return Server("scribe", {"SCRIBE_TOKEN_KEY": KEY, "REDIS_URL": "", "LOG_LEVEL": "warn",
                             "HISTORY_URL": f"sqlite://{folder}/history.db",
                             "SCRIBE_ROOM_LIMIT": "10000", "SCRIBE_RATE": "1000000"},
                  folder, variant=bench.VARIANT).start()


def main():
    folder, table = bench.private_folder(), bench.Bench("scribe")
    servers = {"scribe": start_scribe(folder / "scribe"),
               "turn": bench.Limit("bare_chat", folder / "turn", "turn").start(),
               "each": bench.Limit("bare_chat", folder / "each", "each").start()}
    everything = []
    for members in MEMBERS:
        runs = [measure(servers, members, n) for n in range(RUNS)]
        report(table, members, runs)
        everything += runs
    table.add("scribe.lost_doubled_or_out_of_order",
              [total(everything, "lost", "gaps", "foreign")], "")
    table.add("scribe.refused", [total(everything, "refused")], "")
    for server in servers.values():
        server.kill()
    idle = start_scribe(folder / "idle")
    idle_memory(table, idle)
    idle.kill()
    table.finish()


main()

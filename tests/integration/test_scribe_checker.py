"""Histories of people who talk while something breaks, held against what is stored; and the checker
of histories itself, on a good one and on ones with planted faults.

SCRIBE_CHECKER_SECONDS=60 repeats each trouble for so long, on both histories."""

import copy
import os
import random
import time
from dataclasses import dataclass

import pytest
import scribe_kit as kit
from harness.process import until
from harness.proxy import Proxy
from scribe_checker import Connection, Log, faults, progress, run_people

SECONDS = float(os.environ.get("SCRIBE_CHECKER_SECONDS", "0"))
PEOPLE = 4

# --- troubles --------------------------------------------------------------------------------


@dataclass
class Stage:
    """Two servers on one history; the first one reaches Redis through a proxy."""
    history: object
    store: object  # the history's server; None: SQLite
    redis: object
    servers: list
    armed: bool = False  # the first server dies at what it publishes next

    def cut(self, direction, data):
        if not self.armed or direction != "up" or b"PUBLISH" not in data:
            return False
        self.armed = False
        self.servers[0].signal(9)
        return True


def two_servers_race(stage, persons):
    progress(persons, 60)
    assert [len(p.log.connections) for p in persons] == [1] * PEOPLE  # half of them to each server


def redis_is_killed(stage, persons):
    progress(persons, 10)
    stage.redis.kill()
    progress(persons, 30)
    stage.redis.start()
    for s in stage.servers:
        until(lambda: kit.metric(s, "scribe_bus_up") == 1, what="the bus is up again")


def refused(stage, what):
    until(lambda: sum(kit.metric(s, "scribe_nacks_total") for s in stage.servers) > 0, what=what)


def redis_is_paused(stage, persons):
    progress(persons, 10)
    stage.redis.pause()
    progress(persons, 30)
    stage.redis.resume()


def the_history_is_killed(stage, persons):
    progress(persons, 10)
    stage.store.kill()
    refused(stage, "a message was refused")
    stage.store.start()


def the_history_is_paused(stage, persons):
    progress(persons, 10)
    stage.store.pause()
    refused(stage, "a write timed out")
    stage.store.resume()


def sqlite_is_locked(stage, persons):
    progress(persons, 10)
    with stage.history.locked():
        refused(stage, "a message was refused")


def servers_are_killed(stage, persons):
    for i, server in enumerate(stage.servers):
        progress(persons, 10 + 20 * i)
        server.kill()
        server.start()


def a_server_dies_between_storing_and_publishing(stage, persons):
    progress(persons, 10)
    stage.armed = True
    assert stage.servers[0].ended(timeout=kit.WAIT) == -9
    stage.servers[0].start()


def connections_are_cut_at_random(stage, persons):
    for _ in range(20):
        person = random.choice(persons)
        person.cut.set()
        until(lambda: not person.cut.is_set() or not person.is_alive(), what="a cut")
    assert sum(len(p.log.connections) for p in persons) >= 20


TROUBLES = {  # and on which histories; without SCRIBE_CHECKER_SECONDS on the first one
    two_servers_race: ("mongodb", "sqlite"),
    redis_is_killed: ("sqlite", "mongodb"),
    redis_is_paused: ("mongodb", "sqlite"),
    the_history_is_killed: ("mongodb",),
    the_history_is_paused: (None, "mongodb"),  # in the long form only: it waits for time-outs
    sqlite_is_locked: ("sqlite",),
    servers_are_killed: ("sqlite", "mongodb"),
    a_server_dies_between_storing_and_publishing: ("sqlite", "mongodb"),
    connections_are_cut_at_random: ("sqlite", "mongodb"),
}


@pytest.fixture
def stage(start_server, own_redis, folder, request):
    store = request.getfixturevalue("own_ferret") if request.param == "mongodb" else None
    history = kit.MongoHistory(store) if store else kit.SQLiteHistory(folder)
    stage = Stage(history, store, own_redis, [])
    proxy = Proxy(own_redis.port, stage.cut)
    for port in (proxy.port, own_redis.port):
        redis = own_redis.url.replace(str(own_redis.port), str(port))
        stage.servers.append(start_server("scribe", kit.env(history.url, redis)))
    yield stage
    proxy.close()


@pytest.mark.timeout(180 + 2 * SECONDS)
@pytest.mark.parametrize("trouble, stage", [
    pytest.param(trouble, store, id=f"{trouble.__name__}-{store}")
    for trouble, stores in TROUBLES.items() for store in (stores if SECONDS else stores[:1]) if store],
    indirect=["stage"])
def test_nothing_is_lost_doubled_or_out_of_order_while(trouble, stage):
    end = time.monotonic() + SECONDS
    while True:
        run_people(stage.servers, stage.history, kit.name("room"), PEOPLE,
                   lambda persons: trouble(stage, persons))
        if time.monotonic() > end:
            return


# --- the checker -----------------------------------------------------------------------------

ROWS = [(1, "ada", "a", "one"), (2, "bob", "a", "two"), (3, "ada", "b", "three")]


def good():
    ada = Log("ada", {"a": "one", "b": "three"}, [("a", 1), ("b", 3), ("a", 1)],
              [Connection(0, list(ROWS)), Connection(1, ROWS[1:])])
    bob = Log("bob", {"a": "two"}, [("a", 2)],
              [Connection(0, ROWS[:1]), Connection(1), Connection(1, ROWS[1:])])
    return list(ROWS), [ada, bob]


def test_a_good_run():
    assert faults(*good()) == []
    assert faults([], [Log("ada")]) == []


def gap(rows, logs):
    rows[2] = (4, *rows[2][1:])


def first_missing(rows, logs):
    del rows[0]


def seq_twice(rows, logs):
    rows[2] = (2, *rows[2][1:])


def out_of_order(rows, logs):
    rows.reverse()


def id_twice(rows, logs):
    rows.append((4, "ada", "a", "one"))


def acked_and_lost(rows, logs):
    logs[0].acks.append(("c", 4))


def acked_elsewhere(rows, logs):
    logs[1].acks[0] = ("a", 3)


def acked_twice_differently(rows, logs):
    logs[0].acks.append(("a", 2))


def text_changed(rows, logs):
    rows[1] = (2, "bob", "a", "TWO")


def nobody_sent(rows, logs):
    del logs[1].sent["a"]


def received_gap(rows, logs):
    del logs[0].connections[0].received[1]


def received_twice(rows, logs):
    logs[0].connections[0].received.insert(1, rows[0])


def received_swapped(rows, logs):
    logs[0].connections[0].received[0:2] = reversed(ROWS[0:2])


def received_other_text(rows, logs):
    logs[0].connections[0].received[2] = (3, "ada", "b", "3")


def received_what_vanished(rows, logs):
    logs[0].connections[1].received.append((4, "bob", "z", "gone"))


def resumed_too_late(rows, logs):
    del logs[1].connections[2].received[0]


def resumed_too_early(rows, logs):
    logs[1].connections[2].received.insert(0, rows[0])


def never_acked(rows, logs):
    del logs[1].acks[0]


def last_not_received(rows, logs):
    logs[1].connections[2].received.pop()


@pytest.mark.parametrize("plant", [
    gap, first_missing, seq_twice, out_of_order, id_twice, acked_and_lost, acked_elsewhere,
    acked_twice_differently, text_changed, nobody_sent, received_gap, received_twice,
    received_swapped, received_other_text, received_what_vanished, resumed_too_late,
    resumed_too_early, never_acked, last_not_received])
def test_a_planted_fault_is_found(plant):
    rows, logs = copy.deepcopy(good())
    plant(rows, logs)
    assert faults(rows, logs) != []

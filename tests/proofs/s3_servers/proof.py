"""Several servers, and what dies."""

import copy
import itertools
import re
import tempfile
import threading
import time
from pathlib import Path

import redis as redis_client
import scribe_kit as kit
from frame import BUILD, QUICK, Proof
from harness import server, stores
from harness.proxy import Proxy
from scribe_checker import Person, faults

SERVERS = (1, 2, 4)
PEOPLE = 6 if QUICK else 12
PHASE_S = 0.7 if QUICK else 4
EVERY_S = 0.02  # somebody says something
BIN_S = 0.1


class Talker(Person):
    """A person who notes when. It says what is put to it by say(), and thinks of nothing itself."""

    def __init__(self, *args):
        super().__init__(*args)
        self.heard, self.told = {}, {}  # seq: time; of messages, and of acks
        self.talkative = False

    def think(self):
        pass

    def note(self, frame):
        times = {"message": self.heard, "ack": self.told}.get(frame["type"])
        if times is not None:
            times.setdefault(frame["seq"], time.monotonic())


class Listener(threading.Thread):
    """The control: who hears nothing but Redis, as servers without the history would."""

    def __init__(self, url, room):
        super().__init__(daemon=True)
        self.client = redis_client.Redis.from_url(url)
        self.channel = f"scribe:room:{room}"
        self.seqs, self.over = set(), threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                with self.client.pubsub() as pubsub:
                    pubsub.subscribe(self.channel)
                    self.listen(pubsub)
            except redis_client.ConnectionError:
                time.sleep(0.02)

    def listen(self, pubsub):
        while not self.over.is_set():
            got = pubsub.get_message(timeout=0.1)
            message = got and got["type"] == "message" and re.match(rb"m(\d+) ", got["data"])
            if message:
                self.seqs.add(int(message[1]))


class Site:
    """`count` servers behind a gateway that gives each connection to the next one, on one history."""

    def __init__(self, folder, redis, count):
        self.redis, self.count = redis, count
        self.history = kit.SQLiteHistory(folder)
        env = kit.env(self.history.url, redis.url, LOG_LEVEL="warn")
        self.servers = [server.Server("scribe", env, folder, (), "release").start()
                        for _ in range(count)]
        ports = itertools.cycle([s.port for s in self.servers])
        self.gateway = Proxy(lambda: next(ports), lambda *_: False)
        self.moments = {}

    def wait_and(self, what, *steps):
        time.sleep(PHASE_S)
        self.moments[what] = time.monotonic()
        for step in steps:
            step()

    def trouble(self):
        self.wait_and("Redis killed", self.redis.kill)
        self.wait_and("Redis back", self.redis.start)
        self.wait_and("a server killed", self.servers[0].kill)
        self.wait_and("it is back", self.servers[0].start)
        time.sleep(PHASE_S)

    def stop(self):
        self.gateway.close()
        for s in self.servers:
            s.stop()


def chatter(people, over):
    """One message after the other, in turn; nobody waits for anybody."""
    for person in itertools.cycle(people):
        if over.wait(EVERY_S):
            return
        person.say()


def converse(site):
    """Everybody talks while things die. The people, and what Redis alone would have brought."""
    room, target, over = kit.name("room"), [None], threading.Event()
    begin = threading.Barrier(PEOPLE)
    people = [Talker([site.gateway], f"user{i}", room, lambda: target[0], begin, over)
              for i in range(PEOPLE)]
    listener = Listener(site.redis.url, room)
    talk = threading.Thread(target=chatter, args=(people, over))
    for thread in (listener, *people, talk):
        thread.start()
    try:
        site.trouble()
    finally:
        over.set()
        talk.join()
        while any(not p.acked() and p.is_alive() for p in people):
            time.sleep(0.02)
        rows = site.history.rows(room)
        target[0] = rows[-1][0] if rows else 0
        for p in people:
            p.join()
        listener.over.set()
    assert [p.error for p in people if p.error] == []
    return people, rows, listener.seqs


def first_known(people):
    """seq: when it was first acknowledged or delivered."""
    times = {}
    for person in people:
        for seq, at in itertools.chain(person.heard.items(), person.told.items()):
            times[seq] = min(at, times.get(seq, at))
    return times


def recovery(people, known, moment):
    """Seconds from that moment until everybody had something that was said after it."""
    return max(min(at for seq, at in person.heard.items() if known[seq] > moment)
               for person in people) - moment


def delays(people, known, begin):
    """The longest wait for a delivery, in ms, of what was said in each BIN_S."""
    worst = {}
    for person in people:
        for seq, at in person.heard.items():
            bin = round((known[seq] - begin) // BIN_S * BIN_S, 3)
            worst[bin] = max(worst.get(bin, 1), round((at - known[seq]) * 1000, 1))
    return sorted(worst.items())


def longest(log):
    return max((connection.received for connection in log.connections), key=len)


def planted(rows, logs):
    """Faults that the checker must see: a delivery lost, one doubled, a stored message lost."""
    unheard, twice = copy.deepcopy(logs), copy.deepcopy(logs)
    del longest(unheard[0])[1]
    longest(twice[0]).insert(1, longest(twice[0])[0])
    return [faults(rows, unheard), faults(rows, twice), faults(rows[:1] + rows[2:], logs)]


def measure(proof, folder, count):
    redis = stores.Redis(folder / f"redis-{count}").start()
    (folder / str(count)).mkdir()
    site = Site(folder / str(count), redis, count)
    try:
        people, rows, by_redis = converse(site)
    finally:
        site.stop()
        redis.stop()
    logs = [p.log for p in people]
    acked = {(p.log.user, id) for p in people for id, _ in p.log.acks}
    delivered = sum(len(connection.received) for log in logs for connection in log.connections)
    name = f"{count} server{'s' if count > 1 else ''}"
    found = faults(rows, logs)
    print(*found[:5], sep="\n", end="")
    proof.check(len(acked) == len(rows) and delivered == len(rows) * PEOPLE and not found,
                f"{name}: acknowledged = stored = delivered to each, in order, nothing twice")
    connections = sum(len(log.connections) for log in logs)
    known = first_known(people)
    times = {what: round(recovery(people, known, at), 3) for what, at in site.moments.items()
             if what != "it is back"}
    return {"name": name, "acknowledged": len(acked), "stored": len(rows),
            "delivered to each": delivered // PEOPLE, "lost by Redis": len(rows) - len(by_redis),
            "connections": connections, "times": times, "planted": planted(rows, logs),
            "delays": delays(people, known, min(known.values())),
            "moments": {w: at - min(known.values()) for w, at in site.moments.items()}}


def report(proof, results):
    proof.control(all(all(r["planted"]) for r in results),
                  "the checker sees a delivery that is lost, one that is doubled, a lost row")
    proof.control(all(r["lost by Redis"] > 0 for r in results),
                  "who hears of messages by Redis alone loses some")
    proof.control(all(r["connections"] > PEOPLE for r in results),
                  "the killed server had people, who had to come back")
    rows = ["acknowledged", "stored", "delivered to each", "lost by Redis"]
    proof.table(["messages", *(r["name"] for r in results)],
                [[row, *(r[row] for r in results)] for row in rows])
    moments = list(results[0]["times"])
    proof.table(["seconds until everybody had something new", *(r["name"] for r in results)],
                [[what, *(r["times"][what] for r in results)] for what in moments])
    proof.plot("Time to recover", "", "seconds",
               {r["name"]: [(what, r["times"][what]) for what in moments] for r in results},
               "From that moment until every person had a message that was sent after it. One "
               f"server alone stays away for the {PHASE_S} s until it is started again.")
    most = results[-1]
    proof.plot(f"Deliveries of {most['name']}", "seconds", "longest wait, ms",
               {"": most["delays"]}, "From when a message is first known to anybody until the last "
               "one has it: while Redis is dead the servers ask the history, and who was on the "
               "killed server asks for what they missed.", log="y", marks=most["moments"])


def main():
    proof = Proof(
        "s3", "Several servers", "Redis dies, a server dies: is a message lost, and how long does "
        "anybody wait?",
        "Acknowledged = stored = delivered to everybody, in order and once, with any number of "
        "servers. Redis makes delivery quick and is needed for nothing; who was on a dead server "
        "comes back on another one and goes on after the last seq they have.",
        f"{PEOPLE} people in one room, on {', '.join(map(str, SERVERS))} servers behind a gateway "
        f"that deals connections out in turn, say {1 / EVERY_S:.0f} messages a second together. "
        f"Every {PHASE_S} s something happens: Redis is killed, comes back, a server is killed (-9), "
        "comes back. What everybody sent, was told and got is held against the history. Beside "
        "them listens somebody who hears Redis and nothing else.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        report(proof, [measure(proof, Path(name), count) for count in SERVERS])
    proof.finish()


main()

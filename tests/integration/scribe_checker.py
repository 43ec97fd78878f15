"""Did the chat keep its promises? Every person logs what it sent, what was acknowledged and what
it received on each connection; after the run the logs are held against the history's rows."""

import itertools
import random
import secrets
import threading
import time
from dataclasses import dataclass, field

import scribe_kit as kit
from harness.process import until
from websockets.exceptions import WebSocketException


@dataclass
class Connection:
    after: int  # what the join said
    received: list = field(default_factory=list)  # (seq, sender, client id, text)


@dataclass
class Log:
    user: str
    sent: dict = field(default_factory=dict)  # client id -> text
    acks: list = field(default_factory=list)  # (client id, seq), each as it came
    connections: list = field(default_factory=list)


def faults(rows, logs):
    """What is wrong, as text; nothing when all is well. `rows` as history.rows gives them."""
    found = []
    seqs = [row[0] for row in rows]
    if seqs != list(range(1, len(rows) + 1)):
        found.append(f"history is not 1..{len(rows)}: {_around_first_gap(seqs)}")
    by_id = {}
    for row in rows:
        if by_id.setdefault(row[1:3], row) != row:
            found.append(f"history has a message twice: {by_id[row[1:3]]} and {row}")
    for log in logs:
        found += _check_acks(by_id, log)
        for i, connection in enumerate(log.connections):
            found += _check_connection(rows, f"{log.user}'s connection {i}", connection)
        got = (m[0] for c in log.connections for m in c.received)
        if rows and max(got, default=0) != rows[-1][0]:
            found.append(f"{log.user} did not get the last message")
    sent = {(log.user, id): text for log in logs for id, text in log.sent.items()}
    acked = {(log.user, id) for log in logs for id, _ in log.acks}
    for row in rows:
        if sent.get(row[1:3]) != row[3]:
            found.append(f"history has what nobody sent: {row}")
        if row[1:3] not in acked:
            found.append(f"history has what was never acknowledged: {row}")
    return found


def _around_first_gap(seqs):
    at = next(i for i, seq in enumerate(seqs) if seq != i + 1)
    return seqs[max(0, at - 2):at + 3]


def _check_acks(by_id, log):
    for id, seq in log.acks:
        row = by_id.get((log.user, id))
        if row is None:
            yield f"{log.user}'s {id} was acknowledged as {seq} and is lost"
        elif row[0] != seq:
            yield f"{log.user}'s {id} was acknowledged as {seq} and is stored as {row[0]}"


def _check_connection(rows, whose, connection):
    stored = {row[0]: row for row in rows}
    last = connection.after
    for message in connection.received:
        if stored.get(message[0]) != message:
            yield f"{whose} got {message}, the history has {stored.get(message[0])}"
        if message[0] != last + 1:
            yield f"{whose} got {message[0]} after {last}"
        last = message[0]


class Person(threading.Thread):
    """Sends what it has to say, a few messages at a time, as a good client does: reconnects, to the
    next server each time; resumes after the last it has; repeats what was not acknowledged under
    the same id. Some it sends twice at once. Begins when all persons have joined; thinks of more to
    say until `over` is set; ends when all is acknowledged and `target()` (None: not known yet) is
    reached."""

    WINDOW = 4
    TWICE = 0.25

    def __init__(self, servers, user, room, target, begin, over):
        super().__init__(name=user)
        self.servers = itertools.cycle(servers)
        self.room = room
        self.target = target
        self.begin = begin  # a barrier
        self.over = over  # an event
        self.talkative = True
        self.log = Log(user)
        self.waiting = []
        self.last = 0
        self.cut = threading.Event()  # set: break the connection now
        self.give_up = time.monotonic() + 120
        self.error = None

    def say(self):
        id = secrets.token_hex(8)
        self.log.sent[id] = f"{self.log.user} {len(self.log.sent)}"
        self.waiting.append(id)

    def think(self):
        self.talkative = not self.over.is_set()
        while self.talkative and len(self.waiting) < self.WINDOW:
            self.say()

    def acked(self):
        return not self.talkative and not self.waiting

    def done(self):
        target = self.target()
        return self.acked() and target is not None and self.last >= target

    def run(self):
        while not self.done():
            if time.monotonic() > self.give_up:
                self.error = f"{self.log.user} gave up at {self.last}, {len(self.waiting)} unacked"
                return
            try:
                with kit.Client(next(self.servers), self.log.user) as client:
                    self.talk(client)
            except (WebSocketException, OSError, EOFError, AssertionError):
                time.sleep(0.02)

    def note(self, frame):
        """For whoever wants to know when: each message, ack and nack as it comes."""

    def talk(self, client):
        client.join(self.room, after=self.last)
        received = []
        self.log.connections.append(Connection(self.last, received))
        if len(self.log.connections) == 1:
            self.begin.wait(kit.WAIT)
        trying = set()
        while not self.done():
            self.think()
            for id in self.waiting[:self.WINDOW]:
                if id not in trying:
                    trying.add(id)
                    for _ in range(1 + (random.random() < self.TWICE)):
                        client.post(self.room, self.log.sent[id], id)
            if self.cut.is_set():
                self.cut.clear()
                client.cut()
                return
            try:
                frame = client.get("message", "ack", "nack", timeout=0.1)
            except AssertionError:
                continue
            self.note(frame)
            if frame["type"] == "message":
                received.append((frame["seq"], frame["sender"], frame["id"], frame["text"]))
                self.last = frame["seq"]
            elif frame["type"] == "ack":
                self.log.acks.append((frame["id"], frame["seq"]))
                if frame["id"] in self.waiting:
                    self.waiting.remove(frame["id"])
            else:
                assert frame["retryable"], frame
                trying.discard(frame["id"])
                time.sleep(0.02)


def progress(persons, n):
    """Wait until n messages are acknowledged to all together."""
    def made():
        return (sum(len(p.log.acks) for p in persons) >= n
                or not any(p.is_alive() for p in persons))
    until(made, timeout=100, what=f"{n} acks")


def run_people(servers, history, room, people, trouble):
    """`people` persons talk as long as trouble(persons) makes trouble; then everything is checked."""
    target, over = [None], threading.Event()
    begin = threading.Barrier(people)
    persons = [Person(servers[i % len(servers):] + servers[:i % len(servers)], f"user{i}", room,
                      lambda: target[0], begin, over) for i in range(people)]
    for p in persons:
        p.start()
    try:
        trouble(persons)
    finally:
        over.set()
        while not all(p.acked() or not p.is_alive() for p in persons):
            time.sleep(0.02)
        target[0] = max((row[0] for row in history.rows(room)), default=0)
        for p in persons:
            p.join()
    assert [p.error for p in persons if p.error] == []
    found = faults(history.rows(room), [p.log for p in persons])
    assert found == [], "\n".join(found[:20])
    return persons

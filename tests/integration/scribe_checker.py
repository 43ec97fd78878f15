"""Did the chat keep its promises? Every person logs what it sent, what was acknowledged and what
it received on each connection; after the run the logs are held against the history's rows."""

import random
import secrets
import threading
import time
from dataclasses import dataclass, field

import scribe_kit as kit
from websockets.exceptions import WebSocketException


@dataclass
class Log:
    user: str
    sent: dict = field(default_factory=dict)  # client id -> text
    acks: list = field(default_factory=list)  # (client id, seq), each as it came
    connections: list = field(default_factory=list)  # each: [(seq, sender, client id, text)]


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
        for i, received in enumerate(log.connections):
            found += _check_connection(rows, f"{log.user}'s connection {i}", received)
        if rows and max((m[0] for c in log.connections for m in c), default=0) != rows[-1][0]:
            found.append(f"{log.user} did not get the last message")
    sent = {(log.user, id): text for log in logs for id, text in log.sent.items()}
    for row in rows:
        if sent.get(row[1:3]) != row[3]:
            found.append(f"history has what nobody sent: {row}")
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


def _check_connection(rows, whose, received):
    stored = {row[0]: row for row in rows}
    for message in received:
        if stored.get(message[0]) != message:
            yield f"{whose} got {message}, the history has {stored.get(message[0])}"
    for before, after in zip(received, received[1:]):
        if after[0] != before[0] + 1:
            yield f"{whose} got {after[0]} after {before[0]}"


class Person(threading.Thread):
    """Sends `count` messages, a few at a time, as a good client does: reconnects to any server,
    resumes after the last it has, repeats what was not acknowledged under the same id. Ends when
    all is acknowledged and `target()` (None: not known yet) is reached."""

    WINDOW = 4

    def __init__(self, servers, user, room, count, target):
        super().__init__(name=user)
        self.servers = servers
        self.room = room
        self.target = target
        self.log = Log(user)
        for i in range(count):
            self.log.sent[secrets.token_hex(8)] = f"{user} {i}"
        self.waiting = list(self.log.sent)
        self.last = 0
        self.cut = threading.Event()  # set: break the connection now
        self.give_up = time.monotonic() + 120
        self.error = None

    def acked(self):
        return not self.waiting

    def done(self):
        target = self.target()
        return self.acked() and target is not None and self.last >= target

    def run(self):
        while not self.done():
            if time.monotonic() > self.give_up:
                self.error = f"{self.log.user} gave up at {self.last}, {len(self.waiting)} unacked"
                return
            try:
                with kit.Client(random.choice(self.servers), self.log.user) as client:
                    self.talk(client)
            except (WebSocketException, OSError, EOFError, AssertionError):
                time.sleep(0.02)

    def note(self, frame):
        """For whoever wants to know when: each message, ack and nack as it comes."""

    def talk(self, client):
        client.join(self.room, after=self.last)
        received = []
        self.log.connections.append(received)
        trying = set()
        while not self.done():
            for id in self.waiting[:self.WINDOW]:
                if id not in trying:
                    trying.add(id)
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


def run_people(servers, history, room, people, count, trouble):
    """`people` persons talk while trouble(persons) makes trouble; then everything is checked."""
    target = [None]
    persons = [Person(servers, f"user{i}", room, count, lambda: target[0]) for i in range(people)]
    for p in persons:
        p.start()
    try:
        trouble(persons)
    finally:
        while not all(p.acked() or not p.is_alive() for p in persons):
            time.sleep(0.02)
        target[0] = max((row[0] for row in history.rows(room)), default=0)
        for p in persons:
            p.join()
    assert [p.error for p in persons if p.error] == []
    found = faults(history.rows(room), [p.log for p in persons])
    assert found == [], "\n".join(found[:20])
    return persons

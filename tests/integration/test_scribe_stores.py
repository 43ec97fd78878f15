"""What the server asks of its stores: concerns of MongoDB's protocol, and how often heads are polled."""

import contextlib
import struct
import threading
import time

import bson
import requests
import scribe_kit as kit
from harness.process import until
from harness.proxy import Proxy


class Commands:
    """A proxy's callback: the commands that go by, as documents (OP_MSG, its section of kind 0)."""

    def __init__(self):
        self.seen = []
        self.own = threading.local()  # a direction of a connection has a thread of its own

    def __call__(self, direction, data):
        if direction == "up":
            self.own.buffer = getattr(self.own, "buffer", b"") + data
            while self._take():
                pass
        return False

    def _take(self):
        buffer = self.own.buffer
        if len(buffer) < 16 or len(buffer) < (size := struct.unpack("<i", buffer[:4])[0]):
            return False
        if struct.unpack("<i", buffer[12:16])[0] == 2013 and buffer[20] == 0:
            end = 21 + struct.unpack("<i", buffer[21:25])[0]
            self.seen.append(bson.decode(buffer[21:end]))
        self.own.buffer = buffer[size:]
        return True

    def named(self, name):
        return [c for c in self.seen if next(iter(c)) == name]


def test_writes_wait_for_the_majority_and_what_is_shown_is_read_from_it(start_server, ferret):
    commands = Commands()
    proxy = Proxy(ferret.port, commands)
    with contextlib.closing(proxy):
        history = kit.MongoHistory(ferret)
        url = history.url.replace(f":{ferret.port}", f":{proxy.port}")
        server = start_server("scribe", kit.env(url))
        room = kit.name("room")
        with kit.Client(server, "ada") as ada, kit.Client(server, "bob") as bob:
            ada.answer("created", type="create", room=room)
            for c in (ada, bob):
                c.join(room)
            ada.send(room, "one", id="one")
            assert ada.send(room, "one", id="one") == 1
            bob.answer("read", type="read", room=room, seq=1)
            bob.answer("history", type="history", room=room)
            bob.answer("rooms", type="rooms")
            ada.answer("removed", type="remove", room=room, user="bob")
        server.stop()
    writes = [c for name in ("insert", "update", "delete") for c in commands.named(name)]
    assert {c[next(iter(c))] for c in writes} == {"messages", "members", "rooms"}
    for c in writes:
        concern = c["writeConcern"]
        assert (concern["w"], concern["j"]) == ("majority", True), c
        assert concern["wtimeout"] > 0
    local = [c for c in commands.named("find") if c.get("readConcern") != {"level": "majority"}]
    assert len(commands.named("find")) > len(local) > 0
    for c in local:  # the head to number from, and nothing else
        assert (c["find"], c["filter"], c["sort"]) == ("messages", {"room": room}, {"seq": -1}), c


def test_a_full_hundred_of_rooms_is_polled_too(start_server, folder):
    history = kit.SQLiteHistory(folder)
    server = start_server("scribe", kit.env(history.url))
    with kit.Client(server, "ada") as ada, kit.Client(server, "bob") as bob:
        for c in (ada, bob):  # each in as many as a session may be
            rooms = [kit.name(c.user) for _ in range(100)]
            for room in rooms:
                c.put(type="join", room=room)
                c.get("joined")
                history.add(room, 1, "stored only")
            assert {m["room"] for m in c.messages(100)} == set(rooms)


def asked(server):
    """Requests to the history that read: polls of heads, and pages."""
    text = requests.get(server.url + "/metrics", timeout=kit.WAIT).text
    return next(int(line.split()[-1]) for line in text.splitlines()
                if line.startswith('scribe_history_seconds_count{op="other"}'))


def test_heads_are_polled_the_more_often_the_more_they_bring(start_server, redis, folder):
    """With Redis every 2 s; without it every second, and every 200 ms while there is something."""
    url = f"sqlite://{folder}/history.db"
    bus, idle, busy, other = (start_server("scribe", kit.env(url, r)) for r in
                              (redis.url, "", "", ""))
    quiet, loud = kit.name("quiet"), kit.name("loud")
    with (kit.Client(bus) as a, kit.Client(idle) as b, kit.Client(busy) as c,
          kit.Client(other, "talker") as talker):
        for client, room in ((a, quiet), (b, quiet), (c, loud), (talker, loud)):
            client.join(room)
        until(lambda: kit.metric(bus, "scribe_bus_up") == 1, what="the bus is up")
        servers = (bus, idle, busy)
        settled = time.monotonic() + 2  # they have slowed down
        until(lambda: talker.send(loud) and time.monotonic() > settled, what="some talk")
        before = [asked(s) for s in servers]
        until(lambda: talker.send(loud) and asked(bus) >= before[0] + 4, what="some polls")
        by_bus, by_idle, by_busy = (asked(s) - n for s, n in zip(servers, before))
    assert by_bus < by_idle < by_busy / 3, (by_bus, by_idle, by_busy)

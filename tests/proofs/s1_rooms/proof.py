"""How large may a room be?"""

import json
import socket
import struct
import tempfile
import time
from pathlib import Path

from frame import BUILD, QUICK, Proof
from harness import server
from load import bench

KEY = "a-key-of-the-proof-of-64-bytes-so-that-it-is-long-enough-for-it.."
SIZES = (5, 500) if QUICK else (5, 50, 500, 2000)
WINDOW, SECONDS = 64, 0.7 if QUICK else 4
CROWD = 500  # members of the room whose load rises
FACTORS = (0.5, 1.5) if QUICK else (0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8)  # of what naive can do
SLEEPERS, FLOOD, LONG = (20, 1500, 3800) if QUICK else (50, 3000, 3800)
UPGRADE = (b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
           b"Sec-WebSocket-Protocol: scribe.v1\r\n\r\n")
PING, PONG = b"\x89\0", b"\x8a\x80\0\0\0\0"


class Naive(bench.Limit):
    """The original's design: see tests/load/bare_chat.c."""

    def __init__(self, folder):
        super().__init__("bare_chat", folder, "naive")


class Scribe(server.Server):
    def __init__(self, folder):
        super().__init__("scribe", {
            "SCRIBE_TOKEN_KEY": KEY, "REDIS_URL": "", "HISTORY_URL": f"sqlite://{folder}/history.db",
            "SCRIBE_ROOM_LIMIT": "10000", "SCRIBE_RATE": "1000000", "LOG_LEVEL": "warn"},
            folder, (), "release")


KINDS = {"naive": Naive, "scribe": Scribe}


class Starter:
    """Servers in folders of their own."""

    def __init__(self, folder):
        self.folder, self.started = folder, 0

    def __call__(self, name):
        self.started += 1
        folder = self.folder / str(self.started)
        folder.mkdir()
        return KINDS[name](folder).start()


class Raw:
    """A member by bare bytes; the naive server's handshake would satisfy no library."""

    def __init__(self, port, user, room, after=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.seen = b""
        self.socket.sendall(UPGRADE)
        self.wait(b"\r\n\r\n")
        self.put(type="hello", token=bench.token(KEY, user))
        self.wait(b"welcome")
        self.put(type="join", room=room, **({} if after is None else {"after": after}))
        self.wait(b'"joined"')

    def put(self, **frame):
        body = json.dumps(frame, separators=(",", ":")).encode()
        size = bytes([0x80 | len(body)]) if len(body) < 126 else struct.pack(">BH", 0xFE, len(body))
        self.socket.sendall(b"\x81" + size + b"\0\0\0\0" + body)  # masked with zeros

    def wait(self, text):
        """All that came until this did."""
        deadline = time.monotonic() + 30
        while (at := self.seen.find(text)) < 0:
            if time.monotonic() > deadline:
                raise TimeoutError(text)
            got = self.socket.recv(1 << 20)
            if not got:
                raise EOFError(self.seen[-200:])
            if PING in got:
                self.socket.sendall(PONG)
            self.seen += got
        before, self.seen = self.seen[:at], self.seen[at + len(text):]
        return before

    def say(self, room, text, id):
        self.put(type="send", room=room, id=id, text=text)

    def close(self):
        self.socket.close()


# --- measurements --------------------------------------------------------------------------------

def room_of(start, size):
    """{server: (closed loop, open loop at half of what the slower one does, KiB a member)}"""
    closed, opened, grown = {}, {}, {}
    for name in KINDS:
        running = start(name)
        before = bench.rss_kib(running.pid)
        with bench.Room(running, "room", size, KEY) as room:
            closed[name] = room.run("closed", SECONDS, WINDOW)
            grown[name] = (bench.rss_kib(running.pid) - before) / size
        running.kill()
    rate = min(c["per_s"] for c in closed.values()) / size / 2
    for name in KINDS:
        running = start(name)
        with bench.Room(running, "room", size, KEY) as room:
            opened[name] = room.run("open", SECONDS, rate)
        running.kill()
    return {name: (closed[name], opened[name], grown[name]) for name in KINDS}


def climb(start, per_s):
    """[(deliveries a second that were asked for, p99 in ms, processors used)] of each."""
    results = {}
    for name in KINDS:
        running, results[name] = start(name), []
        with bench.Room(running, "room", CROWD, KEY) as room:
            for factor in FACTORS:
                done = room.run("open", SECONDS, factor * per_s / CROWD)
                results[name].append((round(factor * per_s), done["p99_us"] / 1000,
                                      done["server_cpu_s"] / done["seconds"]))
                if done["p99_us"] > 1e6:
                    break
        running.kill()
    return results


def sleepers(running):
    """MiB that the server grows by while some members read nothing of a long conversation."""
    asleep = [Raw(running.port, f"sleeper{i}", "flood") for i in range(SLEEPERS)]
    speaker = Raw(running.port, "speaker", "flood")
    before, most = bench.rss_kib(running.pid), 0
    for i in range(FLOOD):
        speaker.say("flood", f"{i:05}{'x' * LONG}", f"flood-{i}")
        if i % 50 == 49:  # scribe takes 64 of one connection at a time
            speaker.wait(f'"text":"{i:05}'.encode())
            most = max(most, bench.rss_kib(running.pid))
    for member in (speaker, *asleep):
        member.close()
    return (most - before) / 1024


def survivors(running, said):
    """Of so many acknowledged messages, how many are there after kill -9?"""
    first = Raw(running.port, "ada", "killed")
    for i in range(said):
        first.say("killed", f"before {i}", f"before-{i}")
        first.wait(b'"ack"')
    first.close()
    running.kill()
    running.start()
    again = Raw(running.port, "ada", "killed", after=0)
    again.say("killed", "afterwards", "afterwards")
    return again.wait(b'"text":"afterwards').count(b'"text":"before ')


# --- the report ----------------------------------------------------------------------------------

def us(closed):
    return closed["server_cpu_s"] * 1e6 / closed["deliveries"]


def report_rooms(proof, rooms):
    for name in KINDS:
        closed = {size: r[name][0] for size, r in rooms.items()}
        proof.table([name, *(f"{size:,} members" for size in SIZES)], [
            ["deliveries a second", *(round(c["per_s"]) for c in closed.values())],
            ["p99 at half of the slower one's load, ms",
             *(round(r[name][1]["p99_us"] / 1000, 1) for r in rooms.values())],
            ["processor time a delivery, us", *(round(us(c), 2) for c in closed.values())],
            ["its processors busy",
             *(round(c["server_cpu_s"] / c["seconds"], 2) for c in closed.values())],
            ["memory a member, KiB", *(round(r[name][2], 1) for r in rooms.values())]])
    proof.plot("Deliveries", "members of the room", "deliveries a second",
               {name: [(size, r[name][0]["per_s"]) for size, r in rooms.items()]
                for name in KINDS},
               f"A closed loop of {WINDOW} messages of 100 bytes under way.", log="xy")
    proof.plot("Latency", "members of the room", "p99, ms",
               {name: [(size, r[name][1]["p99_us"] / 1000) for size, r in rooms.items()]
                for name in KINDS},
               "At half of the load that the slower one can bear, from when a message was to be sent.",
               log="xy")
    large = rooms[max(SIZES)]
    runs = [loop for r in rooms.values() for loop in r["scribe"][:2]]
    proof.check(all(sum(run[fault] for fault in ("lost", "gaps", "foreign")) == 0 for run in runs),
                "scribe: nothing lost, doubled or out of order")
    proof.check(us(large["scribe"][0]) * 2 < us(large["naive"][0]),
                f"at {max(SIZES):,} members a delivery costs scribe less than half of the processor "
                "time that it costs the naive one")


def report_climb(proof, steps):
    proof.plot(f"Rising load, {CROWD} members", "deliveries a second asked for, open loop",
               "p99, ms", {name: [(asked, p99) for asked, p99, _ in some]
                           for name, some in steps.items()},
               "A line ends where it broke, with p99 over a second.", log="xy")
    for name, some in steps.items():
        asked, p99, busy = some[-1]
        broke = f"broke at {asked:,} deliveries/s: p99 {p99:,.0f} ms" if p99 > 1000 else \
            f"did not break up to {asked:,} deliveries/s"
        proof.figure(f"{name}, {CROWD} members", f"{broke}, {busy:.2f} processors busy")


def main():
    proof = Proof(
        "s1", "Rooms", "Does it carry a room of 2,000, and where does it break?",
        "The original design, one process with all state in memory which builds, frames and writes "
        "each message for each receiver, breaks by its processor: a write a delivery. It also grows "
        "by whoever does not read, and forgets all when it dies. Scribe frames once and writes to a "
        "socket once for many messages, so that large rooms cost it a fraction; in a small room it "
        "pays for storing what it acknowledges. What then ends it is its one loop's processor.",
        f"Both serve rooms of {', '.join(f'{size:,}' for size in SIZES)} to one client that looks at "
        "every delivery: a closed loop for the rate, then an open loop at one rate for both. Then "
        f"the load rises in a room of {CROWD}. Then {SLEEPERS} members sleep through {FLOOD:,} long "
        "messages, and both are killed (-9) and started again.")
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        start = Starter(Path(folder))
        rooms = {size: room_of(start, size) for size in SIZES}
        report_rooms(proof, rooms)
        report_climb(proof, climb(start, rooms[CROWD]["naive"][0]["per_s"]))
        grown, left = {}, {}
        for name in KINDS:
            running = start(name)
            grown[name], left[name] = sleepers(running), survivors(running, 20)
            running.kill()
    for name in KINDS:
        proof.figure(f"{name}: growth while {SLEEPERS} members read nothing of "
                     f"{FLOOD * LONG / 2 ** 20:.0f} MiB", round(grown[name], 1), "MiB")
        proof.figure(f"{name}: of 20 acknowledged messages there after kill -9", left[name])
    proof.control(grown["naive"] > 2 * grown["scribe"],
                  "the naive server grows by what sleepers do not read, more than twice as much")
    proof.control(left["naive"] == 0, "the naive server forgets what it acknowledged")
    proof.check(left["scribe"] == 20, "scribe has every acknowledged message after kill -9")
    proof.finish()


main()

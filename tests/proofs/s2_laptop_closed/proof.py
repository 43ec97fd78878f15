"""I close my laptop mid-conversation: what did I miss?"""

import asyncio
import secrets
import tempfile
from pathlib import Path

import tour
from frame import BUILD, QUICK, Proof
from harness import server, stores

KEY = "0123456789abcdef" * 2
ABSENCES = (1, 3, 60) if QUICK else (1, 3, 50, 60, 500, 2000)


class Room:
    """Grace reads on server B and goes; Ada sends on A."""

    def __init__(self, servers):
        self.a, self.b = (s.url for s in servers)
        self.name = "proof-" + secrets.token_hex(4)

    async def absence(self, count):
        async with tour.Chat(self.a, "ada") as ada:
            await ada.join(self.name)
            async with tour.Chat(self.b, "grace") as grace:
                await grace.join(self.name)
                await ada.send(self.name, "seen")
                seen = (await grace.get("message"))["seq"]
                await grace.put(type="read", room=self.name, seq=seen)
                await grace.quiet()
            missed = [await ada.send(self.name, f"missed {i}") for i in range(count)]
        return seen, missed

    async def back(self, url, expected, **after):
        """What comes when Grace joins again; more than expected is seen too."""
        async with tour.Chat(url, "grace") as grace:
            joined = await grace.join(self.name, **after)
            got = [m["seq"] for m in await grace.messages(expected)]
            await grace.quiet()
        return joined, got


async def without_seq(room, seen, missed):
    """The newcomer's join: the last page. What it doubles and what it loses."""
    async with tour.Chat(room.a, "grace") as grace:
        await grace.join(room.name)
        got = []
        await grace.put(type="ping")
        while True:
            frame = await grace.get_any()
            if frame["type"] == "pong":
                break
            if frame["type"] == "message":
                got.append(frame["seq"])
    return [s for s in got if s <= seen], [s for s in missed if s not in got]


async def show(proof, servers):
    lost_or_doubled = 0
    for count in ABSENCES:
        room = Room(servers)
        seen, missed = await room.absence(count)
        doubled, lost = await without_seq(room, seen, missed)
        lost_or_doubled += len(doubled) + len(lost)
        proof.figure(f"{count} missed, resumed without the seq: doubled, lost",
                     f"{len(doubled)}, {len(lost)}")
        joined, got = await room.back(room.a, count, after=seen)
        proof.check(got == missed, f"{count} missed, on another server: exactly these, in order")
        proof.check(joined["unread"] == count, f"and unread says {count}")
    proof.control(lost_or_doubled > 0, "a client that resumes without the seq loses or doubles")


class Chat(tour.Chat):
    async def get_any(self):
        return tour.json.loads(await asyncio.wait_for(self.ws.recv(), 10))


def main():
    tour.Chat = Chat
    proof = Proof(
        "s2", "Laptop closed", "I close my laptop mid-conversation: do I see what I missed, and what "
        "is unread?",
        "With the last seq it saw, a client gets exactly what it missed, in order, on any server, "
        "however long it was away; unread is head minus read marker.",
        f"Grace reads on server B and goes; Ada sends {', '.join(map(str, ABSENCES))} messages on "
        "server A; Grace comes back, on server A.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        redis = stores.Redis(folder / "redis").start()
        env = {"SCRIBE_TOKEN_KEY": KEY, "HISTORY_URL": f"sqlite://{folder}/history.db",
               "REDIS_URL": redis.url, "SCRIBE_DEMO_LOGIN": "1", "LOG_LEVEL": "warn",
               "SCRIBE_RATE": "1000000"}
        servers = [server.Server("scribe", env, folder / n, (), "release").start() for n in "ab"]
        try:
            asyncio.run(show(proof, servers))
        finally:
            for s in servers:
                s.stop()
            redis.stop()
    proof.finish()


main()

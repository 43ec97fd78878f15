#!/usr/bin/python3
"""A tour through the four services, as clients see them: every step says what it shows, prints
what came back, and checks it. Ends with 0 when every check held."""

import argparse
import asyncio
import http.client
import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import websockets


class Failed(Exception):
    """A check did not hold."""


def say(text):
    print(f"   {text}", flush=True)


def check(holds, claim):
    if not holds:
        raise Failed(claim)


# --- HTTP -----------------------------------------------------------------------------------


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


def request(method, url, body=None, headers=None):
    """One request on a connection of its own. A dict is sent as JSON."""
    headers = dict(headers or {})
    if isinstance(body, dict):
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    at = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = kinds[at.scheme](at.hostname, at.port, timeout=30)
    try:
        connection.request(method, at.path, body, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def request_patiently(method, url, headers):
    """As a polite client: on 503, wait as long as Retry-After says and ask again."""
    while True:
        reply = request(method, url, headers=headers)
        if reply.status != 503:
            return reply
        time.sleep(int(reply.headers["Retry-After"]))


def demo_token(service, account):
    reply = request("POST", service + "/demo/login", {"account": account})
    check(reply.status == 200, f"{account} gets a token, not {reply.status}")
    return reply.json()["token"]


# --- chat -----------------------------------------------------------------------------------


class Chat:
    """A chat client on one server: `async with Chat(url, "ada") as ada: ...`"""

    def __init__(self, url, account):
        self.url = url
        self.account = account

    async def __aenter__(self):
        token = await asyncio.to_thread(demo_token, self.url, self.account)
        ws_url = self.url.replace("http", "ws", 1) + "/ws"
        self.ws = await websockets.connect(ws_url, subprotocols=["scribe.v1"])
        await self.put(type="hello", token=token)
        self.server = (await self.get("welcome"))["server"]
        return self

    async def __aexit__(self, *_):
        await self.ws.close()

    async def put(self, **frame):
        await self.ws.send(json.dumps(frame))

    async def get(self, kind):
        """The next frame of that type; others are passed over."""
        while True:
            frame = json.loads(await asyncio.wait_for(self.ws.recv(), 10))
            check(frame["type"] not in ("error", "nack"), f"no {kind} but {frame}")
            if frame["type"] == kind:
                return frame

    async def join(self, room, **after):
        await self.put(type="join", room=room, **after)
        return await self.get("joined")

    async def send(self, room, text):
        """Returns the seq that the message got, once it is durable."""
        await self.put(type="send", room=room, id=uuid.uuid4().hex, text=text)
        return (await self.get("ack"))["seq"]

    async def messages(self, count):
        return [await self.get("message") for _ in range(count)]

    async def quiet(self):
        """Nothing more comes: what the server sent before it answers a ping is all there is."""
        await self.put(type="ping")
        while True:
            frame = json.loads(await asyncio.wait_for(self.ws.recv(), 10))
            check(frame["type"] != "message", f"no further message, not {frame}")
            if frame["type"] == "pong":
                return


async def chat_across_servers(at):
    room = f"tour-{uuid.uuid4().hex[:8]}"
    async with Chat(at.scribe[0], "ada") as ada, Chat(at.scribe[1], "grace") as grace:
        await ada.join(room)
        await grace.join(room)
        seq = await ada.send(room, "Is anybody on the other server?")
        say(f"ada, on server A: sent, acknowledged as seq {seq}")
        got = await grace.get("message")
        say(f"grace, on server B: seq {got['seq']}, {got['sender']}: {got['text']!r}")
        check(got["text"] == "Is anybody on the other server?" and got["seq"] == seq, "it arrives")
        async with Chat(at.scribe[1], "linus") as linus:
            await linus.join(room, after=0)
            old = await linus.get("message")
            say(f"linus, who comes later, from the history: seq {old['seq']}, {old['text']!r}")
            check((old["seq"], old["text"]) == (seq, got["text"]), "the history has it")


async def chat_after_sleep(at):
    room = f"tour-{uuid.uuid4().hex[:8]}"
    async with Chat(at.scribe[0], "ada") as ada:
        await ada.join(room)
        async with Chat(at.scribe[1], "grace") as grace:
            await grace.join(room)
            await ada.send(room, "Good night")
            seen = (await grace.get("message"))["seq"]
            await grace.put(type="read", room=room, seq=seen)
            await grace.quiet()
        say(f"grace has read up to seq {seen} and closes the laptop")
        missed = [f"Missed {i}" for i in (1, 2, 3)]
        for text in missed:
            await ada.send(room, text)
        say("ada sends three more messages")
        async with Chat(at.scribe[0], "grace") as grace:
            joined = await grace.join(room, after=seen)
            say(f"grace is back, on server A: head {joined['head']}, unread: {joined['unread']}")
            texts = [m["text"] for m in await grace.messages(3)]
            say(f"and gets {texts}")
            await grace.quiet()
            check(joined["unread"] == 3, "three are unread")
            check(texts == missed, "exactly the three missed, in order")


def step_chat(at):
    """Chat: a message sent on server A arrives on server B and is in the history"""
    asyncio.run(chat_across_servers(at))


def step_resume(at):
    """Chat: laptop closed, three messages missed, reopened on another server"""
    asyncio.run(chat_after_sleep(at))


# --- orders ---------------------------------------------------------------------------------


def step_race(at):
    """Orders: fifty partners want one order at the same moment; one gets it"""
    customer = {"Authorization": "Bearer " + demo_token(at.hub, "carla")}
    partners = {f"p{i}": demo_token(at.hub, f"p{i}") for i in range(1, 51)}
    order = request("POST", at.hub + "/orders", {
        "pickup": "Bakery, 1 Mill Lane", "dropoff": "12 High Street", "fee_cents": 450,
    }, customer).json()
    say(f"carla places order {order['id']}: {order['status']}")

    gate = threading.Barrier(len(partners))
    replies = {}

    def accept(partner, token):
        gate.wait()
        replies[partner] = request_patiently("POST", f"{at.hub}/orders/{order['id']}/accept",
                                             {"Authorization": "Bearer " + token})

    threads = [threading.Thread(target=accept, args=p) for p in partners.items()]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    won = [p for p, r in replies.items() if r.status == 200]
    lost = [p for p, r in replies.items() if r.status == 409]
    say(f"200 for {len(won)} ({', '.join(won)}), 409 for {len(lost)}")
    holder = request("GET", f"{at.hub}/orders/{order['id']}", headers=customer).json()
    say(f"carla reads: {holder['status']}, partner {holder['partner']}")
    check((len(won), len(lost)) == (1, 49), "one 200 and 49 times 409")
    check(holder["partner"] == won[0], "the order is the winner's")


# --- files ----------------------------------------------------------------------------------


def files_with(folder, needle):
    return [p for p in Path(folder).rglob("*") if p.is_file() and needle in p.read_bytes()]


def flip_a_byte(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def download(url, headers):
    """The body, or None when the server refused or broke off before its end."""
    try:
        reply = request("GET", url, headers=headers)
        return reply.body if reply.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None


def step_vault(at):
    """Files: encrypted on disk, equal when they come back, refused when one byte was changed"""
    key = {"Authorization": "Bearer " + Path(at.vault_key).read_text().strip()}
    marker = b"PATIENT: DOE, JANE"
    content = marker + b", finding: none. " * 6000 + os.urandom(1000)
    stored = request("POST", at.vault + "/files", content, {
        **key, "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="report.txt"'})
    check(stored.status == 201, f"stored, not {stored.status}: {stored.body[:200]}")
    url = f"{at.vault}/files/{stored.json()['id']}"
    say(f"stored {len(content):,} bytes as {urlsplit(url).path}")

    blobs = [p for p in Path(at.vault_data).rglob("*") if p.stem == stored.json()["id"]]
    check(len(blobs) == 1, "it is one file on disk")
    at_32 = blobs[0].read_bytes()[56:72].hex(" ")
    say(f"on disk: {blobs[0].stat().st_size:,} bytes, the first of its text as {at_32}")
    check(not files_with(at.vault_data, marker), "no file on disk has any of its text")
    check(download(url, key) == content, "it comes back equal")
    say("it comes back equal")

    middle = blobs[0].stat().st_size // 2
    flip_a_byte(blobs[0], middle)
    damaged = download(url, key)
    say(f"one bit of byte {middle:,} flipped on disk: the download is refused")
    flip_a_byte(blobs[0], middle)
    check(damaged is None, "damage is refused")
    check(download(url, key) == content, "it is whole again when the bit is put back")


# --- attendance -----------------------------------------------------------------------------


class Person:
    """Somebody logged in at the portal."""

    def __init__(self, portal, account):
        self.portal = portal
        reply = request("POST", portal + "/login",
                        {"account": account, "password": "demo-password"})
        check(reply.status == 200, f"{account} logs in, not {reply.status}")
        self.headers = {"Cookie": reply.headers["Set-Cookie"].split(";")[0],
                        "X-CSRF-Token": reply.json()["csrf_token"]}

    def ask(self, method, path, body=None):
        return request(method, self.portal + path, body, self.headers)


def step_portal(at):
    """Attendance: from the database once, then from the cache; the rest is not a student's"""
    frank, ana = Person(at.portal, "frank"), Person(at.portal, "ana")
    session = frank.ask("GET", "/courses/cs101/sessions").json()["sessions"][-1]["session"]
    frank.ask("PUT", f"/sessions/{session}/attendance/ana", {"mark": "present"})
    say(f"frank marks ana present in session {session} of cs101")

    first, second = (ana.ask("GET", "/me/attendance") for _ in range(2))
    for which, reply in (("first", first), ("second", second)):
        say(f"ana's {which} reading: {reply.status}, Cache-Status: {reply.headers['Cache-Status']}")
    marks = [s["mark"] for course in first.json()["courses"] if course["course"] == "cs101"
             for s in course["sessions"] if s["session"] == session]
    check(marks == ["present"], "she sees the mark at once")
    check("fwd=miss" in first.headers["Cache-Status"], "the first comes from the database")
    check("hit" in second.headers["Cache-Status"], "the second comes from the cache")
    check(first.body == second.body, "both say the same")

    refused = ana.ask("GET", f"/sessions/{session}/attendance")
    say(f"ana asks for the whole class's marks: {refused.status} {refused.json()['title']}")
    check(refused.status == 403, "faculty data is refused with 403")


STEPS = [step_chat, step_resume, step_race, step_vault, step_portal]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scribe", action="append", required=True, help="URL, given twice")
    parser.add_argument("--hub", required=True, help="URL")
    parser.add_argument("--vault", required=True, help="URL")
    parser.add_argument("--vault-key", required=True, help="file with an API key")
    parser.add_argument("--vault-data", required=True, help="the vault's folder on disk")
    parser.add_argument("--portal", required=True, help="URL")
    at = parser.parse_args()
    failed = 0
    for number, step in enumerate(STEPS, 1):
        print(f"{number}. {step.__doc__}", flush=True)
        try:
            step(at)
            print("   ok\n", flush=True)
        except Exception as error:  # whatever it is, the next step is shown too
            failed += 1
            print(f"   FAILED: {type(error).__name__}: {error}\n", flush=True)
    print(f"tour: {len(STEPS) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

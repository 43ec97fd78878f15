"""A chat client for tests, on the independent `websockets` library, and the histories as seen by
independent clients of their stores."""

import contextlib
import json
import secrets
import socket
import sqlite3
import time

import jwt
import pymongo
import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TOKEN_KEY = "a-key-for-tests-of-64-bytes-so-that-pyjwt-likes-it-for-hs512-too"
WAIT = 20


def token(user, expires_in=3600, key=TOKEN_KEY, **claims):
    claims = {"sub": user, "exp": int(time.time()) + expires_in, **claims}
    return jwt.encode(claims, key, algorithm="HS256")


def name(prefix):
    return f"{prefix}-{secrets.token_hex(6)}"


def env(history_url, redis_url="", **more):
    return {"SCRIBE_TOKEN_KEY": TOKEN_KEY, "HISTORY_URL": history_url, "REDIS_URL": redis_url,
            "SCRIBE_RATE": "1000000", **more}


class SQLiteHistory:
    def __init__(self, folder):
        self.path = f"{folder}/history.db"
        self.url = f"sqlite://{self.path}"

    def rows(self, room):
        """(seq, sender, client id, text) of every message, by seq."""
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return db.execute("SELECT seq, sender, client_id, text FROM messages WHERE room = ?"
                              " ORDER BY seq", (room,)).fetchall()

    def add(self, room, seq, *texts):
        """Messages that are stored, from `seq` on, and never published: their server died in
        between."""
        rows = [(room, seq + i, secrets.token_hex(8), text) for i, text in enumerate(texts)]
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            db.executemany("INSERT INTO messages VALUES (?, ?, 'ghost', ?, 0, ?)", rows)

    @contextlib.contextmanager
    def locked(self):
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("ROLLBACK")


class MongoHistory:
    def __init__(self, ferret):
        self.database = name("t").replace("-", "_")
        self.url = ferret.url(self.database)

    def db(self):
        return pymongo.MongoClient(self.url)[self.database]

    def messages(self):
        return self.db().messages

    def rows(self, room):
        return [(m["seq"], m["sender"], m["client_id"], m["text"])
                for m in self.messages().find({"room": room}).sort("seq")]

    def add(self, room, seq, *texts):
        self.messages().insert_many(
            {"room": room, "seq": seq + i, "sender": "ghost", "text": text,
             "client_id": secrets.token_hex(8)} for i, text in enumerate(texts))


@pytest.fixture(params=["mongodb", "sqlite"])
def history(request, folder):
    """Both, for the same tests."""
    if request.param == "sqlite":
        return SQLiteHistory(folder)
    return MongoHistory(request.getfixturevalue("ferret"))


def metric(server, name):
    text = requests.get(server.url + "/metrics", timeout=WAIT).text
    return next(float(line.split()[-1]) for line in text.splitlines()
                if line.split(" ")[0] == name)


def narrow_socket(server):
    """A connection that takes little at once: what is sent to it backs up in the server."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    s.connect(("127.0.0.1", server.port))
    return s


class Client:
    """One connection. Frames are kept until somebody asks for their kind, so that messages and
    acks, which may come in any order, don't disturb each other."""

    def __init__(self, server, user="ada", hello=True, **options):
        options.setdefault("subprotocols", ["scribe.v1"])
        options.setdefault("max_queue", None)  # one that is full would hold up close()
        self.user = user
        self.opened = contextlib.ExitStack()
        self.ws = self.opened.enter_context(
            connect(f"ws://127.0.0.1:{server.port}/ws", open_timeout=WAIT, close_timeout=WAIT,
                    ping_interval=None, max_size=None, **options))
        self.kept = []
        if hello:
            self.put(type="hello", token=token(user))
            self.welcome = self.get("welcome")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.opened.close()

    def cut(self):
        """The connection breaks: no close frame, as when a laptop is shut."""
        self.ws.socket.close()

    def put(self, **frame):
        self.ws.send(json.dumps(frame))

    def take(self, wanted, what, timeout=WAIT):
        """The oldest frame that `wanted` holds for."""
        for i, frame in enumerate(self.kept):
            if wanted(frame):
                return self.kept.pop(i)
        deadline = time.monotonic() + timeout
        while True:
            try:
                frame = json.loads(self.ws.recv(max(0, deadline - time.monotonic())))
            except TimeoutError:
                raise AssertionError(f"{self.user}: no {what}; kept: {self.kept[-4:]}") from None
            if wanted(frame):
                return frame
            self.kept.append(frame)

    def get(self, *kinds, timeout=WAIT):
        return self.take(lambda f: f["type"] in kinds, " or ".join(kinds), timeout)

    def answer(self, kind, **frame):
        """Send a request and return its reply of this kind, or the error."""
        self.put(**frame)
        return self.get(kind, "error")

    def join(self, room, **after):
        joined = self.answer("joined", type="join", room=room, **after)
        assert joined["type"] == "joined", joined
        return joined

    def post(self, room, text="hello", id=None):
        """Send without waiting; the client id."""
        id = id or secrets.token_hex(8)
        self.put(type="send", room=room, id=id, text=text)
        return id

    def outcome(self, id, timeout=WAIT):
        """The ack or nack of a message."""
        return self.take(lambda f: f["type"] in ("ack", "nack") and f["id"] == id,
                         f"ack of {id}", timeout)

    def send(self, room, text="hello", id=None):
        """Send, wait for the ack; the seq."""
        ack = self.outcome(self.post(room, text, id))
        assert ack["type"] == "ack", ack
        return ack["seq"]

    def send_until_acked(self, room, text="hello", id=None):
        """As a real client does: the same client id again after a retryable nack."""
        id = id or secrets.token_hex(8)
        deadline = time.monotonic() + WAIT
        while True:
            reply = self.outcome(self.post(room, text, id))
            if reply["type"] == "ack":
                return reply["seq"]
            assert reply["retryable"], reply
            assert time.monotonic() < deadline, reply
            time.sleep(0.05)

    def messages(self, n, timeout=WAIT):
        return [self.get("message", timeout=timeout) for _ in range(n)]

    def rest(self):
        """The messages that are here already: those before the reply to a ping."""
        id = secrets.token_hex(8)
        self.put(type="ping", id=id)
        self.take(lambda f: f["type"] == "pong" and f["id"] == id, "pong")
        messages = [f for f in self.kept if f["type"] == "message"]
        self.kept = [f for f in self.kept if f["type"] != "message"]
        return messages

    def closed(self, timeout=WAIT):
        """Wait for the server to end the connection; the close code and reason."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.kept.append(json.loads(self.ws.recv(max(0, deadline - time.monotonic()))))
            except ConnectionClosed as e:
                return (e.rcvd.code, e.rcvd.reason) if e.rcvd else (1006, "")


def texts(messages):
    return [m["text"] for m in messages]


def seqs(messages):
    return [m["seq"] for m in messages]

"""The clients of the history tests: customers, partners and a dispatcher, who write down what they
ask and what they are told, as lines of JSONL (see hub_checker)."""

import http.client
import itertools
import json
import random
import secrets
import threading
import time
from collections import deque

import hub
import pymysql


class History:
    """A file that many threads write lines to."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "w")
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.counts = {"ok": 0, "fail": 0, "info": 0}

    def write(self, **line):
        with self.lock:
            line["t"] = time.monotonic_ns()
            self.file.write(json.dumps(line) + "\n")
            if line["type"] in self.counts:
                self.counts[line["type"]] += 1

    def close(self):
        with self.lock:
            self.file.close()


class World:
    """What the people share: the hubs' ports, the orders that all are after, and the end."""

    def __init__(self, ports, history, capacity):
        self.ports, self.history, self.capacity = ports, history, capacity
        self.orders = deque(["1"], maxlen=12)
        self.over = threading.Event()
        self.errors = []


class Person(threading.Thread):
    ROLE = None

    def __init__(self, world, name):
        super().__init__(name=name)
        self.world = world
        self.random = random.Random(name)
        self.bearer = f"Bearer {hub.token(name, self.ROLE)}"
        self.connection = None

    def run(self):
        try:
            while not self.world.over.is_set():
                self.turn()
        except Exception as e:  # a thread's traceback is lost otherwise
            self.world.errors.append(f"{self.name}: {e!r}")
            raise
        finally:
            self.hang_up()

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def send(self, method, path, body=None, key=None):
        """(status, body, Retry-After); OSError or HTTPException when there is no answer."""
        if not self.connection:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.random.choice(self.world.ports), timeout=12)
        headers = {"Authorization": self.bearer, "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        try:
            self.connection.request(method, path, body and json.dumps(body), headers)
            r = self.connection.getresponse()
            text = r.read()
        except (OSError, http.client.HTTPException):
            self.hang_up()
            raise
        return r.status, json.loads(text) if text else {}, r.headers.get("Retry-After")

    def ask(self, f, order=None, body=None, key=None):
        """One request, written down. The order as replied; None when it was not done."""
        path = {"create": "/orders", "next": "/orders/next"}.get(f, f"/orders/{order}/{f}")
        op = next(self.world.history.numbers)
        self.world.history.write(op=op, type="invoke", client=self.name, f=f, order=order, key=key)
        try:
            status, answer, retry = self.send("POST", path, body, key)
        except (OSError, http.client.HTTPException) as e:
            self.world.history.write(op=op, type="info", error=repr(e))
            self.world.over.wait(0.05)
            return None, "info"
        answer.pop("request_id", None)
        type = "ok" if status < 300 else "fail"
        if answer.get("type") == "/problems/outcome-unknown":
            type = "info"
        if status in (500, 401, 403, 422, 428):
            self.world.errors.append(f"{self.name}: {f} {order}: {status} {answer}")
        self.world.history.write(op=op, type=type, status=status, body=answer)
        if status == 503:
            self.hang_up()  # perhaps the other hub can
        if retry:
            self.world.over.wait(0.05)  # sooner than asked, to keep the pressure up
        return answer, type

    def ask_until_known(self, f, order=None, body=None):
        """With a key, again until the outcome is known: as a careful client does."""
        key = secrets.token_hex(6)
        answer, type = self.ask(f, order, body, key)
        for _ in range(100):
            known = type == "ok" or (type == "fail" and answer.get("reason") != "in-flight" and
                                     answer["status"] != 503)
            if known or self.world.over.is_set():
                break
            answer, type = self.ask(f, order, body, key)
        else:
            return answer, type
        if self.random.random() < 0.2 and type != "info":
            self.ask(f, order, body, key)  # a copy, late
        return answer, type


class Customer(Person):
    ROLE = "customer"

    def turn(self):
        ask = self.ask_until_known if self.random.random() < 0.5 else self.ask
        answer, type = ask("create", body=hub.NEW_ORDER)
        if type == "ok":
            self.world.orders.append(answer["id"])
            if self.random.random() < 0.1:
                self.ask("cancel", answer["id"])
        self.world.over.wait(self.random.random() * 0.1)


class Dispatcher(Person):
    ROLE = "dispatcher"

    def turn(self):
        self.ask("cancel", self.random.choice(list(self.world.orders)))
        self.world.over.wait(self.random.random() * 0.2)


class Partner(Person):
    ROLE = "partner"

    def turn(self):
        """Take something, then bring some of it on, give some back and forget some."""
        ask = self.ask_until_known if self.random.random() < 0.6 else self.ask
        if self.random.random() < 0.25:
            answer, type = ask("next")
        else:
            answer, type = ask("accept", self.random.choice(list(self.world.orders)))
        if type == "fail" and answer.get("reason") == "capacity":
            self.look_again()
        elif type == "ok" and answer and self.random.random() < 0.8:
            self.bring_on(answer, ask)
        self.world.over.wait(self.random.random() * 0.05)

    def bring_on(self, order, ask):
        fence = {"fence": order["fence"]}
        if self.random.random() < 0.3:
            ask("release", order["id"], fence)
        elif ask("pickup", order["id"], fence)[1] == "ok":
            ask("deliver", order["id"], fence)
        if self.random.random() < 0.1:
            ask("pickup", order["id"], fence)  # by a number that may be passed

    def look_again(self):
        """What is held by requests whose outcome was never known."""
        for status in "assigned", "picked_up":
            try:
                code, page, _ = self.send("GET", f"/orders?status={status}")
            except (OSError, http.client.HTTPException):
                return
            for order in page["orders"] if code == 200 else ():
                step = "deliver" if status == "picked_up" else "release"
                self.ask(step, order["id"], {"fence": order["fence"]})


class Sampler(threading.Thread):
    """Counts in the database itself who holds how many, as often as it can."""

    def __init__(self, world, connect):
        super().__init__(name="sampler")
        self.world, self.connect = world, connect

    def run(self):
        database = None
        while not self.world.over.wait(0.05):
            try:
                database = database or self.connect(connect_timeout=2, read_timeout=4)
                held = hub.rows(database, "SELECT partner, COUNT(*) n FROM orders WHERE status IN "
                                "('assigned', 'picked_up') GROUP BY partner")
                self.world.history.write(type="held", held={h["partner"]: h["n"] for h in held})
            except pymysql.err.Error:
                database = None


def crowd(world, partners):
    return [*(Partner(world, f"p{i}") for i in range(partners)),
            *(Customer(world, f"c{i}") for i in range(max(2, partners // 8))),
            Dispatcher(world, "dora")]

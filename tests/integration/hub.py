"""What the tests of delivery-hub share: tokens by PyJWT, calls by requests, the database by
PyMySQL, a burst of requests that are truly in flight together, and the checker of a race."""

import http.client
import json
import time
from collections import Counter

import jwt
import pymysql
import pytest
import requests

KEY = "k" * 16 + "0123456789abcdef"
NEW_ORDER = {"pickup": "Mühlgasse 1", "dropoff": "Am Markt 2", "fee_cents": 450}


_redis_databases = {}


def env(mariadb, redis, database, **more):
    """Each database has a Redis database of its own: the first one number 0."""
    numbers = _redis_databases.setdefault(redis, {})
    number = numbers.setdefault((mariadb, database), len(numbers))
    return {"HUB_TOKEN_KEY": KEY, "MYSQL_URL": mariadb.url(database),
            "REDIS_URL": f"{redis.url}/{number}", **more}


@pytest.fixture
def start(mariadb, redis, start_server, folder):
    """start(OPTION=value...) -> a hub on a database of the test's own, which is server.database."""
    name = folder.name.replace("-", "_")[:60]

    def start(**options):
        server = start_server("delivery-hub", env(mariadb, redis, name, **options))
        server.database = connect(mariadb, name)
        server.sitter = connect(mariadb, name)
        return server

    return start


def token(sub, role, key=KEY, **claims):
    return jwt.encode({"sub": sub, "role": role, "exp": int(time.time()) + 3600, **claims}, key, "HS256")


class Client:
    """One person. Every verb returns requests' response."""

    def __init__(self, server, sub, role):
        self.url = server.url
        self.sub = sub
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token(sub, role)}"

    def call(self, method, path, **kwargs):
        return self.session.request(method, self.url + path, timeout=20, **kwargs)

    def get(self, path, **kwargs):
        return self.call("GET", path, **kwargs)

    def post(self, path, **kwargs):
        return self.call("POST", path, **kwargs)

    def place(self, **members):
        r = self.post("/orders", json={**NEW_ORDER, **members})
        assert r.status_code == 201, r.text
        return r.json()["id"]

    def accept(self, order, **headers):
        return self.post(f"/orders/{order}/accept", headers=headers)


def customer(server, sub="carla"):
    return Client(server, sub, "customer")


def partner(server, sub="p1"):
    return Client(server, sub, "partner")


def dispatcher(server, sub="dora"):
    return Client(server, sub, "dispatcher")


class Events:
    """GET /events of one person, event by event; as events come at least once, a version that was
    heard is passed over, until a reset."""

    def __init__(self, server, sub, role, last=None, **claims):
        headers = {"Authorization": f"Bearer {token(sub, role, **claims)}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self.connection.request("GET", "/events", headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.id = None
        self.heard = set()

    def block(self):
        """The fields of the next block, comments under ""; None at the end of the stream."""
        fields = {}
        while line := self.response.readline():
            if line == b"\n":
                self.id = fields.get("id", self.id)
                return fields
            name, _, value = line.decode().rstrip("\n").partition(":")
            fields[name] = value.removeprefix(" ")
        return None

    def next(self):
        """(type, order) of the next event."""
        while True:
            fields = self.block()
            if "event" not in fields:
                continue
            kind, order = fields["event"], json.loads(fields["data"])
            if kind == "reset":
                self.heard.clear()
                return kind, order
            version = order["id"], order["version"]
            if version not in self.heard:
                self.heard.add(version)
                return kind, order

    def steps(self, n):
        """(type, order id, version) of the next n events."""
        return [(kind, order.get("id"), order.get("version")) for kind, order in
                (self.next() for _ in range(n))]

    def close(self):
        self.connection.close()


def connect(mariadb, database, **kwargs):
    return pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database=database,
                           autocommit=True, cursorclass=pymysql.cursors.DictCursor, **kwargs)


def rows(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def lock_waiter(connection):
    """Does a transaction wait for a row's lock? Not from innodb_trx: read more often than every
    100 ms, that table never changes."""
    return status_of(connection, "Innodb_row_lock_current_waits") > 0


def status_of(connection, name):
    return int(rows(connection, "SHOW GLOBAL STATUS LIKE %s", name)[0]["Value"])


def metric(server, name):
    text = requests.get(server.url + "/metrics", timeout=10).text
    return next((float(line.split()[1]) for line in text.splitlines()
                 if line.startswith(name + " ")), 0)


class Burst:
    """One keep-alive connection a partner. accept(order): every partner's request is sent before
    the first answer is read, another one first each time; 503 is asked again after its Retry-After,
    as a client should."""

    def __init__(self, server, partners):
        self.calls = [(p, http.client.HTTPConnection("127.0.0.1", server.port, timeout=30),
                       {"Authorization": f"Bearer {token(p, 'partner')}"}) for p in partners]
        self.busy = 0

    def accept(self, order):
        """[(partner, status, body)], one of each partner."""
        self.calls = self.calls[1:] + self.calls[:1]
        answers, ask = [], self.calls
        while ask:
            for _, connection, headers in ask:
                connection.request("POST", f"/orders/{order}/accept", headers=headers)
            again, wait = [], 0
            for call in ask:
                response = call[1].getresponse()
                body = json.loads(response.read())
                if response.status == 503:
                    wait = max(wait, int(response.headers["Retry-After"]))
                    again.append(call)
                else:
                    answers.append((call[0], response.status, body))
            self.busy += len(again)
            time.sleep(wait)
            ask = again
        return answers

    def close(self):
        for _, connection, _ in self.calls:
            connection.close()


def violations(answers, connection):
    """What is wrong with a race: `answers` is {order: [(partner, status, body)]}; the database is
    read through PyMySQL. An empty list is a race in which every order has one winner, and the
    database and the outbox say the same."""
    wrong = []
    stored = {str(o["id"]): o for o in rows(connection, "SELECT * FROM orders")}
    events = {}
    for e in rows(connection, "SELECT * FROM outbox ORDER BY id"):
        events.setdefault(str(e["order_id"]), []).append(e)
    for order, given in answers.items():
        codes = Counter(status for _, status, _ in given)
        winners = [(p, body) for p, status, body in given if status == 200]
        if len(winners) != 1 or codes[200] + codes[409] != len(given):
            wrong.append(f"order {order}: {dict(codes)}, won by {[p for p, _ in winners]}")
        for p, status, body in given:
            if status == 409 and (body["reason"], body["state"]) != ("state", "assigned"):
                wrong.append(f"order {order}: {p} refused by {body}")
        for p, body in winners:
            o = stored[order]
            if (o["partner"], o["status"], o["version"], o["fence"]) != (p, "assigned", 2, 1):
                wrong.append(f"order {order}: {p} was told 200, the database has {o}")
            if (body["partner"], body["version"], body["fence"]) != (p, 2, 1):
                wrong.append(f"order {order}: {p} was told {body}")
        log = [(e["version"], e["event"], e["actor"]) for e in events.get(order, [])]
        expected = [(1, "created", stored[order]["customer"]),
                    (2, "accepted", stored[order]["partner"])]
        if log != expected:
            wrong.append(f"order {order}: outbox {log}")
    return wrong

"""A student-portal with people in it, and clients of it."""

import base64
import hashlib
import hmac
import json
import os
import resource
import socket
import time
from pathlib import Path

import pymysql
import redis as redis_client
import requests

from harness import server

PEOPLE = Path(__file__).with_name("portal_people.sql")
PASSWORD = "demo-password"
REDIS_DATABASE = 5


class Client(requests.Session):
    """A browser: keeps the cookie, sends the CSRF token."""

    def __init__(self, url):
        super().__init__()
        self.base = url

    def request(self, method, path, **kwargs):
        kwargs.setdefault("timeout", 30)
        return super().request(method, self.base + path, **kwargs)

    def login(self, account, password=PASSWORD):
        reply = self.post("/login", json={"account": account, "password": password})
        if reply.status_code == 200:
            self.headers["X-CSRF-Token"] = reply.json()["csrf_token"]
        return reply

    def mark(self, session, student, mark):
        return self.put(f"/sessions/{session}/attendance/{student}", json={"mark": mark})


class World:
    """A server on a database and a Redis database of its own."""

    def __init__(self, folder, mariadb, redis, database, **env):
        self.mariadb, self.redis, self.database = mariadb, redis, database
        self.redis_db().flushdb()
        mariadb.sql(f"DROP DATABASE IF EXISTS `{database}`")
        self.env = {"MYSQL_URL": mariadb.url(database),
                    "REDIS_URL": f"{redis.url}/{REDIS_DATABASE}", **env}
        self.folder = folder
        self.server = self.new_server().start()
        mariadb.sql(PEOPLE.read_text(), database)

    @property
    def url(self):
        return self.server.url

    def another(self, **env):
        """A second server on the same stores."""
        return self.new_server(**env).start()

    def new_server(self, **env):
        return server.Server("student-portal", {**self.env, **env}, self.folder)

    def client(self, account=None, url=None):
        client = Client(url or self.url)
        if account:
            assert client.login(account).status_code == 200
        return client

    def visitor(self, account, url=None):
        """As client(account), with a session written where a login writes it: no password is
        hashed, which is most of a login's time."""
        id, gen = self.sql(f"SELECT id, session_gen FROM users WHERE account = '{account}'").split()
        return self.visitors([(account, id)], gen, url)[0]

    def visitors(self, people, gen=1, url=None):
        """The same for many people at once, given as (account, users.id)."""
        clients, pipe, now = [], self.redis_db().pipeline(), int(time.time() * 1000)
        for _, id in people:
            secret = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=")
            pipe.set(session_key(secret.decode()), f"{id} {gen} {now}", ex=1800)
            csrf = base64.urlsafe_b64encode(hmac.digest(secret, b"csrf", "sha256")).rstrip(b"=")
            client = Client(url or self.url)
            client.cookies.set("session", secret.decode())
            client.headers["X-CSRF-Token"] = csrf.decode()
            clients.append(client)
        pipe.execute()
        return clients

    def sql(self, text):
        return self.mariadb.sql(text, self.database)

    def connection(self):
        return pymysql.connect(host="127.0.0.1", port=self.mariadb.port, user="root",
                               database=self.database, autocommit=True)

    def redis_db(self):
        return redis_client.Redis(port=self.redis.port, db=REDIS_DATABASE)

    def server_in_flight(self):
        """Requests that the server has begun and not finished, this one left out."""
        text = requests.get(self.url + "/metrics", timeout=10).text
        return next(int(line.split()[-1]) for line in text.splitlines()
                    if line.startswith("http_requests_in_flight ")) - 1

    def close(self):
        if self.server.running():
            assert self.server.stop() == 0


def session_key(cookie):
    """Where a session stands in Redis."""
    digest = hashlib.sha256(base64.urlsafe_b64decode(cookie + "=")).hexdigest()
    return f"portal:session:{digest}"


def at_once(port, requests):
    """Bytes of requests, each on a socket of its own and all sent before the first answer is read;
    of each what comes until the server closes: (status, headers and body as text)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    sockets = [socket.create_connection(("127.0.0.1", port), 60) for _ in requests]
    for s, request in zip(sockets, requests):
        s.sendall(request)
    return [answer(s) for s in sockets]


def answer(s):
    with s:
        text = b"".join(iter(lambda: s.recv(65536), b"")).decode("utf-8", "replace")
    return int(text.split(" ", 2)[1]) if text else None, text


def raw(port, head, body=b""):
    """One request, byte by byte as given."""
    return at_once(port, [head + body])[0]


def post(path, json_body, client=None):
    """The bytes of a request, of that client when there is one."""
    body = json.dumps(json_body)
    own = (f"Cookie: session={client.cookies['session']}\r\n"
           f"X-CSRF-Token: {client.headers['X-CSRF-Token']}\r\n" if client else "")
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{own}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def problem(reply, status, *slugs):
    """The reply is one of these problems (RFC 9457); its members."""
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"] == "application/problem+json"
    body = json.loads(reply.text)
    assert body["type"].removeprefix("/problems/") in slugs and body["status"] == status
    if status in (429, 503):
        assert int(reply.headers["Retry-After"]) >= 1
    return body

"""Who may what: every route, for every role, against a table written here and not read from the
product; and the ways around such tables that others had."""

import base64
import os
import subprocess

import pytest
from harness.server import binary
from portal_world import World, raw

# Who asks: no session, a session that never was, and a user of each role.
CALLERS = ("nobody", "forged", "ana", "frank", "alma")
EVERYBODY = dict.fromkeys(CALLERS, 200)


def only(account, status, others=403):
    return {"nobody": 401, "forged": 401, "ana": others, "frank": others, "alma": others,
            account: status}


def any_user(status):
    return {"nobody": 401, "forged": 401, "ana": status, "frank": status, "alma": status}


MARK = {"mark": "excused"}
# method, pattern, path, body, {caller: status}. Per object: own, another's, missing.
EXPECTED = [
    ("GET", "/", "/", None, EVERYBODY),
    ("GET", "/portal.js", "/portal.js", None, EVERYBODY),
    ("GET", "/portal.css", "/portal.css", None, EVERYBODY),
    ("GET", "/openapi.json", "/openapi.json", None, EVERYBODY),
    ("GET", "/healthz", "/healthz", None, EVERYBODY),
    ("GET", "/readyz", "/readyz", None, EVERYBODY),
    ("GET", "/metrics", "/metrics", None, EVERYBODY),
    ("POST", "/login", "/login", {}, dict.fromkeys(CALLERS, 422)),
    ("GET", "/me", "/me", None, any_user(200)),
    ("GET", "/me/attendance", "/me/attendance", None, only("ana", 200)),
    ("GET", "/me/attendance/{course}", "/me/attendance/cs101", None, only("ana", 200)),
    ("GET", "/me/attendance/{course}", "/me/attendance/ph301", None, only("ana", 404)),
    ("GET", "/me/attendance/{course}", "/me/attendance/none", None, only("ana", 404)),
    ("GET", "/courses", "/courses", None, only("frank", 200)),
    ("GET", "/courses/{course}/sessions", "/courses/cs101/sessions", None, only("frank", 200)),
    ("GET", "/courses/{course}/sessions", "/courses/ph301/sessions", None, only("frank", 404)),
    ("GET", "/courses/{course}/sessions", "/courses/none/sessions", None, only("frank", 404)),
    ("GET", "/sessions/{session}/attendance", "/sessions/6/attendance", None, only("frank", 200)),
    ("GET", "/sessions/{session}/attendance", "/sessions/13/attendance", None, only("frank", 404)),
    ("GET", "/sessions/{session}/attendance", "/sessions/99/attendance", None, only("frank", 404)),
    ("PUT", "/sessions/{session}/attendance/{student}", "/sessions/6/attendance/ben", MARK,
     only("frank", 200)),
    ("PUT", "/sessions/{session}/attendance/{student}", "/sessions/13/attendance/cara", MARK,
     only("frank", 404)),  # another's session
    ("PUT", "/sessions/{session}/attendance/{student}", "/sessions/6/attendance/cara", MARK,
     only("frank", 404)),  # not enrolled
    ("PUT", "/sessions/{session}/attendance/{student}", "/sessions/6/attendance/none", MARK,
     only("frank", 404)),
    ("PUT", "/sessions/{session}/attendance/{student}", "/sessions/99/attendance/ben", MARK,
     only("frank", 404)),
    ("GET", "/users", "/users", None, only("alma", 200)),
    ("PATCH", "/users/{user}", "/users/dan", {"disabled": False}, only("alma", 200)),
    ("PATCH", "/users/{user}", "/users/alma", {"disabled": True}, only("alma", 409)),
    ("PATCH", "/users/{user}", "/users/none", {"disabled": True}, only("alma", 404)),
    ("POST", "/logout", "/logout", None, any_user(204)),
]
COMMON = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
# Of these the 404 comes from the object check, which OPTIONS passes like any other request.
OBJECT_CHECKED = {f"/{kind}/{id}/{rest}" for kind, ids, rest in (
    ("courses", ("ph301", "none"), "sessions"), ("sessions", (13, 99), "attendance"),
    ("sessions", (13,), "attendance/cara"), ("sessions", (99,), "attendance/ben")) for id in ids}
ROLE_OF = {"ana": "student", "frank": "faculty", "alma": "admin"}


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-routes", mariadb, redis, "portal_routes")
    yield w
    w.close()


def callers(world):
    clients = {name: world.client(name if name in ROLE_OF else None) for name in CALLERS}
    forged = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    clients["forged"].cookies.set("session", forged)
    clients["forged"].headers["X-CSRF-Token"] = "x"
    return clients


def differences(clients, expected):
    """What the server does otherwise than expected, a line each."""
    found = []
    for method, _, path, body, statuses in expected:
        for who, status in statuses.items():
            reply = clients[who].request(method, path, json=body)
            if reply.status_code != status:
                found.append(f"{who} {method} {path}: {reply.status_code}, not {status}")
    return found


def table():
    """The product's own table: (method, pattern) -> roles."""
    lines = subprocess.run([binary("student-portal"), "--routes"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    rows = [line.split() for line in lines]
    assert all(len(row) == 5 for row in rows) and rows
    return {(row[0], row[1]): set(row[2].split("|")) for row in rows}


def test_every_route_for_every_role(world):
    assert differences(callers(world), EXPECTED) == []


def test_that_matrix_sees_a_hole(world):
    """The control: were one cell wrong, the check would say so."""
    clients = callers(world)
    for i, who in ((9, "frank"), (9, "nobody"), (20, "ana"), (25, "frank")):
        method, pattern, path, body, statuses = EXPECTED[i]
        wrong = [(method, pattern, path, body, {**statuses, who: 200})]
        assert len(differences(clients, wrong)) == 1


def test_table_and_expectation_name_the_same_routes():
    product = table()
    assert set(product) == {(row[0], row[1]) for row in EXPECTED} - COMMON
    for (method, pattern), roles in product.items():
        allowed = {who for row in EXPECTED if row[:2] == (method, pattern)
                   for who, status in row[4].items() if status not in (401, 403)}
        if "nobody" in allowed:
            assert roles == {"anyone"}, pattern
        else:
            assert roles == {ROLE_OF[who] for who in allowed}, pattern


def test_openapi_names_the_same_routes(world):
    api = world.client().get("/openapi.json").json()
    documented = {(method.upper(), path) for path, item in api["paths"].items()
                  for method in item if method != "parameters"}
    assert documented == set(table())
    for method, path in documented:
        security = api["paths"][path][method.lower()]["security"]
        anyone = table()[method, path] == {"anyone"}
        csrf = not anyone and method not in ("GET", "HEAD")
        assert security == ([] if anyone else [{"session": [], "csrf": []} if csrf
                                               else {"session": []}]), path


def test_head_and_options_pass_the_same_check(world):
    clients = callers(world)
    for method, _, path, _, statuses in EXPECTED[:-1]:
        for who, status in statuses.items():
            if method == "GET":
                reply = clients[who].head(path)
                assert (reply.status_code, reply.content) == (status, b""), (who, path)
            reply = clients[who].options(path)
            if status in (401, 403) or (status == 404 and path in OBJECT_CHECKED):
                assert reply.status_code == status, (who, path)
            else:
                assert reply.status_code < 300 and method in reply.headers["Allow"], (who, path)


def test_other_methods_are_refused_with_allow(world):
    clients = callers(world)
    for method, path, allow in (("POST", "/users", "GET"), ("DELETE", "/users/ben", "PATCH"),
                                ("PUT", "/login", "POST"), ("DELETE", "/me/attendance", "GET")):
        for who in ("nobody", "alma"):
            reply = clients[who].request(method, path)
            assert reply.status_code == 405 and allow in reply.headers["Allow"]


PATHS = [
    "//users", "/users/", "/./users", "/x/../users", "/me/../users", "/public/../users",
    "/.//users", "/%2e/users", "/%2e%2e/users", "/me/%2e%2e/users", "/%2E%2E/users", "/%75sers",
    "/users%2f", "/users%2F", "/%2fusers", "/%2Fusers", "/users%00", "/users%00.css", "/USERS",
    "/Users", "/users.", "/users%2e", "/users%20", "/users%09", "/users%0a", "/users;", "/users;a=b",
    "/users.json", "/users.css", "/portal.css/../users", "/portal.css%2f..%2fusers", "\\users",
    "/\\users", "/%5cusers", "/%5Cusers", "/users\\", "/%c0%afusers", "/..;/users", "/users..",
    "/%252e%252e/users", "/users%252f", "/users%ff", "/us%65rs", "/users/%2e", "/users/.",
    "/users/..", "/users/x/..", "http://127.0.0.1/users", "users", "*", "", "/users ", "/?/users",
    "/me?/../users", "/users#", "/#/users", "/me%3f/users", "/healthz/../users", "/login/../users",
]


@pytest.mark.parametrize("who", ["nobody", "ana", "frank"])
def test_no_path_leads_around_the_table(world, who):
    client = world.client(who if who in ROLE_OF else None)
    cookie = "".join(f"Cookie: session={v}\r\n" for v in client.cookies.values())
    for path in PATHS:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{cookie}Connection: close\r\n\r\n".encode()
        status, text = raw(world.server.port, head)
        harmless = path in ("/?/users", "/me?/../users")  # of these the path is / and /me
        dropped = path == "/users " and status is None  # three blanks: no request line at all
        assert dropped or status in ((200, 401) if harmless else (400, 401, 403, 404, 405)), path
        assert '"users"' not in text and "Ben Brandt" not in text, path


def test_the_same_request_of_an_admin_succeeds(world):
    """The control of the test before: what must not leak is there."""
    cookie = world.client("alma").cookies["session"]
    head = f"GET /users HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\nConnection: close\r\n\r\n"
    status, text = raw(world.server.port, head.encode())
    assert status == 200 and "Ben Brandt" in text


TRICKS = [
    {"X-HTTP-Method-Override": "GET"}, {"X-Method-Override": "PATCH"}, {"X-HTTP-Method": "GET"},
    {"X-Original-URL": "/users"}, {"X-Rewrite-URL": "/users"}, {"X-Forwarded-Path": "/users"},
    {"X-Forwarded-Prefix": "/users"}, {"X-Middleware-Subrequest": "middleware"},
    {"X-Middleware-Subrequest": "src/middleware:" * 5}, {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Host": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}, {"X-Role": "admin"},
    {"X-User": "alma"}, {"X-Remote-User": "alma"}, {"Remote-User": "alma"},
    {"Authorization": "Basic YWxtYTpkZW1vLXBhc3N3b3Jk"}, {"Authorization": "Bearer alma"},
    {"Origin": "http://127.0.0.1"}, {"X-Custom-IP-Authorization": "127.0.0.1"},
]


def test_no_header_leads_around_the_table(world):
    ana = world.client("ana")
    for headers in TRICKS:
        assert ana.get("/users", headers=headers).status_code == 403, headers
        assert ana.post("/users", headers=headers).status_code == 405, headers
        home = ana.get("/", headers=headers)
        assert home.status_code == 200 and "Ben Brandt" not in home.text
        assert world.client().get("/users", headers=headers).status_code == 401, headers


@pytest.mark.parametrize("method", ["get", "Get", "GETX", "GE", "TRACE", "CONNECT", "PROPFIND"])
def test_odd_methods(world, method):
    cookie = world.client("alma").cookies["session"]
    head = (f"{method} /users HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\n"
            "Connection: close\r\n\r\n")
    status, text = raw(world.server.port, head.encode())
    assert (status is None or status >= 400) and "Ben Brandt" not in text


def test_numbers_that_are_no_session(world):
    frank = world.client("frank")
    for text in ("0", "06", "-6", "+6", "6.0", "6e0", "0x6", "6%20", "6a", "18446744073709551622",
                 "4294967302", "9223372036854775807", "99999999999999999999", "%EF%BC%96", "6,7"):
        assert frank.get(f"/sessions/{text}/attendance").status_code == 404, text
        assert frank.mark(text, "ben", "present").status_code == 404, text


def test_names_that_are_no_account(world):
    """Names are compared byte by byte: case, blanks and accents make another one."""
    frank, ana = world.client("frank"), world.client("ana")
    for text in ("BEN", "Ben", "b%C3%A9n", "ben%20", "%E2%80%8Bben", "ben'--", "%25", "b_n", "1", "2"):
        assert frank.mark(6, text, "present").status_code == 404, text
        assert world.client().login(text).status_code in (401, 422), text
    for text in ("CS101", "cs101%20", "cs%25", "%C3%A7s101", "1"):
        assert ana.get(f"/me/attendance/{text}").status_code == 404, text
        assert frank.get(f"/courses/{text}/sessions").status_code == 404, text

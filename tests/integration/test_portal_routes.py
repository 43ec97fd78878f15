"""Who may what: every route, for every role, against a table written here and not read from the
product; and the ways around such tables that others had."""

import base64
import os
import re
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
CLASS = {"marks": {"ben": "excused"}}
START = {"starts_at": "2026-01-05T09:00:00Z"}  # of session 1: it is there already
COURSE = {"title": "Optics", "teacher": "fay"}
PERSON = {"name": "Dan Dahl", "role": "student"}
CSV = "account,name,role,courses\r\n"
S = "/sessions/{session}"
C = "/courses/{course}"


def both(status_of_frank, status_of_alma):
    return {"nobody": 401, "forged": 401, "ana": 403, "frank": status_of_frank,
            "alma": status_of_alma}


def of_sessions(method, rest, body, own):
    """A route below a session of frank's: the own, fay's (13), a missing one."""
    return [(method, S + rest, f"/sessions/{id}{rest}", body, only("frank", status))
            for id, status in ((6, own), (13, 404), (99, 404))]


def of_courses(method, rest, body, own):
    return [(method, C + rest, f"/courses/{code}{rest}", body, only("frank", status))
            for code, status in (("cs101", own), ("ph301", 404), ("none", 404))]


# method, pattern, path, body, {caller: status}. Per object: own, another's, missing. frank teaches
# cs101 (session 6) and not ph301 (session 13); ana attends cs101, not ph301.
EXPECTED = [
    ("GET", "/", "/", None, EVERYBODY),
    ("GET", "/portal.js", "/portal.js", None, EVERYBODY),
    *(("GET", f"/{name}.js", f"/{name}.js", None, EVERYBODY)
      for name in ("ui", "student", "faculty", "admin")),
    ("GET", "/portal.css", "/portal.css", None, EVERYBODY),
    ("GET", "/openapi.json", "/openapi.json", None, EVERYBODY),
    ("GET", "/healthz", "/healthz", None, EVERYBODY),
    ("GET", "/readyz", "/readyz", None, EVERYBODY),
    ("GET", "/metrics", "/metrics", None, EVERYBODY),
    ("POST", "/login", "/login", {}, dict.fromkeys(CALLERS, 422)),
    ("POST", "/password", "/password", {}, any_user(422)),
    ("GET", "/me", "/me", None, any_user(200)),
    # Students: their own.
    ("GET", "/me/attendance", "/me/attendance", None, only("ana", 200)),
    ("GET", "/me/attendance/{course}", "/me/attendance/cs101", None, only("ana", 200)),
    ("GET", "/me/attendance/{course}", "/me/attendance/ph301", None, only("ana", 404)),
    ("GET", "/me/attendance/{course}", "/me/attendance/none", None, only("ana", 404)),
    ("GET", "/me/check-ins", "/me/check-ins", None, only("ana", 200)),
    ("POST", S + "/check-in", "/sessions/6/check-in", {"code": "0"}, only("ana", 409)),  # closed
    ("POST", S + "/check-in", "/sessions/13/check-in", {"code": "0"}, only("ana", 404)),
    ("POST", S + "/check-in", "/sessions/99/check-in", {"code": "0"}, only("ana", 404)),
    # Faculty: the courses they teach.
    *of_sessions("GET", "/check-in", None, 200),
    *of_sessions("PUT", "/check-in", {"minutes": 0}, 422),
    *of_sessions("DELETE", "/check-in", None, 204),
    *of_sessions("GET", "/attendance", None, 200),
    *of_sessions("PUT", "/attendance", CLASS, 200),
    ("PUT", S + "/attendance/{student}", "/sessions/6/attendance/ben", MARK, only("frank", 200)),
    ("PUT", S + "/attendance/{student}", "/sessions/13/attendance/cara", MARK,
     only("frank", 404)),  # another's session
    ("PUT", S + "/attendance/{student}", "/sessions/6/attendance/cara", MARK,
     only("frank", 404)),  # not enrolled
    ("PUT", S + "/attendance/{student}", "/sessions/6/attendance/none", MARK, only("frank", 404)),
    ("PUT", S + "/attendance/{student}", "/sessions/99/attendance/ben", MARK, only("frank", 404)),
    *of_sessions("DELETE", "", None, 409),  # it has marks
    *of_courses("GET", "/sessions", None, 200),
    *of_courses("POST", "/sessions", START, 200),
    *of_courses("GET", "/report", None, 200),
    *of_courses("GET", "/report.csv", None, 200),
    # Faculty theirs, admins all.
    ("GET", "/courses", "/courses", None, both(200, 200)),
    ("GET", C + "/students", "/courses/cs101/students", None, both(200, 200)),
    ("GET", C + "/students", "/courses/ph301/students", None, both(404, 200)),
    ("GET", C + "/students", "/courses/none/students", None, both(404, 404)),
    # Admins: people, courses, who is enrolled; no attendance.
    ("PUT", C + "/students/{student}", "/courses/cs101/students/ana", None, only("alma", 204)),
    ("PUT", C + "/students/{student}", "/courses/cs101/students/none", None, only("alma", 404)),
    ("PUT", C + "/students/{student}", "/courses/none/students/ana", None, only("alma", 404)),
    ("PUT", C + "/students/{student}", "/courses/cs101/students/fay", None, only("alma", 409)),
    ("DELETE", C + "/students/{student}", "/courses/cs101/students/dan", None, only("alma", 404)),
    ("DELETE", C + "/students/{student}", "/courses/none/students/ana", None, only("alma", 404)),
    ("PUT", C, "/courses/ph301", COURSE, only("alma", 200)),
    ("PUT", C, "/courses/ph301", {**COURSE, "teacher": "ana"}, only("alma", 422)),
    ("GET", "/users", "/users", None, only("alma", 200)),
    ("GET", "/users/{user}", "/users/dan", None, only("alma", 200)),
    ("GET", "/users/{user}", "/users/ana", None, only("alma", 200)),  # nor one's own this way
    ("GET", "/users/{user}", "/users/none", None, only("alma", 404)),
    ("PUT", "/users/{user}", "/users/dan", PERSON, only("alma", 409)),
    ("PATCH", "/users/{user}", "/users/dan", {"disabled": False}, only("alma", 200)),
    ("PATCH", "/users/{user}", "/users/alma", {"disabled": True}, only("alma", 409)),
    ("PATCH", "/users/{user}", "/users/none", {"disabled": True}, only("alma", 404)),
    ("POST", "/users/{user}/password-reset", "/users/dan/password-reset", None, only("alma", 200)),
    ("POST", "/users/{user}/password-reset", "/users/none/password-reset", None,
     only("alma", 404)),
    ("POST", "/imports", "/imports", CSV, only("alma", 200)),
    ("GET", "/audit", "/audit", None, only("alma", 200)),
    ("GET", "/dashboard", "/dashboard", None, only("alma", 200)),
    ("POST", "/logout", "/logout", None, any_user(204)),
]
COMMON = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
# Patterns with an object check: OPTIONS passes it like any other request.
CHECKED = {S + rest for rest in ("", "/check-in", "/attendance", "/attendance/{student}")} | {
    C + rest for rest in ("/sessions", "/report", "/report.csv", "/students")}
OUT_OF_REACH = {"13", "99", "ph301", "none"}
ROLE_OF = {"ana": "student", "frank": "faculty", "alma": "admin"}


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-routes", mariadb, redis, "portal_routes")
    yield w
    w.close()


def callers(world):
    clients = {name: world.visitor(name) if name in ROLE_OF else world.client() for name in CALLERS}
    forged = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    clients["forged"].cookies.set("session", forged)
    clients["forged"].headers["X-CSRF-Token"] = "x"
    return clients


def send(client, method, path, body):
    if isinstance(body, str):
        return client.request(method, path, data=body, headers={"Content-Type": "text/csv"})
    return client.request(method, path, json=body)


def differences(clients, expected):
    """What the server does otherwise than expected, a line each."""
    found = []
    for method, _, path, body, statuses in expected:
        for who, status in statuses.items():
            reply = send(clients[who], method, path, body)
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
    rows = {(method, path): row for row in EXPECTED for method, path in [(row[0], row[2])]}
    for method, path, who in (
            ("GET", "/me/attendance", "frank"), ("GET", "/me/attendance", "nobody"),
            ("PUT", "/sessions/6/attendance/ben", "ana"),
            ("PUT", "/sessions/6/attendance/ben", "alma"), ("GET", "/users", "frank"),
            ("GET", "/courses/ph301/students", "frank")):
        method, pattern, path, body, statuses = rows[method, path]
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
    product = table()
    assert documented == set(product)
    for method, path in documented:
        security = api["paths"][path][method.lower()]["security"]
        anyone = product[method, path] == {"anyone"}
        csrf = not anyone and method not in ("GET", "HEAD")
        assert security == ([] if anyone else [{"session": [], "csrf": []} if csrf
                                               else {"session": []}]), path


def options_status(pattern, path, who):
    """OPTIONS runs the checks of the path's GET, or else of its first row."""
    rows = [row for row in EXPECTED if row[1] == pattern]
    first = next((row for row in rows if row[0] == "GET"), rows[0])
    same = next((row for row in rows if row[0] == first[0] and row[2] == path), first)
    status = same[4][who]
    beyond = status == 404 and pattern in CHECKED and path.split("/")[2] in OUT_OF_REACH
    refused = status in (401, 403) or (beyond and same[2] == path)
    return status if refused else 204


def test_head_and_options_pass_the_same_check(world):
    clients = callers(world)
    for method, pattern, path, _, statuses in EXPECTED[:-1]:
        for who, status in statuses.items():
            if method == "GET":
                reply = clients[who].head(path)
                assert (reply.status_code, reply.content) == (status, b""), (who, path)
            reply = clients[who].options(path)
            expected = options_status(pattern, path, who)
            if expected == 204:
                assert reply.status_code < 300 and method in reply.headers["Allow"], (who, path)
            else:
                assert reply.status_code == expected, (who, path)


def test_other_methods_are_refused_with_allow(world):
    """A method that a path has not is 405 for whoever may use the path, and never runs."""
    clients = callers(world)
    for method, path, allow in (("POST", "/users", "GET"), ("DELETE", "/users/ben", "PATCH"),
                                ("PUT", "/login", "POST"), ("DELETE", "/me/attendance", "GET"),
                                ("DELETE", "/audit", "GET"), ("PATCH", "/audit", "GET")):
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
@pytest.mark.parametrize("target", ["users", "audit"])
def test_no_path_leads_around_the_table(world, who, target):
    client = world.visitor(who) if who in ROLE_OF else world.client()
    cookie = "".join(f"Cookie: session={v}\r\n" for v in client.cookies.values())
    paths = [re.sub("users", target, path) for path in PATHS]
    if target != "users":
        paths = [path for path in paths if target in path.lower()]
    for path in paths:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\n{cookie}Connection: close\r\n\r\n".encode()
        status, text = raw(world.server.port, head)
        harmless = "?/" in path  # of these the path is / and /me
        dropped = path.endswith(" ") and status is None  # three blanks: no request line at all
        assert dropped or status in ((200, 401) if harmless else (400, 401, 403, 404, 405)), path
        assert f'"{target}"' not in text and '"lines"' not in text and "Ben Brandt" not in text, path


def test_the_same_request_of_an_admin_succeeds(world):
    """The control of the test before: what must not leak is there."""
    cookie = world.visitor("alma").cookies["session"]
    head = f"GET /users HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\nConnection: close\r\n\r\n"
    status, text = raw(world.server.port, head.encode())
    assert status == 200 and "Ben Brandt" in text


CHANGES = [row for row in EXPECTED if row[0] not in ("GET", "HEAD") and row[1] != "/login"]


def test_no_change_without_the_sessions_own_token(world):
    """Another site can make a browser send the cookie: every changing route wants the token, too,
    before it looks at anything else."""
    clients = {name: world.visitor(name) for name in ROLE_OF}
    tokens = {name: c.headers.pop("X-CSRF-Token") for name, c in clients.items()}
    before = world.sql("SELECT COUNT(*), MAX(id) FROM audit_log; SELECT * FROM attendance;"
                       "SELECT id, session_gen FROM users")
    others = {"ana": "frank", "frank": "alma", "alma": "ana"}
    for method, pattern, path, body, statuses in CHANGES:
        who = next(name for name in ROLE_OF if statuses[name] not in (401, 403))
        for token in (None, "", "x", tokens[others[who]], tokens[who][:-1], tokens[who] + "A",
                      tokens[who].swapcase()):
            clients[who].headers.pop("X-CSRF-Token", None)
            if token is not None:
                clients[who].headers["X-CSRF-Token"] = token
            reply = send(clients[who], method, path, body)
            assert reply.status_code == 403, (who, method, path, token)
    after = world.sql("SELECT COUNT(*), MAX(id) FROM audit_log; SELECT * FROM attendance;"
                      "SELECT id, session_gen FROM users")
    assert after == before


def test_no_cookie_makes_more_of_a_role(world):
    """Two cookies, other names, another role's id in part: never more than one's own."""
    ana, alma = (world.visitor(name).cookies["session"] for name in ("ana", "alma"))
    for cookie, expected in (
            (f"session={ana}; session={alma}", 400), (f"session={alma}; session={ana}", 400),
            (f"session={ana}; Session={alma}", 403), (f"session={ana}; __Host-session={alma}", 403),
            (f"__Host-session={alma}", 401), (f"SESSION={alma}", 401), (f"session ={alma}", 401),
            (f"session={ana}{alma}", 400), (f"session={alma[:-1]}", 401), (f"session={alma}=", 400),
            (f"session={alma.swapcase()}", 401), (f'session="{alma}"', 400), ("session=", 401),
            (f"role=admin; session={ana}", 403), (f"session={ana}; user=alma", 403)):
        reply = world.client().get("/users", headers={"Cookie": cookie})
        assert reply.status_code == expected, cookie
    assert world.client().get("/users", headers={"Cookie": f"session={alma}"}).status_code == 200


def test_who_may_not_is_refused_before_the_body_is_taken(world):
    """Routes with large bodies keep nothing of what a wrong role sends."""
    ana, body = world.visitor("ana"), b"x" * (3 * 1024 * 1024)
    for path, type in (("/imports", "text/csv"), ("/sessions/6/attendance", "application/json")):
        method = "POST" if path == "/imports" else "PUT"
        cookie, token = ana.cookies["session"], ana.headers["X-CSRF-Token"]
        head = (f"{method} {path} HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\n"
                f"X-CSRF-Token: {token}\r\nContent-Type: {type}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        status, _ = raw(world.server.port, head)  # the answer comes, the body never does
        assert status == 403, path


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
    ana = world.visitor("ana")
    for headers in TRICKS:
        assert ana.get("/users", headers=headers).status_code == 403, headers
        assert ana.post("/users", headers=headers).status_code == 405, headers
        assert ana.get("/dashboard", headers=headers).status_code == 403, headers
        assert ana.get("/sessions/6/attendance", headers=headers).status_code == 403, headers
        assert ana.post("/users/ben/password-reset", headers=headers).status_code == 403, headers
        home = ana.get("/", headers=headers)
        assert home.status_code == 200 and "Ben Brandt" not in home.text
        assert world.client().get("/users", headers=headers).status_code == 401, headers


@pytest.mark.parametrize("method", ["get", "Get", "GETX", "GE", "TRACE", "CONNECT", "PROPFIND"])
def test_odd_methods(world, method):
    cookie = world.visitor("alma").cookies["session"]
    head = (f"{method} /users HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\n"
            "Connection: close\r\n\r\n")
    status, text = raw(world.server.port, head.encode())
    assert (status is None or status >= 400) and "Ben Brandt" not in text


def test_numbers_that_are_no_session(world):
    frank = world.visitor("frank")
    for text in ("0", "06", "-6", "+6", "6.0", "6e0", "0x6", "6%20", "6a", "18446744073709551622",
                 "4294967302", "9223372036854775807", "99999999999999999999", "%EF%BC%96", "6,7"):
        assert frank.get(f"/sessions/{text}/attendance").status_code == 404, text
        assert frank.mark(text, "ben", "present").status_code == 404, text


def test_names_that_are_no_account(world):
    """Names are compared byte by byte: case, blanks and accents make another one."""
    frank, ana = world.visitor("frank"), world.visitor("ana")
    for text in ("BEN", "Ben", "b%C3%A9n", "ben%20", "%E2%80%8Bben", "ben'--", "%25", "b_n", "1", "2"):
        assert frank.mark(6, text, "present").status_code == 404, text
        assert world.client().login(text).status_code in (401, 422), text
    for text in ("CS101", "cs101%20", "cs%25", "%C3%A7s101", "1"):
        assert ana.get(f"/me/attendance/{text}").status_code == 404, text
        assert frank.get(f"/courses/{text}/sessions").status_code == 404, text

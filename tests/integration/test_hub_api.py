"""The API: who may do what, what is refused and how."""

import json
import re
import time

import pytest
import requests

import hub
from harness.process import BUILD, free_port, until

OPEN = {"/", "/style.css", "/openapi.json", "/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def stores_env(mariadb, redis):
    return hub.env(mariadb, redis, "hub_api", HUB_DEMO_LOGIN=1, HUB_CAPACITY=1000)


OPENAPI = json.loads((BUILD.parent / "delivery-hub/web/openapi.json").read_text())["paths"]


@pytest.fixture(autouse=True)
def described(monkeypatch):
    """Whatever a described route answers in these tests, its description names."""
    call = hub.Client.call

    def checked(self, method, path, **kwargs):
        r = call(self, method, path, **kwargs)
        pattern = re.sub(r"^/orders/\d+", "/orders/{order}", path.partition("?")[0])
        route = OPENAPI.get(pattern, {}).get(method.lower())
        assert not route or str(r.status_code) in route["responses"], (pattern, r.text)
        return r

    monkeypatch.setattr(hub.Client, "call", checked)


@pytest.fixture
def server(start_server, stores_env):
    return start_server("delivery-hub", stores_env)


@pytest.fixture
def database(mariadb, server):
    connection = hub.connect(mariadb, "hub_api")
    yield connection
    connection.close()


def problem(response, status, slug):
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"/problems/{slug}" and body["status"] == status
    assert body["request_id"] == response.headers["X-Request-Id"]
    return body


# --- the life of an order ------------------------------------------------------------------------

def test_place_read_accept(server, database):
    carla, p1, dora = hub.customer(server), hub.partner(server), hub.dispatcher(server)
    r = carla.post("/orders", json={**hub.NEW_ORDER, "note": "ring twice"})
    assert r.status_code == 201
    order = r.json()
    assert r.headers["Location"] == f"/orders/{order['id']}"
    assert r.headers["ETag"] == '"v1"'
    assert isinstance(order["id"], str)
    assert order == {"id": order["id"], "status": "pending", "version": 1, "fence": 0,
                     "customer": "carla", "partner": None, "lease_until": None, **hub.NEW_ORDER, "note": "ring twice",
                     "created_at": order["created_at"], "updated_at": order["created_at"]}
    for who in carla, p1, dora:
        assert who.get(f"/orders/{order['id']}").json() == order

    r = p1.accept(order["id"])
    assert r.status_code == 200 and r.headers["ETag"] == '"v2"'
    taken = r.json()
    assert taken == {**order, "status": "assigned", "version": 2, "fence": 1, "partner": "p1",
                     "lease_until": taken["lease_until"], "updated_at": taken["updated_at"]}
    assert taken["updated_at"] >= order["updated_at"]
    assert p1.get(f"/orders/{order['id']}").json() == taken

    outbox = hub.rows(database, "SELECT * FROM outbox WHERE order_id = %s ORDER BY version",
                      order["id"])
    assert [(e["event"], e["version"], e["actor"]) for e in outbox] == [
        ("created", 1, "carla"), ("accepted", 2, "p1")]
    assert [json.loads(e["body"]) for e in outbox] == [order, taken]


def test_the_whole_way(server, database):
    carla, p1, p2 = hub.customer(server), hub.partner(server, "p1"), hub.partner(server, "p2")
    order = carla.place()
    step = lambda who, verb, fence: who.post(f"/orders/{order}/{verb}", json={"fence": fence})
    p1.accept(order)
    assert step(p1, "release", 1).json()["status"] == "pending"
    assert p2.accept(order).json()["fence"] == 2
    problem(step(p1, "pickup", 1), 404, "not-found")  # not theirs to see any more
    assert problem(step(p2, "pickup", 1), 412, "precondition-failed")["reason"] == "fence"
    problem(p2.post(f"/orders/{order}/pickup"), 428, "precondition-required")
    assert problem(step(p2, "deliver", 2), 409, "conflict")["state"] == "assigned"
    assert step(p2, "pickup", 2).json()["status"] == "picked_up"
    assert problem(carla.post(f"/orders/{order}/cancel"), 409, "conflict")["state"] == "picked_up"
    done = step(p2, "deliver", 2)
    assert done.status_code == 200 and done.headers["ETag"] == '"v6"'
    assert p2.get(f"/orders/{order}").json() == done.json()
    events = hub.rows(database, "SELECT event, actor FROM outbox WHERE order_id = %s ORDER BY "
                      "version", order)
    assert [(e["event"], e["actor"]) for e in events] == [
        ("created", "carla"), ("accepted", "p1"), ("released", "p1"), ("accepted", "p2"),
        ("picked_up", "p2"), ("delivered", "p2")]


def test_cancel(server):
    carla, dave, p1 = hub.customer(server), hub.customer(server, "dave"), hub.partner(server)
    order = carla.place()
    p1.accept(order)
    problem(dave.post(f"/orders/{order}/cancel"), 404, "not-found")
    assert carla.post(f"/orders/{order}/cancel").json()["status"] == "cancelled"
    # The holder sees what became of it.
    r = p1.post(f"/orders/{order}/pickup", json={"fence": 1})
    assert problem(r, 409, "conflict")["state"] == "cancelled"
    assert hub.dispatcher(server).post(f"/orders/{carla.place()}/cancel").status_code == 200


@pytest.mark.parametrize("body,status", [
    ('{"fence":"1"}', 422), ('{"fence":1.0}', 422), ('{"fence":null}', 422), ('{"fences":1}', 422),
    ('{"fence":9223372036854775808}', 400), ('{"fence":1,"fence":1}', 400), ("[1]", 422),
    ('{"fence":0}', 428), ("{}", 428), ('{"fence":-1}', 412), ('{"fence":4294967297}', 412),
])
def test_bad_fences(server, body, status):
    order = hub.customer(server).place()
    p1 = hub.partner(server)
    p1.accept(order)
    r = p1.post(f"/orders/{order}/pickup", data=body, headers={"Content-Type": "application/json"})
    assert r.status_code == status, r.text


def test_refused_accept_names_the_state(server):
    order = hub.customer(server).place()
    assert hub.partner(server, "p1").accept(order).status_code == 200
    for name in "p2", "p1":
        body = problem(hub.partner(server, name).accept(order), 409, "conflict")
        assert (body["reason"], body["state"]) == ("state", "assigned")


def test_conditional_read(server):
    carla, p1 = hub.customer(server), hub.partner(server)
    order = carla.place()
    r = carla.get(f"/orders/{order}", headers={"If-None-Match": '"v1"'})
    assert r.status_code == 304 and r.content == b"" and r.headers["ETag"] == '"v1"'
    assert r.headers["Cache-Control"] == "private, no-cache"
    p1.accept(order)
    r = carla.get(f"/orders/{order}", headers={"If-None-Match": '"v1", W/"v7"'})
    assert r.status_code == 200 and r.headers["ETag"] == '"v2"'


def test_who_sees_what(server):
    carla, dave = hub.customer(server, "carla"), hub.customer(server, "dave")
    p1, p2, dora = hub.partner(server, "p1"), hub.partner(server, "p2"), hub.dispatcher(server)
    path = f"/orders/{carla.place()}"
    everybody = (carla, dave, p1, p2, dora)
    assert [w.get(path).status_code for w in everybody] == [200, 404, 200, 200, 200]
    p1.post(path + "/accept")
    assert [w.get(path).status_code for w in everybody] == [200, 404, 200, 404, 200]
    # A person of the same name in another role is another person.
    assert hub.customer(server, "p1").get(path).status_code == 404
    problem(dave.get(path), 404, "not-found")


def test_text_survives(server):
    carla = hub.customer(server)
    text = {"pickup": "寿司屋 \"7\" \\ <b>", "dropoff": "ü" * 100, "note": "a\tb\nc 🛵"}
    order = carla.place(**text)
    assert carla.get(f"/orders/{order}").json().items() >= text.items()


# --- lists ---------------------------------------------------------------------------------------

def walk(who, path):
    """Every page by its Link header."""
    orders = []
    while path:
        r = who.get(path)
        assert r.status_code == 200, r.text
        page = r.json()["orders"]
        assert page or not orders
        orders += page
        path = r.links.get("next", {}).get("url")
    return orders


def ids(orders):
    return [o["id"] for o in orders]


def test_lists_and_pages(start_server, mariadb, redis):
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_lists", HUB_CAPACITY=1000))
    carla, dave = hub.customer(server, "carla"), hub.customer(server, "dave")
    p1, p2, dora = hub.partner(server, "p1"), hub.partner(server, "p2"), hub.dispatcher(server)
    orders = [(carla, dave)[i % 2].place() for i in range(23)]
    for i, order in enumerate(orders):
        if i % 3 == 0:
            assert p1.accept(order).status_code == 200
        elif i % 7 == 1:
            assert p2.accept(order).status_code == 200
    newest_first = orders[::-1]
    p1_has = [o for o in newest_first if orders.index(o) % 3 == 0]
    p2_has = [o for o in newest_first if orders.index(o) % 3 and orders.index(o) % 7 == 1]
    pending = [o for o in newest_first if o not in p1_has and o not in p2_has]

    for limit in 1, 2, 5, 22, 23, 24, 100:
        page = f"/orders?limit={limit}"
        assert ids(walk(dora, page)) == newest_first
        assert ids(walk(carla, page)) == orders[::2][::-1]
        assert ids(walk(dave, page)) == orders[1::2][::-1]
        assert ids(walk(p1, page)) == [o for o in newest_first if o in pending or o in p1_has]
        assert ids(walk(p1, page + "&status=assigned")) == p1_has
        assert ids(walk(p2, page + "&status=pending")) == pending
        assert ids(walk(dora, page + "&status=pending")) == pending
        assert walk(dora, page + "&status=cancelled") == []
        assert ids(walk(carla, page + "&status=assigned")) == [
            o for o in newest_first if o not in pending and o in orders[::2]]
    assert len(dora.get("/orders").json()["orders"]) == 20
    assert dora.get("/orders?limit=23").links == {}
    # A page is fixed by its key: what is placed meanwhile moves nothing.
    second = dora.get("/orders?limit=10").links["next"]["url"]
    expected = dora.get(second).json()
    carla.place()
    assert dora.get(second).json() == expected


@pytest.mark.parametrize("query", [
    "limit=0", "limit=101", "limit=-1", "limit=1.0", "limit=", "limit=9223372036854775808",
    "limit=1e1", "limit=%31%00", "after=0", "after=-1", "after=x", "after=", "status=",
    "status=Pending", "status=lost", "status=pending&status=pending", "limit=1&limit=2",
    "page=1", "status=%ff", "status=%zz", "after=99999999999999999999",
])
def test_bad_queries(server, query):
    problem(hub.dispatcher(server).get("/orders?" + query), 400, "bad-request")


# --- bad input -----------------------------------------------------------------------------------

GOOD = json.dumps(hub.NEW_ORDER)

BODIES = [
    ("", 400), ("{", 400), ("[]", 422), ("null", 422), ('"a"', 422), (GOOD + "x", 400),
    (GOOD[:-1] + ',"pickup":"b"}', 400), (GOOD[:-1] + ',}', 400), ("{" * 100, 400),
    ('{"a":' * 40 + "1" + "}" * 40, 400), (GOOD.replace("Am", "\\ud800"), 400),
    (GOOD.replace("Am", "\\u0000"), 400), ("\ufeff" + GOOD, 400), ("{}", 422),
    (GOOD[:-1] + ',"status":"assigned"}', 422), (GOOD[:-1] + ',"customer":"dave"}', 422),
    (GOOD.replace("450", "-1"), 422), (GOOD.replace("450", "1000001"), 422),
    (GOOD.replace("450", "9223372036854775808"), 400), (GOOD.replace("450", "4294967746"), 422),
    (GOOD.replace("450", "450.0"), 422), (GOOD.replace("450", '"450"'), 422),
    (GOOD.replace("450", "true"), 422), (GOOD.replace("450", "NaN"), 400),
    (GOOD.replace("Am Markt 2", ""), 422), (GOOD.replace("Am Markt 2", "x" * 201), 422),
    (GOOD.replace("Am Markt 2", "a\\nb"), 422), (GOOD.replace('"Am Markt 2"', "null"), 422),
    (GOOD.replace('"Am Markt 2"', '["Am Markt 2"]'), 422),
    (GOOD[:-1] + ',"note":"' + "x" * 501 + '"}', 422),
    (GOOD[:-1] + ',"note":"' + "x" * 9000 + '"}', 413),
]


@pytest.mark.parametrize("body,status", BODIES)
def test_bad_bodies(server, database, body, status):
    before = hub.rows(database, "SELECT COUNT(*) n FROM orders")
    r = hub.customer(server).post("/orders", data=body.encode(),
                                  headers={"Content-Type": "application/json"})
    problem(r, status, {400: "bad-request", 413: "too-large", 422: "unprocessable"}[status])
    assert hub.rows(database, "SELECT COUNT(*) n FROM orders") == before


def test_bytes_that_are_not_utf8(server):
    r = hub.customer(server).post("/orders", data=GOOD.encode("latin-1").replace(b"Am", b"\xff\xfe"),
                                  headers={"Content-Type": "application/json"})
    problem(r, 400, "bad-request")


def test_media_types(server):
    carla = hub.customer(server)
    for kind in "text/plain", "application/x-www-form-urlencoded", "application/jsonx":
        problem(carla.post("/orders", data=GOOD, headers={"Content-Type": kind}), 415,
                "unsupported-media-type")
    r = carla.post("/orders", data=GOOD.encode(),
                   headers={"Content-Type": "application/json; charset=utf-8"})
    assert r.status_code == 201


def test_accept_takes_no_body(server):
    order = hub.customer(server).place()
    problem(hub.partner(server).post(f"/orders/{order}/accept", json={"partner": "p2"}), 422,
            "unprocessable")
    assert hub.dispatcher(server).get(f"/orders/{order}").json()["status"] == "pending"


@pytest.mark.parametrize("order", ["0", "01", "-1", "+1", "1.0", "1x", "x", "99999999999",
                                   "9223372036854775807", "9223372036854775808", "1" * 100, "%201",
                                   "1%20", "%EF%BC%91"])
def test_ids_of_no_order(server, order):
    dora, p1 = hub.dispatcher(server), hub.partner(server)
    problem(dora.get(f"/orders/{order}"), 404, "not-found")
    problem(p1.accept(order), 404, "not-found")


@pytest.mark.parametrize("path", ["/orders/", "/orders//accept", "/orders/../orders", "/orders/%2e",
                                  "//orders", "/orders/1%2faccept", "/orders/1%00", "/%6frders"])
def test_paths_that_are_not_canonical(server, path):
    prepared = requests.Request("GET", server.url).prepare()
    prepared.url = server.url + path  # as it is: requests would tidy it
    prepared.headers["Authorization"] = f"Bearer {hub.token('dora', 'dispatcher')}"
    with requests.Session() as session:
        assert session.send(prepared, timeout=10).status_code == 400


# --- who may -------------------------------------------------------------------------------------

ROUTES = {  # written from the description, not from the code
    ("POST", "/orders"): {"customer"},
    ("GET", "/orders"): {"customer", "partner", "dispatcher"},
    ("GET", "/orders/{order}"): {"customer", "partner", "dispatcher"},
    ("POST", "/orders/next"): {"partner"},
    ("GET", "/orders/{order}/history"): {"customer", "partner", "dispatcher"},
    ("POST", "/orders/{order}/accept"): {"partner"},
    ("POST", "/orders/{order}/pickup"): {"partner"},
    ("POST", "/orders/{order}/deliver"): {"partner"},
    ("POST", "/orders/{order}/release"): {"partner"},
    ("POST", "/orders/{order}/cancel"): {"customer", "dispatcher"},
    ("GET", "/stats"): {"dispatcher"},
    ("GET", "/events"): {"customer", "partner", "dispatcher"},
    ("POST", "/demo/login"): None,
    ("GET", "/"): None,
    ("GET", "/style.css"): None,
    **{("GET", f"/{script}.js"): None
       for script in ("app", "api", "ui", "board", "partner", "customer")},
    ("GET", "/openapi.json"): None,
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): None,
}


def send(server, method, path, order, headers):
    body = {"/orders": hub.NEW_ORDER, "/demo/login": {"account": "p7"}}.get(path)
    return requests.request(method, server.url + path.replace("{order}", order), headers=headers,
                            json=body if method == "POST" else None, timeout=10,
                            stream=path == "/events")  # it would not end


@pytest.mark.parametrize("role", ["customer", "partner", "dispatcher", "admin", "", None])
def test_every_route_and_role(server, role):
    carla = hub.customer(server)
    sub = {"customer": "carla", "partner": "p1", "dispatcher": "dora"}.get(role, "eve")
    headers = {} if role is None else {"Authorization": f"Bearer {hub.token(sub, role)}"}
    for (method, path), who in ROUTES.items():
        r = send(server, method, path, carla.place(), headers)
        if who is None or role in who:
            # A pending order has no holder, so that a partner's other actions get as far as 428.
            expected = (428,) if path.endswith(("pickup", "deliver", "release")) else (200, 201)
            assert r.status_code in expected, (method, path, r.text)
        elif role is None:
            problem(r, 401, "unauthenticated")
            assert r.headers["WWW-Authenticate"].startswith("Bearer")
        elif role == "":
            assert r.status_code in (401, 403)
        else:
            problem(r, 403, "forbidden")
        if method == "GET":  # HEAD passes the same check
            head = send(server, "HEAD", path, carla.place(), headers)
            assert head.status_code == r.status_code and head.content == b""


def test_the_table_and_the_description_name_the_same_routes(server):
    described = requests.get(server.url + "/openapi.json", timeout=10).json()["paths"]
    named = {(m.upper(), path) for path, item in described.items() for m in item
             if m in ("get", "post", "put", "patch", "delete")}
    assert named == set(ROUTES) - {("GET", p) for p in ("/healthz", "/readyz", "/metrics")}


def test_wrong_methods(server):
    dora = hub.dispatcher(server)
    for method, path, allow in [("DELETE", "/orders/1", "GET, HEAD, OPTIONS"),
                                ("PUT", "/orders", "GET, HEAD, POST, OPTIONS"),
                                ("GET", "/orders/1/accept", "POST, OPTIONS"),
                                ("BREW", "/orders", "GET, HEAD, POST, OPTIONS")]:
        r = dora.call(method, path)
        problem(r, 405, "method-not-allowed")
        assert r.headers["Allow"] == allow
    problem(dora.get("/nowhere"), 404, "not-found")


def test_bad_tokens(server):
    good = hub.token("dora", "dispatcher")
    head, body, signature = good.split(".")
    none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
    bad = {
        "expired": hub.token("dora", "dispatcher", exp=int(time.time()) - 1),
        "expires now": hub.token("dora", "dispatcher", exp=int(time.time())),
        "wrong key": hub.token("dora", "dispatcher", key="x" * 32),
        "no signature": f"{head}.{body}.",
        "alg none": f"{none}.{body}.",
        "alg none, signed": f"{none}.{body}.{signature}",
        "other body": f"{head}.{hub.token('dora', 'customer').split('.')[1]}.{signature}",
        "cut": good[:-1],
        "longer": good + "A",
        "two parts": f"{head}.{body}",
        "empty": "",
        "huge": "a" * 6000,
        "no subject": hub.token("", "dispatcher"),
        "strange subject": hub.token("do ra", "dispatcher"),
        "long subject": hub.token("d" * 65, "dispatcher"),
        "not yet": hub.token("dora", "dispatcher", nbf=int(time.time()) + 600),
    }
    for name, token in bad.items():
        r = requests.get(server.url + "/orders", headers={"Authorization": f"Bearer {token}"},
                         timeout=10)
        assert r.status_code == 401, name
    for header in f"Basic {good}", good, f"Bearer  {good}x", "Bearer":
        r = requests.get(server.url + "/orders", headers={"Authorization": header}, timeout=10)
        assert r.status_code == 401, header
    r = requests.get(server.url + "/orders", headers={"Authorization": f"Bearer {good}"}, timeout=10)
    assert r.status_code == 200


def test_demo_login(server):
    for account, role in ("carla", "customer"), ("p1", "partner"), ("p50", "partner"), (
            "dora", "dispatcher"):
        r = requests.post(server.url + "/demo/login", json={"account": account}, timeout=10)
        assert r.status_code == 200 and r.headers["Cache-Control"] == "no-store"
        assert (r.json()["sub"], r.json()["role"]) == (account, role)
        bearer = {"Authorization": f"Bearer {r.json()['token']}"}
        assert requests.get(server.url + "/orders", headers=bearer, timeout=10).status_code == 200
    for account in "p0", "p51", "p01", "P1", "p1 ", "", "p4294967297", "root":
        r = requests.post(server.url + "/demo/login", json={"account": account}, timeout=10)
        problem(r, 422, "unprocessable")
    for body in {}, {"account": 1}, {"account": "p1", "role": "dispatcher"}:
        problem(requests.post(server.url + "/demo/login", json=body, timeout=10), 422,
                "unprocessable")


def test_demo_login_is_off_unless_asked_for(start_server, stores_env):
    server = start_server("delivery-hub", {**stores_env, "HUB_DEMO_LOGIN": "0"})
    problem(requests.post(server.url + "/demo/login", json={"account": "p1"}, timeout=10), 404,
            "not-found")


def test_demo_login_for_everybody_by_force(start_server, stores_env):
    """Off loopback 1 is refused at start, which test_hub_faults.py holds."""
    port = free_port()
    server = start_server("delivery-hub", {**stores_env, "HUB_DEMO_LOGIN": "force",
                                           "HUB_LISTEN": f"0.0.0.0:{port}"}, port=port)
    r = requests.post(server.url + "/demo/login", json={"account": "p1"}, timeout=10)
    assert r.status_code == 200 and r.json()["role"] == "partner"


# --- the same request again ----------------------------------------------------------------------

def same(a, b):
    kept = ("Content-Type", "Location", "ETag")
    assert a.status_code == b.status_code
    assert {k: a.headers.get(k) for k in kept} == {k: b.headers.get(k) for k in kept}
    if a.status_code < 400:
        assert a.content == b.content
    else:
        drop = lambda r: {k: v for k, v in r.json().items() if k != "request_id"}
        assert drop(a) == drop(b)


def test_placed_once(server, database):
    carla = hub.customer(server)
    headers = {"Idempotency-Key": "place-1"}
    first = carla.post("/orders", json=hub.NEW_ORDER, headers=headers)
    again = carla.post("/orders", json=hub.NEW_ORDER, headers=headers)
    assert first.status_code == 201
    same(first, again)
    body = problem(carla.post("/orders", json={**hub.NEW_ORDER, "fee_cents": 1}, headers=headers),
                   422, "unprocessable")
    assert body["reason"] == "idempotency-key"
    # Another caller's key of the same name is another key.
    other = hub.customer(server, "dave").post("/orders", json=hub.NEW_ORDER, headers=headers)
    assert other.status_code == 201 and other.json()["id"] != first.json()["id"]


def test_a_key_is_of_one_role(server):
    """A dispatcher who is called like a customer does not get that customer's answer."""
    eve = hub.customer(server, "eve")
    order = eve.place()
    key = {"Idempotency-Key": f"cancel-{order}"}
    assert eve.post(f"/orders/{order}/cancel", headers=key).status_code == 200
    other = hub.dispatcher(server, "eve")
    problem(other.post(f"/orders/{order}/cancel", headers=key), 422, "unprocessable")


def test_accepted_once(server):
    carla, p1, p2 = hub.customer(server), hub.partner(server, "p1"), hub.partner(server, "p2")
    order, second = carla.place(), carla.place()
    won = p1.accept(order, **{"Idempotency-Key": "a"})
    lost = p2.accept(order, **{"Idempotency-Key": "a"})
    assert (won.status_code, lost.status_code) == (200, 409)
    same(won, p1.accept(order, **{"Idempotency-Key": "a"}))
    same(lost, p2.accept(order, **{"Idempotency-Key": "a"}))
    assert p1.accept(order).status_code == 409  # without the key it is another request
    problem(p1.accept(second, **{"Idempotency-Key": "a"}), 422, "unprocessable")


def test_many_copies_at_once(server, database):
    import threading
    carla, p1 = hub.customer(server), hub.partner(server)
    orders = [carla.place() for _ in range(10)]
    for order in orders:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            hub.partner(server).accept(order, **{"Idempotency-Key": f"copy-{order}"})))
            for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [r.status_code for r in answers] == [200] * 8, [r.text for r in answers]
        for r in answers:
            same(answers[0], r)
    events = hub.rows(database, "SELECT COUNT(*) n FROM outbox WHERE event = 'accepted' AND "
                      "order_id >= %s", orders[0])
    assert events == [{"n": len(orders)}]


def test_a_copy_of_what_is_still_being_done(server, mariadb):
    carla, p1 = hub.customer(server), hub.partner(server)
    first = carla.place()
    p1.accept(first)
    sitter = hub.connect(mariadb, "hub_api")
    sitter.begin()
    hub.rows(sitter, "INSERT INTO idempotency VALUES ('p1', 'slow', REPEAT('x', 32), 0, 0, 0, '', "
             "NOW(3))")
    r = p1.accept(first, **{"Idempotency-Key": "slow"})
    assert problem(r, 409, "conflict")["reason"] == "in-flight" and r.headers["Retry-After"] == "1"
    sitter.rollback()
    sitter.close()


def test_old_keys_are_swept(start_server, mariadb, redis):
    """More than a batch of them, and no young one."""
    env = hub.env(mariadb, redis, "hub_sweep")
    start_server("delivery-hub", env).stop()
    mariadb.sql("INSERT INTO idempotency SELECT 'p1', seq, REPEAT('x', 32), 200, 1, 1, '{}', NOW(3) "
                "- INTERVAL IF(seq <= 1200, 1441, 1439) MINUTE FROM seq_1_to_1203", "hub_sweep")
    start_server("delivery-hub", env)
    with hub.connect(mariadb, "hub_sweep") as database:
        until(lambda: hub.rows(database, "SELECT COUNT(*) n FROM idempotency") == [{"n": 3}])


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "ü"])
def test_keys_that_are_none(server, key):
    r = hub.customer(server).post("/orders", json=hub.NEW_ORDER,
                                  headers={"Idempotency-Key": key.encode()})
    problem(r, 400, "bad-request")


def test_a_failure_is_not_recorded(server, mariadb):
    """503 for want of a lock; the same key then does the work."""
    carla, p1 = hub.customer(server), hub.partner(server)
    order = carla.place()
    sitter = hub.connect(mariadb, "hub_api")
    sitter.begin()
    hub.rows(sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    assert p1.accept(order, **{"Idempotency-Key": f"k{order}"}).status_code == 503
    sitter.rollback()
    sitter.close()
    assert p1.accept(order, **{"Idempotency-Key": f"k{order}"}).status_code == 200


# --- the rest ------------------------------------------------------------------------------------

def test_metrics_and_pages(server):
    hub.customer(server).place()
    until(lambda: 'hub_events_published_total' in requests.get(server.url + "/metrics",
                                                               timeout=10).text)
    page = requests.get(server.url + "/", timeout=10)
    assert "text/html" in page.headers["Content-Type"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]

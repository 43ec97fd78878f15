"""What is kept of a request's answer, and that it is given again as it was. (Copies at the same
time, sweeping and keys that are none: test_hub_api.py. Lost answers: test_hub_faults.py.)"""

import pytest

import hub

MAY_DIFFER = {"Date", "X-Request-Id", "Consistency-Token"}


@pytest.fixture
def server(mariadb, redis, start_server, folder):
    name = folder.name.replace("-", "_")[:60]
    server = start_server("delivery-hub", hub.env(mariadb, redis, name))
    server.database = hub.connect(mariadb, name)
    server.sitter = hub.connect(mariadb, name)
    return server


def records(server, caller):
    return [(r["idem_key"], r["code"]) for r in hub.rows(
        server.database, "SELECT idem_key, code FROM idempotency WHERE caller = %s ORDER BY "
        "created_at, idem_key", caller)]


def keyed(key):
    return {"Idempotency-Key": key}


def test_without_a_key_only_winners_are_recorded(server):
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    order = carla.place()
    assert p1.accept(order).status_code == 200
    assert p2.accept(order).status_code == 409
    assert p2.post("/orders/next").status_code == 204
    assert p1.post(f"/orders/{order}/pickup", json={"fence": 7}).status_code == 412
    assert [code for _, code in records(server, "carla")] == [201]
    assert [code for _, code in records(server, "p1")] == [200]
    assert records(server, "p2") == []
    # A key that no client can send.
    assert all(key[0] == " " for key, _ in records(server, "carla") + records(server, "p1"))


def test_with_a_key_what_is_final_is_recorded(server):
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    order = carla.post("/orders", json=hub.NEW_ORDER, headers=keyed("201")).json()["id"]
    path = f"/orders/{order}"
    p1.accept(order, **keyed("200"))
    p2.accept(order, **keyed("409"))
    p2.post("/orders/next", headers=keyed("204"))
    p1.post(path + "/pickup", json={"fence": 7}, headers=keyed("412"))
    # Not these: nothing was decided by the order's state.
    assert p1.post(path + "/pickup", headers=keyed("428")).status_code == 428
    assert p2.post(path + "/pickup", json={"fence": 1}, headers=keyed("404")).status_code == 404
    assert p1.post(path + "/pickup", json={"fence": "1"}, headers=keyed("422")).status_code == 422
    assert carla.post(path + "/accept", headers=keyed("403")).status_code == 403
    server.sitter.begin()
    hub.rows(server.sitter, "SELECT * FROM orders WHERE id = %s FOR UPDATE", order)
    assert p1.post(path + "/pickup", json={"fence": 1}, headers=keyed("503")).status_code == 503
    server.sitter.rollback()
    assert records(server, "carla") == [("201", 201)]
    assert sorted(records(server, "p1")) == [("200", 200), ("412", 412)]
    assert sorted(records(server, "p2")) == [("204", 204), ("409", 409)]
    assert p1.post(path + "/pickup", json={"fence": 1}, headers=keyed("503")).status_code == 200


def test_a_replay_is_the_same_to_the_byte(server):
    """Status, headers and body, though the order went on since."""
    carla, p1, p2 = hub.customer(server), hub.partner(server), hub.partner(server, "p2")
    order = carla.place()
    calls = [
        lambda: carla.post("/orders", json={**hub.NEW_ORDER, "note": "寿司 \\ \""},
                           headers=keyed("place")),
        lambda: p1.accept(order, **keyed("accept")),
        lambda: p2.accept(order, **keyed("lose")),
        lambda: p1.post(f"/orders/{order}/pickup", json={"fence": 9}, headers=keyed("fence")),
        lambda: p1.post(f"/orders/{order}/release", json={"fence": 1}, headers=keyed("release")),
        lambda: p2.accept(order, **keyed("again")),
    ]
    for who in carla, p1, p2:
        who.session.headers["X-Request-Id"] = "try-1"
    first = [call() for call in calls]
    assert [r.status_code for r in first] == [201, 200, 409, 412, 200, 200]
    for who in carla, p1, p2:
        who.session.headers["X-Request-Id"] = "try-2"
    for r, call in zip(first, calls):
        again = call()
        assert again.status_code == r.status_code
        stays = lambda r: {k: v for k, v in r.headers.items() if k not in MAY_DIFFER}
        assert stays(again) == stays(r)
        assert again.content.replace(b"try-2", b"try-1") == r.content


def test_a_key_is_the_callers_own(server):
    """The same key of two people, and of one in two requests."""
    carla, dave = hub.customer(server), hub.customer(server, "dave")
    a = carla.post("/orders", json=hub.NEW_ORDER, headers=keyed("k"))
    b = dave.post("/orders", json=hub.NEW_ORDER, headers=keyed("k"))
    assert a.status_code == b.status_code == 201 and a.json()["id"] != b.json()["id"]
    order = a.json()["id"]
    for r in (carla.post("/orders", json={**hub.NEW_ORDER, "fee_cents": 1}, headers=keyed("k")),
              carla.post(f"/orders/{order}/cancel", headers=keyed("k"))):
        assert r.status_code == 422 and r.json()["reason"] == "idempotency-key"
    assert carla.get(f"/orders/{order}").json()["status"] == "pending"

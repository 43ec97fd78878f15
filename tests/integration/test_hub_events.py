"""GET /events: who is told what, in which order, and what happens when something is missed."""

import json
import signal
import socket
import threading
import time

import pytest
import redis as redis_client
import requests

import hub
from harness.process import until
from harness.server import Server

RESET = ("reset", None, None)


@pytest.fixture(scope="module")
def quiet(run_folder, mariadb, redis):
    """A server where nothing happens, and a client who listens from the first test on."""
    folder = run_folder / "quiet"
    folder.mkdir()
    server = Server("delivery-hub", hub.env(mariadb, redis, "hub_quiet"), folder).start()
    events = hub.Events(server, "carla", "customer")
    yield events
    events.close()
    assert server.stop() == 0


@pytest.fixture
def open_events():
    opened = []

    def start(*args, **kwargs):
        opened.append(hub.Events(*args, **kwargs))
        return opened[-1]

    yield start
    for events in opened:
        events.close()


@pytest.fixture
def server(start_server, mariadb, redis, quiet):
    return start_server("delivery-hub", hub.env(mariadb, redis, "hub_sse"))


# --- who is told what ----------------------------------------------------------------------------

def test_who_is_told_what(server, open_events):
    people = [("carla", "customer"), ("dave", "customer"), ("p1", "partner"), ("p2", "partner"),
              ("dora", "dispatcher")]
    heard = {sub: open_events(server, sub, role) for sub, role in people}
    for events in heard.values():
        assert events.steps(1) == [RESET]
    carla, dave = hub.customer(server), hub.customer(server, "dave")
    p1, p2 = hub.partner(server, "p1"), hub.partner(server, "p2")
    order = carla.place()
    accepted = p1.accept(order).json()
    p1.post(f"/orders/{order}/release", json={"fence": 1})
    p2.accept(order)
    p2.post(f"/orders/{order}/pickup", json={"fence": 2})
    last = dave.place()

    def all_of(*versions):
        names = ["created", "accepted", "released", "accepted", "picked_up"]
        return [(names[v - 1], order, v) for v in versions]

    def told(sub, n):
        """Order by order: among each other they have none."""
        return sorted(heard[sub].steps(n), key=lambda step: int(step[1]))

    end = [("created", last, 1)]
    assert told("dora", 6) == all_of(1, 2, 3, 4, 5) + end
    assert told("carla", 5) == all_of(1, 2, 3, 4, 5)
    assert told("dave", 1) == end
    assert told("p1", 4) == all_of(1, 2, 3) + end
    assert told("p2", 5) == all_of(1, 3, 4, 5) + end
    # An event's data is the order as the API showed it.
    again = open_events(server, "dora", "dispatcher", last=heard["dora"].id)
    dave.post(f"/orders/{last}/cancel")
    kind, body = again.next()
    assert kind == "cancelled" and body == dave.get(f"/orders/{last}").json()
    assert accepted.keys() == body.keys()


def test_nobody_without_a_token(server):
    assert requests.get(server.url + "/events", timeout=10).status_code == 401
    assert hub.dispatcher(server).call("HEAD", "/events").status_code == 200


def test_listeners_hold_no_worker(start_server, mariadb, redis, open_events):
    server = start_server("delivery-hub", hub.env(mariadb, redis, "hub_many", HUB_WORKERS=1))
    heard = [open_events(server, "carla", "customer") for _ in range(100)]
    order = hub.customer(server).place()
    for events in heard:
        assert events.steps(1) in ([RESET], [("created", order, 1)])
    assert hub.partner(server).accept(order).status_code == 200
    for events in heard:
        while events.steps(1) != [("accepted", order, 2)]:
            pass
    assert "hub_event_clients 100\n" in requests.get(server.url + "/metrics", timeout=10).text


# --- going on where one was ----------------------------------------------------------------------

def test_going_on_on_any_hub(start_server, mariadb, redis, open_events):
    """Exactly what was missed: on the same hub, on another one, on one that started since; in the
    stream's sequence, which the relays of several hubs make."""
    env = hub.env(mariadb, redis, "hub_on")
    servers = [start_server("delivery-hub", env) for _ in range(2)]
    dora = open_events(servers[0], "dora", "dispatcher")
    assert dora.steps(1) == [RESET]
    carla = hub.customer(servers[1])
    seen = carla.place()
    assert dora.steps(1) == [("created", seen, 1)]
    place = dora.id
    dora.close()
    orders = [carla.place() for _ in range(5)]
    missed = open_events(servers[0], "dora", "dispatcher", last=place).steps(5)
    assert sorted(missed) == sorted(("created", order, 1) for order in orders)
    servers.append(start_server("delivery-hub", env))
    for server in servers:
        again = open_events(server, "dora", "dispatcher", last=place)
        assert again.steps(5) == missed
        # By one who saw nothing of it, the place is taken too.
        assert open_events(server, "dora", "dispatcher", last=again.id).id is None
    missed.append(("created", carla.place(), 1))
    for server in servers:
        assert open_events(server, "dora", "dispatcher", last=place).steps(6) == missed


def test_no_place_is_a_reset(server, open_events):
    dora = open_events(server, "dora", "dispatcher")
    assert dora.steps(1) == [RESET]
    order = hub.customer(server).place()
    assert dora.steps(1) == [("created", order, 1)]
    epoch, _, place = dora.id.partition(":")
    strange = ["", "x", place, f"{epoch}:", f"{epoch}:x", f"x{epoch}:{place}", f"0{dora.id}",
               f"{epoch}:{place}x", f"{epoch}:-{place}", "a" * 12 + f":{place}", "b" * 5000,
               f"{epoch}:9999999999999-0", f"{epoch}:{2**64}-0", f"{epoch}:1-1-1"]
    for last in strange:
        again = open_events(server, "dora", "dispatcher", last=last)
        assert (last, again.steps(1)) == (last, [RESET])
        assert again.id == dora.id  # from here one can go on


@pytest.mark.parametrize("lose", ["restart", "flush", "trim"])
def test_a_stream_that_lost_something(start_server, mariadb, own_redis, open_events, lose):
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, f"hub_{lose}"))
    store = redis_client.Redis(port=own_redis.port)
    carla = hub.customer(server)
    dora = open_events(server, "dora", "dispatcher")
    assert dora.steps(1) == [RESET]
    order = carla.place()
    assert dora.steps(1) == [("created", order, 1)]
    before = dora.id
    if lose == "restart":
        own_redis.kill()
        own_redis.start()
    elif lose == "flush":
        store.flushall()
    else:
        store.xtrim("hub:events", maxlen=0)
    assert dora.steps(1) == [RESET]
    next_one = carla.place()
    assert dora.steps(1) == [("created", next_one, 1)]
    assert open_events(server, "dora", "dispatcher", last=dora.id).id is None
    if lose == "restart":
        assert dora.id.split(":")[0] != before.split(":")[0]
    assert open_events(server, "dora", "dispatcher", last=before).steps(1) == [RESET]


def test_the_stream_is_kept_short(start_server, mariadb, own_redis):
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_short"))
    store = redis_client.Redis(port=own_redis.port)
    store.eval("for i = 1, 105000 do redis.call('XADD', KEYS[1], '*', 'x', 1) end", 1, "hub:events")
    hub.customer(server).place()
    until(lambda: 100000 <= store.xlen("hub:events") < 101000, what="the trim")


def test_redis_may_come_later(start_server, mariadb, own_redis, open_events):
    own_redis.kill()
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_late"), "/healthz")
    until(lambda: requests.get(server.url + "/readyz", timeout=10).json()["checks"]["mysql"] == "ok")
    dora = open_events(server, "dora", "dispatcher")
    order = hub.customer(server).place()
    own_redis.start()
    steps = dora.steps(1)
    assert steps == [RESET]


def test_redis_that_stands_still(start_server, mariadb, own_redis, open_events):
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_still"))
    carla = hub.customer(server)
    dora = open_events(server, "dora", "dispatcher")
    assert dora.steps(1) == [RESET]
    own_redis.pause()
    orders = [carla.place() for _ in range(3)]
    own_redis.resume()
    assert sorted(dora.steps(3)) == sorted(("created", order, 1) for order in orders)


# --- ends ----------------------------------------------------------------------------------------

def test_a_slow_client_is_cut_off(start_server, mariadb, own_redis, open_events):
    server = start_server("delivery-hub", hub.env(mariadb, own_redis, "hub_lazy"))
    order = hub.customer(server).place()
    dora = open_events(server, "dora", "dispatcher")
    slow = open_events(server, "dora", "dispatcher")
    slow.block()
    body = {**hub.dispatcher(server).get(f"/orders/{order}").json(), "note": "n" * 2000}
    store = redis_client.Redis(port=own_redis.port)
    events = 3 * 8192
    room = threading.Semaphore(4)  # chunks of 512 that dora has not heard yet: she is not slow

    def flood():
        for at in range(0, events, 512):
            room.acquire()
            pipe = store.pipeline(transaction=False)
            for i in range(at, at + 512):
                pipe.xadd("hub:events", {"event": "created",
                                         "body": json.dumps({**body, "version": i + 2})})
            pipe.execute()

    flooding = threading.Thread(target=flood)
    flooding.start()
    got = 0
    while got < events + 1:
        kind, data = dora.next()
        if data.get("version", 0) > 1:
            assert data["version"] == got + 2
            got += 1
            if got % 512 == 0:
                room.release()
        if got == events:
            break
    flooding.join()
    with pytest.raises((ConnectionResetError, http_incomplete())):
        while slow.block() is not None:
            pass
        raise AssertionError("the stream had a regular end")
    text = requests.get(server.url + "/metrics", timeout=10).text
    assert "hub_event_clients_cut_total 1\n" in text


def http_incomplete():
    import http.client
    return http.client.IncompleteRead


def test_sigterm_ends_streams(server, open_events):
    heard = [open_events(server, "dora", "dispatcher") for _ in range(20)]
    for events in heard:
        assert events.steps(1) == [RESET]
    server.signal(signal.SIGTERM)
    for events in heard:
        while events.block() is not None:  # a whole reply, no reset of the connection
            pass
    assert server.ended() == 0


def test_a_token_ends_its_stream(server, open_events):
    events = open_events(server, "dora", "dispatcher", exp=int(time.time()) + 3)
    while events.block() is not None:
        pass


def test_clients_that_leave_are_forgotten(server, open_events):
    """At the next bytes for them."""
    gone = [open_events(server, "carla", "customer") for _ in range(10)]
    for events in gone:
        events.block()
        events.response.close()
        events.connection.sock.shutdown(socket.SHUT_RDWR) if events.connection.sock else None
        events.close()
    carla = hub.customer(server)

    def left():
        carla.place()
        return "hub_event_clients 0\n" in requests.get(server.url + "/metrics", timeout=10).text
    until(left, what="no clients")


def test_a_comment_now_and_then(quiet):
    """The last test of the file: this connection was silent since the first."""
    assert "event" in quiet.block()
    place = quiet.id
    block = quiet.block()
    assert block[""] == "still here" and set(block) == {"", "id"}
    assert quiet.id == place

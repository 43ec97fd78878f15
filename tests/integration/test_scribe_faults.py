"""Stores and servers that die, hang and come back."""

import json
import time

import pytest
import requests
import scribe_kit as kit
from harness.proxy import Proxy
from harness.process import until
from harness.smalldisk import ServerOn, SmallDisk
from scribe_checker import progress, run_people
from scribe_kit import history  # noqa: F401 (a fixture)
from websockets.exceptions import InvalidStatus


def readyz(server):
    return requests.get(server.url + "/readyz", timeout=kit.WAIT)


# --- Redis -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_redis_dies_and_comes_back(start_server, own_redis, history, how):  # noqa: F811
    env = kit.env(history.url, own_redis.url)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    with kit.Client(a, "ada") as ada, kit.Client(a, "bob") as bob, kit.Client(b, "eve") as eve:
        for c in (ada, bob, eve):
            c.join(room)
        ada.send(room, "before")
        for c in (bob, eve):
            assert c.get("message")["text"] == "before"
        getattr(own_redis, how)()
        if how == "kill":
            until(lambda: kit.metric(b, "scribe_bus_up") == 0, what="the server sees it")
        for i in range(3):
            ada.send(room, f"without {i}")  # acknowledged all the same
            for c in (bob, eve):
                assert c.get("message")["text"] == f"without {i}"
        assert readyz(a).status_code == 200
        with kit.Client(b, "zoe") as zoe:  # and people can come
            assert zoe.join(room)["head"] == 4
            assert kit.seqs(zoe.messages(4)) == [1, 2, 3, 4]
        own_redis.resume() if how == "pause" else own_redis.start()
        for s in (a, b):
            until(lambda: kit.metric(s, "scribe_bus_up") == 1, what="the bus is up again")
        ada.send(room, "after")
        for c in (bob, eve):
            assert c.get("message")["text"] == "after"
            assert c.rest() == []


def test_redis_dead_at_start(start_server, own_redis, history):  # noqa: F811
    own_redis.kill()
    env = kit.env(history.url, own_redis.url)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    with kit.Client(a, "ada") as ada, kit.Client(b, "bob") as bob:
        ada.join(room)
        bob.join(room)
        ada.send(room)
        bob.get("message")
        assert kit.metric(a, "scribe_bus_up") == 0
        own_redis.start()
        for s in (a, b):
            until(lambda: kit.metric(s, "scribe_bus_up") == 1, what="the bus is up")
        ada.send(room)
        assert bob.get("message")["seq"] == 2


def test_a_last_message_that_was_never_published_arrives(start_server, redis, history):  # noqa: F811
    """Its server died between storing and publishing; Redis is well; nobody says anything more."""
    server = start_server("scribe", kit.env(history.url, redis.url))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada:
        ada.join(room)
        ada.send(room, "first")
        ada.get("message")
        history.add(room, 2, "stored only")
        assert ada.get("message")["text"] == "stored only"
        assert ada.send(room, "third") == 3


# --- the history -----------------------------------------------------------------------------


def test_history_dead_at_start(start_server, own_ferret, redis):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    own_ferret.kill()
    server = start_server("scribe", kit.env(history.url, redis.url), wait="/healthz")
    reply = readyz(server)
    assert reply.status_code == 503 and "Retry-After" in reply.headers
    assert "history" in reply.json()["checks"] and reply.json()["checks"]["history"] != "ok"
    with pytest.raises(InvalidStatus) as refused:
        kit.Client(server)
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"]
    own_ferret.start()
    until(lambda: readyz(server).status_code == 200, what="ready without a restart")
    with kit.Client(server) as ada:
        room = kit.name("room")
        ada.join(room)
        assert ada.send(room) == 1


def test_history_dies_and_comes_back(start_server, own_ferret, redis):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url, redis.url))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada, kit.Client(server, "bob") as bob:
        ada.join(room)
        bob.join(room)
        ada.send(room, "before")
        bob.get("message")
        own_ferret.kill()
        until(lambda: readyz(server).status_code == 503, what="not ready")
        assert readyz(server).json()["checks"]["history"] != "ok"
        id = ada.post(room, "in between")
        nack = ada.outcome(id)
        assert (nack["type"], nack["error"], nack["retryable"]) == ("nack", "unavailable", True)
        for request in ({"type": "join", "room": kit.name("room")},
                        {"type": "history", "room": room}, {"type": "read", "room": room, "seq": 1}):
            reply = bob.answer("error", **request)
            assert (reply["error"], reply["retryable"]) == ("unavailable", True)
        assert bob.rest() == []  # nothing was shown that could vanish
        own_ferret.start()
        until(lambda: readyz(server).status_code == 200, what="ready again")
        assert ada.send_until_acked(room, "in between", id) == 2
        assert bob.get("message")["text"] == "in between"
        assert ada.send(room) == 3
    assert [row[0] for row in history.rows(room)] == [1, 2, 3]


def test_an_unknown_outcome_is_settled_before_the_answer(start_server, own_ferret, redis):
    """The server freezes with requests on the way. Whatever it did with them, each has an ack
    that tells the truth, or a nack that can be retried; nothing is stored twice."""
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url, redis.url))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada:
        ada.join(room)
        ids = []
        for i in range(40):
            ids.append(ada.post(room, str(i)))
            if i == 10:
                own_ferret.pause()
        nobody = time.monotonic() + 6  # past the socket's time-out
        until(lambda: time.monotonic() > nobody or not own_ferret.running(), timeout=10)
        own_ferret.resume()
        for i, id in enumerate(ids):
            reply = ada.outcome(id)
            if reply["type"] == "nack":
                assert reply["retryable"]
                ada.send_until_acked(room, str(i), id)
        rows = history.rows(room)
        assert [row[0] for row in rows] == list(range(1, 41))
        assert sorted(row[2] for row in rows) == sorted(ids)
        for row in rows:
            assert ada.send(room, row[3], id=row[2]) == row[0]
        assert kit.seqs(ada.messages(40)) == list(range(1, 41))


def test_sqlite_locked_by_another_process(start_server, folder):
    history = kit.SQLiteHistory(folder)  # noqa: F811
    server = start_server("scribe", kit.env(history.url))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada:
        ada.join(room)
        ada.send(room)
        with history.locked():
            id = ada.post(room)
            reply = ada.outcome(id)
            assert (reply["type"], reply["retryable"]) == ("nack", True)
            assert kit.seqs(ada.answer("history", type="history", room=room)["messages"]) == [1]
        assert ada.send_until_acked(room, id=id) == 2


def test_a_first_join_waits_for_a_lock_and_reading_does_not(start_server, folder):
    history = kit.SQLiteHistory(folder)  # noqa: F811
    server = start_server("scribe", kit.env(history.url))
    room = kit.name("room")
    with (kit.Client(server, "ada") as ada, kit.Client(server, "ada") as again,
          kit.Client(server, "new") as new):
        ada.join(room)
        ada.send(room)
        with history.locked():
            new.put(type="join", room=room)
            until(lambda: kit.metric(server, 'scribe_history_queue{lane="reader"}') == 0, what="read")
            again.join(room)  # writes nothing
            assert kit.seqs(ada.answer("history", type="history", room=room)["messages"]) == [1]
            # Both were quicker than the new one's wait for the lock, which ends by itself.
            with pytest.raises(AssertionError):
                new.get("joined", "error", timeout=0)
            assert new.get("joined", "error")["retryable"]
        until(lambda: new.answer("joined", type="join", room=room)["type"] == "joined", what="joined")


def test_a_create_that_came_half_way_is_completed(start_server, own_ferret):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada:
        until(lambda: readyz(server).status_code == 200, what="ready")
        history.db().rooms.insert_one(
            {"_id": room, "private": True, "owner": "ada", "version": 0})
        assert ada.answer("created", type="create", room=room, private=True)["type"] == "created"
        assert room in [r["room"] for r in ada.answer("rooms", type="rooms")["rooms"]]


def test_a_full_disk_is_a_nack_to_try_again(folder):
    disk = SmallDisk(folder / "disk", "4m")
    server = ServerOn("scribe", kit.env(f"sqlite://{folder}/disk/history.db"), folder)
    server.disk = disk
    server.start()
    try:
        room = kit.name("room")
        with kit.Client(server, "ada") as ada:
            ada.join(room)
            disk.fill()
            for _ in range(100):
                id = ada.post(room, "x" * 3900)
                reply = ada.outcome(id)
                if reply["type"] == "nack":
                    break
            assert (reply["error"], reply["retryable"]) == ("storage-full", True)
            disk.drain()
            ada.send_until_acked(room, "x" * 3900, id)
    finally:
        server.stop()
        disk.close()


def test_the_queue_in_front_of_the_history_is_bounded(start_server, own_ferret):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url, SCRIBE_HISTORY_QUEUE=4))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada:
        ada.join(room)
        own_ferret.pause()
        ids = [ada.post(room) for _ in range(20)]
        errors = []
        while "overloaded" not in errors:
            errors.append(ada.get("nack")["error"])
        own_ferret.resume()
        kept = {f["id"] for f in ada.kept if f["type"] == "nack"}
        assert kept <= set(ids)
    until(lambda: readyz(server).status_code == 200, what="ready")


def test_the_history_cannot_be_read_from_its_url(start_server):
    for url, why in (("postgres://x/y", "HISTORY_URL"), ("sqlite://relative.db", "absolute"),
                     ("mongodb://a,b:c/x", "stores")):
        with pytest.raises(Exception, match="ended with") as died:
            start_server("scribe", kit.env(url), wait="/healthz")
        assert why in str(died.value)


# --- servers ---------------------------------------------------------------------------------


def test_killed_with_9_and_resumed_elsewhere(start_server, redis, history):  # noqa: F811
    env = kit.env(history.url, redis.url)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    ada = kit.Client(a, "ada")
    with kit.Client(b, "bob") as bob:
        ada.join(room)
        bob.join(room)
        ids = [ada.post(room, str(i)) for i in range(20)]
        acked = {id: ada.outcome(id)["seq"] for id in ids[:5]}
        a.kill()
        with kit.Client(b, "ada") as ada:
            ada.join(room, after=0)
            for i, id in enumerate(ids):
                acked.setdefault(id, ada.send(room, str(i), id))
                assert ada.send(room, str(i), id) == acked[id]
            assert kit.seqs(ada.messages(20)) == list(range(1, 21))
            assert kit.seqs(bob.messages(20)) == list(range(1, 21))
            assert ada.rest() == bob.rest() == []
    assert {row[2]: row[0] for row in history.rows(room)} == acked


def test_sigterm_drains(start_server, redis, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db", redis.url))
    room = kit.name("room")
    clients = [kit.Client(server, f"user{i}") for i in range(5)]
    for c in clients:
        c.join(room)
    ids = [clients[0].post(room, str(i)) for i in range(30)]
    server.signal(15)
    code, reason = clients[0].closed()
    assert (code, reason) == (1001, "draining")
    # Everything that was answered was answered before goodbye.
    kinds = [f["type"] for f in clients[0].kept]
    assert kinds[-1] == "goodbye"
    goodbye = clients[0].kept[-1]
    assert goodbye["reason"] == "draining" and 0 < goodbye["reconnect_after_ms"] < 5000
    for id in ids:
        assert [f["type"] for f in clients[0].kept if f.get("id") == id and f["type"] != "message"]
    for c in clients[1:]:
        assert c.closed() == (1001, "draining")
    # They do not come back all at once.
    assert len({c.kept[-1]["reconnect_after_ms"] for c in clients}) > 1
    assert server.ended(timeout=10) == 0


def test_sigterm_while_the_history_hangs(start_server, own_ferret):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url))
    room = kit.name("room")
    with kit.Client(server) as ada:
        ada.join(room)
        own_ferret.pause()
        ada.post(room)
        assert server.stop() == 0
    own_ferret.resume()


def test_draining_refuses_upgrades(start_server, own_ferret):
    history = kit.MongoHistory(own_ferret)  # noqa: F811
    server = start_server("scribe", kit.env(history.url))
    room = kit.name("room")
    with kit.Client(server) as ada:
        ada.join(room)
        own_ferret.pause()  # holds a request, and so the drain, open
        ada.post(room)
        server.signal(15)
        until(lambda: readyz(server).status_code == 503, what="not ready")
        with pytest.raises(InvalidStatus) as refused:
            kit.Client(server)
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["status"] == 503
        own_ferret.resume()
    assert server.ended(timeout=15) == 0


# --- all of it at once -----------------------------------------------------------------------


def test_nothing_acknowledged_is_lost_whatever_dies(start_server, own_redis, own_ferret, folder):
    for history in (kit.MongoHistory(own_ferret), kit.SQLiteHistory(folder)):  # noqa: F811
        env = kit.env(history.url, own_redis.url)
        servers = [start_server("scribe", env) for _ in range(2)]

        def trouble(persons):
            progress(persons, 20)
            own_redis.kill()
            progress(persons, 40)
            servers[0].kill()
            progress(persons, 60)
            servers[0].start()
            own_redis.start()
            for p in persons[:3]:
                p.cut.set()
            progress(persons, 80)
            if isinstance(history, kit.MongoHistory):
                own_ferret.kill()
                own_ferret.start()
            servers[1].kill()
            servers[1].start()
            progress(persons, 110)
            own_redis.pause()
            progress(persons, 120)
            own_redis.resume()

        persons = run_people(servers, history, kit.name("room"), people=6,
                             trouble=trouble)
        # The trouble reached them.
        assert sum(len(p.log.connections) for p in persons) >= 2 * len(persons)
        for s in servers:
            s.stop()


def test_killed_between_storing_and_publishing(start_server, redis, history):  # noqa: F811
    """A proxy before Redis holds back what server A publishes and kills A with -9 at it. Nobody
    says anything more; B, whose Redis is well, has the last message all the same."""
    servers = []

    def cut(direction, data):
        if direction != "up" or b"PUBLISH" not in data:
            return False
        servers[0].signal(9)
        return True

    proxy = Proxy(redis.port, cut)
    try:
        url = f"redis://127.0.0.1:{proxy.port}" + redis.url.split(str(redis.port))[1]
        servers.append(start_server("scribe", kit.env(history.url, url)))
        b = start_server("scribe", kit.env(history.url, redis.url))
        room = kit.name("room")
        ada = kit.Client(servers[0], "ada")
        with kit.Client(b, "bob") as bob:
            ada.join(room)
            bob.join(room)
            id = ada.post(room, "last words")
            assert servers[0].ended(timeout=kit.WAIT) == -9
            assert bob.get("message")["text"] == "last words"
            with kit.Client(b, "ada") as again:  # whether or not the ack came
                again.join(room, after=0)
                assert again.send(room, "last words", id) == 1
                assert kit.seqs(again.messages(1)) == [1]
            assert bob.rest() == []
        assert [row[2] for row in history.rows(room)] == [id]
    finally:
        proxy.close()

"""Rooms: who may be in them, what a user has not read, who is here and who types; on two servers
and both histories."""

import time

import pytest
import scribe_kit as kit
import scribe_wire as wire
from harness.process import until
from scribe_kit import history  # noqa: F401 (a fixture)


@pytest.fixture
def start(start_server, redis, history):  # noqa: F811
    def start(**more):
        return start_server("scribe", kit.env(history.url, redis.url, **more))

    return start


def error(client, **request):
    reply = client.answer("error", **request)
    return reply["error"], reply["retryable"]


def test_a_private_room_looks_like_none_to_whoever_is_not_invited(start):
    a, b = start(), start()
    room = kit.name("room")
    with kit.Client(a, "ada") as ada, kit.Client(b, "bob") as bob, kit.Client(b, "eve") as eve:
        assert ada.answer("created", type="create", room=room, private=True) == {
            "type": "created", "room": room, "private": True}
        assert error(eve, type="create", room=room) == ("conflict", False)
        assert error(ada, type="create", room=room) == ("conflict", False)  # public, and it is not
        assert ada.answer("created", type="create", room=room, private=True)["type"] == "created"
        for request in ({"type": "join", "room": room},
                        {"type": "invite", "room": room, "user": "eve"},
                        {"type": "remove", "room": room, "user": "ada"}):
            assert error(eve, **request) == ("not-found", False)
        nowhere = kit.name("room")
        assert error(eve, type="invite", room=nowhere, user="bob") == ("not-found", False)
        ada.join(room)
        ada.send(room, "before")
        news = {"type": "invited", "room": room, "user": "bob", "by": "ada"}
        assert ada.answer("invited", type="invite", room=room, user="bob") == news
        assert bob.get("invited") == news  # on the other server
        mine = bob.answer("rooms", type="rooms")["rooms"]
        assert [(r["room"], r["private"], r["invited"], r["unread"]) for r in mine
                if r["room"] == room] == [(room, True, True, 0)]
        joined = bob.join(room)
        assert (joined["private"], joined["head"], joined["marker"]) == (True, 1, 1)
        assert bob.get("message")["text"] == "before"
        assert bob.send(room, "inside") == 2


@pytest.mark.parametrize("bus", ["redis", "polling"])
def test_a_removal_ends_delivery_on_every_server(start, bus):
    more = {} if bus == "redis" else {"REDIS_URL": ""}
    a, b = start(**more), start(**more)
    room = kit.name("room")
    with (kit.Client(a, "ada") as ada, kit.Client(a, "bob") as near, kit.Client(b, "bob") as far,
          kit.Client(b, "eve") as eve):
        for c in (ada, near, far, eve):
            c.join(room)
        assert error(eve, type="remove", room=room, user="bob") == ("forbidden", False)
        ada.send(room, "with bob")
        for c in (near, far):
            assert c.get("message")["text"] == "with bob"
        assert ada.answer("removed", type="remove", room=room, user="bob")["by"] == "ada"
        for c in (near, far):
            assert c.get("removed") == {"type": "removed", "room": room, "user": "bob"}
        ada.send(room, "without bob")
        assert [m["text"] for m in eve.messages(2)] == ["with bob", "without bob"]
        for c in (near, far):
            assert c.rest() == []
            assert c.outcome(c.post(room))["error"] == "forbidden"
            assert error(c, type="join", room=room) == ("forbidden", False)
            assert room not in [r["room"] for r in c.answer("rooms", type="rooms")["rooms"]]
        assert ada.answer("invited", type="invite", room=room, user="bob")["type"] == "invited"
        far.join(room, after=0)
        assert kit.texts(far.messages(2)) == ["with bob", "without bob"]
        assert far.answer("removed", type="remove", room=room, user="bob")["user"] == "bob"
        far.get("removed")  # as everybody who is removed
        far.join(room)  # who left a public room may come again


def test_who_left_before_the_removal_stays_out(start):
    server = start()
    room = kit.name("room")
    with kit.Client(server, "ada") as ada, kit.Client(server, "eve") as eve:
        ada.join(room)
        eve.join(room)
        for by in (eve, ada):
            assert by.answer("removed", type="remove", room=room, user="eve")["by"] == by.user
        assert error(eve, type="join", room=room) == ("forbidden", False)
        assert ada.answer("invited", type="invite", room=room, user="eve")["type"] == "invited"
        eve.join(room)


def test_first_joins_of_one_user_meet_on_two_servers(start):
    """Both make the same row: whoever is second finds it, and the store is not down for it."""
    a, b = start(), start()
    with kit.Client(a, "ada") as one, kit.Client(b, "ada") as other:
        for _ in range(40):
            room = kit.name("room")
            for c in (one, other):
                c.put(type="join", room=room)
            for c in (one, other):
                assert c.get("joined", "error")["type"] == "joined"
    for s in (a, b):
        assert "history_down" not in s.log_text()


def test_rooms_tell_what_is_unread(start):
    a, b = start(), start()
    rooms = sorted(kit.name("room") for _ in range(3))
    ada_name = kit.name("ada")
    with kit.Client(a, ada_name) as ada, kit.Client(b, "bob") as bob:
        for room in rooms:
            ada.join(room)
            bob.join(room)
        ada.answer("left", type="leave", room=rooms[0])
        for room in rooms[:2]:
            for i in range(3):
                bob.send(room, str(i))
        ada.send(rooms[2], "own")
        ada.take(lambda f: f["type"] == "message" and (f["room"], f["seq"]) == (rooms[1], 3), "all")
        assert ada.answer("read", type="read", room=rooms[1], seq=2)["unread"] == 1
        got = ada.answer("rooms", type="rooms")
        assert got["more"] is False
        assert [(r["room"], r["head"], r["marker"], r["unread"], r["new_from"])
                for r in got["rooms"]] == [
            (rooms[0], 3, 0, 3, 1), (rooms[1], 3, 2, 1, 3), (rooms[2], 1, 1, 0, 2)]
        rest = ada.answer("rooms", type="rooms", room=rooms[1])["rooms"]
        assert [r["room"] for r in rest] == [rooms[2]]


def test_a_marker_is_announced_to_the_users_other_connections(start):
    a, b = start(), start()
    room = kit.name("room")
    user = kit.name("ada")
    with (kit.Client(a, user) as phone, kit.Client(a, user) as tablet, kit.Client(b, user) as desk,
          kit.Client(a, "bob") as bob):
        for c in (phone, tablet, desk, bob):
            c.join(room)
        for i in range(3):
            bob.send(room, str(i))
        phone.messages(3)
        news = phone.answer("read", type="read", room=room, seq=2)
        assert (news["marker"], news["unread"]) == (2, 1)
        assert tablet.get("read")["marker"] == 2
        assert desk.get("read")["marker"] == 2
        assert desk.answer("read", type="read", room=room, seq=1)["marker"] == 2  # forward only
        for c in (phone, tablet):
            c.get("read")
        phone.put(type="read", room=room, seq=3)
        phone.put(type="leave", room=room)  # at once: the others are told all the same
        phone.get("left")
        for c in (phone, tablet, desk):
            news = c.get("read")
            assert (news["marker"], news["unread"]) == (3, 0)
        bob.rest()
        assert [f for f in bob.kept if f["type"] == "read"] == []


def here(client, room):
    presence = client.answer("presence", type="presence", room=room)
    return presence["count"], sorted(presence.get("users", []))


def test_presence_over_servers_until_one_is_killed(start_server, redis, folder):
    env = kit.env(f"sqlite://{folder}/history.db", redis.url)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    with kit.Client(a, "ada") as ada, kit.Client(a, "ada") as again:
        ada.join(room)
        again.join(room)
        bob, eve = kit.Client(b, "bob"), kit.Client(b, "eve")
        bob.join(room)
        eve.join(room)
        until(lambda: here(ada, room) == (3, ["ada", "bob", "eve"]), what="all are here")
        everybody = {"type": "presence", "room": room, "count": 3, "users": ["ada", "bob", "eve"]}
        for c in (again, bob, eve):  # told unasked, too
            c.take(lambda f: f == everybody, "presence of all three")
        b.kill()
        again.take(lambda f: f["type"] == "presence" and f["count"] == 1, "presence of one")
        until(lambda: here(ada, room) == (1, ["ada"]), what="who was on the dead server vanished")


def test_a_rooms_limit_is_over_all_servers(start_server, own_redis, folder):
    env = kit.env(f"sqlite://{folder}/history.db", own_redis.url, SCRIBE_ROOM_LIMIT=5)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    inside = [kit.Client((a, b)[i % 2], f"user{i}") for i in range(5)]
    for c in inside:
        c.join(room)
    with kit.Client(b, "user5") as late, kit.Client(b, "user0") as second_device:
        assert late.answer("error", type="join", room=room)["detail"] == "the room is full"
        second_device.join(room)
        inside[1].close()
        until(lambda: late.answer("joined", type="join", room=room)["type"] == "joined",
              what="a place becomes free", interval=0.2)
        own_redis.kill()
        for s in (a, b):
            until(lambda: kit.metric(s, "scribe_bus_up") == 0, what="the server sees it")
        own_redis.start()  # it has forgotten who is here, until the servers have said so again
        for s in (a, b):
            until(lambda: kit.metric(s, "scribe_bus_up") == 1, what="the bus is up again")
        full = [kit.Client(b, f"late{i}") for i in range(3)]
        for c in full:
            c.put(type="join", room=room)
        for c in full:
            assert c.get("joined", "error").get("detail") == "the room is full"
            c.close()
        own_redis.kill()  # then each server counts its own: two, and three
        until(lambda: kit.metric(a, "scribe_bus_up") == 0, what="the server sees it")
        more = [kit.Client(a, f"more{i}") for i in range(3)]
        for c in more[:2]:  # beside three, and more than two of the other server
            c.join(room)
        assert more[2].answer("error", type="join", room=room)["detail"] == "the room is full"
        for c in more:
            c.close()
    for c in inside:
        c.close()


def test_typing_is_told_and_coalesced(start_server, redis, folder):
    env = kit.env(f"sqlite://{folder}/history.db", redis.url)
    a, b = start_server("scribe", env), start_server("scribe", env)
    room = kit.name("room")
    with kit.Client(a, "ada") as ada, kit.Client(b, "bob") as bob:
        ada.join(room)
        bob.join(room)
        assert error(bob, type="typing", room=kit.name("room")) == ("forbidden", False)

        def told(client, by):
            """The bus may not be subscribed yet: typing is not kept for anybody."""
            by.put(type="typing", room=room)
            try:
                return client.get("typing", timeout=1)
            except AssertionError:
                return None

        assert until(lambda: told(bob, ada), what="typing")["users"] == ["ada"]
        for _ in range(50):
            ada.put(type="typing", room=room)
        ada.send(room)  # what was typed before it has been seen by the time this arrives
        bob.get("message")
        kept = [f for f in bob.kept if f["type"] == "typing"]
        assert len(kept) <= 1, kept
        bob.kept.clear()
        start = time.monotonic()
        until(lambda: ada.put(type="typing", room=room) or time.monotonic() > start + 2, what="2 s")
        ada.send(room)
        bob.get("message")
        kept = [f for f in bob.kept if f["type"] == "typing"]
        assert len(kept) <= 1 + (time.monotonic() - start) // 3, kept  # a room is told each 0.5 s


def test_a_connections_rate_is_limited(start_server, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db", SCRIBE_RATE=20))
    room = kit.name("room")
    with kit.Client(server, "ada") as ada, kit.Client(server, "bob") as bob:
        ada.join(room)
        bob.join(room)
        ids = [ada.post(room, str(i)) for i in range(60)]
        replies = [ada.outcome(id) for id in ids]
        refused = [r for r in replies if r["type"] == "nack"]
        assert refused and {(r["error"], r["retryable"]) for r in refused} == {
            ("rate-limited", True)}
        assert len(refused) <= 22  # the burst is 40, two of it were used
        assert bob.send(room) == 60 - len(refused) + 1  # another connection's is its own
        seqs = {r["seq"] for r in replies if r["type"] == "ack"}
        for i, id in enumerate(ids):
            seqs.add(ada.send_until_acked(room, str(i), id))
        assert len(seqs) == 60


def test_a_users_connections_are_limited(start_server, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db",
                                            SCRIBE_USER_CONNECTIONS=2))
    with kit.Client(server, "ada") as one, kit.Client(server, "ada"):
        with kit.Client(server, "ada", hello=False) as third:
            assert error(third, type="hello", token=kit.token("ada")) == ("conflict", False)
            assert third.closed() == (1008, "too_many_connections")
        with kit.Client(server, "bob"):
            pass
        one.close()
        until(lambda: kit.metric(server, "scribe_connections") == 1, what="it is gone")
        with kit.Client(server, "ada"):
            pass


def test_who_takes_nothing_is_ended(start_server, folder):
    history = kit.SQLiteHistory(folder)  # noqa: F811
    server = start_server("scribe", kit.env(history.url, SCRIBE_SLOW_S=1))
    room = kit.name("room")
    history.add(room, 1, *["x" * 3900] * 3000)
    slow = kit.Client(server, "slow", max_queue=1, sock=kit.narrow_socket(server))
    slow.join(room, after=0)
    with kit.Client(server, "ada") as ada:
        until(lambda: kit.metric(server, "scribe_connections") == 1, what="it is cut off")
        ada.join(room)
        assert ada.send(room) == 3001
    slow.cut()


def test_a_token_ends_the_connection_unless_refreshed(start_server, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db"))
    with (kit.Client(server, "ada", hello=False) as ends,
          kit.Client(server, "bob", hello=False) as stays):
        for c in (ends, stays):
            assert c.answer("welcome", type="hello",
                            token=kit.token(c.user, expires_in=2))["type"] == "welcome"
        assert stays.answer("welcome", type="hello", token=kit.token("bob"))["type"] == "welcome"
        assert error(stays, type="hello", token=kit.token("ada")) == ("forbidden", False)
        assert ends.closed() == (1008, "token_expired")
        expired = time.time() + 1
        until(lambda: time.time() > expired, what="a second")
        stays.join(kit.name("room"))


def test_another_sites_page_may_not_connect(start_server, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db",
                                            SCRIBE_ORIGINS="https://a.example,https://b.example"))

    def status(**headers):
        with wire.Wire(server) as w:
            return w.request(**headers)[0]

    own = f"127.0.0.1:{server.port}"
    assert status() == 101  # no browser
    for origin in (f"http://{own}", f"https://{own}", "https://a.example", "https://b.example"):
        assert status(Host=own, Origin=origin) == 101, origin
    for origin in ("https://evil.example", "null", "https://a.example.evil", "https://a.exampl",
                   "a.example", f"http://{own}0", "https://a.example,https://b.example", ",",
                   "https://" + "a" * 300):
        assert status(Host=own, Origin=origin) == 403, origin

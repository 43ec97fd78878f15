"""What the chat promises, on two servers and on both histories."""

import threading

import pytest
import scribe_kit as kit
from harness.process import until
from scribe_kit import history  # noqa: F401 (a fixture)

BOTH = pytest.mark.parametrize("bus", ["redis", "polling"])


@pytest.fixture
def start(start_server, redis, history):  # noqa: F811
    def start(**more):
        return start_server("scribe", kit.env(history.url, redis.url, **more))

    return start


@pytest.fixture
def servers(start):
    return start(), start()


def two(servers, room):
    ada, grace = kit.Client(servers[0], "ada"), kit.Client(servers[1], "grace")
    ada.join(room)
    grace.join(room)
    return ada, grace


@BOTH
def test_a_message_arrives_on_the_other_server_and_is_in_the_history(start, history, bus):  # noqa: F811
    room = kit.name("room")
    more = {} if bus == "redis" else {"REDIS_URL": ""}
    ada, grace = two((start(**more), start(**more)), room)
    with ada, grace:
        text = 'h\u00e9llo "\\ \n\t</script> \U0001f600'
        id = ada.post(room, text)
        assert ada.outcome(id) == {"type": "ack", "room": room, "id": id, "seq": 1}
        got = grace.get("message")
        assert ada.get("message") == got  # the sender too
        assert (got["seq"], got["room"], got["sender"], got["id"], got["text"]) == (
            1, room, "ada", id, text)
        assert grace.send(room, "back") == 2
        assert ada.get("message")["text"] == "back"
        page = grace.answer("history", type="history", room=room)
        assert kit.texts(page["messages"]) == [text, "back"]
        assert page["messages"][0] == got
    assert history.rows(room) == [(1, "ada", id, text), (2, "grace", page["messages"][1]["id"], "back")]


def test_every_device_of_everybody_gets_everything_in_order(servers):
    room = kit.name("room")
    clients = [kit.Client(servers[i % 2], f"user{i % 3}") for i in range(6)]
    for c in clients:
        c.join(room)
    for i in range(10):
        for c in clients:
            c.post(room, f"{c.user} {i}")
    received = [c.messages(60) for c in clients]
    for messages in received:
        assert kit.seqs(messages) == list(range(1, 61))
        assert messages == received[0]
    for c in clients:
        assert c.rest() == []
        c.close()


@pytest.mark.parametrize("reopened_on", [0, 1])
def test_closed_and_reopened_gets_exactly_the_missed(servers, reopened_on):
    room = kit.name("room")
    ada, grace = two(servers, room)
    with ada:
        ada.send(room, "seen")
        assert grace.get("message")["seq"] == 1
        assert grace.answer("read", type="read", room=room, seq=1)["unread"] == 0
        grace.cut()
        for i in (1, 2, 3):
            ada.send(room, f"missed {i}")
        with kit.Client(servers[reopened_on], "grace") as grace:
            joined = grace.join(room, after=1)
            assert (joined["head"], joined["marker"], joined["unread"]) == (4, 1, 3)
            assert kit.texts(grace.messages(3)) == ["missed 1", "missed 2", "missed 3"]
            ada.send(room, "live")
            assert grace.get("message")["text"] == "live"
            assert grace.rest() == []


def test_resume_over_many_pages_goes_over_to_live(servers, history):  # noqa: F811
    """450 messages behind, while more are sent: no gap, no double."""
    room = kit.name("room")
    history.add(room, 1, *map(str, range(450)))
    with kit.Client(servers[0], "ada") as ada:
        ada.join(room)
        stop = threading.Event()

        def write_on():
            while not stop.is_set():
                ada.send(room, "more")

        thread = threading.Thread(target=write_on)
        thread.start()
        try:
            for after in (0, 200, 449):
                with kit.Client(servers[1], "grace") as grace:
                    grace.join(room, after=after)
                    assert kit.seqs(grace.messages(460 - after)) == list(range(after + 1, 461))
        finally:
            stop.set()
            thread.join()


def test_a_newcomer_gets_the_last_page_and_the_head_as_marker(servers):
    room = kit.name("room")
    with kit.Client(servers[0], "ada") as ada, kit.Client(servers[1], "grace") as grace:
        ada.join(room)
        for i in range(60):
            ada.post(room, str(i))
        ada.messages(60)
        joined = grace.join(room)
        assert (joined["head"], joined["marker"], joined["unread"]) == (60, 60, 0)
        assert kit.seqs(grace.messages(50)) == list(range(11, 61))
        assert grace.rest() == []


def test_a_retry_gets_the_first_seq_on_any_server(servers, history):  # noqa: F811
    room = kit.name("room")
    ada, grace = two(servers, room)
    with ada, grace, kit.Client(servers[1], "ada") as elsewhere:
        elsewhere.join(room)
        assert ada.send(room, "once", id="one") == 1
        assert ada.send(room, "other") == 2
        assert ada.send(room, "once", id="one") == 1
        assert elsewhere.send(room, "once", id="one") == 1
        assert grace.send(room, "mine", id="one") == 3  # an id is its sender's
        for c in (ada, grace, elsewhere):
            assert kit.texts(c.messages(3)) == ["once", "other", "mine"]
            assert c.rest() == []
    assert [row[3] for row in history.rows(room)] == ["once", "other", "mine"]


def test_an_id_twice_in_one_batch(servers, history):  # noqa: F811
    room = kit.name("room")
    with kit.Client(servers[0], "ada") as ada:
        ada.join(room)
        first = ada.post(room, "first")  # keeps the writer busy while the rest queues
        for i in range(30):
            ada.post(room, f"text {i // 2}", id=f"id{i // 2}")
        seqs = [ada.outcome(f"id{i // 2}")["seq"] for i in range(30)]
        assert seqs == [2 + i // 2 for i in range(30)]
        assert ada.outcome(first)["seq"] == 1
        assert kit.seqs(ada.messages(16)) == list(range(1, 17))
        assert ada.rest() == []
    assert len(history.rows(room)) == 16


def test_two_servers_race_in_one_room(servers, history):  # noqa: F811
    """Different messages and the same ones, at the same time: one gapless order for all."""
    room = kit.name("room")
    clients = [kit.Client(servers[i % 2], "ada") for i in range(4)]
    for c in clients:
        c.join(room)
    acks = {}

    def work(c, own):
        for i in range(10):
            for id in (f"same{i}", f"{own}-{i}"):
                acks.setdefault(id, []).append(c.send(room, id, id=id))

    threads = [threading.Thread(target=work, args=(c, i)) for i, c in enumerate(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    rows = history.rows(room)
    assert [row[0] for row in rows] == list(range(1, 51))
    stored = {row[2]: row[0] for row in rows}
    assert len(stored) == 50
    for id, seqs in acks.items():
        assert set(seqs) == {stored[id]}
        assert len(seqs) == (4 if id.startswith("same") else 1)
    for c in clients:
        assert kit.texts(c.messages(50)) == [row[3] for row in rows]
        assert c.rest() == []
        c.close()


def test_history_pages(servers):
    room = kit.name("room")
    with kit.Client(servers[0], "ada") as ada:
        ada.join(room)
        for i in range(30):
            ada.post(room, str(i))
        ada.messages(30)

        def page(**more):
            return kit.seqs(ada.answer("history", type="history", room=room, **more)["messages"])

        assert page() == list(range(1, 31))
        assert page(limit=3) == [28, 29, 30]
        assert page(before=28, limit=3) == [25, 26, 27]
        assert page(before=3) == [1, 2]
        assert page(before=1) == []
        assert page(after=0, limit=2) == [1, 2]
        assert page(after=28) == [29, 30]
        assert page(after=30) == []
        assert page(after=2**53) == []


def test_a_page_of_long_messages_is_cut_and_goes_on(servers):
    room = kit.name("room")
    with kit.Client(servers[0], "ada") as ada:
        ada.join(room)
        for i in range(2):
            for _ in range(30):
                ada.post(room, "\n" * 4000)  # each becomes six bytes on the wire
            ada.messages(30)
        page = ada.answer("history", type="history", room=room, after=0, limit=60)
        seqs = kit.seqs(page["messages"])
        assert 0 < len(seqs) < 60 and seqs == list(range(1, len(seqs) + 1))
    with kit.Client(servers[1], "grace") as grace:
        grace.join(room, after=0)
        assert kit.seqs(grace.messages(60)) == list(range(1, 61))


def test_unread_is_exact(servers):
    room = kit.name("room")

    def unread():
        with kit.Client(servers[1], "ada") as other:
            joined = other.join(room)
            return joined["head"], joined["marker"], joined["unread"]

    ada, grace = two(servers, room)
    with ada, grace:
        assert unread() == (0, 0, 0)
        ada.send(room)  # own messages are read as they are acknowledged
        ada.send(room)
        assert unread() == (2, 2, 0)
        grace.send(room)
        assert unread() == (3, 2, 1)
        ada.send(room)  # the marker stands before grace's, which is unread still
        assert unread() == (4, 2, 2)
        reply = ada.answer("read", type="read", room=room, seq=3)
        assert (reply["marker"], reply["unread"]) == (3, 1)
        reply = ada.answer("read", type="read", room=room, seq=1)
        assert (reply["marker"], reply["unread"]) == (3, 1)
        assert unread() == (4, 3, 1)
        assert ada.answer("read", type="read", room=room, seq=5)["error"] == "unprocessable"
        ada.answer("read", type="read", room=room, seq=4)
        assert unread() == (4, 4, 0)


def test_leave_and_join_again(servers):
    room, other = kit.name("room"), kit.name("room")
    ada, grace = two(servers, room)
    with ada, grace:
        grace.join(other)
        assert grace.answer("error", type="join", room=room)["error"] == "conflict"
        assert grace.answer("left", type="leave", room=room)["type"] == "left"
        ada.send(room, "unheard")
        ada.join(other)
        ada.send(other, "heard")
        assert grace.get("message")["text"] == "heard"
        for refused in ({"type": "send", "id": "x", "text": "x"}, {"type": "leave"},
                        {"type": "history"}, {"type": "read", "seq": 0}):
            reply = grace.answer("nack", room=room, **refused)
            assert (reply["error"], reply["retryable"]) == ("forbidden", False)
        grace.join(room, after=0)
        assert grace.get("message")["text"] == "unheard"
        assert grace.rest() == []


def test_after_above_the_head_is_refused(servers):
    with kit.Client(servers[0]) as ada:
        reply = ada.answer("error", type="join", room=kit.name("room"), after=1)
        assert (reply["error"], reply["re"]) == ("unprocessable", "join")


def test_a_slow_reader_gets_everything_and_holds_up_nobody(start_server, folder):
    """On SQLite alone: FerretDB reads all it has for every page."""
    room = kit.name("room")
    history = kit.SQLiteHistory(folder)
    server = start_server("scribe", kit.env(history.url, SCRIBE_QUEUE_BYTES=65536))
    history.add(room, 1, *["x" * 3900] * 3000)  # 12 MB: more than the kernel's buffers take
    with (kit.Client(server, "ada") as ada,
          kit.Client(server, "slow", max_queue=1, sock=kit.narrow_socket(server)) as slow):
        slow.join(room, after=0)
        ada.join(room)
        ada.messages(50)
        until(lambda: kit.metric(server, "scribe_members_behind") == 1, what="one is behind")
        for i in range(10):
            ada.send(room, f"live {i}")
            assert ada.get("message")["text"] == f"live {i}"
        assert kit.metric(server, "scribe_queue_bytes") <= 65536
        assert kit.seqs(slow.messages(3010)) == list(range(1, 3011))
        ada.send(room, "end")
        assert slow.get("message")["text"] == "end"
        assert slow.rest() == []

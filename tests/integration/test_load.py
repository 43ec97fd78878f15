"""The load clients, before a figure of theirs is believed."""

import contextlib
import json
import sys
import threading
import types

import pytest
from harness.process import ROOT
from websockets.sync.server import serve

sys.path.insert(0, str(ROOT / "tests" / "load"))
import bench  # noqa: E402


@pytest.fixture(params=["turn", "each", "naive"])
def room(request, folder):
    server = bench.Limit("bare_chat", folder, request.param).start()
    with bench.Room(server, "r", 20) as room:
        yield room
    server.resume()
    server.kill()


@pytest.fixture
def bare(folder):
    (folder / "body").write_text('{"status":"delivered"}')
    server = bench.Limit("bare_httpd", folder, folder / "body").start()
    yield server
    server.resume()
    server.kill()


def test_every_request_is_sent_and_counted_once(bare):
    requests = [bench.request("GET", "/a"), bench.request("HEAD", "/b"),
                bench.request("POST", "/c", body=b"%SERIAL%" * 10000)]
    done = bench.http_load(bare.port, requests, connections=7, max_requests=300, seconds=60)
    assert done["requests"] == 300 and done["statuses"] == {"200": 300} and done["errors"] == 0


def test_a_connection_for_each_request(bare):
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=300,
                           max_requests=1000, new_connections=True, seconds=60)
    assert done["statuses"] == {"200": 1000} and done["errors"] == 0


def test_an_open_loop_counts_what_a_stall_held_up(bare):
    """Half of the requests were due while the server stood still. Had each latency been counted
    from when the request could at last be sent, all but one would look quick."""
    threading.Timer(0.5, bare.pause).start()
    threading.Timer(1.5, bare.resume).start()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=4, rate=500,
                           seconds=2)
    assert done["requests"] == 1000 and done["errors"] == 0
    assert done["max_us"] > 800_000
    assert done["p90_us"] > 400_000


def test_an_unanswered_request_is_an_error(bare):
    bare.pause()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], connections=2, rate=100,
                           seconds=0.5, grace=0.5)
    assert done["requests"] == 0 and done["errors"] == 50


def test_a_server_that_is_not_there_is_an_error(bare):
    bare.kill()
    done = bench.http_load(bare.port, [bench.request("GET", "/")], new_connections=True)
    assert done["requests"] == 0 and done["errors"] > 0


def test_another_machine_must_be_meant():
    with pytest.raises(bench.subprocess.CalledProcessError) as e:
        bench.run("http_load", "192.0.2.1:80", "-", stdin=bench.request("GET", "/"))
    assert e.value.returncode == 2


def test_every_message_reaches_every_member(room):
    for command in (("closed", 0.3, 16), ("open", 0.3, 1000)):
        done = room.run(*command)
        assert done["messages"] >= 16 and done["deliveries"] == 20 * done["messages"]
        assert [done[key] for key in ("lost", "gaps", "foreign", "refused")] == [0] * 4
    assert done["messages"] == 300


@pytest.mark.parametrize("room", ["turn"], indirect=True)
def test_a_room_counts_what_a_stall_held_up(room):
    threading.Timer(0.5, room.server.pause).start()
    threading.Timer(1.5, room.server.resume).start()
    done = room.run("open", 2, 200)
    assert done["messages"] == 400 and done["lost"] == 0
    assert done["max_us"] > 800_000
    assert done["p90_us"] > 400_000


def faulty_room(ws):
    """Answers its one member: the 2nd message twice, the 3rd refused, the 5th lost, seqs amiss at
    the 4th and the 7th."""
    seqs = {1: [1], 2: [2, 3], 3: [], 4: [5], 5: [], 6: [6], 7: [6], 8: [7]}
    sends = 0

    def put(**frame):
        ws.send(json.dumps(frame, separators=(",", ":")))

    for text in ws:
        frame = json.loads(text)
        if frame["type"] != "send":
            put(type={"hello": "welcome", "join": "joined"}[frame["type"]])
            continue
        sends += 1
        if sends == 3:
            put(type="nack", id=frame["id"])
        for seq in seqs[sends]:
            put(type="message", seq=seq, text=frame["text"])


@contextlib.contextmanager
def serving(handler):
    with serve(handler, "127.0.0.1", 0, subprotocols=["scribe.v1"]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield types.SimpleNamespace(port=server.socket.getsockname()[1], pid=bench.os.getpid())
        server.shutdown()
        thread.join()


def test_no_fault_of_a_chat_goes_unseen():
    with serving(faulty_room) as server, bench.Room(server, "r", 1) as room:
        done = room.run("open", 0.16, 50, 0.5)
    assert done["messages"] == 8 and done["deliveries"] == 6
    assert done["foreign"] == 1 and done["refused"] == 1
    assert done["gaps"] == 2 and done["lost"] == 1

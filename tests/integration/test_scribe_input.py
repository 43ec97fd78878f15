"""What comes from outside: HTTP, upgrades, frames, JSON, tokens, and clients that misbehave."""

import itertools
import json
import socket
import struct
import threading
import time

import jwt
import pytest
import requests
import scribe_kit as kit
from harness.process import free_port, until
from harness.server import Server
from scribe_wire import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, frame)
from websockets.exceptions import InvalidStatus


@pytest.fixture
def start(start_server, folder):
    def start(wait="/readyz", port=None, **more):
        env = kit.env(f"sqlite://{folder}/history.db", **more)
        return start_server("scribe", env, wait, port=port)

    return start


@pytest.fixture(scope="module")
def server(run_folder):
    """One for all: nothing of what follows may do it harm."""
    folder = run_folder / "scribe-input"
    folder.mkdir()
    server = Server("scribe", kit.env(f"sqlite://{folder}/history.db"), folder).start()
    yield server
    assert server.stop() == 0


def hello(user="ada"):
    return frame(TEXT, json.dumps({"type": "hello", "token": kit.token(user)}).encode())


def welcomed(server):
    wire = Wire(server).upgrade()
    wire.send(hello())
    assert json.loads(wire.frame()[1])["type"] == "welcome"
    return wire


def still_answers(wire):
    wire.send(frame(TEXT, b'{"type":"ping","id":"x"}'))
    assert json.loads(wire.frame()[1]) == {"type": "pong", "id": "x"}


# --- HTTP ------------------------------------------------------------------------------------


def test_the_page_and_its_policy(server):
    for path, kind in (("/", "text/html"), ("/app.js", "text/javascript"),
                       ("/store.js", "text/javascript"), ("/view.js", "text/javascript"),
                       ("/wire.js", "text/javascript"), ("/style.css", "text/css"),
                       ("/icon.svg", "image/svg+xml")):
        reply = requests.get(server.url + path, timeout=kit.WAIT)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"].startswith(kind)
        policy = dict(part.strip().split(" ", 1) for part in
                      reply.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        head = requests.head(server.url + path, timeout=kit.WAIT)
        assert head.headers["Content-Length"] == str(len(reply.content)) and head.content == b""
    page = requests.get(server.url + "/", timeout=kit.WAIT).text
    assert "<script>" not in page and "style=" not in page and "onclick" not in page


def test_health_and_metrics(server):
    assert requests.get(server.url + "/healthz", timeout=kit.WAIT).json() == {"status": "alive"}
    ready = requests.get(server.url + "/readyz", timeout=kit.WAIT)
    assert (ready.status_code, ready.json()["checks"]) == (200, {"history": "ok"})
    text = requests.get(server.url + "/metrics", timeout=kit.WAIT).text
    for name in ("scribe_connections", "scribe_rooms", "scribe_queue_bytes", "scribe_bus_up",
                 "scribe_members_behind", "scribe_acks_total", "scribe_history_seconds_count"):
        assert f"\n{name}" in text, name


@pytest.mark.parametrize("line, status", [
    ("GET /nothing HTTP/1.1", 404), ("GET /index.html HTTP/1.1", 404),
    ("GET /schema/001.sql HTTP/1.1", 404), ("DELETE / HTTP/1.1", 405),
    ("GET /demo/login HTTP/1.1", 405), ("OPTIONS /healthz HTTP/1.1", 204),
    ("GET //healthz HTTP/1.1", None), ("GET /a/../healthz HTTP/1.1", None),
    ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", None), ("GET /healthz%00 HTTP/1.1", None),
    ("GET /" + "a" * 600 + " HTTP/1.1", 400), ("POST /demo/login HTTP/1.1", 411),
    ("BREW / HTTP/1.1", None), ("GET /healthz", None),
])
def test_requests(server, line, status):
    """None: anything but a success that was not asked for, and the server lives on."""
    with Wire(server) as wire:
        try:
            got, fields, body = wire.request(line, {"Host": "x"})
        except (EOFError, ConnectionError, TimeoutError):
            assert status is None
        else:
            assert got == status or status is None and (got >= 400 or body == b'{"status":"alive"}')
            if status and got >= 400:
                assert json.loads(body)["status"] == got
            assert (got in (204, 405)) == ("allow" in fields)
    assert requests.get(server.url + "/healthz", timeout=kit.WAIT).status_code == 200


def test_demo_login(start):
    server = start(SCRIBE_DEMO_LOGIN="1")

    def login(body, **more):
        return requests.post(server.url + "/demo/login", data=body, timeout=kit.WAIT, **more)

    reply = login('{"account":"ada"}').json()
    claims = jwt.decode(reply["token"], kit.TOKEN_KEY, algorithms=["HS256"])
    assert claims["sub"] == reply["sub"] == "ada" and reply["role"]
    assert reply["expires"].endswith("Z")
    for body, status in (("", 400), ("{", 400), ("[]", 422), ('{"account":1}', 422),
                         ('{"account":"ada","admin":true}', 422), ('{"account":"root"}', 404),
                         ('{"account":"ada","account":"ada"}', 400), ("x" * 5000, 413)):
        reply = login(body)
        assert reply.status_code == status, (body, reply.text)
        assert reply.headers["Content-Type"] == "application/problem+json"
    assert login('{"account":"grace"}').status_code == 200


def test_demo_login_is_off_unless_asked_for(server):
    reply = requests.post(server.url + "/demo/login", data='{"account":"ada"}', timeout=kit.WAIT)
    assert reply.status_code == 404


@pytest.mark.parametrize("choice, starts", [("0", True), ("1", False), ("force", True)])
def test_demo_login_on_a_network_wants_force(start, choice, starts):
    port = free_port()
    env = {"SCRIBE_DEMO_LOGIN": choice, "SCRIBE_LISTEN": f"0.0.0.0:{port}"}
    if starts:
        socket.create_connection(("127.0.0.1", start(port=port, **env).port), 5).close()
    else:
        with pytest.raises(Exception, match="SCRIBE_DEMO_LOGIN"):
            start(**env)


def test_what_cannot_start(start, server):
    for env, why in (({"SCRIBE_TOKEN_KEY": "short"}, "32 bytes"),
                     ({"SCRIBE_LISTEN": f"127.0.0.1:{server.port}"}, "in use"),
                     ({"SCRIBE_LISTEN": "nowhere"}, "SCRIBE_LISTEN"),
                     ({"REDIS_URL": "http://x"}, "REDIS_URL"),
                     ({"SCRIBE_HEARTBEAT_S": "0"}, "SCRIBE_HEARTBEAT_S")):
        with pytest.raises(Exception, match="ended with") as died:
            start(**env)
        assert why in str(died.value)


def test_ipv6(start):
    port = free_port()
    start(SCRIBE_LISTEN=f"[::1]:{port}", wait=None)
    until(lambda: socket.socket(socket.AF_INET6).connect_ex(("::1", port)) == 0, what="listens")
    assert requests.get(f"http://[::1]:{port}/healthz", timeout=kit.WAIT).status_code == 200


# --- upgrade (RFC 6455, section 4.2) ---------------------------------------------------------


@pytest.mark.parametrize("changes, status", [
    ({}, 101),
    ({"Sec_WebSocket_Protocol": "chat, scribe.v1"}, 101),
    ({"Sec_WebSocket_Protocol": None}, 400),
    ({"Sec_WebSocket_Protocol": "scribe.v2"}, 400),
    ({"Sec_WebSocket_Protocol": "http"}, 400),
    ({"Sec_WebSocket_Protocol": "scribe.v1x, xscribe.v1"}, 400),
    ({"Sec_WebSocket_Version": None}, 400),
    ({"Sec_WebSocket_Version": "8"}, 400),
    ({"Sec_WebSocket_Key": None}, 400),
    ({"Sec_WebSocket_Key": "short"}, 400),
    ({"Sec_WebSocket_Key": "A" * 24}, 400),
    ({"Sec_WebSocket_Key": "!" * 22 + "=="}, 400),
    ({"line": "GET /ws HTTP/1.0"}, 400),
    ({"Upgrade": "h2c"}, 400),
    ({"line": "GET / HTTP/1.1"}, 404),
    ({"line": "GET /wsx HTTP/1.1"}, 404),
    ({"line": "POST /ws HTTP/1.1"}, 404),
])
def test_upgrades(server, changes, status):
    with Wire(server) as wire:
        got, fields, body = wire.request(**changes)
        assert got == status
        if got == 101:
            assert fields["sec-websocket-protocol"] == "scribe.v1"
        else:
            assert json.loads(body)["status"] == status


def test_no_extension_is_taken(server):
    with Wire(server) as wire:
        status, fields, _ = wire.request(Sec_WebSocket_Extensions="permessage-deflate")
        assert status == 101 and "sec-websocket-extensions" not in fields


def test_connections_are_bounded(start):
    server = start(SCRIBE_CONNECTIONS="2")
    with kit.Client(server, "a") as a, kit.Client(server, "b"):
        with pytest.raises(InvalidStatus) as refused:
            kit.Client(server, "c")
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]
        a.close()
        until(lambda: _connects(server), what="a place is free")


def _connects(server):
    try:
        kit.Client(server, "c").close()
        return True
    except InvalidStatus:
        return False


# --- frames (RFC 6455, sections 5 to 8) ------------------------------------------------------

DO_PING = b'{"type":"ping","id":"x"}'
HALF_CHARACTER = '{"type":"ping","id":"\u00e9"}'.encode()


@pytest.mark.parametrize("parts, code", [
    pytest.param([frame(BINARY, DO_PING)], 1003, id="5.6 binary"),
    pytest.param([frame(3)], 1002, id="5.2 reserved opcode"),
    pytest.param([frame(11)], 1002, id="5.2 reserved control opcode"),
    pytest.param([frame(TEXT, DO_PING, rsv=4)], 1002, id="5.2 reserved bit"),
    pytest.param([frame(PING, fin=False)], 1002, id="5.4 control frame in fragments"),
    pytest.param([frame(CONTINUATION, DO_PING)], 1002, id="5.4 continues nothing"),
    pytest.param([frame(TEXT, b"{", fin=False), frame(TEXT, b"}")], 1002,
                 id="5.4 a message inside another"),
    pytest.param([frame(TEXT, b"\xff\xfe")], 1007, id="8.1 not UTF-8"),
    pytest.param([frame(TEXT, b"\xed\xa0\x80")], 1007, id="8.1 a surrogate"),
    pytest.param([frame(TEXT, b"\xc0\xaf")], 1007, id="8.1 overlong"),
    pytest.param([frame(TEXT, HALF_CHARACTER[:22])], 1007, id="8.1 ends inside a character"),
    pytest.param([frame(TEXT, b"x" * 16385)], 1009, id="7.4.1 over 16 KiB"),
    pytest.param([frame(TEXT, b"{}", length=2**62)], 1009, id="7.4.1 a length of 2^62"),
    pytest.param([frame(TEXT, b"x" * 9000, fin=False), frame(CONTINUATION, b"x" * 9000)], 1009,
                 id="7.4.1 fragments over 16 KiB together"),
])
def test_frames_that_end_the_connection(server, parts, code):
    with welcomed(server) as wire:
        wire.send(*parts)
        assert wire.close_code() == code
    with welcomed(server) as other:
        still_answers(other)


@pytest.mark.parametrize("parts", [
    pytest.param([frame(PING, b"x" * 126)], id="5.5 control frame over 125 bytes"),
    pytest.param([b"\x81\xff" + b"\xff" * 8 + b"mask"], id="5.2 a length of 2^64 - 1"),
])
def test_frames_that_break_the_connection(server, parts):
    """libwebsockets drops these without a close frame, which section 7.1.7 allows."""
    with welcomed(server) as wire:
        wire.send(*parts)
        assert wire.close_code() in (None, 1002)


@pytest.mark.parametrize("cuts", [(1,), (7, 8, 9), tuple(range(1, 24))])
def test_fragments_are_put_together(server, cuts):
    with welcomed(server) as wire:
        pieces = [DO_PING[a:b] for a, b in zip((0, *cuts), (*cuts, len(DO_PING)))]
        for i, piece in enumerate(pieces):
            wire.send(frame(CONTINUATION if i else TEXT, piece, fin=i == len(pieces) - 1))
        assert json.loads(wire.frame()[1]) == {"type": "pong", "id": "x"}
        wire.send(frame(TEXT, b"", fin=False), frame(CONTINUATION, DO_PING, fin=False),
                  frame(CONTINUATION))
        assert json.loads(wire.frame()[1]) == {"type": "pong", "id": "x"}


def test_a_character_over_two_fragments(server):
    room = kit.name("room")
    text = json.dumps({"type": "send", "room": room, "id": "1", "text": "\u00e9\U0001f600"},
                      ensure_ascii=False).encode()
    with welcomed(server) as wire:
        wire.send(frame(TEXT, json.dumps({"type": "join", "room": room}).encode()))
        wire.frame()
        cut = text.index(b"\xf0") + 2
        wire.send(frame(TEXT, text[:cut], fin=False), frame(CONTINUATION, text[cut:]))
        frames = (json.loads(wire.frame()[1]) for _ in itertools.count())
        message = next(f for f in frames if f["type"] == "message")
        assert message["text"] == "\u00e9\U0001f600"


def test_control_frames_between_fragments(server):
    with welcomed(server) as wire:
        wire.send(frame(TEXT, DO_PING[:9], fin=False), frame(PING, b"are you there"))
        assert wire.frame() == (PONG, b"are you there")
        wire.send(frame(PONG, b"unasked"), frame(CONTINUATION, DO_PING[9:]))
        assert json.loads(wire.frame()[1]) == {"type": "pong", "id": "x"}


def test_a_message_byte_by_byte(server):
    with welcomed(server) as wire:
        for byte in frame(TEXT, DO_PING):
            wire.send(bytes([byte]))
        assert json.loads(wire.frame()[1]) == {"type": "pong", "id": "x"}


def test_many_messages_in_one_packet(server):
    with welcomed(server) as wire:
        wire.send(*[frame(TEXT, json.dumps({"type": "ping", "id": str(i)}).encode())
                    for i in range(200)])
        assert [json.loads(wire.frame()[1])["id"] for _ in range(200)] == list(map(str, range(200)))


def test_the_largest_message(server):
    with welcomed(server) as wire:
        padded = DO_PING + b" " * (16384 - len(DO_PING))
        wire.send(frame(TEXT, padded))
        assert json.loads(wire.frame()[1])["type"] == "pong"


@pytest.mark.parametrize("payload, code", [
    (b"", 1005), (struct.pack("!H", 1000), 1000), (struct.pack("!H", 1001) + b"bye", 1001),
    (struct.pack("!H", 4000), 4000), (struct.pack("!H", 1005), 1002), (struct.pack("!H", 999), 1002),
    (b"\x03", 1002),
])
def test_the_clients_close_is_answered(server, payload, code):
    with welcomed(server) as wire:
        wire.send(frame(CLOSE, payload))
        assert wire.close_code() == code


def test_unmasked_frames_do_no_harm(server):
    """Section 5.1 wants them refused; libwebsockets takes them and does not tell."""
    with welcomed(server) as wire:
        wire.send(frame(TEXT, DO_PING, mask=False))
        assert json.loads(wire.frame()[1])["type"] == "pong"


def test_garbage(server):
    with welcomed(server) as wire:
        wire.send(bytes(range(256)) * 64)
        wire.close_code()
    with Wire(server) as wire:
        wire.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20)
        with pytest.raises((EOFError, ConnectionError)):
            wire.read(100000)
    with welcomed(server) as wire:
        still_answers(wire)


def test_pings_never_land_inside_a_frame(start):
    """A reader so slow that writes are cut anywhere, a ping of the server, pongs to the client's:
    read byte by byte by a parser that trusts nothing, every frame is whole."""
    server = start(SCRIBE_HEARTBEAT_S="4")
    room = kit.name("room")
    wire = Wire(server)
    wire.socket.close()
    wire.socket = kit.narrow_socket(server)
    wire.socket.settimeout(kit.WAIT)
    with kit.Client(server, "grace") as grace, wire:
        wire.upgrade()
        wire.send(hello(), frame(TEXT, json.dumps({"type": "join", "room": room}).encode()))
        grace.join(room)
        stop = threading.Event()

        def ping():
            n = 0
            while not stop.is_set():
                wire.send(frame(PING, str(n).encode()))
                n += 1
                time.sleep(0.002)

        thread = threading.Thread(target=ping)
        thread.start()
        seen = {PING: 0, PONG: 0, TEXT: 0}
        seqs = []
        sent = 0
        try:
            while not (seen[PING] >= 1 and seen[PONG] >= 50 and len(seqs) >= 300):
                if sent - len(seqs) < 40:
                    grace.post(room, f"{sent} ".ljust(3000, "x"))
                    sent += 1
                opcode, payload = wire.frame()
                seen[opcode] += 1
                if opcode == PING:
                    wire.send(frame(PONG, payload))
                if opcode == TEXT:
                    message = json.loads(payload)
                    if message["type"] == "message":
                        seqs.append(message["seq"])
        finally:
            stop.set()
            thread.join()
        assert seqs == list(range(1, len(seqs) + 1))


# --- the protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("text, error", [
    ("", "bad-request"), ("{", "bad-request"), ("[]", "bad-request"), ("nul", "bad-request"),
    ('{"type":"ping"} x', "bad-request"), ('{"type":"ping","type":"ping"}', "bad-request"),
    ('{"a":' * 40 + "1" + "}" * 40, "bad-request"),
    ("{}", "unprocessable"), ('{"type":"welcome"}', "unprocessable"),
    ('{"type":"join"}', "unprocessable"), ('{"type":"join","room":7}', "unprocessable"),
    ('{"type":"join","room":"a/b"}', "unprocessable"),
    ('{"type":"join","room":"r","after":"0"}', "unprocessable"),
    ('{"type":"join","room":"r","admin":true}', "unprocessable"),
    ('{"type":"history","room":"r","limit":201}', "unprocessable"),
])
def test_what_is_refused_keeps_the_connection(server, text, error):
    with kit.Client(server) as ada:
        ada.ws.send(text)
        reply = ada.get("error")
        assert (reply["error"], reply["retryable"]) == (error, False)
        assert reply["detail"]
        assert ada.answer("pong", type="ping")["type"] == "pong"


@pytest.mark.parametrize("text", ["", "x" * 4001, "\u00e9" * 2001, "\x1b[2J", "a\rb", 7, None])
def test_a_bad_text_is_a_nack_for_good(server, text):
    room = kit.name("room")
    with kit.Client(server) as ada:
        ada.join(room)
        reply = ada.outcome(ada.post(room, text, "id1"))
        assert (reply["type"], reply["error"], reply["retryable"]) == (
            "nack", "unprocessable", False)
        assert ada.send(room, "x" * 4000, "id1") == 1  # nothing was taken under that id


def test_too_many_requests_at_once_and_rooms(server):
    with kit.Client(server) as ada:
        for i in range(300):
            ada.put(type="join", room=f"room{i}")
        replies = [ada.get("joined", "error") for _ in range(300)]
        joined = [r["room"] for r in replies if r["type"] == "joined"]
        assert len(joined) <= 100
        refused = {r["error"] for r in replies if r["type"] == "error"}
        assert refused <= {"rate-limited", "conflict"}
        while len(joined) < 100:
            joined.append(ada.join(kit.name("room"))["room"])
        assert ada.answer("error", type="join", room="onemore")["error"] == "conflict"
        ada.answer("left", type="leave", room=joined[0])
        ada.join("onemore")


TOKENS = {
    "another key": lambda: kit.token("ada", key="another-key-of-at-least-32-bytes!!!"),
    "expired": lambda: kit.token("ada", expires_in=-1),
    "expires now": lambda: kit.token("ada", expires_in=0),
    "no sub": lambda: jwt.encode({"exp": time.time() + 60}, kit.TOKEN_KEY, "HS256"),
    "no exp": lambda: jwt.encode({"sub": "ada"}, kit.TOKEN_KEY, "HS256"),
    "alg none": lambda: jwt.encode({"sub": "ada", "exp": time.time() + 60}, None, "none"),
    "alg HS512": lambda: jwt.encode({"sub": "ada", "exp": time.time() + 60}, kit.TOKEN_KEY, "HS512"),
    "a name that is none": lambda: kit.token("a/b"),
    "a name too long": lambda: kit.token("a" * 65),
    "a bit flipped": lambda: kit.token("ada")[:-2] + "AA",
    "no token": lambda: "x",
}


@pytest.mark.parametrize("what", TOKENS)
def test_tokens_that_are_refused(server, what):
    with kit.Client(server, hello=False) as ada:
        reply = ada.answer("welcome", type="hello", token=TOKENS[what]())
        assert (reply["type"], reply["error"]) == ("error", "unauthenticated")
        assert ada.closed() == (1008, "unauthenticated")


@pytest.mark.parametrize("first", [{"type": "ping"}, {"type": "join", "room": "r"},
                                   {"type": "hello"}, {"x": 1}])
def test_hello_comes_first(server, first):
    with kit.Client(server, hello=False) as ada:
        assert ada.answer("error", **first)["error"] == "unauthenticated"
        assert ada.closed() == (1008, "unauthenticated")


def test_no_hello(start):
    server = start(SCRIBE_HELLO_MS="300")
    with kit.Client(server, hello=False) as ada, kit.Client(server) as grace:
        assert ada.closed() == (1008, "hello_timeout")
        assert grace.answer("pong", type="ping")["type"] == "pong"


def test_a_token_expires_unless_a_new_hello_comes(server):
    with kit.Client(server, hello=False) as ada, kit.Client(server, hello=False) as grace:
        for c in (ada, grace):
            c.answer("welcome", type="hello", token=kit.token(c.user + "x", expires_in=2))
        assert ada.answer("error", type="hello", token=kit.token("other"))["error"] == "forbidden"
        assert grace.answer("welcome", type="hello", token=kit.token("adax"))["type"] == "welcome"
        assert ada.closed() == (1008, "token_expired")
        assert grace.answer("pong", type="ping")["type"] == "pong"


def test_a_silent_client_is_pinged_and_hung_up_on(start):
    server = start(SCRIBE_HEARTBEAT_S="2")
    with welcomed(server) as dead, welcomed(server) as alive, kit.Client(server) as ada:
        pings = 0
        while pings < 3:
            opcode, payload = alive.frame()
            assert opcode == PING
            alive.send(frame(PONG, payload))
            pings += 1
        assert dead.frame()[0] == PING
        with pytest.raises((EOFError, ConnectionError)):
            dead.frame()
        still_answers(alive)
        assert ada.answer("pong", type="ping")["type"] == "pong"


def test_connections_that_are_cut_leave_nothing_behind(server):
    room = kit.name("room")
    with kit.Client(server, "grace") as grace:
        grace.join(room)
        for _ in range(20):
            ada = kit.Client(server, "ada")
            ada.join(room)
            ada.post(room)
            ada.put(type="history", room=room)
            ada.cut()
        # What the server read before the break has its place; the rest was never acknowledged.
        with kit.Client(server, "linus") as linus:
            linus.join(room)
            last = linus.send(room)
        assert kit.seqs(grace.messages(last)) == list(range(1, last + 1))
        until(lambda: kit.metric(server, "scribe_connections") == 1, what="the dead are gone")
    until(lambda: kit.metric(server, "scribe_rooms") == 0, what="the room is closed")

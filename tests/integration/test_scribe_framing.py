"""Where a request of scribe's HTTP ends must never be in doubt: behind a gateway that keeps
connections, what one client sends as a body would be read as another one's request."""

import json
import socket

import pytest
import scribe_kit as kit

HOST = b"Host: scribe\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture
def scribe(folder, start_server):
    return start_server("scribe", kit.env(f"sqlite://{folder}/history.db", SCRIBE_DEMO_LOGIN="1"))


def exchange(scribe, sent):
    """The status codes of what comes back until the server ends the connection, and all of it."""
    with socket.create_connection(("127.0.0.1", scribe.port), kit.WAIT) as s:
        s.sendall(sent)
        got = b"".join(iter(lambda: s.recv(65536), b""))
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]], got


@pytest.mark.parametrize("fields, code", [
    (b"Content-Length: -1\r\n", 400),
    (b"Content-Length: +4\r\n", 400),
    (b"Content-Length: 4x\r\n", 400),
    (b"Content-Length: 4\r\nContent-Length: 40\r\n", 400),
    (b"Content-Length: 4097\r\n", 413),
    (b"Content-Length: 18446744073709551620\r\n", 413),
    (b"Content-Length: " + b"9" * 100 + b"\r\n", 413),
    (b"Transfer-Encoding: chunked\r\n", 411),
    (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", 411),
    (b"", 411),
])
def test_a_body_of_doubtful_length_ends_the_connection(scribe, fields, code):
    sent = b"POST /demo/login HTTP/1.1\r\n" + HOST + fields + b"\r\n" + NEXT
    codes, got = exchange(scribe, sent)
    assert codes == [code], got
    assert b"Connection: close" in got


def test_chunks_are_refused_whatever_the_method(scribe):
    sent = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + NEXT
    assert exchange(scribe, sent)[0] == [411]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
@pytest.mark.parametrize("length", [0, 4, 4096])
def test_a_body_nobody_asked_for_is_no_request(scribe, method, length):
    head = method + b" /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % length
    codes, got = exchange(scribe, head + b"x" * length + NEXT)
    assert codes == [{b"PUT": 405, b"DELETE": 405, b"OPTIONS": 204}.get(method, 200)], got


def test_one_connection_answers_one_request(scribe):
    """And a POST behind it does not keep the server from its end (see the fixture)."""
    body = json.dumps({"account": "ada"}).encode()
    head = b"POST /demo/login HTTP/1.1\r\n" + HOST
    login = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    empty = head + b"Content-Length: 0\r\n\r\n"
    for sent, code in ((login + login, 200), (NEXT + login, 200), (empty + login, 400)):
        codes, got = exchange(scribe, sent)
        assert codes == [code] and b"Connection: close" in got, got


def test_a_refused_upgrade_ends_the_connection(scribe):
    upgrade = (b"GET /ws HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 12\r\n\r\n")
    assert exchange(scribe, upgrade + NEXT)[0] == [400]

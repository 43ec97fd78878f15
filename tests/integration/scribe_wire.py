"""RFC 6455 by hand, over a raw socket: for what a good client library will not send."""

import os
import socket
import struct

UPGRADE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "scribe.v1",
}
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length=None):
    """`length`: what the header says, when it lies."""
    n = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = mask << 7
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += struct.pack("!BH", bit | 126, n)
    else:
        head += struct.pack("!BQ", bit | 127, n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


class Wire:
    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def read(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def request(self, line="GET /ws HTTP/1.1", headers=UPGRADE, body=b"", **changes):
        """Send a request; the status, the headers in lower case and the body of the reply. A
        header set to None is left out."""
        headers = {**headers, **{k.replace("_", "-"): v for k, v in changes.items()}}
        head = [line] + [f"{k}: {v}" for k, v in headers.items() if v is not None]
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        reply = b""
        while not reply.endswith(b"\r\n\r\n"):
            reply += self.read(1)
        status, *lines = reply.decode().strip().split("\r\n")
        fields = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
        return int(status.split()[1]), fields, self.read(int(fields.get("content-length", 0)))

    def upgrade(self):
        status, fields, _ = self.request()
        assert status == 101
        assert fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert fields["sec-websocket-protocol"] == "scribe.v1"
        assert "sec-websocket-extensions" not in fields
        return self

    def frame(self):
        """The next frame of the server: opcode and payload. A server's is whole and unmasked."""
        first, second = self.read(2)
        assert first & 0x70 == 0 and first & 0x80 and second & 0x80 == 0, (first, second)
        n = second
        if n == 126:
            n, = struct.unpack("!H", self.read(2))
            assert n >= 126
        elif n == 127:
            n, = struct.unpack("!Q", self.read(8))
            assert n >= 65536
        opcode = first & 0x0f
        assert opcode in (TEXT, CLOSE, PING, PONG), opcode
        assert opcode == TEXT or n <= 125
        return opcode, self.read(n)

    def close_code(self):
        """Read up to the end; the code of the server's close frame, None when it sent none."""
        code = None
        try:
            while True:
                opcode, payload = self.frame()
                if opcode == CLOSE and code is None:
                    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                    self.send(frame(CLOSE, payload))
        except (EOFError, ConnectionError):
            return code

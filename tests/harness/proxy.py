"""A TCP proxy whose connections a test can cut at a chosen moment."""

import re
import socket
import threading


def commits(data):
    """Is a COMMIT among what goes to a MySQL server? Its own client sends attributes before it."""
    return re.search(rb"\x03(\x00\x01)?COMMIT", data)


class Proxy:
    """Forwards 127.0.0.1:port to `target`, or to the port that target() gives. cut(direction, data)
    sees each chunk ("up" to the server or "down" to the client) and says whether to cut the
    connection: True, with the data still undelivered; AFTER, with them delivered, but no answer to
    them; or not. Each direction of each connection has a thread of its own, on which it is called."""

    AFTER = "after"

    def __init__(self, target, cut):
        self.target = target
        self.cut = cut
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                target = self.target() if callable(self.target) else self.target
                server = socket.create_connection(("127.0.0.1", target))
            except OSError:
                client.close()
                continue
            for s in client, server:  # else a chunk may wait for the acknowledgement of the last
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for name, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(target=self._forward, args=(name, source, sink),
                                 daemon=True).start()

    def _forward(self, direction, source, sink):
        try:
            while data := source.recv(65536):
                cut = self.cut(direction, data)
                if cut:
                    source.shutdown(socket.SHUT_RDWR)  # first, else the answer may be faster
                if not cut or cut == self.AFTER:
                    sink.sendall(data)
                if cut:
                    break
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()

"""Memory stays flat whatever a file's size: the release build, 1 GiB up and down."""

import hashlib
import http.client

import pytest
from vault_kit import pattern, vault  # noqa: F401

GIB = 1 << 30
PIECE = pattern(1 << 20)
BOUND_KIB = 32 * 1024  # all that the process ever had resident


@pytest.mark.release
def test_one_gib_in_flat_memory(vault):
    vault.start()
    vault.put(b"x")
    small = vault.server.rss_peak_kib()
    digest = hashlib.sha256()
    for _ in range(GIB // len(PIECE)):
        digest.update(PIECE)

    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=120)
    headers = {"Authorization": f"Bearer {vault.key}"}
    connection.request("POST", "/files", body=(PIECE for _ in range(GIB // len(PIECE))),
                       headers={**headers, "Content-Length": str(GIB)})
    reply = connection.getresponse()
    assert reply.status == 201, reply.read()
    location = reply.headers["Location"]
    reply.read()
    up = vault.server.rss_peak_kib()

    connection.request("GET", location, headers=headers)
    reply = connection.getresponse()
    received, length = hashlib.sha256(), 0
    while piece := reply.read(1 << 20):
        received.update(piece)
        length += len(piece)
    assert length == GIB and received.digest() == digest.digest()

    connection.request("GET", location, headers={**headers, "Range": f"bytes={GIB // 2}-{GIB // 2}"})
    assert connection.getresponse().read() == PIECE[:1]
    down = vault.server.rss_peak_kib()
    print(f"peak KiB resident: small file {small}, after 1 GiB up {up}, and down {down}")
    assert down < BOUND_KIB
    assert down - small < 8 * 1024
    assert vault.request("DELETE", location).status_code == 204

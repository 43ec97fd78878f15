"""Memory stays flat whatever a file's size: the release build, 1 GiB up and down."""

import hashlib
import http.client
import itertools

import pytest
from dicomweb_kit import TYPE, instance, multipart, stow
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


@pytest.mark.release
def test_an_instance_of_one_gib_in_flat_memory(vault):
    """By STOW, through the DICOM parser; metadata and a frame of it decrypt little."""
    vault.start()
    head = instance("1.2", "1.2.3", "1.2.3.4", rows=1024, NumberOfFrames=512, PixelData=b"")
    head = head[:-4] + GIB.to_bytes(4, "little")
    start = multipart([head])[:-len(b"\r\n--xx--\r\n")]
    stow(vault, instance())
    small = vault.server.rss_peak_kib()
    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=120)
    headers = {"Authorization": f"Bearer {vault.key}"}
    body = itertools.chain([start], itertools.repeat(PIECE, GIB // len(PIECE)), [b"\r\n--xx--\r\n"])
    connection.request("POST", "/dicomweb/studies", body=body, headers={
        **headers, "Content-Type": TYPE.format("xx"),
        "Content-Length": str(len(start) + GIB + len(b"\r\n--xx--\r\n"))})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    reply.read()
    up = vault.server.rss_peak_kib()
    place = "/dicomweb/studies/1.2/series/1.2.3/instances/1.2.3.4"
    metadata = vault.request("GET", place + "/metadata").json()[0]
    assert metadata["7FE00010"]["BulkDataURI"].endswith(f"{len(head)}-{GIB}")
    frame = vault.request("GET", place + "/frames/257").content
    at = 256 * (2 << 20) % len(PIECE)
    assert frame.split(b"\r\n\r\n", 1)[1].startswith(PIECE[at:] + PIECE[:at])
    print(f"peak KiB resident: small instance {small}, after 1 GiB up {up}")
    assert vault.server.rss_peak_kib() < BOUND_KIB and up - small < 8 * 1024
    assert vault.request("DELETE", "/dicomweb/studies/1.2").status_code == 204

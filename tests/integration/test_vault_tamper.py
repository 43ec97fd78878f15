"""Somebody with the disk changes it under a running server: no changed byte reaches a client, and
a reply that had begun breaks off; it never ends as if it were whole."""

import http.client

import pytest
from vault_disk import CHUNK, HEADER, SEALED, TAG, encrypt
from vault_kit import pattern, vault  # noqa: F401

SMALL = 3 * CHUNK + 5000  # its first reply piece is the whole file
LARGE = 60 * CHUNK + 5000


def refused(vault, file_id, content, damaged_at):
    """The file must not come whole; of it only what lies before the damage."""
    status, body, whole = vault.fetch(file_id)
    assert not (status == 200 and whole), f"served whole, damaged at {damaged_at}"
    if status == 200:
        assert content.startswith(body) and len(body) <= damaged_at
    else:
        assert status == 500 and b"/problems/corrupt" in body
    return status, body


def chunk_of(offset):
    """The plaintext offset at which the chunk begins that holds this byte of the file."""
    return max(offset - HEADER, 0) // SEALED * CHUNK


def offsets(blob):
    """Header, then of each chunk the first bytes, the middle, and the tag."""
    chosen = set(range(HEADER))
    for at in range(HEADER, len(blob), SEALED):
        end = min(at + SEALED, len(blob))
        chosen |= {at, at + 1, (at + end) // 2, end - TAG - 1, *range(end - TAG, end)}
    return sorted(chosen)


@pytest.mark.parametrize("size", [SMALL, 2 * CHUNK])  # the second ends in a chunk that is empty
def test_any_flipped_byte(vault, size):
    vault.start()
    content = pattern(size)
    file_id = vault.put(content)
    path = vault.disk.path(file_id)
    blob = path.read_bytes()
    for i, at in enumerate(offsets(blob)):
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(bytes([blob[at] ^ (1 << i % 8)]))
        refused(vault, file_id, content, chunk_of(at))
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(blob[at:at + 1])
    assert vault.fetch(file_id) == (200, content, True)  # the control: undone, it is served


def test_a_blob_replaced_under_way(vault):
    """The descriptor that was checked is the one that is read, to the end."""
    vault.start()
    content = pattern(20_000_000)
    file_id = vault.put(content)
    path = vault.disk.path(file_id)
    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=60)
    connection.request("GET", f"/files/{file_id}", headers={"Authorization": f"Bearer {vault.key}"})
    reply = connection.getresponse()
    begin = reply.read(1000)
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.rename(path)
    assert begin + reply.read() == content
    connection.close()
    assert vault.fetch(file_id)[0] == 500  # the control: it was replaced


def test_a_flipped_byte_deep_in_a_large_file(vault):
    """The good chunks before it may arrive; then the connection breaks."""
    vault.start()
    content = pattern(LARGE)
    file_id = vault.put(content)
    path = vault.disk.path(file_id)
    blob = bytearray(path.read_bytes())
    arrived = []
    for chunk in (0, 1, 15, 16, 17, 40, 59):
        at = HEADER + chunk * SEALED + 7
        blob[at] ^= 0x10
        path.write_bytes(blob)
        status, body = refused(vault, file_id, content, chunk * CHUNK)
        arrived.append(len(body) if status == 200 else 0)
        far = vault.fetch(file_id, Range=f"bytes={(chunk + 1) * CHUNK}-")
        if chunk < 59:  # what lies behind the damage is good, and may be had
            assert far == (206, content[(chunk + 1) * CHUNK:], True)
        inside = vault.fetch(file_id, Range=f"bytes={chunk * CHUNK + 100}-{chunk * CHUNK + 100}")
        assert inside[0] == 500
        blob[at] ^= 0x10
        path.write_bytes(blob)
    assert arrived[0] == 0 and arrived[-1] > 0  # both ways of refusing were seen
    assert vault.fetch(file_id) == (200, content, True)


@pytest.mark.parametrize("length", [0, SMALL, 3 * CHUNK])
def test_any_cut_and_any_extension(vault, length):
    """The size stands in the sealed row: a file of another length is refused at once, whole, by
    range and for HEAD."""
    vault.start()
    content = pattern(length)
    file_id = vault.put(content)
    path = vault.disk.path(file_id)
    blob = path.read_bytes()
    edges = {0, HEADER, len(blob), *range(HEADER, len(blob), SEALED)}
    lengths = {e + d for e in edges for d in (-1, 0, 1)} | {edge + TAG for edge in edges}
    changed = [blob[:n] for n in sorted(lengths) if 0 <= n < len(blob)]
    changed += [blob + bytes(n) for n in (1, TAG, SEALED)]
    changed += [blob + blob[HEADER:], blob[:HEADER] + blob[HEADER:HEADER + SEALED] + blob[HEADER:]]
    assert len(changed) > 5
    for blob_now in changed:
        path.write_bytes(blob_now)
        assert refused(vault, file_id, content, 0)[0] == 500
        assert vault.fetch(file_id, Range="bytes=0-0")[0] in (500, 416)
        assert vault.request("HEAD", f"/files/{file_id}").status_code == 500
    path.unlink()
    assert vault.fetch(file_id)[0] == 500
    path.write_bytes(blob)
    assert vault.fetch(file_id) == (200, content, True)


def test_swapped_chunks(vault):
    vault.start()
    content = pattern(LARGE)
    file_id = vault.put(content)
    path = vault.disk.path(file_id)
    blob = path.read_bytes()
    chunks = [blob[at:at + SEALED] for at in range(HEADER, len(blob), SEALED)]
    for a, b in ((0, 1), (1, 2), (30, 58), (58, 59)):
        order = list(chunks)
        order[a], order[b] = order[b], order[a]
        path.write_bytes(blob[:HEADER] + b"".join(order))
        refused(vault, file_id, content, a * CHUNK)
    for a, b in ((0, 1), (40, 41)):  # one chunk twice, the other gone
        order = list(chunks)
        order[b] = order[a]
        path.write_bytes(blob[:HEADER] + b"".join(order))
        refused(vault, file_id, content, b * CHUNK)
    path.write_bytes(blob)
    assert vault.fetch(file_id) == (200, content, True)


def test_two_files_swapped(vault):
    """Contents, headers, chunks, index rows: nothing of one file passes as the other's, though
    length, and even content, are the same."""
    vault.start()
    content = pattern(SMALL)
    ids = [vault.put(content) for _ in range(2)]
    disk = vault.disk
    paths = [disk.path(i) for i in ids]
    blobs = [p.read_bytes() for p in paths]

    def both_refused():
        for file_id in ids:
            assert refused(vault, file_id, content, 0)[0] == 500

    def lay(first, second):
        paths[0].write_bytes(first)
        paths[1].write_bytes(second)

    lay(blobs[1], blobs[0])
    both_refused()
    lay(blobs[1][:HEADER] + blobs[0][HEADER:], blobs[0][:HEADER] + blobs[1][HEADER:])
    both_refused()
    for first in range(HEADER, len(blobs[0]), SEALED):
        mixed = bytearray(blobs[0])
        mixed[first:first + SEALED] = blobs[1][first:first + SEALED]
        lay(mixed, blobs[1])
        refused(vault, ids[0], content, chunk_of(first))

    def swap_columns(columns):
        raw = [bytes.fromhex(i) for i in ids]
        rows = [disk.sql(f"SELECT {columns} FROM objects WHERE id = ?", r)[0] for r in raw]
        names = columns.split(", ")
        for values, r in zip(reversed(rows), raw, strict=True):
            settings = ", ".join(f"{n} = ?" for n in names)
            disk.sql(f"UPDATE objects SET {settings} WHERE id = ?", *values, r)

    lay(*blobs)
    for columns in ("sealed", "wrapped_key", "wrapped_key, sealed"):
        swap_columns(columns)
        both_refused()
        lay(blobs[1], blobs[0])  # the blobs moved along with the rows
        both_refused()
        assert [f.get("damaged") for f in vault.list()] == [True, True]
        lay(*blobs)
        swap_columns(columns)
    for file_id in ids:
        assert vault.fetch(file_id) == (200, content, True)


def test_a_replaced_header_or_blob(vault):
    """A blob made under another key, for another context, or one that was stored before."""
    vault.start()
    content = pattern(SMALL)
    file_id, deleted = vault.put(content), vault.put(content)
    disk = vault.disk
    path = disk.path(file_id)
    blob, old = path.read_bytes(), disk.path(deleted).read_bytes()
    assert vault.request("DELETE", f"/files/{deleted}").status_code == 204
    key, identity = disk.data_key(file_id), disk.identity(bytes.fromhex(file_id))
    forged = {
        "another key": encrypt(bytes(32), identity, content),
        "no context": encrypt(key, b"", content),
        "another version": encrypt(key, identity[:-1] + b"\2", content),
        "another salt": bytes(24) + blob[24:],
        "another commitment": blob[:24] + bytes(32) + blob[HEADER:],
        "a file deleted before": old,
        "zeros": bytes(len(blob)),
    }
    for what, bytes_now in forged.items():
        assert len(bytes_now) == len(blob)
        path.write_bytes(bytes_now)
        assert refused(vault, file_id, content, 0)[0] == 500, what
    # The control: with key and context, not without, anybody writes what the server serves.
    path.write_bytes(encrypt(key, identity, content))
    assert vault.fetch(file_id) == (200, content, True)
    log = vault.server.log_text()
    assert log.count("event=object_damaged") >= len(forged) and file_id in log

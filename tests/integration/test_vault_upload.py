"""What a caller can ask of an upload beside storing it: a digest, storing it once, a quota; and of
a file: how it is encrypted."""

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from vault_kit import pattern, vault  # noqa: F401


def digest(content):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def nothing_left(vault):
    disk = vault.disk
    return disk.under_way() == [] and disk.blobs() == sorted(f["id"] for f in vault.list())


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
def test_digest(vault, field):
    vault.start()
    content = pattern(100_000)
    file_id = vault.put(content, **{field: f"sha-512=:AAAA:, {digest(content)}"})
    got = vault.request("GET", f"/files/{file_id}", headers={"Range": "bytes=5-9"})
    assert got.status_code == 206 and got.headers["Repr-Digest"] == digest(content)
    assert vault.request("HEAD", f"/files/{file_id}").headers["Repr-Digest"] == digest(content)
    for wrong in (content[:-1], content + b"x", b""):
        reply = vault.request("POST", "/files", data=wrong, headers={field: digest(content)})
        assert reply.status_code == 422 and "SHA-256" in reply.json()["detail"]
    for bad in ("sha-256=:x:", "sha-512=:AAAA:", ""):
        reply = vault.request("POST", "/files", data=content, headers={field: bad})
        assert reply.status_code == 400 and field in reply.json()["detail"]
    both = {"Content-Digest": digest(b"x"), "Repr-Digest": digest(content)}
    assert vault.request("POST", "/files", data=content, headers=both).status_code == 400
    assert [f["id"] for f in vault.list()] == [file_id] and nothing_left(vault)


def test_idempotency_key(vault):
    vault.start()
    content = pattern(50_000)
    headers = {"Idempotency-Key": "k-1", "Content-Disposition": "attachment; filename=a"}
    first = vault.request("POST", "/files", data=content, headers=headers)
    again = vault.request("POST", "/files", data=content, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    for other in ((content + b"x", headers), (content, {"Idempotency-Key": "k-1"})):
        reply = vault.request("POST", "/files", data=other[0], headers=other[1])
        assert reply.status_code == 422 and "Idempotency-Key" in reply.json()["detail"]
    assert len(vault.list()) == 1 and nothing_left(vault)
    # A key is the caller's own.
    stranger = vault.new_key("write")
    theirs = vault.request("POST", "/files", key=stranger, data=b"theirs", headers=headers)
    assert theirs.status_code == 201 and theirs.json()["id"] != first.json()["id"]
    # Of a deleted file nothing is remembered.
    vault.request("DELETE", first.headers["Location"])
    new = vault.request("POST", "/files", data=b"new", headers=headers)
    assert new.status_code == 201 and new.json()["id"] != first.json()["id"]
    for bad in ("", "a b", "x" * 129):
        reply = vault.request("POST", "/files", data=b"x", headers={"Idempotency-Key": bad})
        assert reply.status_code == 400
    assert len(vault.list()) == 2 and nothing_left(vault)


def test_idempotency_key_of_many_at_once(vault):
    """And across a crash: the answer may be lost, the file is there once."""
    vault.start()
    headers = {"Idempotency-Key": "same"}
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(
            lambda _: vault.request("POST", "/files", data=b"same", headers=headers), range(24)))
    assert {r.status_code for r in replies} == {201}
    assert len({r.json()["id"] for r in replies}) == 1
    vault.server.kill()
    vault.server.start(wait="/healthz")
    after = vault.request("POST", "/files", data=b"same", headers=headers)
    assert after.json() == replies[0].json()
    assert len(vault.list()) == 1 and nothing_left(vault)


def test_quota(vault):
    """Counted in bytes on disk: 56, the file, 16 for each chunk."""
    vault.start(VAULT_QUOTA=3 * (56 + 10_000 + 16))
    ids = [vault.put(pattern(10_000)) for _ in range(2)]
    for content in (pattern(10_001), pattern(1_000_000)):
        reply = vault.request("POST", "/files", data=content)
        assert reply.status_code == 507
    assert nothing_left(vault)
    with ThreadPoolExecutor(4) as clients:  # room for one of them
        replies = list(clients.map(
            lambda _: vault.request("POST", "/files", data=pattern(10_000)), range(4)))
    assert sorted(r.status_code for r in replies) == [201, 507, 507, 507]
    assert vault.request("POST", "/files", data=b"").status_code == 507
    assert vault.request("DELETE", f"/files/{ids[0]}").status_code == 204
    vault.put(pattern(10_000))
    assert nothing_left(vault)


def test_seal_shows_that_one_file_twice_shares_nothing(vault):
    vault.start()
    content = pattern(40_000)
    seals = []
    for file_id in (vault.put(content), vault.put(content)):
        reply = vault.request("GET", f"/files/{file_id}/seal")
        assert reply.status_code == 200
        seal, blob = reply.json(), vault.disk.path(file_id).read_bytes()
        assert seal["id"] == file_id and seal["key"] == 1 and seal["chunks"] == 3
        assert seal["stored_size"] == len(blob) == 56 + 40_000 + 48
        assert bytes.fromhex(seal["salt"] + seal["commitment"]) == blob[:56]
        seals.append(seal)
    assert seals[0]["salt"] != seals[1]["salt"]
    assert seals[0]["commitment"] != seals[1]["commitment"]
    vault.command("rotate")
    vault.command("rewrap")
    after = vault.request("GET", f"/files/{seals[0]['id']}/seal").json()
    assert after == {**seals[0], "key": 2}
    blob = vault.disk.path(file_id)
    blob.write_bytes(blob.read_bytes()[:-1])
    assert vault.request("GET", f"/files/{file_id}/seal").status_code == 500
    assert vault.request("GET", f"/files/{'0' * 32}/seal").status_code == 404


def test_search_by_name(vault):
    vault.start()
    names = ["a&b=c #1.dcm", "grün.dcm", "other"]
    for name in names * 3:
        vault.put(name.encode(), **{
            "Content-Disposition": "attachment; filename*=UTF-8''"
            + "".join(f"%{byte:02X}" for byte in name.encode())})
    vault.put(b"nameless")
    for name in names:
        found, url = [], f"/files?limit=2&name={quote(name, safe='')}"
        while url:
            page = vault.request("GET", url)
            found += page.json()["files"]
            url = re.match("<(.*)>; rel=\"next\"", page.headers.get("Link", ""))
            url = url and url[1]
        assert [f["name"] for f in found] == [name] * 3
        assert [f["id"] for f in found] == [f["id"] for f in vault.list() if f["name"] == name]
    for name in ("", "oth", "OTHER", "other "):
        assert vault.request("GET", f"/files?name={quote(name)}").json()["files"] == []
    vault.request("DELETE", f"/files/{found[0]['id']}")
    assert len(vault.request("GET", "/files?name=other").json()["files"]) == 2
    # The index has neither names nor digests of them.
    raw = b"".join(p.read_bytes() for p in vault.data.glob("index.db*"))
    for text in (name.encode() for name in names[:2]):
        assert text not in raw and hashlib.sha256(text).digest() not in raw

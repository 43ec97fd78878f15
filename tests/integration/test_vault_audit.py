"""The audit log: every access and refusal by whom to what, and a chain that shows tampering."""

import hashlib
import hmac
import http.client
import re
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.process import until
from test_vault_faults import Half
from vault_disk import expand
from vault_kit import pattern, vault  # noqa: F401


def entries(vault):
    """(who, source, action, object, outcome) of each."""
    lines = vault.command("audit", "list").stdout.splitlines()
    return [tuple(line.split(" ", 6)[2:]) for line in lines]


def from_address(vault, address, key=None):
    """The status that a caller at this address of the loopback gets, and Retry-After."""
    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=30,
                                            source_address=(address, 0))
    connection.request("GET", "/files", headers={"Authorization": f"Bearer {key}"} if key else {})
    reply = connection.getresponse()
    connection.close()
    return reply.status, reply.headers["Retry-After"]


def tamper(vault, *statements):
    with sqlite3.connect(vault.data / "index.db") as db:
        db.execute("DROP TRIGGER IF EXISTS audit_changed")
        db.execute("DROP TRIGGER IF EXISTS audit_removed")
        for statement in statements:
            db.execute(statement)
    db.close()


def test_the_log_over_http(vault):
    vault.start()
    file_id = vault.put(b"x")
    vault.request("GET", f"/files/{file_id}")
    vault.request("GET", "/files?limit=x")
    seen, after = [], ""
    while after is not None:
        page = vault.request("GET", f"/audit?limit=2{after and '&after=' + after}").json()
        assert len(page["entries"]) <= 2
        seen += page["entries"]
        after = page["next"]
    assert [e["seq"] for e in seen] == list(range(len(seen), 0, -1))
    mine = [(e["action"], e["object"], e["outcome"]) for e in seen if e["key"] != "command"]
    assert mine == [("list", None, "bad-request"), ("read", file_id, "ok"), ("store", file_id, "ok")]
    assert seen[0]["key"] == vault.key.split("_")[1] and seen[0]["source"] == "127.0.0.1"
    assert entries(vault)[-1][2:] == ("audit", "-", "ok")  # looking leaves a trace as well
    for query in ("limit=0", "limit=1001", "after=0", "after=x", "before=3"):
        assert vault.request("GET", f"/audit?{query}").status_code == 400

    # Texts that are none can't hide an entry.
    tamper(vault, "UPDATE audit SET who = CAST(X'FF' AS TEXT) WHERE action = 'store'")
    [bad] = [e for e in vault.request("GET", "/audit").json()["entries"] if "damaged" in e]
    assert bad == {"seq": next(e["seq"] for e in seen if e["action"] == "store"),
                   "damaged": True}


def test_every_access_and_refusal_is_there(vault):
    vault.start()
    reader = vault.new_key("read")
    admin, other = vault.key.split("_")[1], reader.split("_")[1]
    file_id = vault.put(b"x")
    vault.request("GET", f"/files/{file_id}", key=reader)
    vault.request("HEAD", f"/files/{file_id}", key=reader)
    vault.request("GET", f"/files/{file_id}", key=reader, headers={"Range": "bytes=7-"})
    vault.request("GET", f"/files/{file_id}", key=reader, headers={"If-None-Match": "*"})
    vault.request("GET", "/files")
    vault.request("GET", "/files?limit=x")
    vault.request("DELETE", f"/files/{file_id}", key=reader)
    vault.request("POST", "/files", key=reader, data=b"x")
    vault.request("POST", "/files", data=b"x", headers={"Content-Disposition": ";"})
    vault.request("GET", f"/files/{'0' * 32}")
    vault.request("GET", "/files/x")
    vault.request("DELETE", f"/files/{file_id}")
    vault.request("DELETE", f"/files/{file_id}")
    vault.command("apikey", "--revoke", other)
    home = "127.0.0.1"
    assert [e for e in entries(vault) if e[0] != "command"] == [
        (admin, home, "store", file_id, "ok"),
        *[(other, home, "read", file_id, outcome)
          for outcome in ("ok", "ok", "range-not-satisfiable", "ok")],
        (admin, home, "list", "-", "ok"),
        (admin, home, "list", "-", "bad-request"),
        (other, home, "delete", "-", "forbidden"),
        (other, home, "store", "-", "forbidden"),
        (admin, home, "store", "-", "bad-request"),
        (admin, home, "read", "0" * 32, "not-found"),
        (admin, home, "read", "-", "not-found"),
        (admin, home, "delete", file_id, "ok"),
        (admin, home, "delete", file_id, "not-found"),
    ]
    lines = vault.command("audit", "list").stdout
    assert re.search(r" command uid \d+ key-create " + other + " ok$", lines, re.M)
    assert re.search(r" command uid \d+ key-revoke " + other + " ok$", lines, re.M)
    assert reader[20:] not in lines


def test_the_chain_by_the_readme(vault):
    """Computed once more, from the text."""
    vault.start()
    vault.put(b"x")
    vault.list()
    root = bytes.fromhex(vault.root_key_file.read_text())
    key = expand(root, b"dicom-vault audit v1", 32)
    mac = vault.disk.vault_id + bytes(16)

    def field(value):
        value = value.encode() if isinstance(value, str) else value
        return len(value).to_bytes(2, "big") + value

    with sqlite3.connect(vault.data / "index.db") as db:
        rows = db.execute("SELECT seq, at_ms, who, source, action, outcome, object, mac FROM audit"
                          " ORDER BY seq").fetchall()
    db.close()
    for seq, at_ms, *fields, stored in rows:
        message = mac + seq.to_bytes(8, "big") + at_ms.to_bytes(8, "big")
        mac = hmac.digest(key, message + b"".join(map(field, fields)), hashlib.sha256)
        assert mac == stored
    assert vault.command("audit", "head").stdout == f"{len(rows)}:{mac.hex()}\n"


def test_tampering_beside_the_server(vault):
    vault.start()
    ids = [vault.put(bytes([i])) for i in range(5)]
    before = vault.command("audit", "head").stdout.strip()
    assert vault.command("audit", "verify").stdout.strip() == before
    for file_id in ids:
        vault.request("GET", f"/files/{file_id}")
    after = vault.command("audit", "head").stdout.strip()
    assert vault.command("audit", "verify", "--expect", before).stdout.strip() == after
    vault.server.stop()
    shutil.copytree(vault.data, vault.data.with_suffix(".later"))
    tamper(vault, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    assert vault.command("audit", "verify").returncode == 0  # OPERATIONS.md says so
    cut = vault.command("audit", "verify", "--expect", after, check=False)
    assert cut.returncode == 1 and "cut or put back" in cut.stderr
    tamper(vault, f"DELETE FROM audit WHERE seq > {before.split(':')[0]}")
    assert vault.command("audit", "verify", "--expect", before).returncode == 0
    tamper(vault, "UPDATE audit SET source = '10.0.0.1' WHERE seq = 2")
    changed = vault.command("audit", "verify", check=False)
    assert changed.returncode == 1 and "entry 2 " in changed.stderr
    for bad in ("x", "5", "5:00"):
        assert vault.command("audit", "verify", "--expect", bad, check=False).returncode == 1
    assert vault.command("audit", "tidy", check=False).returncode == 2


def test_a_log_that_somebody_made_anew(vault):
    """Without the schema's promises: no text, no number that can follow. It is reported, nothing
    breaks, and nothing is answered that cannot be recorded."""
    vault.start()
    file_id = vault.put(b"x")
    vault.server.stop()
    tamper(vault, "ALTER TABLE audit RENAME TO old", "CREATE TABLE audit AS SELECT * FROM old",
           "UPDATE audit SET who = NULL, outcome = NULL, object = NULL WHERE seq = 2")
    assert len(vault.command("audit", "list").stdout.splitlines()) == 2
    assert "entry 2 " in vault.command("audit", "verify", check=False).stderr
    tamper(vault, f"UPDATE audit SET seq = {2**63 - 1} WHERE seq = 2")
    assert "entry 2 is missing" in vault.command("audit", "verify", check=False).stderr
    vault.start()
    assert vault.fetch(file_id)[0] == 503
    assert vault.request("POST", "/files", data=b"x").status_code == 503
    assert vault.disk.blobs() == [file_id]


def test_anchors_are_logged(vault):
    vault.start(VAULT_ANCHOR_S=1)
    vault.put(b"x")
    head = vault.command("audit", "head").stdout.strip()
    until(lambda: f"anchor={head}" in vault.server.log_text(), what="the anchor in the log")
    assert vault.command("audit", "verify", "--expect", head).returncode == 0


def test_callers_without_a_key_are_counted_and_slowed(vault):
    vault.start(VAULT_ANCHOR_S=1)
    statuses = [from_address(vault, "127.0.0.2", f"vk_{i:016x}_{'0' * 64}")[0] for i in range(120)]
    assert statuses == [401] * 100 + [429] * 20
    status, retry = from_address(vault, "127.0.0.2", vault.key)
    assert status == 429 and 1 <= int(retry) <= 60  # the right one is not looked at either
    assert from_address(vault, "127.0.0.3", vault.key)[0] == 200
    assert from_address(vault, "127.0.0.3")[0] == 401

    def refused(source):
        return sum(int(outcome.split()[1]) for _, at, action, _, outcome in entries(vault)
                   if action == "refuse" and at == source)

    until(lambda: refused("127.0.0.2") == 121 and refused("127.0.0.3") == 1,
          what="121 and 1 refusals in the log")
    assert len([e for e in entries(vault) if e[2] == "refuse"]) < 20


def test_counts_reach_the_log_before_the_end(vault):
    vault.start()
    from_address(vault, "127.0.0.2")
    vault.server.stop()
    assert ("-", "127.0.0.2", "refuse", "-", "unauthenticated 1") in entries(vault)


def test_a_reply_that_breaks_off_has_an_entry_more(vault):
    """Permitted before the first byte, and then what became of it; a client that hangs up is none
    of it."""
    vault.start()
    content = pattern(2_000_000)
    file_id = vault.put(content)
    assert vault.fetch(file_id)[2]
    path = vault.disk.path(file_id)
    blob = bytearray(path.read_bytes())
    blob[1_500_000] ^= 1
    path.write_bytes(blob)
    for headers in ({}, {"Range": "bytes=1000000-1900000"}):
        status, body, whole = vault.fetch(file_id, **headers)
        assert status in (200, 206) and body and not whole
    reads = [e for e in entries(vault) if e[2] == "read"]
    mine = (vault.key.split("_")[1], "127.0.0.1", "read", file_id)
    assert reads == [(*mine, "ok"), *[(*mine, "ok"), (*mine, "corrupt")] * 2]
    assert vault.command("audit", "verify").returncode == 0


def test_no_reply_without_an_entry(vault):
    """The index locked by another process: nothing can be recorded, so nothing is given out."""
    vault.start()
    content = pattern(100_000)
    file_id, damaged = vault.put(content), vault.put(content)
    vault.disk.path(damaged).write_bytes(b"")
    with sqlite3.connect(vault.data / "index.db") as db:
        db.execute("BEGIN IMMEDIATE")
        for method, path in (("GET", f"/files/{file_id}"), ("GET", f"/files/{damaged}"), ("HEAD", f"/files/{file_id}"),
                             ("GET", "/files"), ("GET", f"/files/{'0' * 32}"),
                             ("DELETE", f"/files/{file_id}")):
            reply = vault.request(method, path)
            assert reply.status_code == 503 and "Retry-After" in reply.headers, (method, path)
            assert content[:100] not in reply.content
            assert "ETag" not in reply.headers and "Content-Disposition" not in reply.headers
        db.rollback()
    db.close()
    assert vault.fetch(file_id) == (200, content, True)


def test_uploads_that_do_not_end_have_an_entry(vault):
    """Cut off, or with more in pieces than is taken: the route never sees an end."""
    vault.start(VAULT_FILE_MAX=1_000_000)
    Half(vault, pattern(900_000)).socket.close()
    until(lambda: entries(vault)[-1][2:] == ("store", "-", "unfinished"), what="its entry")
    before = len(entries(vault))
    reply = vault.request("POST", "/files", data=(b"x" * 100_000 for _ in range(20)))
    assert reply.status_code == 413
    until(lambda: len(entries(vault)) > before, what="its entry")
    (entry,) = entries(vault)[before:]
    assert entry[0] == vault.key.split("_")[1] and entry[2:] == ("store", "-", "unfinished")
    assert vault.disk.under_way() == []


def test_entries_of_many_at_once(vault):
    """Group commit: none is lost, the chain has no fork."""
    vault.start()
    file_id = vault.put(b"x")
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(
            lambda _: vault.request("GET", f"/files/{file_id}").status_code, range(160)))
    assert statuses == [200] * 160
    assert len([e for e in entries(vault) if e[2] == "read"]) == 160
    vault.command("audit", "verify")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_what_was_answered_is_in_the_log_afterwards(vault, how):
    vault.start()
    file_id = vault.put(b"x")
    for _ in range(20):
        assert vault.request("GET", f"/files/{file_id}").status_code == 200
    getattr(vault.server, how)()
    assert len([e for e in entries(vault) if e[2] == "read"]) == 20
    vault.command("audit", "verify")

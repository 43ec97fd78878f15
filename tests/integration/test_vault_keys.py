"""Wrapping keys come and go beside the running server: rotate, rewrap, retire, shred."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from vault_kit import vault  # noqa: F401  a fixture

LIMIT = 2 ** 32


@pytest.fixture
def running(vault):  # noqa: F811
    return vault.start()


def rows(vault):  # noqa: F811
    with sqlite3.connect(f"file:{vault.data}/index.db?mode=ro", uri=True) as db:
        return {i.hex(): (k, w) for i, k, w in
                db.execute("SELECT id, key_id, wrapped_key FROM objects")}


def everywhere(folder, needle):
    return [p.name for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes()]


def test_uploads_follow_a_rotation_at_once(running):
    old = running.put(b"before")
    assert "key 2" in running.command("rotate").stdout
    new = running.put(b"after")
    assert [rows(running)[i][0] for i in (old, new)] == [1, 2]
    for file, content in ((old, b"before"), (new, b"after")):
        assert running.request("GET", f"/files/{file}").content == content
        assert running.disk.read(file) == content


def test_rewrap_moves_every_key_and_no_payload(running):
    files = {running.put(b"file %d" % i): b"file %d" % i for i in range(300)}
    blobs = {p: p.read_bytes() for p in (running.data / "blobs").rglob("*") if p.is_file()}
    before = rows(running)
    running.command("rotate")
    assert "300 objects rewrapped" in running.command("rewrap").stdout
    after = rows(running)
    assert {k for k, _ in after.values()} == {2}
    assert not {w for _, w in before.values()} & {w for _, w in after.values()}
    assert {p: p.read_bytes() for p in blobs} == blobs
    assert "0 objects rewrapped" in running.command("rewrap").stdout
    for file, content in list(files.items())[::50]:
        assert running.request("GET", f"/files/{file}").content == content
        assert running.disk.read(file) == content


def test_readers_and_writers_go_on_while_keys_change(running):
    files = {running.put(b"file %d" % i): b"file %d" % i for i in range(200)}
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            for file, content in list(files.items()):
                reply = running.request("GET", f"/files/{file}")
                if reply.content != content:
                    wrong.append((file, reply.status_code))

    def write():
        while not stop.is_set():
            content = os.urandom(20)
            reply = running.request("POST", "/files", data=content)
            if reply.status_code == 201:
                files[reply.json()["id"]] = content
            else:
                wrong.append(("POST", reply.status_code))

    threads = [threading.Thread(target=f) for f in (read, write)]
    for t in threads:
        t.start()
    try:
        for old in (1, 2, 3):
            running.command("rotate")
            running.command("rewrap")
            running.command("retire", str(old))
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not wrong
    assert {k for k, _ in rows(running).values()} == {4}


def test_a_key_in_use_or_the_newest_is_not_retired(running):
    file = running.put(b"x")
    for key, reason in (("1", "newest"), ("7", "newest|no key"), ("x", "number"), ("0", "number")):
        done = running.command("retire", key, check=False)
        assert done.returncode == 1 and any(r in done.stderr for r in reason.split("|"))
    running.command("rotate")
    done = running.command("retire", "1", check=False)
    assert done.returncode == 1 and "rewrap first" in done.stderr
    assert running.request("GET", f"/files/{file}").content == b"x"
    running.command("rewrap")
    running.command("retire", "1")
    assert set(running.disk.keys) == {2}
    assert "no key 1" in running.command("retire", "1", check=False).stderr
    assert running.request("GET", f"/files/{file}").content == b"x"


def test_a_wrong_root_key_changes_nothing(running):
    running.put(b"x")
    before = (running.data / "keyring").read_bytes()
    wrong = running.root_key_file.with_name("wrong.key")
    wrong.write_text("0" * 64)
    for command in (["rotate"], ["rewrap"], ["retire", "1"], ["shred", "0" * 32]):
        done = running.command(*command, check=False, VAULT_ROOT_KEY_FILE=wrong)
        assert done.returncode == 1 and "does not open the keyring" in done.stderr
    assert (running.data / "keyring").read_bytes() == before
    assert {k for k, _ in rows(running).values()} == {1}


def test_a_crash_between_keyring_and_index_is_taken_up(running):
    """The keyring's file with the new key is there, the row is not."""
    index = running.data / "index.db"
    running.command("rotate")
    with sqlite3.connect(index) as db:
        db.execute("DELETE FROM wrapping_keys WHERE id = 2")
    file = running.put(b"under the key that the index names")
    assert rows(running)[file][0] == 1
    # Retired now, its id would be another key's next, and who read the file between has the old one.
    assert "rotate first" in running.command("retire", "2", check=False).stderr
    before = running.disk.keys
    assert "key 2" in running.command("rotate").stdout
    assert running.disk.keys == before and set(before) == {1, 2}


def test_an_old_keyring_gives_no_id_twice(running):
    """Put back from before a rotation: its next id would be that key's."""
    old = (running.data / "keyring").read_bytes()
    running.command("rotate")
    (running.data / "keyring").write_bytes(old)
    assert "older than the index" in running.command("rotate", check=False).stderr
    assert (running.data / "keyring").read_bytes() == old


def test_a_key_is_worn_out_before_its_nonces_may_repeat(running):
    running.server.stop()
    with sqlite3.connect(running.data / "index.db") as db:
        db.execute("UPDATE wrapping_keys SET reserved = ?", (LIMIT - 4096,))
    running.start()
    for _ in range(3):
        running.put(b"the last block")
    running.server.stop()
    running.start()
    reply = running.request("POST", "/files", data=b"x")
    assert reply.status_code == 503 and "Retry-After" in reply.headers
    assert "rotate" in running.server.log_text()
    assert running.disk.under_way() == [] and len(running.disk.blobs()) == len(running.list())
    running.command("rotate")
    running.put(b"x")
    with sqlite3.connect(running.data / "index.db") as db:
        assert db.execute("SELECT MAX(reserved) FROM wrapping_keys").fetchone()[0] <= LIMIT


def test_a_newest_key_that_cannot_be(running):
    """Somebody with the disk says so: uploads are refused, and leave nothing."""
    running.server.stop()
    with sqlite3.connect(running.data / "index.db") as db:
        db.execute("INSERT INTO wrapping_keys VALUES (?, 0)", (2**32 + 1,))
    running.start()
    assert running.request("POST", "/files", data=b"x").status_code == 503
    assert running.list() == [] and running.disk.blobs() == []


def test_a_count_is_reserved_before_it_is_used(running):
    """After kill -9 the next server begins behind everything that may have been used."""
    def reserved():
        with sqlite3.connect(f"file:{running.data}/index.db?mode=ro", uri=True) as db:
            return db.execute("SELECT reserved FROM wrapping_keys").fetchone()[0]

    running.put(b"x")
    first = reserved()
    running.server.kill()
    running.start()
    running.put(b"x")
    assert reserved() >= first + 1


def test_the_wraps_of_a_rewrap_are_counted(running):
    for _ in range(5):
        running.put(b"x")
    running.command("rotate")
    running.command("rewrap")
    assert running.disk.sql("SELECT reserved FROM wrapping_keys WHERE id = 2") == [(5,)]


def test_shred_leaves_no_key_and_says_when_it_is_complete(running):
    file, other = running.put(b"secret"), running.put(b"stays")
    wrapped = rows(running)[file][1]
    assert everywhere(running.data, wrapped)  # the control: it can be found
    said = running.command("shred", file).stdout
    assert "retire 1" in said
    assert not everywhere(running.data, wrapped)
    assert not list(running.data.rglob(file))
    assert running.request("GET", f"/files/{file}").status_code == 404
    running.command("rotate")
    running.command("rewrap")
    assert "retire 1" in running.command("shred", file).stdout
    running.command("retire", "1")
    assert running.command("shred", file).stdout == "complete\n"
    assert running.request("GET", f"/files/{other}").content == b"stays"
    for name in ("0" * 32, "x", file[:-1]):
        assert "no object" in running.command("shred", name, check=False).stderr


def test_shred_is_not_complete_while_the_payload_is_there(running):
    """Whatever keeps it there: here it cannot be unlinked, or the backup's lock not be taken."""
    file = running.put(b"secret")
    path, lock = running.disk.path(file), running.data / "backup.lock"
    path.unlink()
    path.mkdir()
    for _ in range(2):
        done = running.command("shred", file, check=False)
        assert done.returncode == 1 and "could not be unlinked" in done.stderr
        for command in (["rotate"], ["rewrap"]):
            running.command(*command)
        running.command("retire", str(min(running.disk.keys)))
    path.rmdir()
    path.write_bytes(b"payload")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    assert running.command("shred", file, check=False).returncode == 1
    lock.rmdir()
    assert running.command("shred", file).stdout == "complete\n"
    assert not path.exists()


def test_shred_reaches_what_was_deleted(running):
    """Its wrapped key is still in SQLite's log."""
    file = running.put(b"secret")
    wrapped = rows(running)[file][1]
    assert running.request("DELETE", f"/files/{file}").status_code == 204
    assert everywhere(running.data, wrapped)
    assert "retire 1" in running.command("shred", file).stdout
    assert not everywhere(running.data, wrapped)


def test_shred_reaches_pages_that_were_rebuilt(running):
    """Deleted and shredded in any order, rows of any length, so that SQLite moved them about."""
    def put(i):
        name = {"Content-Disposition": f"attachment; filename={'n' * (1 + i * 37 % 200)}"}
        return running.put(b"x", **name)

    with ThreadPoolExecutor(4) as clients:
        files = list(clients.map(put, range(160)))
        wrapped = {file: key for file, (_, key) in rows(running).items()}
        files.sort()  # by random numbers
        gone = [f"/files/{file}" for file in files[2:]]
        assert {r.status_code for r in clients.map(running.request, ["DELETE"] * 158, gone)} == {204}
    running.command("shred", files[1])
    content = b"".join(p.read_bytes() for p in running.data.glob("index.db*"))
    assert [file for file, key in wrapped.items() if key in content] == files[:1]


def test_the_changes_are_in_the_audit_log(running):
    file = running.put(b"x")
    for command in (["rotate"], ["rewrap"], ["retire", "1"], ["shred", file]):
        running.command(*command)
    log = running.command("audit", "list").stdout
    for action in ("rotate", "rewrap", "retire", "delete"):
        assert f" {action} " in log
    running.command("audit", "verify")


def test_shred_is_not_complete_while_an_older_key_lives(running):
    """It wrapped the object's key before the rewrap, and a backup may have that."""
    file = running.put(b"secret")
    running.command("rotate")
    running.command("rewrap")
    assert "retire 2" in running.command("shred", file).stdout
    running.command("rotate")
    running.command("rewrap")
    running.command("retire", "2")
    assert "retire 2, and what is older" in running.command("shred", file).stdout
    running.command("retire", "1")
    assert running.command("shred", file).stdout == "complete\n"

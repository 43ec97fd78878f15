"""`verify` finds what is damaged or back from the dead; `backup` copies a vault that serves."""

import fcntl
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from harness import server
from harness.process import until
from vault_kit import Vault, pattern, vault  # noqa: F401

SIZES = (0, 1, 16383, 16384, 16385, 300_000, 1_000_000)


def store_all(vault):
    return {vault.put(content): content
            for content in (pattern(size, seed=i) for i, size in enumerate(SIZES))}


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def test_all_sound(vault):
    vault.start()
    files = store_all(vault)
    done = vault.command("verify")
    assert done.stdout == f"{len(files)} files of {sum(SIZES)} bytes are sound, 0 are not\n"
    for file_id in files:
        vault.request("DELETE", f"/files/{file_id}")
    assert vault.command("verify").stdout == "0 files of 0 bytes are sound, 0 are not\n"


@pytest.mark.parametrize("threads", [1, 3])
def test_each_kind_of_damage(vault, threads):
    vault.start()
    disk = vault.disk
    ids = [vault.put(pattern(300_000, seed=i)) for i in range(8)]
    ids += [disk.add(b"small") for _ in range(600)]  # more than a page of the list
    flip(disk.path(ids[0]), 0)  # salt
    flip(disk.path(ids[1]), 56 + 16400 * 7 + 5)  # a chunk in the middle
    flip(disk.path(ids[2]), -1)  # the last tag
    disk.path(ids[3]).unlink()
    with disk.path(ids[4]).open("ab") as f:
        f.write(b"x")
    disk.sql("UPDATE objects SET sealed = zeroblob(length(sealed)) WHERE id = ?",
             bytes.fromhex(ids[5]))
    done = vault.command("verify", "--threads", str(threads), check=False)
    *damaged, last = done.stdout.splitlines()
    assert done.returncode == 1
    assert sorted(damaged) == sorted(f"damaged {i}" for i in ids[:6])
    assert last == f"602 files of {2 * 300_000 + 600 * 5} bytes are sound, 6 are not"


def test_what_cannot_be_read_stops_nothing(vault):
    """As a bad sector would: an error of the system, not of the bytes."""
    vault.start()
    first, last = vault.put(b"1"), vault.put(b"2")
    vault.disk.path(first).unlink()
    vault.disk.path(first).symlink_to(vault.disk.path(last))
    done = vault.command("verify", "--threads", "1", check=False)
    assert done.returncode == 1
    assert done.stdout == f"unreadable {first}\n1 files of 1 bytes are sound, 1 are not\n"


def test_a_deleted_file_that_is_back(vault):
    """Row and blob put back from an old copy, the audit log left as it was."""
    vault.start()
    kept, file_id = vault.put(b"kept"), vault.put(b"deleted")
    disk = vault.disk
    raw = bytes.fromhex(file_id)
    (row,) = disk.sql("SELECT seq, id, key_id, wrapped_key, sealed FROM objects WHERE id = ?", raw)
    blob = disk.path(file_id).read_bytes()
    assert vault.request("DELETE", f"/files/{file_id}").status_code == 204
    disk.sql("INSERT INTO objects (seq, id, key_id, wrapped_key, sealed) VALUES (?, ?, ?, ?, ?)",
             *row)
    disk.path(file_id).write_bytes(blob)
    assert vault.fetch(file_id) == (200, b"deleted", True)  # nothing about itself is wrong
    done = vault.command("verify", check=False)
    assert done.returncode == 1 and done.stdout.splitlines()[0] == f"deleted {file_id}"
    assert kept not in done.stdout


def test_a_deleted_file_that_is_back_behind_another_index(vault):
    """The table is made anew with another type, and an index that does not say what it has: the
    macs hold, and SQL finds no deletion."""
    vault.start()
    file_id, disk = vault.put(b"deleted"), vault.disk
    (row,) = disk.sql("SELECT seq, id, key_id, wrapped_key, sealed FROM objects")
    blob = disk.path(file_id).read_bytes()
    assert vault.request("DELETE", f"/files/{file_id}").status_code == 204
    vault.server.stop()
    db = sqlite3.connect(vault.data / "index.db", isolation_level=None)
    db.executescript(
        "DROP TRIGGER audit_changed; ALTER TABLE audit RENAME TO old;"
        "CREATE TABLE audit (seq INTEGER PRIMARY KEY, at_ms INTEGER, who, source, action, object,"
        " outcome, mac);"
        "INSERT INTO audit SELECT seq, at_ms, who, source, CAST(action AS BLOB), object, outcome,"
        " mac FROM old; DROP TABLE old;"
        "CREATE INDEX empty ON audit (object) WHERE action = 'nothing'; PRAGMA writable_schema=ON;"
        "UPDATE sqlite_schema SET sql = replace(sql, 'nothing', 'delete') WHERE name = 'empty'")
    db.execute("INSERT INTO objects (seq, id, key_id, wrapped_key, sealed) VALUES (-5, ?, ?, ?, ?)",
               row[1:])
    db.close()
    disk.path(file_id).write_bytes(blob)
    vault.server.start(wait="/healthz")
    assert vault.command("audit", "verify").returncode == 0
    done = vault.command("verify", check=False)
    assert done.returncode == 1 and done.stdout.splitlines()[0] == f"deleted {file_id}"


def test_a_revoked_key_that_is_back(vault):
    vault.start()
    key = vault.new_key("read")
    raw = bytes.fromhex(key.split("_")[1])
    (row,) = vault.disk.sql("SELECT id, scopes, verifier FROM api_keys WHERE id = ?", raw)
    vault.command("apikey", "--revoke", key)
    assert vault.command("verify").returncode == 0
    vault.disk.sql("INSERT INTO api_keys VALUES (?, ?, ?)", *row)
    assert vault.request("GET", "/files", key=key).status_code == 200  # nothing in it is wrong
    done = vault.command("verify", check=False)
    assert done.returncode == 1 and f"revoked {raw.hex()}\n" in done.stdout


def test_a_blob_that_nothing_names(vault):
    """As an index from before, or without its log, leaves them."""
    vault.start()
    file_id = vault.put(b"x")
    vault.disk.sql("DROP TRIGGER deleted_row")
    vault.disk.sql("DELETE FROM objects")
    done = vault.command("verify", check=False)
    assert done.returncode == 1 and f"unknown {file_id}\n" in done.stdout
    assert vault.disk.blobs() == [file_id]


def test_a_broken_log_does_not_keep_files_from_being_read(vault):
    vault.start()
    file_id = vault.put(b"x")
    vault.disk.sql("DROP TRIGGER audit_removed")
    vault.disk.sql("DELETE FROM audit WHERE seq = 1")
    vault.disk.path(file_id).write_bytes(b"")
    done = vault.command("verify", check=False)
    assert done.returncode == 1 and f"damaged {file_id}\n" in done.stdout
    assert "audit log: entry 1 is missing\n" in done.stdout


def test_verify_cannot_be_done(vault, folder):
    vault.start()
    assert vault.command("verify", "--vault-data", str(folder / "none"), check=False).returncode == 1
    assert vault.command("verify", "--threads", "65", check=False).returncode == 2


# --- backup ---------------------------------------------------------------------------------------


class Restored(Vault):
    """The copy, served with the same root key."""

    def __init__(self, original, data):
        super().__init__(data.parent / "restored", original.variant, original.start_server)

    @classmethod
    def of(cls, original, data):
        (data.parent / "restored").mkdir(exist_ok=True)
        copy = cls(original, data)
        copy.root_key_file, copy.data, copy.key = original.root_key_file, data, original.key
        copy.env = {"VAULT_DATA": data, "VAULT_ROOT_KEY_FILE": copy.root_key_file}
        return copy


def test_backup_and_restore_while_files_come_and_go(vault, folder):
    vault.start()
    steady = store_all(vault)
    stop, acknowledged = threading.Event(), []

    def churn():
        seed = 0
        while not stop.is_set():
            seed += 1
            file_id = vault.put(pattern(40_000, seed=seed))
            acknowledged.append(file_id)
            if seed % 3:
                assert vault.request("DELETE", f"/files/{file_id}").status_code == 204

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        until(lambda: len(acknowledged) > 10, what="some files")
        copies = []
        for i in range(3):
            copies.append(folder / f"copy{i}")
            done = vault.command("backup", "--to", str(copies[-1]))
            assert done.stdout.endswith(" 0 missing\n")
    finally:
        stop.set()
        thread.join()
    vault.server.stop()
    shutil.rmtree(vault.data)
    for data in copies:
        copy = Restored.of(vault, data)
        assert sorted(p.name for p in data.iterdir()) == ["blobs", "index.db", "keyring", "lock",
                                                         "tmp"]
        assert copy.command("verify").returncode == 0
        copy.command("audit", "verify")
        copy.start()
        listed = {f["id"] for f in copy.list()}
        assert set(steady) <= listed and listed - set(steady) <= set(acknowledged)
        assert copy.disk.blobs() == sorted(listed)
        for file_id, content in steady.items():
            assert copy.fetch(file_id) == (200, content, True)
        copy.put(b"goes on")
        copy.server.stop()


def test_blobs_stay_until_the_backup_has_them(vault):
    """The lock that a backup holds, held by the test: rows go, blobs wait."""
    vault.start(VAULT_ANCHOR_S=1)
    first, second = vault.put(b"1"), vault.put(b"2")
    with (vault.data / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert vault.request("DELETE", f"/files/{first}").status_code == 204
        assert vault.request("GET", f"/files/{first}").status_code == 404
        vault.server.stop()
        assert first in vault.disk.blobs()
        vault.start(VAULT_ANCHOR_S=1)  # its sweep leaves them alone
        assert vault.request("DELETE", f"/files/{second}").status_code == 204
        assert vault.disk.blobs() == sorted([first, second])
    until(lambda: vault.disk.blobs() == [], what="both unlinked")


def test_a_backup_waits_for_unlinks_under_way(vault, folder):
    vault.start()
    vault.put(b"x")
    with (vault.data / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        backup = subprocess.Popen(
            [server.binary("dicom-vault", vault.variant), "backup", "--to", folder / "copy"],
            env={k: str(v) for k, v in vault.env.items()})
        until(lambda: any("->" in line and f" {backup.pid} " in line
                          for line in Path("/proc/locks").read_text().splitlines()),
              what="the backup waits")
        assert not (folder / "copy").exists()
    assert backup.wait(timeout=60) == 0


def test_init_wants_the_folder_alone(vault):
    vault.data.mkdir()
    with (vault.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = vault.command("init", check=False)
        assert done.returncode == 1 and "lock is held" in done.stderr
        assert [p.name for p in vault.data.iterdir()] == ["lock"]
    vault.command("init")


def test_backup_tells_what_is_missing(vault, folder):
    vault.start()
    kept, lost = vault.put(b"1"), vault.put(b"2")
    vault.disk.path(lost).unlink()
    done = vault.command("backup", "--to", str(folder / "copy"), check=False)
    assert done.returncode == 1 and done.stdout == f"missing {lost}\n1 files, 1 missing\n"
    assert Restored.of(vault, folder / "copy").disk.blobs() == [kept]


def test_backup_refusals(vault, folder):
    vault.start()
    (folder / "taken").mkdir()
    done = vault.command("backup", "--to", str(folder / "taken"), check=False)
    assert done.returncode == 1 and "there already" in done.stderr
    assert list((folder / "taken").iterdir()) == []
    (folder / "half.partial").mkdir()  # of a backup that was killed
    done = vault.command("backup", "--to", str(folder / "half"), check=False)
    assert done.returncode == 1 and not (folder / "half").exists()
    assert vault.command("backup", check=False).returncode == 2
    for path in ("half.partial", "taken"):
        assert list((folder / path).iterdir()) == []


def test_the_copy_has_no_root_key(vault, folder):
    vault.start()
    vault.put(b"x")
    vault.command("backup", "--to", str(folder / "copy"))
    root = bytes.fromhex(vault.root_key_file.read_text())
    for path in (folder / "copy").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert root not in content and root.hex().encode() not in content
    with sqlite3.connect(folder / "copy" / "index.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()

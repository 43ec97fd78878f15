"""Clients that hang up, crashes, a full disk, a locked index, wrong folders and keys: a file is
there whole or not at all, and each fault has a clear error."""

import json
import os
import socket
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import server
from harness.process import until
from vault_kit import pattern, vault  # noqa: F401

HALF = 700_000


class Half:
    """An upload of which half has arrived."""

    def __init__(self, vault, content):
        self.rest = content[HALF:]
        self.socket = socket.create_connection(("127.0.0.1", vault.server.port), timeout=30)
        self.socket.sendall(
            f"POST /files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {vault.key}\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
            + content[:HALF])
        # Whole pieces of 256 KiB go to the pool as they come.
        until(lambda: any(p.stat().st_size > 262144 for p in (vault.data / "tmp").iterdir()),
              what="half an upload on disk")

    def finish(self):
        """Send the rest; the status of the reply."""
        self.socket.sendall(self.rest)
        reply = b""
        while piece := self.socket.recv(65536):
            reply += piece
        head, _, body = reply.partition(b"\r\n\r\n")
        return int(head.split()[1]), body


def nothing_left(vault):
    disk = vault.disk
    return disk.under_way() == [] and disk.blobs() == sorted(f["id"] for f in vault.list())


def test_a_client_that_hangs_up_leaves_nothing(vault):
    vault.start()
    kept = vault.put(b"x")
    for _ in range(3):
        Half(vault, pattern(2 * HALF)).socket.close()
        until(lambda: nothing_left(vault), what="the half upload gone")
    assert vault.disk.blobs() == [kept]
    assert "level=error" not in vault.server.log_text()


def test_a_client_that_falls_silent_leaves_nothing(vault):
    """Reset instead of closed, and an announced length that never comes."""
    vault.start()
    half = Half(vault, pattern(2 * HALF))
    half.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    half.socket.close()
    until(lambda: nothing_left(vault), what="the half upload gone")
    half = Half(vault, pattern(2 * HALF))
    half.socket.shutdown(socket.SHUT_WR)
    until(lambda: nothing_left(vault), what="the half upload gone")


def test_kill_during_uploads(vault):
    """Again and again SIGKILL at any moment: what was acknowledged is there and equal; whatever
    else is listed is whole; nothing else is left."""
    vault.start()
    contents, acknowledged, lock = {}, set(), threading.Lock()

    def upload(worker, stop):
        seed = worker
        while not stop.is_set():
            seed += 10
            content = pattern(1 + seed * 7919 % 900_000, seed)
            with lock:
                contents[len(contents)] = content
            try:
                reply = vault.request("POST", "/files", data=content)
            except OSError:
                return
            if reply.status_code == 201:
                with lock:
                    acknowledged.add((reply.json()["id"], content))

    for round_number in range(5):
        stop = threading.Event()
        before = len(acknowledged)
        threads = [threading.Thread(target=upload, args=(1000 * round_number + w, stop))
                   for w in range(4)]
        for t in threads:
            t.start()
        until(lambda: len(acknowledged) >= before + 5 + 3 * round_number, what="some uploads")  # noqa: B023
        vault.server.kill()
        stop.set()
        for t in threads:
            t.join()
        vault.server.start(wait="/healthz")
        assert nothing_left(vault)
        known = {f["id"]: f for f in vault.list()}
        for file_id, content in acknowledged:
            assert vault.fetch(file_id) == (200, content, True)
        for file_id in known.keys() - {i for i, _ in acknowledged}:
            status, body, whole = vault.fetch(file_id)
            assert status == 200 and whole and body in contents.values()


def test_kill_leaves_a_half_upload_that_the_next_start_sweeps(vault):
    vault.start()
    half = Half(vault, pattern(2 * HALF))
    vault.server.kill()
    half.socket.close()
    assert len(vault.disk.under_way()) == 1
    vault.server.start(wait="/healthz")
    assert nothing_left(vault) and vault.list() == []
    assert "event=swept files=1" in vault.server.log_text()


def test_sigterm_lets_an_upload_finish(vault):
    vault.start()
    content = pattern(2 * HALF)
    half = Half(vault, content)
    vault.server.signal(15)
    until(lambda: "event=draining" in vault.server.log_text())
    status, body = half.finish()
    assert status == 201
    assert vault.server.ended() == 0
    vault.server.start(wait="/healthz")
    assert vault.fetch(json.loads(body)["id"]) == (200, content, True)
    assert nothing_left(vault)


def test_sigterm_does_not_wait_for_ever(vault):
    vault.start()
    half = Half(vault, pattern(2 * HALF))
    assert vault.server.stop() == 0
    half.socket.close()
    assert vault.disk.under_way() == [] and vault.disk.blobs() == []


def test_a_locked_index(vault):
    """Another process holds SQLite's write lock: uploads and deletes are refused and leave
    nothing, and so are reads, which could not be recorded; when it lets go, all is as before."""
    vault.start()
    kept = vault.put(b"kept")
    other = sqlite3.connect(vault.data / "index.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    refused = vault.request("POST", "/files", data=b"new")
    patience = time.monotonic() - started
    for reply in (refused, vault.request("DELETE", f"/files/{kept}")):
        assert reply.status_code == 503 and reply.headers["Retry-After"]
        assert reply.json()["type"] == "/problems/unavailable"
    assert vault.fetch(kept)[0] == 503
    command = vault.command("apikey", "--scope", "read", check=False)
    assert command.returncode == 1 and "could not be stored" in command.stderr
    with ThreadPoolExecutor(12) as clients:  # they wait side by side, not one after the other
        started = time.monotonic()
        waiting = [clients.submit(vault.request, "POST", "/files", data=b"new") for _ in range(12)]
        assert [w.result().status_code for w in waiting] == [503] * 12
        assert time.monotonic() - started < 5 * patience
    other.execute("ROLLBACK")
    other.close()
    assert vault.disk.blobs() == [kept]
    assert vault.fetch(vault.put(b"new")) == (200, b"new", True)
    assert vault.request("DELETE", f"/files/{kept}").status_code == 204
    assert nothing_left(vault)


class FileLimit(server.Server):
    """No file may grow past a limit: write(2) then fails with EFBIG."""

    def command(self):
        return ["prlimit", "--fsize=2000000", "--", "env", "--ignore-signal=XFSZ", *super().command()]


def test_a_file_that_may_not_grow(vault, folder):
    vault.start()
    vault.server.stop()
    vault.server = FileLimit("dicom-vault", vault.env, folder).start(wait="/healthz")
    try:
        kept = vault.put(pattern(1_000_000))
        for _ in range(3):
            reply = vault.request("POST", "/files", data=pattern(5_000_000))
            assert reply.status_code == 507
            assert reply.json()["type"] == "/problems/storage-full"
            assert nothing_left(vault)
        assert vault.fetch(kept) == (200, pattern(1_000_000), True)
        vault.put(b"room for a small one")
    finally:
        code = vault.server.stop()
    assert code == 0


def refused_start(vault, *expected, prefix=(), **env):
    """serve ends with 1 and says why."""
    done = subprocess.run([*prefix, server.binary("dicom-vault", vault.variant)], text=True,
                          capture_output=True, timeout=60, check=False,
                          env={k: str(v) for k, v in {**vault.env, "VAULT_LISTEN": "127.0.0.1:0",
                                                      "PATH": os.environ["PATH"], **env}.items()})
    assert done.returncode == 1, done.stderr
    for text in expected:
        assert text in done.stderr
    assert "Sanitizer" not in done.stderr


def snapshot(folder):
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [folder, *folder.rglob("*")]}


def test_starts_that_cannot_be(vault, folder):
    refused_start(vault, "no vault here", "dicom-vault init", VAULT_DATA=folder)
    refused_start(vault, "No such file or directory", VAULT_DATA=folder / "nowhere")
    refused_start(vault, "Not a directory", VAULT_DATA=vault.root_key_file)
    vault.command("init")
    before = snapshot(vault.data)
    wrong = folder / "wrong.key"
    wrong.write_text("0" * 64)
    refused_start(vault, "root key", "does not open the keyring", VAULT_ROOT_KEY_FILE=wrong)
    wrong.write_text("not hexadecimal")
    refused_start(vault, "not 64 hex digits", VAULT_ROOT_KEY_FILE=wrong)
    refused_start(vault, "No such file", VAULT_ROOT_KEY_FILE=folder / "missing")
    assert snapshot(vault.data) == before
    again = vault.command("init", check=False)
    assert again.returncode == 1 and "nothing was changed" in again.stderr
    vault.start()
    vault.put(b"x")
    refused_start(vault, "another process serves this vault")
    assert vault.fetch(vault.list()[0]["id"])[1] == b"x"


def test_a_folder_that_cannot_be_written(vault):
    """Permissions bind root too once it gave up the capability to override them."""
    vault.command("init")
    folders = [vault.data, vault.data / "tmp"]
    no_override = ["setpriv", "--bounding-set=-dac_override", "--"] if os.getuid() == 0 else []
    for f in folders:
        f.chmod(0o500)
        try:
            refused_start(vault, str(vault.data), "Permission denied", prefix=no_override)
        finally:
            f.chmod(0o700)
    vault.start()
    vault.put(b"x")


def test_commands_say_what_is_wrong(vault):
    usage = vault.command("frobnicate", check=False)
    assert usage.returncode == 2
    for name in ("serve", "init", "apikey"):
        assert name in usage.stderr
    assert vault.command("apikey", "--scope", "read", check=False).returncode == 1
    vault.command("init")
    for arguments in (["--scope", "root"], ["--scope", "read,,write"], ["--revoke", "xyz"], [],
                      ["--scope", "read", "--revoke", "0011223344556677"]):
        done = vault.command("apikey", *arguments, check=False)
        assert done.returncode == 1 and "dicom-vault: " in done.stderr and done.stdout == ""
    assert vault.command("init", "--frobnicate", check=False).returncode == 2
    for arguments in (["--help"], ["serve", "--help"], ["init", "--help"]):
        assert "VAULT_DATA" in vault.command(*arguments).stdout


@pytest.mark.parametrize("workers", [1, 4])
def test_slow_uploads_hold_no_worker(vault, workers):
    """More half uploads than threads, and the vault still answers."""
    vault.start(VAULT_WORKERS=workers)
    content = pattern(2 * HALF)
    halves = [Half(vault, content) for _ in range(workers + 2)]
    file_id = vault.put(b"x")
    assert vault.fetch(file_id)[1] == b"x"
    for half in halves:
        status, body = half.finish()
        assert status == 201
        assert vault.fetch(json.loads(body)["id"]) == (200, content, True)

"""A disk that is really full: what does not fit is refused and leaves nothing, what is there is
read, deleted and backed by an index that is right, and room made is used at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.smalldisk import ServerOn, SmallDisk
from vault_kit import Vault, pattern

SIZE = 10 << 20


class SmallVault(Vault):
    """On a disk of its own, of a few MiB."""

    def __init__(self, folder, variant, disk):
        super().__init__(folder, variant, self.serve)
        self.disk_under = disk
        self.folder = folder
        self.prefix = disk.prefix
        self.env["VAULT_DATA"] = disk.path / "vault"
        self.data = disk.outside / "vault"

    def serve(self, name, env, wait):
        started = ServerOn(name, env, self.folder)
        started.disk = self.disk_under
        return started.start(wait)

    def check_index(self):
        """By a process on the disk: SQLite follows the link that leads there from outside."""
        say = ("import sqlite3, sys; "
               "print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])")
        return subprocess.run(
            [*self.prefix, sys.executable, "-c", say, self.env["VAULT_DATA"] / "index.db"],
            check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


@pytest.fixture
def small(folder, variant):
    disk = SmallDisk(folder / "disk", SIZE)
    vault = SmallVault(folder, variant, disk)
    yield vault
    code = vault.server.stop() if vault.server and vault.server.running() else 0
    disk.close()
    assert code == 0, vault.server.log_tail()


def sound(vault, contents):
    """Index, blobs and log agree, and nothing half done is left."""
    files = {f["id"]: f for f in vault.list()}
    assert vault.disk.under_way() == [] and vault.disk.blobs() == sorted(files)
    assert files.keys() == contents.keys()
    assert all(vault.fetch(i) == (200, body, True) for i, body in contents.items())
    assert vault.check_index() == "ok"
    assert vault.command("audit", "verify").returncode == 0
    assert vault.command("verify").returncode == 0


def fill(vault, size):
    """Upload until there is no room; what went in."""
    contents, full = {}, False

    def put(seed):
        body = pattern(size, seed)
        return body, vault.request("POST", "/files", data=body)

    with ThreadPoolExecutor(4) as clients:
        for first in range(0, 10_000, 4):
            for body, reply in clients.map(put, range(first, first + 4)):
                assert reply.status_code in (201, 507), reply.text
                if reply.status_code == 201:
                    contents[reply.json()["id"]] = body
                else:
                    assert reply.json()["type"] == "/problems/storage-full"
                    full = True
            if full:
                return contents


@pytest.mark.parametrize("size", [500_000, 30_000])
def test_uploads_stop_before_the_disk_is_full(small, size):
    """A reserve is left, so that reads can be recorded and files be deleted."""
    small.start(VAULT_RESERVE=512 * 1024)
    contents = fill(small, size)
    assert len(contents) >= 5
    assert small.disk_under.free() >= 256 * 1024
    sound(small, contents)
    for file_id in sorted(contents)[: len(contents) // 4]:
        assert small.request("DELETE", f"/files/{file_id}").status_code == 204
        del contents[file_id]
    more = fill(small, size)
    assert more
    sound(small, contents | more)


def test_a_disk_that_others_fill(small):
    """To the last page, and to a few pages before it, so that the payload fits and the index does
    not, or the audit entry alone: each upload and delete is done or not at all, a read comes whole
    or is refused, and with room again all goes on, without a restart."""
    disk = small.disk_under
    small.start(VAULT_RESERVE=0)
    contents = {small.put(pattern(n)): pattern(n) for n in (0, 5_000, 300_000)}
    refused, done = set(), set()
    for leave in [*range(0, 160_000, 8192), 0]:
        disk.fill(leave)
        assert disk.free() <= leave  # the control: it is full
        body = pattern(3_000, leave)
        reply = small.request("POST", "/files", data=body)
        note = done if reply.status_code == 201 else refused
        note.add(("upload", reply.status_code))
        if reply.status_code == 201:
            contents[reply.json()["id"]] = body
        for file_id, content in contents.items():
            status, got, whole = small.fetch(file_id)
            assert (status, got, whole) == (200, content, True) or status in (503, 507)
            (done if status == 200 else refused).add(("read", status))
        victim = sorted(contents)[leave % len(contents)]
        code = small.request("DELETE", f"/files/{victim}").status_code
        (done if code == 204 else refused).add(("delete", code))
        if code == 204:
            del contents[victim]
        disk.drain()
        if leave % 65_536 == 0:
            sound(small, contents)
    assert {("upload", 507)} <= refused and ("upload", 201) in done, (refused, done)
    assert {("read", 200), ("delete", 204)} <= done
    assert "No space left on device" in small.server.log_text()
    sound(small, contents | {small.put(b"room again"): b"room again"})


def test_a_kill_on_a_full_disk(small):
    """What SQLite could not write is not there when it looks at its log again."""
    disk = small.disk_under
    small.start(VAULT_RESERVE=0)
    contents = {small.put(pattern(9_000)): pattern(9_000)}
    for leave in (0, 16_384, 40_960, 81_920):
        disk.fill(leave)
        body = pattern(3_000, leave)
        reply = small.request("POST", "/files", data=body)
        assert reply.status_code in (201, 507)
        if reply.status_code == 201:
            contents[reply.json()["id"]] = body
        small.server.kill()
        disk.drain()
        small.server.start(wait="/healthz")
        sound(small, contents)

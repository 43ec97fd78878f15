"""SIGKILL before every call that changes a file: of an upload, of a delete, and of each command that
changes keys; and a clock that was set back. tests/harness/crash.c counts the calls inside the
process, and traces them, so that their order is what a power cut needs."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from dicomweb_kit import instance, stow
from harness import server
from harness.process import ROOT
from vault_kit import pattern, vault  # noqa: F401

CONTENT = pattern(40_000)


class Crash:
    def __init__(self, folder):
        self.library, self.arm_file = folder / "crash.so", folder / "arm"
        self.trace_file = folder / "trace"
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-shared",
                        "-fPIC", "-O1", "-o", self.library, ROOT / "tests/harness/crash.c"],
                       check=True)
        options = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": self.library, "CRASH_ARM": self.arm_file,
                    "CRASH_TRACE": self.trace_file,
                    "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0".lstrip(":")}

    def arm(self, step):
        self.arm_file.write_text(str(step))
        self.trace_file.unlink(missing_ok=True)

    def disarm(self):
        """What was done since: ("write", "tmp"), ("sync", "index.db-wal"), ..."""
        self.arm_file.unlink()
        lines = self.trace_file.read_text().splitlines() if self.trace_file.exists() else []
        return [short(*line.split(" ", 1)) for line in lines]


def short(call, path):
    _, in_vault, place = path.rpartition("/vault")
    for part in ("/tmp/", "/blobs/", "index.db-wal", "index.db"):
        if in_vault and part in place:
            return call, part.strip("/")
    return call, path.rpartition("/")[2]


@pytest.fixture
def crash(folder):
    return Crash(folder)


def chosen(steps):
    """Every one, but of the many writes to SQLite's log the first, the last and some."""
    log = [i for i, step in enumerate(steps) if step == ("write", "index.db-wal")]
    left_out = set(log[1:-1]) - set(log[1:-1:12])
    return [i + 1 for i in range(len(steps) + 1) if i not in left_out]


def whole(vault):
    """Nothing half done is left, and all that is listed comes back."""
    disk = vault.disk
    files = {f["id"]: vault.fetch(f["id"]) for f in vault.list()}
    assert set(disk.under_way()) <= {"keyring"}  # of a command: written over by the next one
    assert disk.blobs() == sorted(files)
    assert all(status == 200 and at_end for status, _, at_end in files.values())
    return {file_id: body for file_id, (_, body, _) in files.items()}


def dry_run(vault, crash, request):
    crash.arm(0)
    assert request().ok
    steps = crash.disarm()
    restart(vault)
    return steps


def restart(vault):
    vault.server.stop()
    vault.server.start(wait="/healthz")


def dies(vault, crash, step, request):
    """The reply, or None when the server died before it; a new one runs afterwards."""
    crash.arm(step)
    try:
        reply = request()
    except OSError:
        reply = None
    crash.disarm()
    if reply is None:
        assert vault.server.ended() == -9
        vault.server.start(wait="/healthz")
    else:
        restart(vault)
    return reply


def test_an_upload(vault, crash):
    vault.start(**crash.env)
    vault.put(b"the first takes a block of wraps")

    def upload():
        return vault.request("POST", "/files", data=CONTENT, headers={"Idempotency-Key": "k"})

    steps = dry_run(vault, crash, upload)
    # Durable before it is named, named durably before the row, the row before the reply.
    order = [("sync", "tmp"), ("link", vault.list()[1]["id"]), ("sync", "blobs"),
             ("write", "index.db-wal"), ("sync", "index.db-wal")]
    places = [steps.index(step) for step in order]
    assert places == sorted(places), steps
    assert steps[-2:] == [("sync", "index.db-wal"), ("unlink", vault.list()[1]["id"])]
    assert max(i for i, step in enumerate(steps) if step == ("write", "tmp")) < places[0]
    vault.request("DELETE", f"/files/{vault.list()[1]['id']}")
    died = 0
    for step in chosen(steps):
        reply = dies(vault, crash, step, upload)
        died += reply is None
        assert sorted(map(len, whole(vault).values())) in ([32], [32, len(CONTENT)])
        again = upload()  # of an answer that was lost
        assert again.status_code == 201
        files = whole(vault)
        assert len(files) == 2 and files[again.json()["id"]] == CONTENT
        vault.request("DELETE", f"/files/{again.json()['id']}")
    assert died >= 10
    assert vault.command("audit", "verify").returncode == 0
    assert vault.command("verify").returncode == 0


def test_an_instance(vault, crash):
    """File and DICOM rows are one: what is listed is found, and what is found comes back."""
    vault.start(**crash.env)
    content = instance("1.2", "1.2.3", "1.2.3.4", PatientID="A1")
    steps = dry_run(vault, crash, lambda: stow(vault, content))
    died, left = 0, 0
    for step in chosen(steps)[::3]:
        vault.request("DELETE", "/dicomweb/studies/1.2")
        died += dies(vault, crash, step, lambda: stow(vault, content)) is None
        files = whole(vault)
        found = vault.request("GET", "/dicomweb/studies?PatientID=A1")
        assert found.status_code == (200 if files else 204)
        left += bool(files)
        assert stow(vault, content).status_code == 200
        assert list(whole(vault).values()) == [content]
        assert len(vault.request("GET", "/dicomweb/instances").json()) == 1
    assert died >= 4 and left


def test_uploads_at_the_same_time_share_their_syncs(vault, crash):
    """Payloads, folders and rows: on a slow disk many uploads cost few syncs more than one."""
    vault.start(**crash.env, SYNC_MS=30)
    vault.put(b"the first takes a block of wraps")

    def syncs(clients, uploads):
        crash.arm(0)
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda i: vault.put(pattern(3_000, i)), range(uploads)))
        return sum(call == "sync" for call, _ in crash.disarm()) / uploads

    assert syncs(1, 4) == 3  # the control: alone, each has its own
    assert syncs(16, 64) < 1
    assert len(whole(vault)) == 69


def test_a_delete(vault, crash):
    vault.start(**crash.env)
    vault.put(b"stays")
    file_id = vault.put(CONTENT)

    def delete():
        return vault.request("DELETE", f"/files/{file_id}")

    steps = dry_run(vault, crash, delete)
    assert steps[-1] == ("unlink", file_id)  # the row first, durably
    assert steps.index(("sync", "index.db-wal")) < len(steps) - 1
    died = 0
    for step in chosen(steps):
        file_id = vault.put(CONTENT)
        died += dies(vault, crash, step, delete) is None
        files = whole(vault)
        assert files.get(file_id, CONTENT) == CONTENT and len(files) in (1, 2)
        if file_id in files:
            assert delete().status_code == 204
    assert died >= 5
    assert vault.command("audit", "verify").returncode == 0
    assert vault.command("verify").returncode == 0


def test_commands_that_change_keys(vault, crash):
    """Killed at any step beside a server that serves: all files stay readable, uploads go on, and
    the command, run again, does what it says."""
    vault.start()
    expected = {vault.put(pattern(n), **{"Content-Disposition": "attachment; filename=x"}): pattern(n)
                for n in (0, 1, 20_000)}

    def run(*words):
        """Again and again, dying one step later each time, until it gets through."""
        died, step = 0, 1
        while True:
            crash.arm(step)
            done = subprocess.run(
                [server.binary("dicom-vault", vault.variant), *words], text=True,
                capture_output=True, timeout=60, check=False,
                env={k: str(v) for k, v in {**vault.env, **crash.env}.items()})
            crash.disarm()
            if done.returncode == 0:
                return died
            assert done.returncode == -9 or (words[0] in ("retire", "shred") and died), done.stderr
            if done.returncode != -9:
                return died
            died += 1
            step += 1 if step < 6 else 4
            vault.request("DELETE", f"/files/{vault.put(b'new')}")
            got = whole(vault)
            assert all(got.get(k) == body for k, body in expected.items())

    crash.arm(0)
    vault.command("rotate", **crash.env)
    steps = crash.disarm()
    order = [("write", "tmp"), ("sync", "tmp"), ("rename", "keyring"), ("sync", "vault"),
             ("write", "index.db-wal"), ("sync", "index.db-wal")]  # durable before it is used
    assert [step for step in steps if step in order][:len(order) - 1] == order[:-1], steps
    assert run("rotate") >= 5
    assert run("rewrap") >= 3
    used = {key for (key,) in vault.disk.sql("SELECT DISTINCT key_id FROM objects")}
    assert len(used) == 1
    for key in sorted(set(vault.disk.keys) - used):
        run("retire", str(key))
        assert key not in vault.disk.keys
    assert whole(vault) == expected
    victim = next(iter(expected))
    del expected[victim]
    assert run("shred", victim) >= 3
    assert vault.disk.sql("SELECT 1 FROM objects WHERE id = ?", bytes.fromhex(victim)) == []
    assert vault.command("audit", "verify").returncode == 0
    assert vault.command("verify").returncode == 0


def test_init(vault, crash):
    """Killed at any step, it makes its vault when it is run again."""
    vault.command("init")
    shutil.rmtree(vault.data)
    crash.arm(0)
    vault.command("init", **crash.env)
    steps = crash.disarm()
    for step in range(1, len(steps) + 1, 3):
        shutil.rmtree(vault.data)
        crash.arm(step)
        assert vault.command("init", check=False, **crash.env).returncode == -9
        crash.disarm()
        if not (vault.data / "keyring").exists():  # it stands only when all else does
            vault.command("init")
    vault.start()
    assert vault.fetch(vault.put(CONTENT)) == (200, CONTENT, True)


def test_a_backup(vault, crash, folder):
    """Killed at any step it leaves no copy under the name that was asked for, and the vault as it
    was: what is deleted then is unlinked, and the next backup is whole."""
    vault.start()
    kept = vault.put(CONTENT)
    name = folder / "copy"

    def backup():
        return subprocess.run(
            [server.binary("dicom-vault", vault.variant), "backup", "--to", name], text=True,
            capture_output=True, timeout=60, check=False,
            env={k: str(v) for k, v in {**vault.env, **crash.env}.items()})

    crash.arm(0)
    assert backup().returncode == 0
    done = crash.disarm()
    steps = len(done)
    synced = len(done) - done[::-1].index(("sync", "copy.partial"))
    assert done.index(("link", kept)) < synced  # all of it durable before it gets its name
    shutil.rmtree(name)
    for step in range(1, steps + 1, max(1, steps // 8)):
        crash.arm(step)
        assert backup().returncode == -9
        crash.disarm()
        assert not name.exists()
        shutil.rmtree(f"{name}.partial", ignore_errors=True)
        gone = vault.put(b"gone")
        assert vault.request("DELETE", f"/files/{gone}").status_code == 204
        assert vault.disk.blobs() == [kept]
    assert "1 files, 0 missing" in backup().stdout
    assert whole(vault) == {kept: CONTENT}


def test_a_log_that_cannot_be_synced(vault, crash, folder):
    """The row is written and not durable: the reply says that nobody knows, and whatever a crash
    makes of the row, the payload is there with it."""
    fails = folder / "sync-fails"
    vault.start(**crash.env, SYNC_FAILS=fails)
    kept = vault.put(b"kept")
    headers = {"Idempotency-Key": "k"}
    fails.touch()
    reply = vault.request("POST", "/files", data=CONTENT, headers=headers)
    assert reply.status_code == 503 and reply.json()["type"] == "/problems/outcome-unknown"
    assert vault.request("GET", f"/files/{kept}").status_code == 503  # it cannot be recorded
    vault.server.kill()
    fails.unlink()
    vault.server.start(wait="/healthz")
    assert sorted(map(len, whole(vault).values())) in ([4], [4, len(CONTENT)])
    assert vault.request("POST", "/files", data=CONTENT, headers=headers).status_code == 201
    assert sorted(map(len, whole(vault).values())) == [4, len(CONTENT)]
    assert vault.command("audit", "verify").returncode == 0


def test_a_clock_that_was_set_back(vault, crash):
    """Times are told, nothing is decided by them: lists keep the order of uploads, pages end where
    they ended, keys and the audit log hold."""
    vault.start(**crash.env)
    ids = [vault.put(b"before") for _ in range(2)]
    first = vault.request("GET", "/files?limit=1").json()
    vault.server.stop()
    vault.start(**crash.env, CLOCK_BEHIND_S=86_400)
    ids += [vault.put(b"after") for _ in range(2)]
    files = vault.list()
    assert [f["id"] for f in files] == ids
    assert files[2]["created"] < files[1]["created"]  # the control: it is set back
    rest = vault.request("GET", f"/files?after={first['next']}").json()["files"]
    assert [f["id"] for f in rest] == ids[1:]
    assert [whole(vault)[i] for i in ids] == [b"before"] * 2 + [b"after"] * 2
    vault.command("rotate")
    vault.command("rewrap")
    assert vault.request("DELETE", f"/files/{ids[0]}").status_code == 204
    assert vault.command("audit", "verify").returncode == 0
    assert vault.command("verify").returncode == 0

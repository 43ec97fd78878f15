"""What does another key cost, while clients read and write?"""

import os
import sqlite3
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from frame import BUILD, QUICK, Proof
from vault import Vault

OBJECTS = 300 if QUICK else 10000
SIZE = 2000
CLIENTS = 4


def rows(vault):
    with sqlite3.connect(f"file:{vault.data}/index.db?mode=ro", uri=True) as db:
        return db.execute("SELECT key_id, wrapped_key FROM objects").fetchall()


def payloads(vault):
    """Each blob with what a write would change: inode, size, time."""
    return {p.name: (s.st_ino, s.st_size, s.st_mtime_ns)
            for p in (vault.data / "blobs").rglob("*") if p.is_file() for s in (p.stat(),)}


class Clients:
    """They read what is there and add to it until they are told to stop."""

    def __init__(self, vault, files):
        self.vault, self.files = vault, files
        self.stop, self.reads, self.writes, self.failed = threading.Event(), 0, 0, []

    def read(self):
        while not self.stop.is_set():
            for file, content in list(self.files.items()):
                if self.vault.get(file) != content:
                    self.failed.append(f"read {file}")
                self.reads += 1
                if self.stop.is_set():
                    return

    def write(self):
        while not self.stop.is_set():
            content = os.urandom(SIZE)
            try:
                self.files[self.vault.put(content)] = content
            except OSError as error:
                self.failed.append(f"write: {error}")
            self.writes += 1

    def __enter__(self):
        self.threads = [threading.Thread(target=f) for f in (self.read, self.write)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def turn_keys(proof, vault, clients):
    """From key 1 to key 2 and no way back."""
    before, wrapped = payloads(vault), {w for _, w in rows(vault)}
    vault.command("rotate")
    started = time.monotonic()
    said = vault.command("rewrap")
    took = time.monotonic() - started
    vault.command("retire", "1")
    after = payloads(vault)
    proof.figure("rewrap", said)
    proof.figure("time", round(took, 2), "s")
    proof.figure("bytes of keys written", len(wrapped) * len(next(iter(wrapped))), "B")
    proof.figure("bytes of payload written", sum(after[n][1] for n in before if after[n] != before[n]),
                 "B")
    proof.check({n: after[n] for n in before} == before, "no payload was touched")
    proof.check({k for k, _ in rows(vault)} == {2}, "every object is under the new key")
    proof.check(not wrapped & {w for _, w in rows(vault)}, "no wrapped key of before is in the index")
    proof.figure("meanwhile read", clients.reads)
    proof.figure("meanwhile written", clients.writes)


def main():
    proof = Proof(
        "v4", "Rotation", "What does another key cost?",
        "Files are under keys of their own, and those under a wrapping key: another wrapping key "
        "rewrites 60 bytes a file, not the file, and nobody waits.",
        f"{OBJECTS} files in a running vault; rotate, rewrap and retire, while a client reads and "
        "another one writes. Then the same without rewrap, which must be refused.")
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        vault = Vault(Path(folder))
        try:
            contents = [os.urandom(SIZE) for _ in range(OBJECTS)]
            with ThreadPoolExecutor(CLIENTS) as pool:
                files = dict(zip(pool.map(vault.put, contents), contents))
            with Clients(vault, files) as clients:
                turn_keys(proof, vault, clients)
            proof.check(not clients.failed, f"no read or write failed {clients.failed[:3] or ''}")
            proof.check(clients.reads and clients.writes, "clients read and wrote meanwhile")
            proof.check(all(vault.get(f) == c for f, c in list(files.items())[:50]),
                        "afterwards the files come out as they went in")
            vault.command("rotate")
            try:
                vault.command("retire", "2")
                refused = False
            except subprocess.CalledProcessError:
                refused = True
            proof.control(refused, "a key that files are still under is not retired")
        finally:
            vault.server.stop()
    proof.finish()


main()

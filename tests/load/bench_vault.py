"""Uploads beside a ladder on bare libmicrohttpd, of which each rung does one thing more (throw away,
AES-256-GCM, SHA-256, write, fsync and rename); downloads beside bare decryption; ranges in the
middle of a long file beside its start; verify beside `openssl speed`; and the memory all of it
takes.
"""

import contextlib
import json
import re
import shutil
import struct
import subprocess
import time
import urllib.request

from harness.server import Server, binary
from load.bench import QUICK, Bench, Limit, by_form, cpu_s, http_load, private_folder, request

MB, KIB, MIB, GIB = 10 ** 6, 1 << 10, 1 << 20, 1 << 30
SIZES = {"512kib": 512 * KIB, "2mib": 2 * MIB, "11mib": 11 * MIB, "1gib": GIB}
RUNGS = ("discard", "aead", "hash", "write", "sync")
CONNECTIONS = 4
STOW_RUNS = by_form(3, 1, 5)
RUNS, VOLUME = by_form((1, 256 * MIB), (1, 512 * MIB), (3, 768 * MIB))


def content(size):
    block = bytes(range(256)) * 4096
    return (block * (size // len(block) + 1))[:size]


class Vault:
    """A vault of its own on the release build, and a key to everything in it."""

    def __init__(self, folder):
        self.env = {"VAULT_DATA": folder / "vault", "VAULT_ROOT_KEY_FILE": folder / "root.key"}
        self.env["VAULT_ROOT_KEY_FILE"].write_text("5a" * 32)
        self.command("init")
        key = self.command("apikey", "--scope", "read,write,admin").strip()
        self.headers = {"Authorization": f"Bearer {key}"}
        self.server = Server("dicom-vault", {**self.env, "LOG_LEVEL": "warn"}, folder,
                             variant="release").start(wait="/healthz")
        self.port = self.server.port

    def command(self, *args):
        return subprocess.run([binary("dicom-vault", "release"), *args], check=True, text=True,
                              stdout=subprocess.PIPE,
                              env={k: str(v) for k, v in self.env.items()}).stdout


@contextlib.contextmanager
def a_vault():
    folder = private_folder()
    vault = Vault(folder)
    try:
        yield vault
    finally:
        vault.server.stop()
        shutil.rmtree(folder)


@contextlib.contextmanager
def a_ladder(rung):
    folder = private_folder()
    limit = Limit("bare_vault", folder, folder, rung).start()
    try:
        yield limit
    finally:
        limit.kill()
        shutil.rmtree(folder)


def load(server, requests, size, code):
    """MB of content a second, and for each second of the server's processor time; each request
    answered with this code."""
    count = max(CONNECTIONS, VOLUME // size // CONNECTIONS * CONNECTIONS)
    before = cpu_s(server.pid)
    done = http_load(server.port, requests, connections=CONNECTIONS, seconds=600,
                     max_requests=count)
    assert done["statuses"] == {str(code): count} and not done["errors"], done
    return done["per_s"] * size / MB, count * size / MB / (cpu_s(server.pid) - before)


def get_first_files(vault, n):
    """GETs of the first n files there are."""
    listed = urllib.request.urlopen(urllib.request.Request(
        f"{vault.server.url}/files?limit={n}", headers=vault.headers)).read()
    return [request("GET", f"/files/{f['id']}", vault.headers) for f in json.loads(listed)["files"]]


def climb(size, body, figures):
    for rung in RUNGS:
        with a_ladder(rung) as ladder:
            figures[rung].append(load(ladder, [request("POST", "/", body=body)], size, 201))
            if rung == "sync":
                gets = [request("GET", f"/{i}") for i in range(CONNECTIONS)]
                figures["decrypt"].append(load(ladder, gets, size, 200))


def bench_size(b, name, size):
    body = content(size)
    figures = {row: [] for row in (*RUNGS, "decrypt", "upload", "download")}
    for _ in range(1 if size == GIB else RUNS):
        climb(size, body, figures)
        with a_vault() as vault:
            upload = request("POST", "/files", vault.headers, body)
            figures["upload"].append(load(vault.server, [upload], size, 201))
            gets = get_first_files(vault, CONNECTIONS)
            figures["download"].append(load(vault.server, gets, size, 200))
            memory = vault.server.rss_peak_kib() / 1024
    rate = {row: [r for r, _ in pairs] for row, pairs in figures.items()}
    work = {row: [w for _, w in pairs] for row, pairs in figures.items()}
    for rung in RUNGS:
        b.add(f"vault.bare_{rung}_mb_per_s.{name}", rate[rung], "MB/s")
    for row, limit in {"upload": "sync", "download": "decrypt"}.items():
        b.add(f"vault.{row}_mb_per_s.{name}", rate[row], "MB/s", rate[limit])
        b.add(f"vault.{row}_mb_per_cpu_s.{name}", work[row], "MB/s of CPU", work[limit])
    b.add(f"vault.memory_peak_mib.{name}", [memory], "MiB")


def first_byte_ms(vault, get):
    done = http_load(vault.port, [get], connections=1, seconds=60, max_requests=200)
    assert done["statuses"] == {"206": 200}, done
    return done["p50_us"] / 1000


def aes_mb_s():
    said = subprocess.run(["openssl", "speed", "-elapsed", "-mr", "-evp", "aes-256-gcm",
                           "-bytes", "16384", "-seconds", "2"], check=True, text=True,
                          capture_output=True).stdout
    return float(re.search(r"^\+F:.*:([\d.]+)$", said, re.M)[1]) / MB


def bench_long(b):
    """Two long files: the first byte in the middle beside the first at the start, and verify."""
    name, size = ("128mib", 128 * MIB) if QUICK else ("1gib", GIB)
    with a_vault() as vault:
        upload = request("POST", "/files", vault.headers, content(size))
        for _ in range(2):
            http_load(vault.port, [upload], connections=1, seconds=600, max_requests=1)
        get = get_first_files(vault, 1)[0]
        ranges = {where: get.replace(b"\r\n\r\n", f"\r\nRange: bytes={at}-{at}\r\n\r\n".encode())
                  for where, at in {"start": 0, "middle": size // 2}.items()}
        times = {where: [] for where in ranges}
        for _ in range(RUNS):
            for where, raw in ranges.items():
                times[where].append(first_byte_ms(vault, raw))
        b.add(f"vault.first_byte_in_the_middle_ms.{name}", times["middle"], "ms", times["start"])
        verify, speed = [], []
        for _ in range(RUNS):
            speed.append(aes_mb_s())
            start = time.monotonic()
            vault.command("verify")
            verify.append(2 * size / MB / (time.monotonic() - start))
        b.add("vault.verify_mb_per_s", verify, "MB/s", speed)


# --- DICOM ---------------------------------------------------------------------------------------

MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=xx'}
INSTANCES = 10  # of a patient; and in all:
FEW, MANY = by_form((200, 2000), (1000, 10_000), (1000, 100_000))


def element(tag, vr, value):
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    return head + (struct.pack("<HI", 0, len(value)) if vr == b"OW"
                   else struct.pack("<H", len(value))) + value


def dicom(uid, patient, pixels=b"", study="1.2.3", series="1.2.3.4"):
    """A file of explicit VR little endian, made by hand."""
    texts = [(0x00080016, b"UI", "1.2.840.10008.5.1.4.1.1.7"), (0x00080018, b"UI", uid),
             (0x00080020, b"DA", "20240229"), (0x00080060, b"CS", "OT"),
             (0x00100010, b"PN", f"Name^{patient}"), (0x00100020, b"LO", patient),
             (0x0020000D, b"UI", study), (0x0020000E, b"UI", series)]
    return (bytes(128) + b"DICM" + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1") +
            b"".join(element(tag, vr, text.encode()) for tag, vr, text in texts) +
            element(0x7FE00010, b"OW", pixels))


def stow(vault, *files):
    parts = b"".join(b"\r\n--xx\r\nContent-Type: application/dicom\r\n\r\n" + f for f in files)
    return request("POST", "/dicomweb/studies", {**vault.headers, **MULTIPART},
                   parts + b"\r\n--xx--\r\n")


def bench_stow(b, name, size):
    """The same bytes, every time another SOPInstanceUID in them, by STOW and by POST /files."""
    file = dicom("1.2.%SERIAL%", "patient", content(size))
    rates = {"stow": [], "files": []}
    work = {"stow": [], "files": []}
    for _ in range(STOW_RUNS):
        with a_vault() as vault:
            for way, raw, code in [("files", request("POST", "/files", vault.headers, file), 201),
                                   ("stow", stow(vault, file), 200)]:
                rate, per_cpu = load(vault.server, [raw], size, code)
                rates[way].append(rate)
                work[way].append(per_cpu)
    b.add(f"vault.stow_mb_per_s.{name}", rates["stow"], "MB/s", rates["files"], paired=False)
    b.add(f"vault.stow_mb_per_cpu_s.{name}", work["stow"], "MB/s of CPU", work["files"],
          paired=False)


def fill(vault, count):
    """Instances of 10 a patient, each patient with a study of two series."""
    requests = []
    for first in range(0, count, 100):
        requests.append(stow(vault, *(
            dicom(f"1.2.{i}", f"P{i // INSTANCES:08d}", study=f"1.3.{i // INSTANCES}",
                  series=f"1.4.{i // 5}") for i in range(first, first + 100))))
    done = http_load(vault.port, requests, connections=16, seconds=900,
                     max_requests=len(requests))
    assert done["statuses"] == {"200": len(requests)} and not done["errors"], done


def bench_search(b):
    """A search by PatientID, of which there are some in both, over many instances beside few."""
    times = {}
    for count in (FEW, MANY):
        with a_vault() as vault:
            fill(vault, count)
            find = request("GET", "/dicomweb/studies?PatientID=P%SERIAL%", vault.headers)
            times[count] = []
            for _ in range(RUNS):
                patients = FEW // INSTANCES
                done = http_load(vault.port, [find], connections=1, seconds=60,
                                 max_requests=patients)
                assert done["statuses"] == {"200": patients}, done
                times[count].append(done["p50_us"] / 1000)
    b.add(f"vault.search_by_patient_ms.{MANY}", times[MANY], "ms", times[FEW])


def main():
    b = Bench("vault")
    for name, size in SIZES.items():
        if not QUICK or size < 10 * MIB:
            bench_size(b, name, size)
            if size < GIB:
                bench_stow(b, name, size)
    bench_search(b)
    bench_long(b)
    b.finish()


if __name__ == "__main__":
    main()

"""What a look into the running process, into a core dump and into the logs finds: the keyring in its
locked page, and no other key once it was used."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from harness.process import until
from harness.server import Server
from vault_disk import expand
from vault_kit import pattern, vault  # noqa: F401

LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def mappings(pid):
    """(address range, flags) of all that the process may write."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    for entry in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)[1:]:
        ends, access = entry.split(maxsplit=2)[:2]
        if access.startswith("rw"):
            flags = re.search(r"^VmFlags: (.*)$", entry, re.M)[1].split()
            yield [int(end, 16) for end in ends.split("-")], flags


def found(pid, secrets):
    """Of {name: bytes}, those that stand in memory, with the flags of where."""
    places = {}
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for (start, end), flags in mappings(pid):
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:  # freed meanwhile
                continue
            places |= {name: flags for name, secret in secrets.items() if secret in content}
    return places


def keys_of(disk, file_id):
    data_key, raw = disk.data_key(file_id), bytes.fromhex(file_id)
    salt = disk.path(file_id).read_bytes()[:24]
    return {"data key": data_key, "row's key": expand(data_key, b"dicom-vault index row v1", 32),
            "payload's key": expand(data_key, LABEL + salt + disk.identity(raw), 76)[:32]}


@pytest.mark.release
def test_keys_are_gone_once_used(vault):
    """In a server that stored, listed and served files, and found one damaged."""
    vault.start(VAULT_ANCHOR_S=1)
    ids = [vault.put(pattern(n)) for n in (10, 50_000, 1_000_000)]
    for file_id in ids:
        assert vault.fetch(file_id)[2] and vault.fetch(file_id, Range="bytes=5-9")[2]
    vault.list()
    disk, pid = vault.disk, vault.server.pid
    secrets = {f"{i}: {what}": key for i in ids for what, key in keys_of(disk, i).items()}
    with open(disk.path(ids[1]), "r+b") as blob:
        blob.seek(20_000)
        blob.write(b"damaged")
    assert not vault.fetch(ids[1])[2]
    root = bytes.fromhex(vault.root_key_file.read_text())
    secrets |= {"root key": root, "its text": root.hex().encode(),
                "API key": vault.key.split("_")[2].encode(), "the keyring's": disk.keys[1]}
    places = found(pid, secrets)
    # The control: what must be in memory is found there, locked, and left out of dumps.
    assert {"lo", "dd"} <= set(places.pop("the keyring's"))
    assert places == {}
    # A key that was retired leaves the server too, though no request asks for the new one.
    vault.command("rotate")
    vault.command("rewrap")
    vault.command("retire", "1")
    keys = {"old": disk.keys[1], "new": vault.disk.keys[2]}
    until(lambda: found(pid, keys).keys() == {"new"}, what="the retired key gone from memory")


class Careless(Server):
    def command(self):
        return ["sh", "-c", 'umask 0; exec "$@"', "sh", *super().command()]


def test_all_files_are_the_owners_alone(vault, folder):
    """Whatever the umask says."""
    vault.command("init")
    vault.key = vault.new_key("read,write")
    vault.server = Careless("dicom-vault", vault.env, folder).start(wait="/healthz")
    try:
        vault.put(pattern(100_000))
        vault.command("rotate")
        vault.command("backup", "--to", folder / "copy")
        files = [p for top in (vault.data, folder / "copy") for p in [top, *top.rglob("*")]]
        assert {"index.db-wal", "keyring", "lock", "backup.lock"} <= {p.name for p in files}
        assert [p for p in files if p.stat().st_mode & 0o077] == []
    finally:
        assert vault.server.stop() == 0


class OtherGroup(Server):
    """In a group that is not root's, so that it shows whose the files in /proc are."""

    def command(self):
        group = ["setpriv", "--regid=65534", "--clear-groups", "--"] if os.getuid() == 0 else []
        return [*group, *super().command()]


def test_no_core_dump_and_no_debugger(vault, folder):
    """The files in /proc of a process that must not be dumped or traced are root's."""
    vault.command("init")
    vault.server = OtherGroup("dicom-vault", vault.env, folder).start(wait="/healthz")
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE,
                             group=65534 if os.getuid() == 0 else None)
    try:
        assert os.stat(f"/proc/{other.pid}/mem").st_gid != 0  # the control
        assert os.stat(f"/proc/{vault.server.pid}/mem").st_gid == 0
        assert os.stat(f"/proc/{vault.server.pid}/mem").st_uid == 0
    finally:
        other.communicate()
        assert vault.server.stop() == 0


def test_logs_have_no_secret_and_no_name(vault):
    vault.start(LOG_LEVEL="debug", VAULT_ANCHOR_S=1)
    file_id = vault.put(pattern(50_000), **{"Content-Disposition": "attachment; filename=Jane-Doe"})
    vault.fetch(file_id)
    vault.request("GET", "/files?name=Jane-Doe")
    key_id, secret = vault.key.split("_")[1:]
    for wrong in (vault.key[:-1] + "x", f"vk_{key_id}_{'5' * 64}", "Basic-" + "7" * 40):
        assert vault.request("GET", "/files", key=wrong).status_code == 401
    vault.request("POST", "/files", data=b"x", headers={"Idempotency-Key": "my-own-words"})
    disk = vault.disk
    with open(disk.path(file_id), "r+b") as blob:
        blob.write(b"damaged")
    assert vault.fetch(file_id)[0] == 500
    log = vault.server.log_text()
    assert file_id in log and "event=object_damaged" in log  # the control: it is this log
    root = vault.root_key_file.read_text().strip()
    never = [secret, "5" * 64, "7" * 40, root, "my-own-words", "Jane", pattern(50_000)[:16].hex(),
             *(k.hex() for k in disk.keys.values()), disk.data_key(file_id).hex()]
    assert [text for text in never if text in log] == []

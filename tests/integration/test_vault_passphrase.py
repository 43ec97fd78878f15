"""A vault that opens by a passphrase."""

import fcntl
import os
import struct
import termios
import threading

import pytest
from argon2.low_level import Type, hash_secret_raw
from harness.process import until
from test_vault_faults import refused_start, snapshot
from vault_disk import Disk
from vault_kit import pattern, vault  # noqa: F401

WORDS = b"correct horse battery staple"


@pytest.fixture
def by_passphrase(vault, folder):  # noqa: F811
    del vault.env["VAULT_ROOT_KEY_FILE"]
    vault.env["VAULT_PASSPHRASE_FILE"] = folder / "words"
    (folder / "words").write_bytes(WORDS + b"\n")
    return vault


def test_python_derives_the_same_root_key(by_passphrase, folder):
    file_id = by_passphrase.start().put(pattern(20_000))
    parameters = (by_passphrase.data / "passphrase").read_bytes()
    assert len(parameters) == 36 and parameters[:8] == b"VPASSPH1"
    memory, passes, lanes = (int.from_bytes(parameters[i:i + 4], "big") for i in (8, 12, 16))
    assert (memory, passes, lanes) == (65536, 3, 4)
    root = hash_secret_raw(WORDS, parameters[20:], passes, memory, lanes, 32, Type.ID)
    (folder / "derived").write_text(root.hex())
    assert Disk(by_passphrase.data, folder / "derived").read(file_id) == pattern(20_000)
    by_passphrase.command("rotate")
    by_passphrase.command("rewrap")
    assert by_passphrase.fetch(file_id) == (200, pattern(20_000), True)
    by_passphrase.command("backup", "--to", str(folder / "copy"))
    by_passphrase.command("verify", VAULT_DATA=folder / "copy")


def test_a_pipe_that_gives_it_in_pieces(by_passphrase, folder):
    by_passphrase.command("init")
    pipe = folder / "pipe"
    os.mkfifo(pipe)

    def feed():
        with pipe.open("wb", buffering=0) as out:
            out.write(WORDS[:14])
            until(lambda: not pending(out), what="the first piece read")
            out.write(WORDS[14:] + b"\n")

    def pending(out):
        return struct.unpack("i", fcntl.ioctl(out, termios.FIONREAD, b"\0" * 4))[0]

    feeder = threading.Thread(target=feed)
    feeder.start()
    by_passphrase.command("audit", "head", VAULT_PASSPHRASE_FILE=pipe)
    feeder.join()


def test_what_does_not_open_it(by_passphrase, folder):
    by_passphrase.command("init")
    before = snapshot(by_passphrase.data)
    wrong = folder / "wrong"
    for text, why in ((WORDS + b".", "does not open the keyring"), (b"short", "want 12 to 1024"),
                      (b"x" * 1025, "want 12 to 1024")):
        wrong.write_bytes(text)
        refused_start(by_passphrase, "passphrase", why, VAULT_PASSPHRASE_FILE=wrong)
    refused_start(by_passphrase, "No such file", VAULT_PASSPHRASE_FILE=folder / "missing")
    refused_start(by_passphrase, "give either", VAULT_PASSPHRASE_FILE="")
    refused_start(by_passphrase, "give either", VAULT_ROOT_KEY_FILE=wrong)
    (folder / "root").write_text("0" * 64)
    refused_start(by_passphrase, "wants a passphrase", VAULT_PASSPHRASE_FILE="",
                  VAULT_ROOT_KEY_FILE=folder / "root")
    again = by_passphrase.command("init", check=False)
    assert again.returncode == 1 and "nothing was changed" in again.stderr
    assert snapshot(by_passphrase.data) == before
    parameters = by_passphrase.data / "passphrase"
    good = parameters.read_bytes()
    for bad, why in ((good[:-1], "damaged"), (b"", "damaged"), (good + b"x", "damaged"),
                     (good[:8] + b"\x7f" + good[9:], "too much"),
                     (good[:8] + bytes(12) + good[20:], "passphrase: "),
                     (good[:20] + bytes(16), "does not open the keyring")):
        parameters.write_bytes(bad)
        refused_start(by_passphrase, why)
    parameters.write_bytes(good)
    by_passphrase.start().put(b"x")

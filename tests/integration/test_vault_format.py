"""Two implementations of the same bytes: the server's, and Python's on `cryptography`."""

import hashlib

from vault_kit import pattern, vault  # noqa: F401

LENGTHS = [0, 1, 1024, 16383, 16384, 16385, 20480, 32767, 32768, 32769, 500_000]


def test_python_reads_what_the_server_wrote(vault):
    vault.start()
    for length in LENGTHS:
        content = pattern(length, seed=length)
        file_id = vault.put(content, **{"Content-Disposition": f'attachment; filename="n{length}"'})
        disk = vault.disk
        assert disk.path(file_id).stat().st_size == 56 + length + 16 * (length // 16384 + 1)
        assert disk.read(file_id) == content
        row = disk.row(file_id)
        assert row["size"] == length and row["name"] == f"n{length}"
        assert row["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_server_reads_what_python_wrote(vault):
    vault.start()
    for length in LENGTHS:
        content = pattern(length, seed=length)
        file_id = vault.disk.add(content, name="röntgen")
        assert vault.fetch(file_id) == (200, content, True)
        listed = [f for f in vault.list() if f["id"] == file_id][0]
        assert listed == {"id": file_id, "name": "röntgen", "size": length,
                          "sha256": hashlib.sha256(content).hexdigest(),
                          "created": "2023-11-14T22:13:20.123Z"}


def test_every_file_has_a_key_and_a_salt_of_its_own(vault):
    """The same bytes twice have nothing in common on disk: no block of 16 bytes occurs again."""
    vault.start()
    content = bytes(100_000)
    ids = [vault.put(content) for _ in range(3)]
    disk = vault.disk
    assert len({disk.data_key(i) for i in ids}) == 3
    blobs = [disk.path(i).read_bytes() for i in ids]
    blocks = [b[at:at + 16] for b in blobs for at in range(0, len(b) - 15, 16)]
    assert len(set(blocks)) == len(blocks)


def test_the_disk_shows_nothing(vault):
    """Neither content nor name, in no file of the folder; nor any key in the log."""
    vault.start()
    marker, name = b"PATIENT^NAME" * 8, "jane-doe-1970.dcm"
    content = marker + pattern(200_000) + marker
    vault.put(content, **{"Content-Disposition": f"attachment; filename={name}"})
    everything = {p: p.read_bytes() for p in vault.data.rglob("*") if p.is_file()}
    assert len(everything) >= 4
    data_key = vault.disk.data_key(vault.list()[0]["id"])
    secrets = [marker[:12], name.encode(), hashlib.sha256(content).digest(), data_key,
               *vault.disk.keys.values(), bytes.fromhex(vault.root_key_file.read_text()),
               vault.key[20:].encode(), bytes.fromhex(vault.key[20:])]
    for path, held in everything.items():
        for secret in secrets:
            assert secret not in held, path
    log = vault.server.log_text()
    assert "request" in log
    for secret in secrets:
        assert secret.hex() not in log and name not in log
    assert all(p.stat().st_mode & 0o077 == 0 for p in [vault.data, *vault.data.rglob("*")])

"""The vault's disk as dicom-vault/FORMAT.md has it, written anew on Python's cryptography: who
has the folder and the root key reads every file with it, and lays files that the server reads."""

import hashlib
import os
import sqlite3
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CHUNK, TAG, HEADER = 16384, 16, 56
SEALED = CHUNK + TAG


def expand(key, info, length):
    return HKDFExpand(SHA512(), length, info).derive(key)


def unseal(key, sealed, aad):
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)


def seal(key, plain, aad):
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


# --- the payload: C2SP chunked-encryption, AES-256-GCM with SHA-512 -------------------------------


def _derive(key, salt, context):
    label = b"c2sp.org/chunked-encryption@v1+" + b"AEAD_AES_256_GCM" + b"\0"
    okm = expand(key, label + salt + context, 76)
    return AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:]


def _nonce(base, counter):
    return (base ^ counter).to_bytes(12, "big")


def encrypt(key, context, plain):
    salt = os.urandom(24)
    aead, base, commitment = _derive(key, salt, context)
    out = [salt, commitment]
    for k in range(len(plain) // CHUNK + 1):
        out.append(aead.encrypt(_nonce(base, k), plain[k * CHUNK:(k + 1) * CHUNK], None))
    return b"".join(out)


def decrypt(key, context, blob):
    aead, base, commitment = _derive(key, blob[:24], context)
    assert commitment == blob[24:HEADER]
    pieces = [blob[at:at + SEALED] for at in range(HEADER, len(blob), SEALED)]
    assert pieces and TAG <= len(pieces[-1]) < SEALED
    return b"".join(aead.decrypt(_nonce(base, k), p, None) for k, p in enumerate(pieces))


# --- keyring, index, blobs ------------------------------------------------------------------------


def field(value):
    return struct.pack(">H", len(value)) + value


class Disk:
    def __init__(self, data, root_key_file):
        self.data = Path(data)
        root = bytes.fromhex(Path(root_key_file).read_text())
        raw = (self.data / "keyring").read_bytes()
        assert raw[:8] == b"VKEYRNG1"
        plain = unseal(expand(root, b"dicom-vault keyring v1", 32), raw[8:], raw[:8])
        self.vault_id, count = plain[:16], int.from_bytes(plain[16:20], "big")
        assert len(plain) == 20 + 44 * count
        entries = [plain[20 + 44 * i:64 + 44 * i] for i in range(count)]
        self.keys = {int.from_bytes(e[:4], "big"): e[12:] for e in entries}

    def identity(self, object_id):
        return field(self.vault_id) + field(object_id) + field(struct.pack(">I", 1))

    def sql(self, statement, *values):
        with sqlite3.connect(self.data / "index.db", timeout=30) as db:
            rows = db.execute(statement, values).fetchall()
        db.close()
        return rows

    def path(self, file_id):
        return self.data / "blobs" / file_id[0] / file_id[1] / file_id

    def blobs(self):
        return sorted(p.name for p in (self.data / "blobs").glob("*/*/*"))

    def under_way(self):
        return sorted(p.name for p in (self.data / "tmp").iterdir())

    def data_key(self, file_id):
        raw = bytes.fromhex(file_id)
        (key_id, wrapped), = self.sql("SELECT key_id, wrapped_key FROM objects WHERE id = ?", raw)
        return unseal(self.keys[key_id], wrapped, self.identity(raw))

    def row(self, file_id):
        raw = bytes.fromhex(file_id)
        (sealed,), = self.sql("SELECT sealed FROM objects WHERE id = ?", raw)
        key = expand(self.data_key(file_id), b"dicom-vault index row v1", 32)
        plain = unseal(key, sealed, self.identity(raw))
        version, size, created = struct.unpack(">BQQ", plain[:17])
        assert version == 1
        return {"size": size, "created_ms": created, "sha256": plain[17:49].hex(),
                "name": plain[49:].decode()}

    def read(self, file_id):
        context = self.identity(bytes.fromhex(file_id))
        return decrypt(self.data_key(file_id), context, self.path(file_id).read_bytes())

    def add(self, plain, name=""):
        """A file that the server has never seen; returns its id."""
        raw, data_key = os.urandom(16), os.urandom(32)
        identity, key_id = self.identity(raw), max(self.keys)
        row = struct.pack(">BQQ", 1, len(plain), 1_700_000_000_123)
        row += hashlib.sha256(plain).digest() + name.encode()
        self.path(raw.hex()).write_bytes(encrypt(data_key, identity, plain))
        self.sql("INSERT INTO objects (id, key_id, wrapped_key, sealed) VALUES (?, ?, ?, ?)",
                 raw, key_id, seal(self.keys[key_id], data_key, identity),
                 seal(expand(data_key, b"dicom-vault index row v1", 32), row, identity))
        return raw.hex()

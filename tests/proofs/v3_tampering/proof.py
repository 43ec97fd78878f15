"""What if somebody changes the bytes on the disk?"""

import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from frame import BUILD, Proof
from vault import CHUNK, HEADER, TAG, Vault

SIZE = 2 * CHUNK + 1000  # three chunks
SEALED = CHUNK + TAG
EDGES = [0, 24, HEADER, HEADER + SEALED, HEADER + 2 * SEALED]


def flip(at):
    return lambda blob, _: blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1:]


def cut(at):
    return lambda blob, _: blob[:at]


def swap_chunks(blob, _):
    first, second = blob[HEADER:HEADER + SEALED], blob[HEADER + SEALED:HEADER + 2 * SEALED]
    return blob[:HEADER] + second + first + blob[HEADER + 2 * SEALED:]


def drop_chunk(blob, _):
    return blob[:HEADER + SEALED] + blob[HEADER + 2 * SEALED:]


def regions(length):
    """One byte of each part, and each part's first and last."""
    yield from (("salt", 0), ("salt, last", 23), ("commitment", 24), ("commitment, last", HEADER - 1))
    for k, start in enumerate(range(HEADER, length, SEALED)):
        end = min(start + SEALED, length)
        yield from ((f"chunk {k}, first", start), (f"chunk {k}, middle", (start + end - TAG) // 2),
                    (f"chunk {k}, tag", end - TAG), (f"chunk {k}, last", end - 1))


def attacks(length):
    """(name, what becomes of the file, given another file's bytes too)."""
    yield from ((f"flip a bit: {name}", flip(at)) for name, at in regions(length))
    for edge in (*EDGES, length):
        yield from ((f"cut at {at}", cut(at)) for at in (edge - 1, edge, edge + 1)
                    if 0 <= at < length)
    yield "one byte more", lambda blob, _: blob + b"\0"
    yield "one chunk more", lambda blob, _: blob + blob[-SEALED:]
    yield "two chunks swapped", swap_chunks
    yield "a chunk taken out", drop_chunk
    yield "another file's content", lambda _, other: other
    yield "another file's header", lambda blob, other: other[:HEADER] + blob[HEADER:]
    yield "another file's first chunk", lambda blob, other: (
        blob[:HEADER] + other[HEADER:HEADER + SEALED] + blob[HEADER + SEALED:])


def without_tag(mode, plain, change):
    """What a vault gives back that encrypts and does not authenticate: bytes, never a refusal."""
    cipher = Cipher(algorithms.AES(os.urandom(32)), mode)
    encryptor, decryptor = cipher.encryptor(), cipher.decryptor()
    sealed = change(encryptor.update(plain) + encryptor.finalize())
    return decryptor.update(sealed) + decryptor.finalize()


def controls(proof, plain):
    ctr = without_tag(modes.CTR(os.urandom(16)), plain, lambda c: flip(100)(c, None))
    proof.control(ctr == flip(100)(plain, None),
                  "AES-CTR without a tag gives back the file with just the bit changed that was "
                  "flipped on disk, and says nothing")
    ecb = without_tag(modes.ECB(), plain[:4096], lambda c: c[2048:] + c[:2048])
    proof.control(ecb == plain[2048:4096] + plain[:2048],
                  "AES-ECB gives back two halves that were swapped on disk, and says nothing")


def main():
    proof = Proof(
        "v3", "Tampering", "What if somebody changes, cuts, swaps or puts back bytes on the disk?",
        "Every chunk is authenticated under a key that belongs to that file, and the file's length "
        "is in its sealed row: no change of the stored bytes comes out as content.",
        f"A file of three chunks in a running vault, changed on its disk in every way, fetched, and "
        "put back.")
    plain = os.urandom(SIZE)
    controls(proof, plain)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        vault = Vault(Path(folder))
        try:
            file, other = vault.put(plain), vault.put(os.urandom(SIZE))
            path, other_blob = vault.path(file), vault.path(other).read_bytes()
            blob, given, tried = path.read_bytes(), [], 0
            for name, change in attacks(len(blob)):
                path.write_bytes(change(blob, other_blob))
                tried += 1
                if vault.get(file) is not None:
                    given.append(name)
            path.write_bytes(blob)
            proof.figure("ways to change the file", tried)
            proof.check(not given, f"refused each time{': not ' + ', '.join(given) if given else ''}")
            proof.check(vault.get(file) == plain, "put back, the file comes out as it went in")
        finally:
            vault.server.stop()
    proof.finish()


main()

"""Why another IV every time?"""

import os
import struct
import tempfile
import zlib
from pathlib import Path

import gcm
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from frame import BUILD, Proof
from vault import HEADER, Vault

SIDE = 256
BLOCK = 16


def png(pixels):
    """Grayscale, SIDE x SIDE."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[at:at + SIDE] for at in range(0, SIDE * SIDE, SIDE))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def draw(inside):
    return bytes(0x20 if inside(x - SIDE // 2, y - SIDE // 2) else 0xE0
                 for y in range(SIDE) for x in range(SIDE))


def ring(x, y):
    return 60 ** 2 < x * x + y * y < 100 ** 2


def cross(x, y):
    return min(abs(x), abs(y)) < 20


def repeated_blocks(data):
    blocks = [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]
    return len(blocks) - len(set(blocks))


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def encrypt(mode, plain, key):
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def pictures(proof):
    key, nonce = os.urandom(32), os.urandom(16)
    first, second = draw(ring), draw(cross)
    ecb = encrypt(modes.ECB(), first, key)
    one, two = (encrypt(modes.CTR(nonce), p, key) for p in (first, second))
    proof.image(png(first), "a picture")
    proof.image(png(ecb), "ECB: equal blocks stay equal, and the picture can be seen")
    proof.image(png(xor(one, two)), "two pictures under one nonce: their ciphertexts, XORed")
    proof.control(repeated_blocks(ecb) > 0, f"ECB repeats {repeated_blocks(ecb)} blocks of {BLOCK} bytes")
    proof.control(xor(one, two) == xor(first, second),
                  "under one nonce the ciphertexts XOR to what the plaintexts XOR to, in every byte")
    return first, second


def ours_gives_nothing(proof, vault, first):
    a, b = (vault.path(vault.put(first)).read_bytes()[HEADER:] for _ in range(2))
    proof.image(png(a[:SIDE * SIDE]), "the same picture in the vault")
    proof.check(repeated_blocks(a + b) == 0,
                "the vault, given the picture twice, repeats not one block in both files together")
    same = sum(x == y for x, y in zip(a, b)) / len(a)
    proof.figure("equal bytes of the two files (chance is 1/256)", round(same, 5))
    proof.check(same < 2 / 256, "the two files agree in no more bytes than chance gives")


def forgery(proof, vault):
    """Two messages of one block, and what an attacker makes of their ciphertexts and tags."""
    nonce, naive = os.urandom(12), AESGCM(os.urandom(32))
    one, two = (naive.encrypt(nonce, text, None) for text in (b"pay Alice  1 EUR", b"pay Bob    2 EUR"))
    h, mask = gcm.recover(one[:16], one[16:], two[:16], two[16:])
    evil = xor(one[:16], xor(b"pay Alice  1 EUR", b"pay Mallory 9999"))
    proof.control(accepts(naive, nonce, evil + gcm.forge(h, mask, evil)) == b"pay Mallory 9999",
                  "a vault that repeats its nonce takes a forged message for its own")
    proof.control(accepts(naive, nonce, evil + one[16:]) is None,
                  "it refuses the same message without the recovered key")
    files = [vault.put(text) for text in (b"pay Alice  1 EUR", b"pay Bob    2 EUR")]
    stored = [vault.path(f).read_bytes() for f in files]
    bodies = [s[HEADER:] for s in stored]
    h, mask = gcm.recover(bodies[0][:16], bodies[0][16:], bodies[1][:16], bodies[1][16:])
    evil = xor(bodies[0][:16], xor(b"pay Alice  1 EUR", b"pay Mallory 9999"))
    proof.check(vault.get(files[0]) == b"pay Alice  1 EUR", "the vault gives the file before")
    vault.path(files[0]).write_bytes(stored[0][:HEADER] + evil + gcm.forge(h, mask, evil))
    proof.check(vault.get(files[0]) is None, "the vault refuses the same forgery on its disk")
    vault.path(files[0]).write_bytes(stored[0])
    proof.check(vault.get(files[0]) == b"pay Alice  1 EUR", "put back, the file is whole again")


def accepts(naive, nonce, message):
    try:
        return naive.decrypt(nonce, message, None)
    except InvalidTag:
        return None


def main():
    proof = Proof(
        "v2", "IV reuse", "Why another IV every time, what goes wrong with the same one?",
        "Under one key and nonce two ciphertexts XOR to their plaintexts' XOR, and two tags give the "
        "key that makes tags. The vault has a key and nonces of its own for every file.",
        "One picture by ECB, two by CTR under one nonce, one twice into a running vault. Then two "
        "messages of one block under one nonce: their tags give GCM's authentication key by one "
        "square root in GF(2^128), and with it a message of the attacker's choice.")
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        vault = Vault(Path(folder))
        try:
            first, _ = pictures(proof)
            ours_gives_nothing(proof, vault, first)
            forgery(proof, vault)
        finally:
            vault.server.stop()
    proof.finish()


main()

"""GCM's field GF(2^128) and the forgery that one repeated nonce allows (A. Joux, "Authentication
Failures in NIST version of GCM", 2006; the field as in NIST SP 800-38D, section 6.3)."""

R = 0xE1 << 120


def multiply(x, y):
    z = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= y
        y = y >> 1 ^ (R if y & 1 else 0)
    return z


ONE = 1 << 127


def power(x, n):
    result = ONE
    while n:
        if n & 1:
            result = multiply(result, x)
        x = multiply(x, x)
        n >>= 1
    return result


def inverse(x):
    return power(x, 2 ** 128 - 2)


def square_root(x):
    """Squaring is a bijection of the field, and 128 squarings are the identity."""
    return power(x, 2 ** 127)


def number(block):
    return int.from_bytes(block, "big")


def ghash(h, ciphertext):
    """Without associated data: the blocks, then the lengths in bits."""
    y = 0
    for at in range(0, len(ciphertext), 16):
        y = multiply(y ^ number(ciphertext[at:at + 16].ljust(16, b"\0")), h)
    return multiply(y ^ 8 * len(ciphertext), h)


def recover(c1, t1, c2, t2):
    """H and the tag's mask from two messages of one block under one key and nonce:
    T1 + T2 = (C1 + C2) * H^2, since mask and lengths are the same."""
    h = square_root(multiply(number(t1) ^ number(t2), inverse(number(c1) ^ number(c2))))
    return h, number(t1) ^ ghash(h, c1)


def forge(h, mask, ciphertext):
    return (ghash(h, ciphertext) ^ mask).to_bytes(16, "big")

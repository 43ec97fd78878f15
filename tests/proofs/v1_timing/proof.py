"""How would a comparison give a secret away?"""

import secrets
import subprocess
import tempfile
from math import comb
from pathlib import Path

from frame import BUILD, QUICK, Proof
from programs import Program, program, run

CANDIDATES = 16
HERE_DIGITS, THERE_DIGITS = 32, 6 if QUICK else 12
HERE, HERE_DELAYED, THERE, THERE_DELAYED = (
    (4096, 4096, 128, 512) if QUICK else (16384, 16384, 1024, 4096))
SLOWER_HERE, DELAY_HERE = 150, 3000  # ns
SLOWER_THERE, DELAY_THERE = 3000, 60000
MEAN, LEAST = 1, 2
ERROR = 1e-6


def chance(digits, right):
    """Of so many right, or more, by guessing."""
    return sum(comb(digits, k) * (CANDIDATES - 1) ** (digits - k)
               for k in range(right, digits + 1)) / CANDIDATES ** digits


def needed(found, by):
    """Timings of each candidate until four digits in five are right; None: not with the most."""
    return next((row[0] for row in found["curve"] if row[by] >= 0.8 * found["digits"]), None)


def here(kind, slower, delay, most, digits=THERE_DIGITS):
    return run("timing", kind, slower, delay, secrets.token_hex(digits // 2), most)


def there(kind, slower, delay, most, folder):
    secret = secrets.token_hex(THERE_DIGITS // 2)
    server = Program("timing_server", folder, kind, slower, delay, secret).start()
    try:
        return run("timing", server.port, secret, most)
    finally:
        server.kill()


def most_of(found):
    return found["curve"][-1][0]


def until(read, measure, most):
    """A busy machine needs more timings than a quiet one."""
    for timings in (most, 4 * most, 16 * most):
        found = measure(timings)
        if read(found):
            break
    return found


def said(found, by):
    return needed(found, by) or f"more than {most_of(found)}"


def leaks(proof, name, found):
    proof.figure(f"{name}, leaky: timings until the attacker, who knew the length alone, was in",
                 found["timings"])
    proof.control(found["broken_in"], f"{name}: the leaky comparison is read, digit by digit")


def keeps(proof, name, found):
    n, by_mean, by_least = found["curve"][-1]
    chances = [chance(found["digits"], right) for right in (by_mean, by_least)]
    proof.figure(f"{name}, constant-time: digits right of {found['digits']}, {n} timings of each "
                 f"candidate: by the mean, by the minimum", f"{by_mean}, {by_least}")
    proof.check(min(chances) > ERROR and not found["broken_in"],
                f"{name}: the constant-time comparison gives away no more digits than guessing "
                f"does (chance of as many: {min(chances):.2g}; an error in {1 / ERROR:,.0f})")


def delayed(proof, name, found):
    """The slowest of an order of waits by chance is the mean's trouble, not the minimum's."""
    mean, least = needed(found, MEAN), needed(found, LEAST)
    for by, stat in ((MEAN, "mean"), (LEAST, "minimum")):
        proof.figure(f"{name}, leaky, delayed: timings of each candidate, by the {stat}",
                     said(found, by))
    proof.check(least and (not mean or mean >= 2 * least),
                f"{name}: a delay by chance hides nothing from the minimum, which needs less than "
                "half of the timings that the mean does")


def plot(proof, where, series, caption):
    proof.plot(f"Digits right, {where}", "timings of each candidate", "digits right, in a hundred",
               {name: [(row[0], 100 * row[by] / found["digits"]) for row in found["curve"]]
                for name, found, by in series}, caption, log="x")


def in_process(proof):
    leaky = until(lambda found: found["broken_in"],
                  lambda most: here("leaky", 0, 0, most, HERE_DIGITS), HERE)
    constant = here("constant-time", 0, 0, most_of(leaky), HERE_DIGITS)
    leaks(proof, "in one process", leaky)
    keeps(proof, "in one process", constant)
    slow = until(lambda found: needed(found, LEAST),
                 lambda most: here("leaky", SLOWER_HERE, DELAY_HERE, most), HERE_DELAYED)
    delayed(proof, "in one process", slow)
    plot(proof, "in one process",
         [("leaky, minimum", leaky, LEAST), ("constant-time, minimum", constant, LEAST),
          ("leaky, delayed, minimum", slow, LEAST), ("leaky, delayed, mean", slow, MEAN)],
         f"Without a delay nothing is amplified. Delayed: each byte compared takes {SLOWER_HERE} ns "
         f"more, and each answer 0 to {DELAY_HERE} ns, by chance.")


def over_http(proof, folder):
    leaky = until(lambda found: found["broken_in"],
                  lambda most: there("leaky", SLOWER_THERE, 0, most, folder), THERE)
    constant = there("constant-time", SLOWER_THERE, 0, most_of(leaky), folder)
    leaks(proof, "over HTTP", leaky)
    keeps(proof, "over HTTP", constant)
    slow = until(lambda found: needed(found, LEAST),
                 lambda most: there("leaky", SLOWER_THERE, DELAY_THERE, most, folder), THERE_DELAYED)
    delayed(proof, "over HTTP", slow)
    plot(proof, "over HTTP",
         [("leaky, minimum", leaky, LEAST), ("leaky, mean", leaky, MEAN),
          ("constant-time, minimum", constant, LEAST), ("leaky, delayed, minimum", slow, LEAST),
          ("leaky, delayed, mean", slow, MEAN)],
         f"Amplified: each byte compared takes {SLOWER_THERE} ns more, with either comparison. "
         f"Delayed: each answer takes 0 to {DELAY_THERE} ns more, by chance.")


def without_a_clock(proof):
    for subject in ("leaky_branch", "leaky_index", "secret_equal"):
        done = subprocess.run(["valgrind", "--quiet", program("ctgrind"), subject], text=True,
                              capture_output=True, check=False)
        uses = int(done.stdout.split()[-5])
        proof.figure(f"{subject}: uses of the secret in a branch or an address", uses)
        if subject == "secret_equal":
            proof.check(done.returncode == 0 and uses == 0,
                        "no branch and no address of ours depends on the secret (Valgrind)")
        else:
            proof.control(done.returncode == 1 and uses > 0, f"Valgrind sees those of {subject}")
    t = {name: abs(value) for name, value in run("dudect", 40000 if QUICK else 1000000).items()}
    for name, value in t.items():
        proof.figure(f"{name}: Welch's |t|, equal against random; past 10 is a leak", value)
    proof.control(t["leaky_branch"] > 10, "the t-test sees the leaky one")
    proof.check(t["secret_equal"] < t["leaky_branch"] / 5,
                "and of ours less than a fifth of that")


def main():
    proof = Proof(
        "v1", "Timing", "Why not compare a key with memcmp?",
        "A comparison that stops at the first difference gives the secret away, byte by byte, also "
        "through HTTP, and also when the server waits by chance before it answers. One of constant "
        "time gives away nothing.",
        f"A secret of hexadecimal digits; the attacker times guesses that differ in one of them, and "
        f"takes the one that stands out: by the mean of its timings, or by their minimum. In one "
        f"process ({HERE_DIGITS} digits) nothing is amplified. Through HTTP ({THERE_DIGITS} digits) "
        f"it is: the noise of loopback is far above the time of one byte, so that each byte compared "
        f"takes {SLOWER_THERE} ns more, with either comparison; an attacker without that help "
        "takes more timings, by the square of the ratio. In the curves each digit is tried after "
        "the right ones; the break-in knows the length alone. Then the same without any clock.")
    in_process(proof)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        over_http(proof, Path(folder))
    without_a_clock(proof)
    proof.finish()


main()

"""How would a comparison give a secret away?"""

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Callable

from frame import BUILD, QUICK, Proof
from programs import Program, program, run

CANDIDATES = 16
MEAN, LEAST = 1, 2  # of a row of a curve: timings of each candidate, digits right by either
ENOUGH = 0.8  # of the digits: then the secret counts as read
ERROR, ERROR_OF_STATISTIC = 1e-6, 1e-3


@dataclass(frozen=True)
class Place:
    """Where the attacker is, and what is added so that the attack ends today (ns)."""
    name: str
    digits: int  # that are timed; the answer itself gives the last one away
    slower: int  # each byte compared
    slower_delayed: int
    delay: int
    timings: int  # of each candidate, at least
    most: int  # and at most
    patience: int  # times what the minimum needs: for the mean to get there, too
    ask: Callable  # (secret, kind, slower, delay): whom, as the last arguments of `timing`

    @contextlib.contextmanager
    def asked(self, kind, slower, delay):
        secret = secrets.token_hex((self.digits + 1) // 2)
        with self.ask(secret, kind, slower, delay) as whom:
            yield secret, *whom


@contextlib.contextmanager
def in_this_process(_, *how):
    yield how


@contextlib.contextmanager
def over_http(secret, *how):
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        server = Program("timing_server", Path(folder), *how, secret).start()
        try:
            yield [server.port]
        finally:
            server.kill()


HERE = Place("in one process", 31, 0, 150, 6000, 4096 if QUICK else 16384, 2 ** 18,
             2 if QUICK else 8, in_this_process)
THERE = Place("over HTTP", 15, 5000, 5000, 100000, 128 if QUICK else 1024, 2 ** 14,
              1 if QUICK else 8, over_http)


def quietly():
    """A round trip between two processors has no stable least time; on one it has. Where it may, the
    experiment goes before other work."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)


def needed(curve, by, digits):
    """Timings of each candidate until the secret is read; None: not with the most."""
    return next((row[0] for row in curve if row[by] >= ENOUGH * digits), None)


def measured(place, asked, least, most):
    """The curve up to `least`, or until the minimum has read the secret and the mean had its time."""
    curve = []
    secret, *whom = map(str, asked)
    with subprocess.Popen([program("timing"), "curve", str(most), secret, *whom],
                          stdout=subprocess.PIPE, text=True) as attack:
        for line in attack.stdout:
            curve.append(json.loads(line))
            read = needed(curve, LEAST, place.digits)
            late = read and (needed(curve, MEAN, place.digits) or curve[-1][0] >= place.patience * read)
            if curve[-1][0] >= least and late:
                attack.kill()
                break
    return curve


def broken_in(asked, most):
    """(timings of each candidate, timings in all) until the attacker is let in; or nothing."""
    secret, *whom = asked
    return run("timing", "break-in", most, secret, *whom)


def by_guessing(digits, right):
    """The chance of so many right, or more."""
    return sum(comb(digits, k) * (CANDIDATES - 1) ** (digits - k)
               for k in range(right, digits + 1)) / CANDIDATES ** digits


def as_different(digits, more, fewer):
    """The chance of `more` and `fewer` right, or further apart, if both ways were as good: Fisher's
    exact test."""
    both = more + fewer
    return sum(comb(digits, k) * comb(digits, both - k)
               for k in range(more, min(both, digits) + 1)) / comb(2 * digits, both)


def undelayed(proof, place):
    with place.asked("leaky", place.slower, 0) as asked:
        leaky = measured(place, asked, place.timings, place.most)
        entered = broken_in(asked, place.most)
    proof.control(entered, f"{place.name}: the leaky comparison is read, digit by digit")
    rounds, timings = entered or (place.most, None)
    proof.figure(f"{place.name}, leaky: timings until the attacker, who knew the length alone, was in",
                 timings or "not")
    with place.asked("constant-time", place.slower, 0) as asked:
        constant = measured(place, asked, leaky[-1][0], leaky[-1][0])
        entered = broken_in(asked, rounds)
    n, by_mean, by_least = constant[-1]
    chance = min(by_guessing(place.digits, right) for right in (by_mean, by_least))
    proof.figure(f"{place.name}, constant-time: digits right of {place.digits}, {n:,} timings of each "
                 "candidate: by the mean, by the minimum", f"{by_mean}, {by_least}")
    proof.check(chance > ERROR and not entered,
                f"{place.name}: the constant-time comparison gives away no more digits than guessing "
                f"does (chance of as many: {chance:.2g}; an error in {1 / ERROR:,.0f})")
    return leaky, constant


def delayed(proof, place):
    """The slowest of an order of waits by chance is the mean's trouble, not the minimum's."""
    with place.asked("leaky", place.slower_delayed, place.delay) as asked:
        curve = measured(place, asked, 1, place.most)
    read = {by: needed(curve, by, place.digits) for by in (MEAN, LEAST)}
    for by, name in ((MEAN, "mean"), (LEAST, "minimum")):
        proof.figure(f"{place.name}, leaky, delayed: timings of each candidate, by the {name}",
                     read[by] or f"more than {curve[-1][0]:,}")
    proof.check(read[LEAST], f"{place.name}: a delay by chance hides nothing from the minimum")
    return curve


def statistics(proof, curves):
    """From the same timings; in one process also how many more the mean needs, since it is there
    the delay that makes the noise, on any machine."""
    digits = sum(place.digits for place in curves)
    rows = [next(row for row in curve if row[0] == needed(curve, LEAST, place.digits))
            for place, curve in curves.items()]
    mean, least = (sum(row[by] for row in rows) for by in (MEAN, LEAST))
    chance = as_different(digits, least, mean)
    proof.figure(f"delayed: digits right of {digits} with as many timings as the minimum needs: by "
                 "the mean, by the minimum", f"{mean}, {least}")
    proof.check(chance < ERROR_OF_STATISTIC,
                "the mean has fewer digits from the same timings (chance of as few if it were as "
                f"good: {chance:.2g}; an error in {1 / ERROR_OF_STATISTIC:,.0f})")
    by_mean = needed(curves[HERE], MEAN, HERE.digits)
    proof.check(not by_mean or by_mean > 2 * needed(curves[HERE], LEAST, HERE.digits),
                "in one process: the minimum needs less than half of the timings of the mean")


def plot(proof, place, curves, caption):
    proof.plot(f"Digits right, {place.name}", "timings of each candidate",
               "digits right, in a hundred",
               {name: [(row[0], 100 * row[by] / place.digits) for row in curve]
                for name, curve, by in curves}, caption, log="x")


def attacked(proof, place, note):
    """The curve with a delay."""
    leaky, constant = undelayed(proof, place)
    slow = delayed(proof, place)
    plot(proof, place,
         [("leaky, minimum", leaky, LEAST), ("leaky, mean", leaky, MEAN),
          ("constant-time, minimum", constant, LEAST), ("leaky, delayed, minimum", slow, LEAST),
          ("leaky, delayed, mean", slow, MEAN)],
         f"{note} Delayed: each byte compared takes {place.slower_delayed:,} ns more, and each "
         f"answer 0 to {place.delay:,} ns, by chance.")
    return slow


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
        f"process ({HERE.digits} digits) nothing is amplified. Through HTTP ({THERE.digits} digits) "
        f"it is: the noise of loopback is far above the time of one byte, so that each byte compared "
        f"takes {THERE.slower:,} ns more, with either comparison; an attacker without that help "
        "takes more timings, by the square of the ratio. Server and attacker share one processor, "
        "and go before other work where they may: between two processors a round trip has no "
        "stable least time. In the curves each digit is tried after the right ones; the break-in "
        "knows the length alone. A secret counts as read with four digits in five. Then the same "
        "without any clock.")
    quietly()
    slow = {HERE: attacked(proof, HERE, "Without a delay nothing is amplified."),
            THERE: attacked(proof, THERE, f"Amplified: each byte compared takes {THERE.slower:,} ns "
                            "more, with either comparison.")}
    if all(needed(curve, LEAST, place.digits) for place, curve in slow.items()):
        statistics(proof, slow)
    without_a_clock(proof)
    proof.finish()


main()

"""secret_equal takes the same time whatever the secret is; what leaks is found by the same means.
On a plain -O2 build: sanitizers would add branches of their own."""

import json
import subprocess

import pytest
from harness.process import BUILD

PROOFS = BUILD / "proofs"


def ctgrind(subject):
    return subprocess.run(["valgrind", "--quiet", PROOFS / "ctgrind", subject], text=True,
                          capture_output=True, timeout=120, check=False)


def test_no_branch_and_no_address_depends_on_the_secret():
    done = ctgrind("secret_equal")
    assert done.stdout == "secret_equal: 0 wrong answers, 0 uses of a secret\n", done.stderr
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("subject,said", [
    ("leaky_branch", "Conditional jump or move depends on uninitialised value"),
    ("leaky_index", "Use of uninitialised value"),
])
def test_what_leaks_is_flagged(subject, said):
    done = ctgrind(subject)
    assert done.returncode == 1 and said in done.stderr and subject in done.stderr
    assert done.stdout.startswith(f"{subject}: 0 wrong answers, ")


def test_without_valgrind_nothing_is_proven():
    assert subprocess.run([PROOFS / "ctgrind", "secret_equal"], capture_output=True,
                          check=False).returncode == 3


def test_the_clock_tells_the_leaky_one():
    """Only that is asserted: the t of secret_equal is the machine's noise, and printed."""
    done = subprocess.run([PROOFS / "dudect", "40000"], text=True, capture_output=True, timeout=120,
                          check=True)
    t = json.loads(done.stdout)
    print(t)
    assert abs(t["leaky_branch"]) > 10

"""Every test that GUARANTEES.md of the portal names is there."""

import re

from harness.process import ROOT

TEXT = (ROOT / "student-portal" / "GUARANTEES.md").read_text()


def test_every_guarantee_names_tests_that_exist():
    tests = "".join(p.read_text() for p in (ROOT / "tests" / "integration").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert {name for name in named if f"def {name}(" not in tests} == set()
    units = set(re.findall(r"`(test_\w+\.c)`", TEXT))
    folder = ROOT / "tests" / "unit" / "student-portal"
    assert units and {name for name in units if not (folder / name).exists()} == set()
    for row in re.findall(r"^\| (?!guarantee|---)(.*) \|$", TEXT, re.M):
        assert "`test_" in row.split(" | ")[-1], row

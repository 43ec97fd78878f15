"""What README.md says of options, files and commands is so."""

import re
import subprocess

import pytest
from harness import server
from harness.process import ROOT

TEXT = (ROOT / "README.md").read_text()
SERVICES = ["scribe", "delivery-hub", "dicom-vault", "student-portal"]
OPTION = re.compile(r"^\| `([A-Z_]+)` \| ([^|]+) \|", re.M)


def documented(service):
    """The options that the table gives the service: by name, for all, or for all but one."""
    found = set()
    for name, of in OPTION.findall(TEXT):
        if service in of if "all" not in of else service not in of:
            found.add(name)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_every_option_is_in_the_table_and_no_other(service):
    said = subprocess.run([server.binary(service), "--help"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    options = set(re.findall(r"^([A-Z][A-Z_]+), --", said, re.M))
    assert "LOG_LEVEL" in options
    assert documented(service) == options


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)", TEXT)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_exists():
    targets = set(re.findall(r"make ([a-z-]+)", TEXT))
    makefile = (ROOT / "Makefile").read_text()
    assert "demo" in targets and "test" in targets
    assert [t for t in targets if not re.search(rf"^([a-z-]+ )*{t}( [a-z-]+)*:", makefile, re.M)] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*/GUARANTEES.md")), ids=lambda p: p.parent.name)
def test_every_guarantee_names_what_exists(page):
    """Tests and files: `test_x` is a function, a name with a suffix a file, here or in tests/."""
    names = set(re.findall(r"`([\w./-]+)`", page.read_text()))
    tests = {name for name in names if re.fullmatch(r"test_\w+", name)}
    files = {name for name in names if re.search(r"\.(c|h|py|sql)$", name)}
    defined = "".join(p.read_text() for p in (ROOT / "tests").glob("**/*.py"))
    assert tests and [t for t in tests if f"def {t}(" not in defined] == []
    places = page.parent, ROOT, ROOT / "tests" / "integration"
    assert files and [f for f in files if not any((p / f).exists() for p in places)] == []

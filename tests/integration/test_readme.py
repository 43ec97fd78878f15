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

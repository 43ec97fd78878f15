"""What the CONFIGURATION.md of each service says of its options is so."""

import re
import subprocess

import pytest
from harness import server
from harness.process import ROOT

SERVICES = ["scribe", "delivery-hub", "dicom-vault", "student-portal"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_option_is_in_the_table_and_no_other(service):
    said = subprocess.run([server.binary(service), "--help"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    options = re.findall(r"^([A-Z][A-Z_]+), --", said, re.M)
    table = (ROOT / service / "CONFIGURATION.md").read_text()
    assert "LOG_LEVEL" in options
    assert sorted(re.findall(r"^\| `([A-Z_]+)` \|", table, re.M)) == sorted(options)

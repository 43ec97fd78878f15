"""What docker-compose.yml needs, as far as it can be tried without Docker."""

import json
import os
import subprocess

import pytest
from harness.process import ROOT

COMPOSE = ROOT / "tests" / "compose"
HERE = ["127.0.0.1", "127.0.0.77"]
BEYOND = ["0.0.0.0", "", "::", "192.168.7.1", "127.0.0.1.example", "127.0.0", "x127.0.0.1",
          "127.0.0.1\n0.0.0.0"]
ON = ["1", "true", "yes", "on"]
OFF = ["0", "false", "no", "off", ""]


@pytest.fixture
def served(folder):
    """What the gateway serves of them, by name."""
    for secret in ("fault/key", "demo/vault.apikey"):
        (folder / secret).parent.mkdir()
        (folder / secret).write_text(f"the secret of {secret}\n")
    out = folder / "served"
    out.mkdir()

    def served(bind, faults):
        subprocess.run(["bash", COMPOSE / "gateway/keys.sh", folder, "/sealed", out],
                       check=True, env={"PATH": "/usr/bin:/bin", "BIND": bind, "DEMO_FAULTS": faults})
        return {p.name: os.readlink(p) if p.is_symlink() else json.loads(p.read_text())["key"]
                for p in out.iterdir()}

    return served


def test_the_page_of_this_machine_gets_its_keys(served):
    for bind in HERE:
        for faults in ON:
            assert served(bind, faults) == {"vault-key.json": "the secret of demo/vault.apikey",
                                            "fault-key.json": "the secret of fault/key",
                                            "disk": "/sealed"}


def test_no_key_of_faults_without_faults(served):
    served("127.0.0.1", "1")  # and none stays from before
    for faults in OFF:
        assert set(served("127.0.0.1", faults)) == {"vault-key.json", "disk"}


def test_nothing_for_others_than_this_machine(served):
    for bind in BEYOND:
        served("127.0.0.1", "1")
        assert served(bind, "1") == {}, bind

"""`make demo` as a person uses it: the tour holds, a second one is refused, Ctrl-C leaves nothing.
On free ports and in a folder of its own, so that a demo may run meanwhile."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from harness.process import ROOT

DEMO = ROOT / "tests" / "demo" / "demo"


def demo(folder, *options):
    return subprocess.Popen(
        [sys.executable, "-B", DEMO, "--folder", folder, *options], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def children(folder):
    """Processes whose working directory is under the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append(entry.name)
        except OSError:
            pass
    return found


def started(folder):
    """A demo that has shown its tour and waits; and what it printed."""
    process = demo(folder, "--free-ports")
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "Ctrl-C stops" in line:
            break
    return process, "".join(printed)


def ended(process):
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def shown(run_folder):
    """One demo for the tests that only look at it: its folder, and what it printed."""
    folder = run_folder / "demo"
    process, printed = started(folder)
    yield folder, printed
    ended(process)


@pytest.fixture
def running(folder):
    """A demo of the test's own to end: the process, and what it printed."""
    process, printed = started(folder)
    yield process, printed
    ended(process)


def test_the_tour_holds(shown):
    _, printed = shown
    assert "tour: 5 passed, 0 failed" in printed, printed
    assert "unread: 3" in printed
    assert "200 for 1 (p" in printed and "409 for 49" in printed


def test_a_second_demo_is_refused(shown):
    folder, _ = shown
    second = demo(folder, "--free-ports")
    assert "error: a demo runs already" in second.communicate()[0]
    assert second.returncode == 1
    assert len(children(folder)) == 7  # the first one's go on


def test_secrets_are_the_owners_alone(shown):
    folder, _ = shown
    for name in ("scribe.key", "hub.key", "vault.rootkey", "vault.apikey"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_ctrl_c_stops_what_it_started(running, folder):
    process, _ = running
    assert len(children(folder)) == 7
    process.send_signal(signal.SIGINT)
    rest = process.communicate()[0]
    assert process.returncode == 0, rest
    assert children(folder) == []


def test_a_service_that_dies_is_reported_and_the_rest_goes_on(running, folder):
    process, printed = running
    port = re.search(r"delivery-hub on 127.0.0.1:(\d+)", printed).group(1)
    hub = [p for p in children(folder) if "delivery-hub" in os.readlink(f"/proc/{p}/exe")]
    assert len(hub) == 1
    os.kill(int(hub[0]), signal.SIGKILL)
    line = next(line for line in process.stdout if "ended with" in line)
    assert line.startswith(f"delivery-hub on port {port} ended with -9")
    assert len(children(folder)) == 6
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
    assert children(folder) == []


def test_a_taken_port_is_named(folder):
    # The listener may be ours or, when a demo runs on the usual ports, its own.
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8101))
            s.listen()
        except OSError:
            pass
        process = demo(folder)
        assert "error: port 8101, which scribe A needs, is taken" in process.communicate()[0]
        assert process.returncode == 1

"""Fixtures: shared stores for the whole run, stores of a test's own to break, servers."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from browser import Browser  # noqa: E402
from harness import server, stores  # noqa: E402
from harness.probe import Probe  # noqa: E402
from harness.process import BUILD  # noqa: E402


@pytest.fixture(scope="session")
def run_folder(request):
    """A new folder under build/run; kept when a test failed, for its logs."""
    (BUILD / "run").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="pytest-", dir=BUILD / "run"))
    yield folder
    if not request.session.testsfailed:
        shutil.rmtree(folder)


@pytest.fixture
def folder(run_folder, request):
    """A folder of the test's own."""
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)[:60]
    return Path(tempfile.mkdtemp(prefix=name + "-", dir=run_folder))


@pytest.fixture
def variant(request):
    """Which build's binaries this test runs."""
    if request.node.get_closest_marker("release"):
        return "release"
    return os.environ.get("VARIANT", "asan")


def _store(kind, folder):
    store = kind(folder).start()
    yield store
    store.kill()  # its data is not wanted any more; FerretDB takes 3 s to stop
    shutil.rmtree(store.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb(run_folder):
    yield from _store(stores.MariaDB, run_folder / "mariadb")


@pytest.fixture(scope="session")
def redis(run_folder):
    yield from _store(stores.Redis, run_folder / "redis")


@pytest.fixture(scope="session")
def ferret(run_folder):
    yield from _store(stores.Ferret, run_folder / "ferret")


@pytest.fixture(scope="module")
def browsers(run_folder, request):
    """browsers(i): the i-th, a process of its own, kept for the module's next test."""
    started = []

    def get(i):
        while len(started) <= i:
            own = run_folder / f"{request.module.__name__}-browser{len(started)}"
            own.mkdir()
            started.append(Browser(own))
        return started[i]

    yield get
    for b in started:
        b.close()


@pytest.fixture
def own_mariadb(folder):
    yield from _store(stores.MariaDB, folder / "mariadb")


@pytest.fixture
def own_redis(folder):
    yield from _store(stores.Redis, folder / "redis")


@pytest.fixture
def own_ferret(folder):
    yield from _store(stores.Ferret, folder / "ferret")


@pytest.fixture
def start_server(request, folder, variant):
    """start_server(name, env, wait="/readyz", args=(), port=None) -> a started server.Server.

    At teardown every server that still runs is stopped and must exit with 0; one that the test
    itself ended (stop, kill) is let be. A sanitizer's report in a log fails the test."""
    started = []
    request.node.servers = started

    def start(name, env=None, wait="/readyz", args=(), port=None):
        s = server.Server(name, env, folder, args, variant, port)
        started.append(s)
        return s.start(wait)

    yield start
    codes = {s: s.stop() for s in started if s.running()}
    for s in started:
        s.check_log()
    for s, code in codes.items():
        assert code == 0, f"{s.name} exited with {code}{s.log_tail()}"


@pytest.fixture
def start_probe(folder):
    """start_probe(name, url, option=value...) -> a started Probe, closed and checked at teardown."""
    started = []

    def start(name, url, **options):
        started.append(Probe(folder, name, url, **options))
        return started[-1]

    yield start
    for p in started:
        p.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for s in getattr(item, "servers", []):
            report.sections.append((f"log of {s.name}:{s.port}", s.log_tail(60)))
    return report

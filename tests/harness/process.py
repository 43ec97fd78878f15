"""One child process with a log file, on a port of its own, that never outlives its parent."""

import atexit
import os
import random
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

_running = set()
_ports = set()
_lock = threading.Lock()
# Two processes of pytest run side by side: odd ports for one, even ones for the other.
_odd = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 2
# The kernel sends the parent-death signal when the *thread* that forked ends, so that one thread
# which lives as long as the process does all the forking.
_spawner = ThreadPoolExecutor(1)


class Died(RuntimeError):
    """The process ended, or was not ready in time; the text has the log's tail."""


def free_port():
    """A port of 127.0.0.1 that nobody listens on. Below the ephemeral range: there no outgoing
    connection can take it while its server restarts."""
    while True:
        port = random.randrange(10000 + _odd, 32000, 2)
        with _lock:
            if port in _ports:
                continue
            _ports.add(port)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def until(condition, timeout=30, what="condition", interval=0.02):
    """Poll until condition() is true and return its value; AssertionError past the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(interval)


def _listeners(port):
    """The inodes of sockets that listen on the port."""
    found = set()
    for table in filter(os.path.exists, ("/proc/net/tcp", "/proc/net/tcp6")):
        for line in Path(table).read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A" and int(row[1].split(":")[1], 16) == port:
                found.add(row[9])
    return found


def _sockets_of(pid):
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:["):-1])
    return found


class Process:
    """Subclasses say what to run (command), in which environment (environment), how to see that
    it is ready (ready) and, if need be, what to lay first (prepare)."""

    name = "process"
    start_timeout = 60
    stop_timeout = 30

    def __init__(self, folder, port=None):
        self.folder = Path(folder)
        self.port = port or free_port()
        self.fixed_port = port is not None
        self.log = self.folder / f"{self.name}.log"
        self.child = None
        self.started = 0  # bytes of the log that belong to earlier starts

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}

    def prepare(self):
        pass

    def ready(self):
        raise NotImplementedError

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self):
        """Start, or start again on the same port and data. Returns self once it is ready."""
        assert not self.running(), f"{self.name} runs already"
        for attempt in range(5):
            try:
                self._start()
                self.fixed_port = True
                return self
            except Died:
                # Another process may have taken the port since free_port saw it free.
                lost_race = "in use" in self.log_text(since_start=True)
                if attempt == 4 or self.fixed_port or not lost_race:
                    raise
                self.port = free_port()

    def _start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.started = self.log.stat().st_size if self.log.exists() else 0
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, self.command())]
        with open(self.log, "ab") as log:
            self.child = _spawner.submit(
                subprocess.Popen, command, env=self.environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            ).result()
        _running.add(self)
        self._wait_ready()

    def _wait_ready(self):
        deadline = time.monotonic() + self.start_timeout
        while not (self.ready() and self.listens()):
            if not self.running():
                code = self.ended()
                raise Died(f"{self.name} ended with {code} at start{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise Died(f"{self.name} not ready in {self.start_timeout} s{self.log_tail()}")
            time.sleep(0.02)

    def listens(self):
        """Does this process hold the listener on its port? Else who answers is another one."""
        try:
            return bool(_sockets_of(self.pid) & _listeners(self.port))
        except FileNotFoundError:
            return False  # it is gone
        except PermissionError:
            # We are not root, and it hides from debuggers; or it just ended.
            return self.running()

    def signal(self, number):
        if self.running():
            self.child.send_signal(number)

    def _stopped(self):
        try:
            return all((task / "stat").read_text().rpartition(")")[2].split()[0] in "TZ"
                       for task in Path(f"/proc/{self.child.pid}/task").iterdir())
        except FileNotFoundError:  # a thread ended meanwhile, or all have
            return not self.running()

    def pause(self):
        """SIGSTOP, and wait: the threads go on until one of them has taken the signal."""
        self.signal(signal.SIGSTOP)
        until(self._stopped, what="the stop of all threads")

    def resume(self):
        self.signal(signal.SIGCONT)

    def stop(self):
        """SIGTERM, then wait. The exit code (negative: a signal), or None if it never ran."""
        self.resume()
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.ended()

    def ended(self, timeout=None):
        """Wait for the end and return the exit code; kills and raises past the deadline."""
        if self.child is None:
            return None
        try:
            code = self.child.wait(timeout or self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise Died(f"{self.name} did not end by itself, killed{self.log_tail()}") from None
        finally:
            _running.discard(self)
        return code

    def log_text(self, since_start=False):
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as log:
            log.seek(self.started if since_start else 0)
            return log.read().decode("utf-8", "replace")

    def log_tail(self, lines=30):
        tail = self.log_text().splitlines()[-lines:]
        return "".join(f"\n    | {line}" for line in tail) or ": its log is empty"


@atexit.register
def _kill_all():
    for process in list(_running):
        process.child.kill()
        process.child.wait()


def connects(port):
    """Can 127.0.0.1:port be connected to?"""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0

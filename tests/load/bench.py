"""What the benchmarks share: servers that are a limit, load clients, and a table of results.

A benchmark is tests/load/bench_NAME.py, run by `make bench-NAME` on the release build. It measures
a service and, in the same run, the limit that the machine sets to any service of its kind, and
gives the ratio: that can be compared, the absolute figures cannot. QUICK=1 asks for a short form;
`make load`, which runs them all, for one in between (BENCH_FORM=load).
"""

import atexit
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from harness.process import BUILD, Process

QUICK = os.environ.get("QUICK", "0") not in ("", "0")
VARIANT = os.environ.get("VARIANT", "release")


def by_form(quick, load, full):
    """One of three sizes of an experiment."""
    return quick if QUICK else load if os.environ.get("BENCH_FORM") == "load" else full


def program(name):
    """A program of tests/load/*.c."""
    return BUILD / ("" if VARIANT == "release" else VARIANT) / "load-bin" / name


def command(name, *args):
    # TSan of gcc 12 and 13 aborts when the kernel randomises addresses too widely.
    prefix = ["setarch", "-R"] if VARIANT == "tsan" else []
    return [*prefix, program(name), *map(str, args)]


def run(name, *args, stdin=b""):
    """Run a load client to its end; the JSON object that it prints."""
    done = subprocess.run(command(name, *args), input=stdin, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def request(method, path, headers=(), body=b""):
    """A raw request for http_load. "%SERIAL%" in it becomes eight digits, new each time."""
    fields = {"Host": "127.0.0.1", **dict(headers)}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = len(body)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def http_load(port, requests, **options):
    """http_load on 127.0.0.1:port; options as its own: connections=50, rate=1000, seconds=5,
    requests (a list of raw ones), new_connections=True, max_requests=1500."""
    if "max_requests" in options:
        options["requests"] = options.pop("max_requests")
    args = []
    for name, value in options.items():
        args += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
    return run("http_load", *args, f"127.0.0.1:{port}", "-", stdin=b"".join(requests))


class Room:
    """Chat clients in one room of a server, a process of chat_load. run("closed", seconds, window)
    or run("open", seconds, messages a second) gives what came of it, and `server_cpu_s`."""

    def __init__(self, server, name, members, key="none"):
        self.server = server
        self.client = subprocess.Popen(
            command("chat_load", f"127.0.0.1:{server.port}", name, members),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(members):
            self.put(json.dumps({"type": "hello", "token": token(key, f"member-{i}")}))
        self.get()

    def put(self, line):
        print(line, file=self.client.stdin)

    def get(self):
        self.client.stdin.flush()
        line = self.client.stdout.readline()
        if not line:
            raise RuntimeError(f"chat_load ended with {self.client.wait()}")
        return json.loads(line)

    def run(self, *command):
        before = cpu_s(self.server.pid)
        self.put(" ".join(map(str, command)))
        return self.get() | {"server_cpu_s": cpu_s(self.server.pid) - before}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.communicate()


class Limit(Process):
    """A bare server, a program of tests/load/*.c that prints "port N"."""

    def __init__(self, name, folder, *args):
        self.name = name
        self.args = args
        super().__init__(folder, port=0)

    def command(self):
        return command(self.name, *self.args)

    def ready(self):
        said = re.search(r"^port (\d+)$", self.log_text(since_start=True), re.M)
        self.port = int(said[1]) if said else 0
        return bool(said)


def cpu_s(pid):
    """Processor time of all its living threads so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it just ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_kib(pid):
    return int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def token(key, sub, **claims):
    """A JSON Web Token, HS256, good for a day."""
    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    claims = {"sub": sub, "exp": int(time.time()) + 86400, **claims}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    mac = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(mac)).decode()


def private_folder():
    """Under build/run, removed at the end."""
    (BUILD / "run").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD / "run"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _plain(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


class Bench:
    def __init__(self, name):
        self.name = name
        self.rows = []

    def add(self, name, runs, unit, limits=None, paired=True):
        """A figure: what each run gave, and what the limit gave beside it. Of both the median
        counts; the ratio is that of the pairs, since the speed of a shared machine drifts, or with
        `paired` false that of the two medians, as anybody can work out from the table."""
        runs, limits = list(runs), list(limits or [])
        pairs = [r / limit for r, limit in zip(runs, limits) if limit]
        self.rows.append({
            "name": name,
            "value": statistics.median(runs),
            "unit": unit,
            "limit": statistics.median(limits) if limits else None,
            "ratio": statistics.median(pairs) if pairs else None,
            "runs": runs,
        })
        if pairs and not paired:
            self.rows[-1]["ratio"] = statistics.median(runs) / statistics.median(limits)
        row = self.rows[-1]
        print(f"  {name}: {_plain(row['value'])} {unit}", flush=True)

    def finish(self):
        """Print the table and write build/load/NAME.json."""
        cells = [("", "value", "unit", "limit", "ratio", "runs")]
        for r in self.rows:
            ratio = "" if r["ratio"] is None else f"{r['ratio']:.3f}"
            cells.append((r["name"], _plain(r["value"]), r["unit"], _plain(r["limit"]), ratio,
                          " ".join(map(_plain, r["runs"]))))
        widths = [max(len(row[i]) for row in cells) for i in range(6)]
        for row in cells:
            left = (row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]))
            print(*left, row[3].rjust(widths[3]), row[4].rjust(widths[4]), row[5], sep="  ")
        path = BUILD / "load" / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.rows, indent=1) + "\n")
        print(f"written: {path.relative_to(BUILD.parent)}")

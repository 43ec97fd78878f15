"""A C program of tests/harness/c, driven over pipes: a command and its answer are a line of JSON."""

import json
import os
import subprocess
import threading

from .server import INHERITED, SANITIZER, binary


class Probe:
    """Probe(folder, "probe_db", url, schema=folder): p("exec", sql, [value...]) -> answer.

    `first` is the answer the program gives on its own. close() ends it, and fails when it did
    not exit with 0 or a sanitizer had something to say."""

    def __init__(self, folder, name, url, **options):
        variant = os.environ.get("VARIANT", "asan")
        prefix = ["setarch", "-R"] if variant == "tsan" else []
        self.log = folder / f"{name}-{id(self)}.log"
        env = {k: os.environ[k] for k in INHERITED if k in os.environ}
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [*prefix, binary(f"harness/{name}", variant), url,
                 *(f"{k}={v}" for k, v in options.items())],
                env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.lock = threading.Lock()
        self.first = self.read()

    def read(self):
        line = self.child.stdout.readline()
        assert line, f"the probe ended: {self.log_text()[-4000:]}"
        return json.loads(line)

    def send(self, *command):
        self.child.stdin.write(json.dumps(command) + "\n")
        self.child.stdin.flush()

    def __call__(self, *command):
        with self.lock:
            self.send(*command)
            return self.read()

    def log_text(self):
        return self.log.read_text(errors="replace")

    def close(self):
        if self.child.poll() is None:
            self.child.stdin.close()
        code = self.child.wait(60)
        self.child.stdout.close()
        found = SANITIZER.search(self.log_text())
        assert not found, self.log_text()[found.start():][:6000]
        assert code == 0, f"exit {code}: {self.log_text()[-4000:]}"

"""One of the four servers, with an environment of its own and an eye on its log."""

import http.client
import os
import re

from .process import BUILD, Process

LISTEN = {
    "scribe": "SCRIBE_LISTEN",
    "delivery-hub": "HUB_LISTEN",
    "dicom-vault": "VAULT_LISTEN",
    "student-portal": "PORTAL_LISTEN",
}
INHERITED = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
SANITIZER = re.compile(r"^.*(ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|: runtime error:).*$", re.M)


class SanitizerReport(AssertionError):
    pass


def binary(name, variant=None):
    """The path of a service's binary; VARIANT (default asan) says of which build."""
    variant = variant or os.environ.get("VARIANT", "asan")
    path = BUILD / name if variant == "release" else BUILD / variant / name
    if not path.exists():
        raise RuntimeError(f"{path} is missing: make VARIANT={variant}")
    return path


class Server(Process):
    """start(wait=...) returns when GET of that path answers 200: "/readyz" (default), "/healthz"
    or, with None, at once. stop() and kill() raise SanitizerReport when the log has one."""

    def __init__(self, name, env=None, folder=".", args=(), variant=None, port=None):
        self.name = name
        super().__init__(folder, port)
        self.variant = variant or os.environ.get("VARIANT", "asan")
        self.binary = binary(name, self.variant)
        self.env = dict(env or {})
        self.args = list(args)
        self.wait = "/readyz"
        # Several servers of one name may share a folder.
        self.log = self.folder / f"{name}-{self.port}.log"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        # TSan of gcc 12 and 13 aborts when the kernel randomises addresses too widely.
        prefix = ["setarch", "-R"] if self.variant == "tsan" else []
        return [*prefix, self.binary, *self.args]

    def environment(self):
        env = {k: os.environ[k] for k in INHERITED if k in os.environ}
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env[LISTEN[self.name]] = f"127.0.0.1:{self.port}"
        return {**env, **{k: str(v) for k, v in self.env.items()}}

    def start(self, wait="/readyz"):
        self.wait = wait
        return super().start()

    def ready(self):
        return self.wait is None or self.get_status(self.wait) == 200

    def listens(self):
        return self.wait is None or super().listens()

    def get_status(self, path):
        """The status of GET path, or None when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def ended(self, timeout=None):
        code = super().ended(timeout)
        self.check_log()
        return code

    def check_log(self):
        found = SANITIZER.search(self.log_text())
        if found:
            report = self.log_text()[found.start():].splitlines()[:60]
            raise SanitizerReport(f"{self.name}: " + "\n".join(report))

    def rss_peak_kib(self):
        """The most memory that the process ever had resident, in KiB."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.M).group(1))

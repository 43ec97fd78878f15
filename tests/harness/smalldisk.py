"""A real file system of a few MiB, in a mount namespace of the test's own: it can run full, and
goes with its last process. Needs root or unprivileged user namespaces."""

import os
import subprocess
from pathlib import Path

from .server import Server

_AS_ROOT = os.getuid() == 0


class SmallDisk:
    """At `path` for processes started behind `prefix`; at `outside` for everybody else."""

    def __init__(self, path, size):
        self.path = Path(path)
        self.path.mkdir()
        mount = f'mount -t tmpfs -o size={size},mode=700 tmpfs "$0" && echo mounted && exec cat'
        self.holder = subprocess.Popen(
            ["unshare", "-m" if _AS_ROOT else "-rm", "sh", "-c", mount, self.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            raise RuntimeError("no tmpfs: be root, or allow unprivileged user namespaces")
        user = [] if _AS_ROOT else ["-U", "--preserve-credentials"]
        # A mount namespace has a root folder of its own, which in a chroot is another one.
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-m", "-r", *user, "--"]
        self.outside = Path(f"/proc/{self.holder.pid}/root/{self.path}")

    def free(self):
        """Bytes that may still be written."""
        room = os.statvfs(self.outside)
        return room.f_bavail * room.f_frsize

    def fill(self, leave=0):
        """Another program takes all but so many bytes."""
        with open(self.outside / "ballast", "ab") as ballast:
            if self.free() > leave:
                os.posix_fallocate(ballast.fileno(), ballast.tell(), self.free() - leave)
            else:
                ballast.truncate(ballast.tell() - leave + self.free())

    def drain(self):
        (self.outside / "ballast").unlink(missing_ok=True)

    def close(self):
        self.holder.communicate()


class ServerOn(Server):
    """A server that sees the disk."""

    disk = None

    def command(self):
        return [*self.disk.prefix, *super().command()]

"""The programs of tests/proofs: what leaks or has a check taken out, and who tries it."""

import json
import subprocess

from frame import BUILD
from load.bench import Limit


def program(name):
    return BUILD / "proofs" / name


def run(name, *args):
    """What it prints, one JSON value."""
    done = subprocess.run([program(name), *map(str, args)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Program(Limit):
    """One that serves: it prints "port N"."""

    def command(self):
        return [program(self.name), *self.args]

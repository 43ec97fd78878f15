#!/usr/bin/python3
"""Make every secret of the demo once, each in the volume of who needs it. One that is there stays."""

import os
import secrets
from pathlib import Path

ROOT = Path("/secrets")
DATABASES = {"hub": "hub", "portal": "portal"}


def make(path, text, mode=0o400):
    """Whole or not at all: written beside it and renamed."""
    if path.exists():
        return path.read_text().strip()
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as f:
        f.write(text + "\n")
    os.chmod(draft, mode)
    draft.rename(path)
    print(f"made {path}", flush=True)
    return text


def key():
    return secrets.token_hex(32)


def main():
    make(ROOT / "scribe/token.key", key())
    make(ROOT / "hub/token.key", key())
    make(ROOT / "vault/root.key", key())
    make(ROOT / "fault/key", key())
    # The database server's own user reads this one, and it is not ours.
    make(ROOT / "db/root.password", key(), 0o444)
    make(ROOT / "db/replica.password", key())
    for user, service in DATABASES.items():
        password = make(ROOT / f"db/{user}.password", key())
        make(ROOT / service / "mysql.url", f"mysql://{user}:{password}@mariadb:3306/{user}")
        make(ROOT / service / "replica.url", f"mysql://{user}:{password}@replica:3306/{user}")


main()

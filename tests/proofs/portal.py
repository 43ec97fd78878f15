"""A portal of a proof's own: the real server with people in it, or a control in its place."""

import contextlib
import tempfile
from pathlib import Path

import portal_world
from frame import BUILD
from harness import server, stores
from programs import program


class Portal(portal_world.World):
    """On the release build; `control` is a program of tests/proofs/student-portal/*.c."""

    def __init__(self, folder, mariadb, redis, database, control=None, **env):
        self.control = control
        super().__init__(folder, mariadb, redis, database, LOG_LEVEL="warn", **env)

    def new_server(self, **env):
        return a_server({**self.env, **env}, self.folder, self.control)


def a_server(env, folder, control=None):
    made = server.Server("student-portal", env, folder, variant="release")
    if control:
        made.binary = program(f"student-portal/{control}")
    return made


@contextlib.contextmanager
def private_stores(**redis_options):
    """(folder, mariadb, redis), gone at the end."""
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        folder = Path(name)
        mariadb = stores.MariaDB(folder / "mariadb").start()
        redis = stores.Redis(folder / "redis", **redis_options).start()
        try:
            yield folder, mariadb, redis
        finally:
            redis.stop()
            mariadb.stop()

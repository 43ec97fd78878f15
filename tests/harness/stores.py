"""Private MariaDB, Redis and a server of MongoDB's protocol (FerretDB on SQLite files).

Every one: start(), stop() (clean), kill() (-9), pause() and resume() (SIGSTOP, SIGCONT), and
start() again on the same port and data."""

import fcntl
import os
import shutil
import socket
import struct
import subprocess

from .process import BUILD, Process

FERRET = BUILD / "tools" / "ferret"

# A new data folder takes seconds to lay and a copy of one an instant, so it is laid once.
MARIADB_TEMPLATE = BUILD / "tools" / "mariadb-template"
MARIADB_SETUP = """
FLUSH PRIVILEGES;
CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
"""
MARIADB_LOG_SIZE = "--innodb-log-file-size=16M"


def _lay_mariadb_template():
    MARIADB_TEMPLATE.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{MARIADB_TEMPLATE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if MARIADB_TEMPLATE.exists():
            return
        draft = MARIADB_TEMPLATE.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        _run(["mariadb-install-db", "--no-defaults", f"--datadir={draft}", "--skip-test-db",
              "--auth-root-authentication-method=normal", MARIADB_LOG_SIZE, *_as_user()])
        _run(["mariadbd", "--no-defaults", "--bootstrap", f"--datadir={draft}",
              MARIADB_LOG_SIZE, *_as_user()], input=MARIADB_SETUP)
        draft.rename(MARIADB_TEMPLATE)


def _as_user():
    return ["--user=root"] if os.geteuid() == 0 else []


def _run(command, **kwargs):
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"  # not on a user's PATH
    done = subprocess.run(command, text=True, capture_output=True,
                          env=dict(os.environ, PATH=path), **kwargs)
    if done.returncode != 0:
        command = " ".join(map(str, command))
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


class MariaDB(Process):
    name = "mariadb"
    stop_timeout = 60

    def __init__(self, folder, port=None, options=()):
        super().__init__(folder, port)
        self.options = list(options)
        self.data = self.folder / "mariadb"

    def prepare(self):
        if not self.data.exists():
            _lay_mariadb_template()
            _run(["cp", "-a", "--sparse=always", MARIADB_TEMPLATE, self.data])

    def command(self):
        return [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd",
            "--no-defaults", f"--datadir={self.data}", *_as_user(),
            "--bind-address=127.0.0.1", f"--port={self.port}",
            "--socket=mariadb.sock",  # in the data folder: a full path may be too long
            "--pid-file=mariadb.pid", "--skip-name-resolve", "--max-connections=500",
            "--innodb-buffer-pool-size=64M", MARIADB_LOG_SIZE,
            "--innodb-flush-log-at-trx-commit=1", "--performance-schema=off",
            "--character-set-server=utf8mb4", *self.options,
        ]

    def ready(self):
        """A server that accepts connections greets first, with its protocol's version, 10."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                return s.recv(5)[4:5] == b"\x0a"
        except OSError:
            return False

    def sql(self, text, database=""):
        """Run statements through the command line client; what it prints (tab-separated)."""
        return _run(["mariadb", "--no-defaults", "--host=127.0.0.1", f"--port={self.port}",
                     "--user=root", "--batch", "--skip-column-names", database], input=text)

    def url(self, database):
        """The URL of a database, which is created when it is not there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        return f"mysql://root@127.0.0.1:{self.port}/{database}"


def replicate(primary, replica):
    """Let one MariaDB follow another. Both were started with --server-id of their own, the
    primary with --log-bin. STOP SLAVE and START SLAVE then delay it and let it catch up."""
    primary.sql("CREATE USER IF NOT EXISTS follower@'127.0.0.1' IDENTIFIED BY 'f';"
                "GRANT REPLICATION SLAVE ON *.* TO follower@'127.0.0.1'")
    replica.sql(f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, "
                "MASTER_USER='follower', MASTER_PASSWORD='f', MASTER_CONNECT_RETRY=1;"
                "START SLAVE")


class Redis(Process):
    name = "redis"

    def __init__(self, folder, port=None, persist=False, options=()):
        super().__init__(folder, port)
        self.options = list(options)
        self.persist = persist
        self.url = None

    def command(self):
        self.url = f"redis://127.0.0.1:{self.port}"
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self.persist else []
        return ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "",
                "--dir", self.folder, "--databases", "256", *durable, *self.options]

    def ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.sendall(b"PING\r\n")
                return s.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


class Ferret(Process):
    name = "ferret"

    def prepare(self):
        if not FERRET.exists():
            raise RuntimeError(f"{FERRET} is missing: run tests/setup.sh test")
        (self.folder / "ferret").mkdir(exist_ok=True)

    def command(self):
        return [FERRET, f"127.0.0.1:{self.port}", self.folder / "ferret"]

    def ready(self):
        """OP_MSG {hello: 1, $db: "admin"} gets an answer."""
        body = b"\x10hello\0\1\0\0\0" + b"\x02$db\0\6\0\0\0admin\0" + b"\0"
        section = struct.pack("<iB", 0, 0) + struct.pack("<i", len(body) + 4) + body
        message = struct.pack("<iiii", 16 + len(section), 1, 0, 2013) + section
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.sendall(message)
                return len(s.recv(16)) == 16
        except OSError:
            return False

    def url(self, database):
        return f"mongodb://127.0.0.1:{self.port}/{database}"

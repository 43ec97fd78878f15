"""Private MariaDB (or MySQL: TEST_MYSQL=1), Redis and a server of MongoDB's protocol (FerretDB on
SQLite files).

Every one: start(), stop() (clean), kill() (-9), pause() and resume() (SIGSTOP, SIGCONT), and
start() again on the same port and data."""

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess

from .process import BUILD, Process

FERRET = BUILD / "tools" / "ferret"

ROOT_BY_ADDRESS = """
CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
"""


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
    program, client = "mariadbd", "mariadb"
    # A new data folder takes seconds to lay and a copy of one an instant, so it is laid once.
    template = BUILD / "tools" / "mariadb-template"
    own_options = ["--innodb-log-file-size=16M"]
    without_tls = ["--skip-ssl"]
    isolation = "tx_isolation"  # the variable's name
    explain = "EXPLAIN"

    def __init__(self, folder, port=None, options=()):
        super().__init__(folder, port)
        self.options = list(options)
        self.data = self.folder / "mariadb"

    def prepare(self):
        if self.data.exists():
            return
        self.template.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{self.template}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.template.exists():
                draft = self.template.with_suffix(".draft")
                shutil.rmtree(draft, ignore_errors=True)
                self.lay(["--no-defaults", f"--datadir={draft}", *self.own_options, *_as_user()])
                draft.rename(self.template)
        _run(["cp", "-a", "--sparse=always", self.template, self.data])
        (self.data / "auto.cnf").unlink(missing_ok=True)  # MySQL's identity is not to be copied

    def lay(self, options):
        """Make a data folder in which root has no password."""
        _run(["mariadb-install-db", *options, "--skip-test-db",
              "--auth-root-authentication-method=normal"])
        _run(["mariadbd", *options, "--bootstrap"], input="FLUSH PRIVILEGES;" + ROOT_BY_ADDRESS)

    def command(self):
        return [
            shutil.which(self.program) or f"/usr/sbin/{self.program}",
            "--no-defaults", f"--datadir={self.data}", *_as_user(),
            "--bind-address=127.0.0.1", f"--port={self.port}",
            "--socket=mariadb.sock",  # in the data folder: a full path may be too long
            "--pid-file=mariadb.pid", "--skip-name-resolve", "--max-connections=500",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=1", "--performance-schema=off",
            "--character-set-server=utf8mb4", *self.own_options, *self.options,
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
        text = self.spell(text)
        return _run([self.client, "--no-defaults", "--host=127.0.0.1", f"--port={self.port}",
                     "--user=root", "--batch", "--skip-column-names", database], input=text)

    def spell(self, text):
        """The statement as this server takes it: tests may ask MariaDB for tables of numbers."""
        return text

    def url(self, database):
        """The URL of a database, which is created when it is not there."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    def follow(self, primary):
        """Replicate another one. Both were started with --server-id of their own, the primary with
        --log-bin. STOP REPLICA and START REPLICA then delay it and let it catch up."""
        primary.sql("CREATE USER IF NOT EXISTS follower@'127.0.0.1' IDENTIFIED BY 'f';"
                    "GRANT REPLICATION SLAVE ON *.* TO follower@'127.0.0.1'")
        self.sql(self.follow_sql(primary.port) + "START REPLICA")

    def follow_sql(self, port):
        return (f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, "
                "MASTER_USER='follower', MASTER_PASSWORD='f', MASTER_CONNECT_RETRY=1;")


class MySQL(MariaDB):
    """The same of MySQL's own server, which takes some seconds to start."""

    name = "mysql"
    program, client = "mysqld", "mysql"
    template = BUILD / "tools" / "mysql-template"
    own_options = ["--innodb-redo-log-capacity=32M", "--mysqlx=OFF", "--skip-log-bin",
                   "--secure-file-priv=NULL", "--cte-max-recursion-depth=1000000"]
    without_tls = ["--tls-version="]
    isolation = "transaction_isolation"
    explain = "EXPLAIN FORMAT=TRADITIONAL"

    def lay(self, options):
        setup = self.template.with_suffix(".sql")
        setup.write_text(ROOT_BY_ADDRESS)
        _run(["mysqld", *options, "--initialize-insecure", f"--init-file={setup}"])

    def spell(self, text):
        numbers = (r"(WITH RECURSIVE n AS (SELECT \1 AS seq UNION ALL SELECT seq + 1 FROM n "
                   r"WHERE seq < \2) SELECT seq FROM n) AS")
        text = re.sub(r"\bseq_(\d+)_to_(\d+)(?!\d| [a-z]\b)", numbers + " numbers", text)
        return re.sub(r"\bseq_(\d+)_to_(\d+)", numbers, text)

    def follow_sql(self, port):
        return (f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, "
                "SOURCE_USER='follower', SOURCE_PASSWORD='f', SOURCE_CONNECT_RETRY=1, "
                "GET_SOURCE_PUBLIC_KEY=1;")


if os.environ.get("TEST_MYSQL"):
    MariaDB = MySQL  # whatever asks for MariaDB is tested on MySQL


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

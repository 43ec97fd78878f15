"""The harness itself: a check that cannot fail would make every other test worthless."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pymysql
import pytest
from harness import server, stores
from harness.process import ROOT, Died, Process, connects, until

LEAKS = """
#include <stdlib.h>
int main(void) { volatile char *p = malloc(7); p = 0; return p != 0; }
"""
OVERFLOWS = """
#include <limits.h>
int main(void) { volatile int i = INT_MAX; i = i + 1; return 0; }
"""


class Sanitized(server.Server):
    """A program of three lines in a server's place."""

    def __init__(self, source, folder):
        self.program = folder / "program"
        subprocess.run(["gcc", "-fsanitize=address,undefined", "-x", "c", "-o", self.program, "-"],
                       input=source, text=True, check=True)
        super().__init__("scribe", folder=folder)

    def command(self):
        return [self.program]


@pytest.mark.parametrize("source", [LEAKS, OVERFLOWS], ids=["leak", "overflow"])
def test_sanitizer_reports_are_seen(folder, source):
    s = Sanitized(source, folder)
    s.start(wait=None)
    with pytest.raises(server.SanitizerReport):
        s.ended()


def test_servers_inherit_nothing(folder, monkeypatch):
    monkeypatch.setenv("MYSQL_URL", "mysql://elsewhere/")

    class Environment(server.Server):
        def command(self):
            return ["env"]

    s = Environment("scribe", {"REDIS_URL": "redis://here"}, folder)
    s.start(wait=None)
    assert s.ended() == 0
    assert "MYSQL_URL" not in s.log_text()
    assert "REDIS_URL=redis://here" in s.log_text()
    assert f"SCRIBE_LISTEN=127.0.0.1:{s.port}" in s.log_text()


def test_the_log_says_why_a_process_died(folder):
    class Grumbles(Process):
        def command(self):
            return ["sh", "-c", "echo no such database; exit 3"]

        def ready(self):
            return False

    with pytest.raises(Died, match="(?s)ended with 3.*no such database"):
        Grumbles(folder).start()


def test_children_die_with_a_parent_that_is_killed(folder):
    script = (f"import sys, time; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
              "from harness import stores\n"
              f"r = stores.Redis({str(folder)!r}).start()\n"
              "print(r.port, flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE)
    port = int(parent.stdout.readline())
    assert connects(port)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    until(lambda: not connects(port), what="redis ends")


def test_a_port_lost_to_another_process_is_replaced(folder, redis):
    r = stores.Redis(folder)
    r.port = redis.port
    r.start()
    assert r.port != redis.port
    assert r.stop() == 0


def test_mariadb_keeps_what_was_committed_when_killed(own_mariadb):
    own_mariadb.url("kept")
    own_mariadb.sql("CREATE TABLE t (i INT) ENGINE = InnoDB; INSERT INTO t VALUES (1);", "kept")
    own_mariadb.kill()
    own_mariadb.start()
    assert own_mariadb.sql("SELECT i FROM t", "kept") == "1\n"


def test_a_paused_store_answers_again_when_resumed(own_mariadb):
    url = {"host": "127.0.0.1", "port": own_mariadb.port, "user": "root"}
    own_mariadb.pause()
    with pytest.raises(pymysql.err.OperationalError):
        pymysql.connect(connect_timeout=1, read_timeout=1, **url)
    own_mariadb.resume()
    pymysql.connect(**url).close()


def test_redis_keeps_data_only_when_asked(folder):
    for persist, kept in ((True, "1"), (False, "0")):
        r = stores.Redis(Path(folder) / str(persist), persist=persist).start()
        cli = ["redis-cli", "-p", str(r.port)]
        subprocess.run([*cli, "SET", "k", "v"], check=True, stdout=subprocess.DEVNULL)
        r.kill()
        r.start()
        exists = subprocess.run([*cli, "EXISTS", "k"], check=True, stdout=subprocess.PIPE)
        assert exists.stdout.decode().strip() == kept
        r.stop()

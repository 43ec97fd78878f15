"""1,500 students at nine o'clock: cold and warm, beside a bare server and beside a PHP page."""

import base64
import glob
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path

from harness.process import BUILD, Process, connects
from harness.server import Server
from harness.stores import MariaDB, Redis
from load.bench import Bench, Limit, by_form, cpu_s, http_load, private_folder, request, rss_kib

HERE = Path(__file__).parent
CROWD, CONNECTIONS = 1500, 64
RUNS, SECONDS = by_form((2, 1), (3, 2), (5, 3))
CLASS = 300  # students who take the same five courses of twelve sessions

TABLES = """
SET unique_checks = 0, foreign_key_checks = 0;
INSERT INTO users (id, account, name, password_hash, role) VALUES (1, 'frank', 'Frank', '', 'faculty');
INSERT INTO courses (id, code, title, teacher_id)
    SELECT seq, CONCAT('c', LPAD(seq, 5, '0')), CONCAT('Course ', seq), 1 FROM seq_1_to_{courses};
INSERT INTO class_sessions (id, course_id, starts_at)
    SELECT (c.seq - 1) * 12 + w.seq, c.seq, '2026-01-05 09:00:00' + INTERVAL w.seq WEEK
    FROM seq_1_to_{courses} c, seq_1_to_12 w;
INSERT INTO users (id, account, name, password_hash, role)
    SELECT 1000 + seq, CONCAT('s', seq), CONCAT('Student ', seq), '', 'student' FROM seq_1_to_{n};
INSERT INTO enrolments (student_id, course_id)
    SELECT 1000 + s.seq, (s.seq - 1) DIV {per_class} * 5 + c.seq FROM seq_1_to_{n} s, seq_1_to_5 c;
"""
MARKS = """
SET unique_checks = 0, foreign_key_checks = 0;
INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)
    SELECT ((s.seq - 1) DIV {per_class} * 5 + c.seq - 1) * 12 + w.seq, 1000 + s.seq,
           ELT(1 + (s.seq + c.seq * w.seq) % 4, 'present', 'late', 'absent', 'excused'), 1, NOW(3)
    FROM seq_{first}_to_{last} s, seq_1_to_5 c, seq_1_to_12 w;
"""


class School:
    """Stores with n students of 60 marks, each with a session, and a portal."""

    def __init__(self, folder, n, **env):
        self.n = n
        self.mariadb = MariaDB(folder, options=["--innodb-buffer-pool-size=768M",
                                                "--innodb-flush-log-at-trx-commit=0"]).start()
        self.redis = Redis(folder).start()
        self.env = {"MYSQL_URL": self.mariadb.url("portal"), "REDIS_URL": self.redis.url,
                    "LOG_LEVEL": "warn", **env}
        self.folder = folder
        self.portal = Server("student-portal", self.env, folder, variant="release").start()
        self.fill_tables()
        self.cookies = [self.cookie(i) for i in range(1, n + 1)]
        self.log_in()

    def sql(self, text):
        return self.mariadb.sql(text, "portal")

    def fill_tables(self):
        size = {"n": self.n, "per_class": CLASS, "courses": -(-self.n // CLASS) * 5}
        self.sql(TABLES.format(**size))
        for first in range(1, self.n + 1, 5000):
            self.sql(MARKS.format(**size, first=first, last=min(first + 4999, self.n)))
        self.sql("ANALYZE TABLE users, attendance, enrolments, class_sessions, courses")

    @staticmethod
    def cookie(i):
        return base64.urlsafe_b64encode(hashlib.sha256(b"%d" % i).digest()).rstrip(b"=").decode()

    def log_in(self):
        now = int(time.time() * 1000)
        lines = (f'SET portal:session:{self.key(i)} "{1000 + i} 1 {now}" EX 86400'
                 for i in range(1, self.n + 1))
        self.redis_cli("\n".join(lines))

    @staticmethod
    def key(i):
        return hashlib.sha256(hashlib.sha256(b"%d" % i).digest()).hexdigest()

    def redis_cli(self, text):
        subprocess.run(["redis-cli", "-p", str(self.redis.port)], input=text.encode(), check=True,
                       stdout=subprocess.DEVNULL)

    def requests(self, n=None):
        """One for each student, in an order of chance."""
        order = random.Random(9).sample(self.cookies, n or self.n)
        return [request("GET", "/me/attendance", {"Cookie": f"session={c}"}) for c in order]

    def forget(self):
        """Cold again: neither Redis nor the process knows a page."""
        ids = range(1001, 1001 + self.n)
        self.redis_cli("\n".join(f"DEL portal:attendance:{i} php:attendance:{i}" for i in ids))
        self.redis_cli(f'PUBLISH portal:changed "{" ".join(map(str, ids))}"')
        time.sleep(0.2)

    def queries(self):
        """Statements that the database server has run for clients, this one left out."""
        status = self.mariadb.sql("SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_select',"
                                  " 'Com_insert', 'Com_update', 'Com_delete')")
        return sum(int(line.split()[1]) for line in status.splitlines())

    def sweeps(self):
        """How often the portal has looked for pending rows: once a second, students or not."""
        with urllib.request.urlopen(self.portal.url + "/metrics") as reply:
            for line in reply.read().decode().splitlines():
                if line.startswith("portal_sweeps_total "):
                    return int(line.split()[1])
        return 0

    def body(self):
        ask = urllib.request.Request(self.portal.url + "/me/attendance",
                                     headers={"Cookie": f"session={self.cookies[0]}"})
        with urllib.request.urlopen(ask) as reply:
            return reply.read()

    def close(self):
        self.portal.stop()
        self.redis.stop()
        self.mariadb.stop()


def spike(port, requests):
    """All at once, each on a connection of its own."""
    result = http_load(port, requests, connections=len(requests), new_connections=True,
                       max_requests=len(requests), seconds=30)
    assert result["statuses"] == {"200": len(requests)} and not result["errors"], result
    return result


def steady(port, requests, seconds=SECONDS):
    result = http_load(port, requests, connections=CONNECTIONS, seconds=seconds)
    assert list(result["statuses"]) == ["200"] and not result["errors"], result
    return result


# --- the PHP page -------------------------------------------------------------------------------


class Fpm(Process):
    name = "php-fpm"

    def __init__(self, folder, school, cached):
        super().__init__(folder)
        self.conf = self.folder / "fpm.conf"
        self.folder.mkdir(parents=True, exist_ok=True)
        env = {"REDIS_PORT": school.redis.port, "MYSQL_PORT": school.mariadb.port,
               "CACHE": "1" if cached else ""}
        self.conf.write_text(
            f"[global]\ndaemonize = no\nerror_log = {self.folder}/fpm.log\n"
            f"[www]\nlisten = 127.0.0.1:{self.port}\nlisten.backlog = 4096\nuser = nobody\n"
            f"group = nogroup\npm = static\npm.max_children = {4 * (os.cpu_count() or 2)}\n"
            + "".join(f"env[{k}] = {v}\n" for k, v in env.items() if v))

    def command(self):
        fpm = sorted(glob.glob("/usr/sbin/php-fpm*"))[-1]
        return [fpm, "--fpm-config", self.conf, "--allow-to-run-as-root",
                "-d", "opcache.enable=1", "-d", "opcache.validate_timestamps=0"]

    def ready(self):
        return connects(self.port)


class Nginx(Process):
    name = "nginx"

    def __init__(self, folder, fpm):
        super().__init__(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.conf = self.folder / "nginx.conf"
        self.conf.write_text(f"""daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid {self.folder}/nginx.pid;
error_log {self.folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000; client_body_temp_path {self.folder}/body;
    proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi; scgi_temp_path {self.folder}/scgi;
    upstream php {{ server 127.0.0.1:{fpm.port}; }}
    server {{
        listen 127.0.0.1:{self.port} backlog=4096;
        location / {{
            fastcgi_pass php; fastcgi_read_timeout 60;
            fastcgi_param SCRIPT_FILENAME {self.script(fpm)};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param HTTP_COOKIE $http_cookie;
        }}
    }}
}}
""")

    @staticmethod
    def script(fpm):
        """A copy that everybody may read."""
        place = Path("/tmp") / f"bench-portal-{fpm.port}"
        place.mkdir(mode=0o755, exist_ok=True)
        shutil.copy(HERE / "portal" / "page.php", place / "page.php")
        return place / "page.php"

    def command(self):
        return ["/usr/sbin/nginx", "-c", self.conf, "-p", self.folder]

    def ready(self):
        return connects(self.port)


class Php:
    """nginx in front of php-fpm, as the original would be."""

    def __init__(self, folder, school, cached):
        self.fpm = Fpm(folder / "fpm", school, cached).start()
        self.nginx = Nginx(folder / "nginx", self.fpm).start()
        self.port = self.nginx.port

    def close(self):
        self.nginx.stop()
        self.fpm.stop()
        shutil.rmtree(f"/tmp/bench-portal-{self.fpm.port}", ignore_errors=True)


# --- what is measured ---------------------------------------------------------------------------


def warm_up(school):
    for _ in range(2):
        spike(school.portal.port, school.requests())


def measure_spike(bench, school, bare):
    all_of_them = school.requests()
    cold, warm, limits, queries, warm_queries = [], [], [], [], []
    for _ in range(RUNS):
        limits.append(spike(bare.port, all_of_them)["seconds"])
        school.forget()
        before, swept = school.queries(), school.sweeps()
        cold.append(spike(school.portal.port, all_of_them)["seconds"])
        queries.append(school.queries() - before - (school.sweeps() - swept))
        before, swept = school.queries(), school.sweeps()
        warm.append(spike(school.portal.port, all_of_them)["seconds"])
        warm_queries.append(school.queries() - before - (school.sweeps() - swept))
    bench.add("portal.spike_cold_s", cold, "s", limits)
    bench.add("portal.spike_warm_s", warm, "s", limits)
    bench.add("portal.spike_queries", queries, "")
    bench.add("portal.spike_queries_per_student", [n / CROWD for n in queries], "")
    bench.add("portal.spike_warm_queries", warm_queries, "")
    p99, queries = [], []
    for _ in range(RUNS):
        school.forget()
        before, swept = school.queries(), school.sweeps()
        result = http_load(school.portal.port, all_of_them, connections=CROWD, rate=CROWD,
                           max_requests=CROWD, new_connections=True)
        assert result["statuses"] == {"200": CROWD}, result
        p99.append(result["p99_us"] / 1000)
        queries.append(school.queries() - before - (school.sweeps() - swept))
    bench.add("portal.spike_within_a_second_p99_ms", p99, "ms")
    bench.add("portal.spike_within_a_second_queries", queries, "")


def measure_steady(bench, school, bare):
    """Throughput by a closed loop; latency by an open one, from the intended time of sending."""
    all_of_them = school.requests()
    rates, limits = [], []
    for _ in range(RUNS):
        limits.append(steady(bare.port, all_of_them)["per_s"])
        rates.append(steady(school.portal.port, all_of_them)["per_s"])
    bench.add("portal.attendance_per_s", rates, "1/s", limits)
    for percent in (50, 80):
        results = [http_load(school.portal.port, all_of_them, connections=CONNECTIONS,
                             rate=int(percent / 100 * statistics.median(rates)), seconds=SECONDS)
                   for _ in range(RUNS)]
        for p in ("p50", "p99"):
            bench.add(f"portal.attendance_{p}_ms_at_{percent}_percent",
                      [r[f"{p}_us"] / 1000 for r in results], "ms")
    return rates


def measure_php(bench, school, folder, rates):
    all_of_them = school.requests()
    for cached in (False, True):
        php = Php(folder / f"php-{cached}", school, cached)
        try:
            school.forget()
            ask = urllib.request.Request(f"http://127.0.0.1:{php.port}/",
                                         headers={"Cookie": f"session={school.cookies[0]}"})
            with urllib.request.urlopen(ask) as reply:
                assert json.loads(reply.read()) == json.loads(school.body())
            school.forget()
            name = "php_with_cache" if cached else "php"
            took = spike(php.port, all_of_them)["seconds"]
            bench.add(f"portal.{name}_spike_cold_s", [took], "s")
            theirs = [steady(php.port, all_of_them)["per_s"] for _ in range(RUNS)]
            bench.add(f"portal.{name}_per_s", theirs, "1/s")
            bench.add(f"portal.times_{name}", [a / b for a, b in zip(rates, theirs)], "times")
        finally:
            php.close()


def measure_rows(bench, folder, n):
    """n students of 60 marks: what a request costs, cold and warm, and the memory."""
    school = School(folder / f"n{n}", n, PORTAL_NEAR=65536)
    try:
        requests = school.requests()
        for name in ("cold", "warm"):
            before = cpu_s(school.portal.pid)
            result = http_load(school.portal.port, requests, connections=CONNECTIONS,
                               max_requests=2 * n if name == "warm" else n, seconds=120)
            assert result["statuses"] == {"200": result["requests"]}, result
            cost = 1e6 * (cpu_s(school.portal.pid) - before) / result["requests"]
            bench.add(f"portal.{name}_cpu_us.{n}", [cost], "us")
        paced = http_load(school.portal.port, requests, connections=CONNECTIONS,
                          rate=int(result["per_s"] / 2), seconds=SECONDS)
        for p in ("p50", "p99"):
            bench.add(f"portal.warm_{p}_ms_at_50_percent.{n}", [paced[f"{p}_us"] / 1000], "ms")
        bench.add(f"portal.memory_mib.{n}", [rss_kib(school.portal.pid) / 1024], "MiB")
    finally:
        school.close()


def main():
    bench, folder = Bench("portal"), private_folder()
    school = School(folder / "stores", CROWD)
    bytes_file = folder / "body"
    bytes_file.write_bytes(school.body())
    bare = Limit("bare_httpd", folder, bytes_file, "application/json", 16).start()
    print(f"{CROWD} students, 60 marks each, {bytes_file.stat().st_size} bytes a page")
    try:
        warm_up(school)
        measure_spike(bench, school, bare)
        rates = measure_steady(bench, school, bare)
        measure_php(bench, school, folder, rates)
    finally:
        bare.stop()
        school.close()
    for n in by_form((1500,), (1500, 10_000), (1500, 10_000, 50_000)):
        measure_rows(bench, folder, n)
    bench.finish()


if __name__ == "__main__":
    main()

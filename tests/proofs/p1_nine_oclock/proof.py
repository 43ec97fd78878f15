"""1,500 students open the same page at nine o'clock: what does the database see?"""

import base64
import hashlib
import hmac
import statistics
import tempfile
import threading
import time
from pathlib import Path

import portal
from frame import BUILD, QUICK, Proof
from load.bench import http_load, request
from load.bench_portal import CROWD, School
from portal_world import Client

TABS = 2     # each student's phone and laptop
HOT = 200    # requests for one page at one moment
MARKS = 50 if QUICK else 500
TTLS = (1, 2, 4) if QUICK else (10, 60, 300)  # s
AIM = 100    # queries for everybody, cold
WORDS = {"present": "late", "late": "present"}


class Nine(School):
    """The school, the portal, and beside it what would be instead of it, on the same stores."""

    def __init__(self, folder):
        super().__init__(folder, CROWD)
        self.servers = {"without a cache": self.naive(), "with a naive cache": self.naive(300),
                        "the portal": self.portal}

    def naive(self, ttl=0):
        return portal.a_server({**self.env, "NAIVE_TTL": ttl}, self.folder, "naive").start()

    def forget(self):
        self.redis_cli("\n".join(f"DEL naive:{1000 + i}" for i in range(1, self.n + 1)))
        super().forget()

    def asked(self, load):
        """What the load came to, and the queries that it took."""
        before, swept = self.queries(), self.sweeps()
        result = load()
        return result, self.queries() - before - (self.sweeps() - swept)

    def teacher(self):
        secret = base64.urlsafe_b64encode(hashlib.sha256(b"teacher").digest()).rstrip(b"=")
        stored = hashlib.sha256(hashlib.sha256(b"teacher").digest()).hexdigest()
        self.redis_cli(f'SET portal:session:{stored} "1 1 {int(time.time() * 1000)}" EX 3600')
        client = Client(self.portal.url)
        client.cookies.set("session", secret.decode())
        csrf = base64.urlsafe_b64encode(hmac.digest(secret, b"csrf", "sha256")).rstrip(b"=")
        client.headers["X-CSRF-Token"] = csrf.decode()
        return client

    def mark_of(self, server, student):
        """Of the first class session, as their page on that server says."""
        client = Client(server.url)
        client.cookies.set("session", self.cookie(student))
        reply = client.get("/me/attendance")
        return reply.json()["courses"][0]["sessions"][0]["mark"]

    def close(self):
        for server in self.servers.values():
            if server is not self.portal:
                server.kill()
        super().close()


def within_a_second(server, requests):
    return http_load(server.port, requests, connections=len(requests), rate=len(requests),
                     max_requests=len(requests), new_connections=True, grace=60)


def refused(result):
    return sum(n for status, n in result["statuses"].items() if status != "200") + result["errors"]


def crowd(proof, school):
    """{server: queries cold, again, of the hot page}, and those refused."""
    requests = [r for r in school.requests() for _ in range(TABS)]
    hot = [request("GET", "/me/attendance", {"Cookie": f"session={school.cookies[0]}"})]
    found = {}
    for name, server in school.servers.items():
        school.forget()
        cold, cold_queries = school.asked(lambda: within_a_second(server, requests))
        again, again_queries = school.asked(lambda: within_a_second(server, requests))
        school.forget()
        _, hot_queries = school.asked(lambda: http_load(
            server.port, hot, connections=HOT, max_requests=HOT, new_connections=True))
        found[name] = {"queries, cold": cold_queries, "queries, again": again_queries,
                       f"queries, {HOT} requests for one page": hot_queries,
                       "refused, cold": refused(cold), "refused, again": refused(again),
                       "p99, cold (ms)": round(cold["p99_us"] / 1000, 1),
                       "p99, again (ms)": round(again["p99_us"] / 1000, 1)}
    rows = list(next(iter(found.values())))
    proof.table(["", *found], [[row, *(f[row] for f in found.values())] for row in rows])
    for what, unit in (("queries", ""), ("p99", " (ms)")):
        proof.plot(f"{len(requests):,} requests of {CROWD:,} students within a second",
                   "", "queries to the database" if what == "queries" else "p99, ms",
                   {name: [(when, f[f"{what}, {when}{unit}"]) for when in ("cold", "again")]
                    for name, f in found.items()})
    return len(requests), found


def shown_after(school, teacher, server, student, session):
    """Seconds from a mark's acknowledgement until the page shows it."""
    new = WORDS.get(school.mark_of(server, student), "present")
    assert teacher.mark(session, f"s{student}", new).status_code == 200
    began = time.monotonic()
    while school.mark_of(server, student) != new:
        time.sleep(0.02)
    return time.monotonic() - began


def plain_ttl(school, session):
    """{ttl: seconds a mark stayed hidden, right after the page had been kept}."""
    hidden = {}

    def measure(student, ttl):
        server, teacher = school.naive(ttl), school.teacher()
        try:
            hidden[ttl] = shown_after(school, teacher, server, student, session)
        finally:
            server.kill()

    threads = [threading.Thread(target=measure, args=pair) for pair in enumerate(TTLS, 10)]
    school.forget()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return hidden


def staleness(proof, school):
    session = school.sql("SELECT MIN(id) FROM class_sessions WHERE course_id = (SELECT "
                         "MIN(course_id) FROM enrolments WHERE student_id = 1001)").strip()
    hidden, teacher, stale = plain_ttl(school, session), school.teacher(), 0
    other = portal.a_server(school.env, school.folder).start()
    try:
        for n in range(MARKS):
            new = list(WORDS)[n % 2]
            assert teacher.mark(session, "s1", new).status_code == 200
            stale += school.mark_of(school.portal, 1) != new
        elsewhere = [shown_after(school, teacher, other, 2, session) for _ in range(MARKS)]
    finally:
        other.kill()
    for ttl, seconds in hidden.items():
        proof.figure(f"plain TTL of {ttl} s: a mark stays hidden", round(seconds, 1), "s")
    proof.figure(f"the portal: pages read after a mark and without it, of {MARKS}", stale)
    proof.figure(f"the portal, read from another process: longest of {MARKS}",
                 round(1000 * max(elsewhere), 1), "ms")
    proof.plot("How long a mark stays hidden", "TTL, s", "s",
               {"plain TTL": sorted(hidden.items()),
                "the portal, another process": [(ttl, max(elsewhere)) for ttl in TTLS]},
               "In the process that took the mark: not at all.")
    return hidden, stale, elsewhere


def main():
    proof = Proof(
        "p1", "Nine o'clock", "1,500 students open their attendance at nine: does the cache help?",
        "A cache alone does not: 1,500 students are 1,500 misses, and more when one asks twice. Here "
        "misses that wait at one moment are one query, one page is filled once, and no page is "
        "shown without a mark that was acknowledged before.",
        f"{CROWD} students with 60 marks each, cold caches, {TABS} requests each within one second; "
        f"then the same again; then {HOT} requests for one page at once. The portal beside a server "
        f"on the same queries that keeps nothing, and one that keeps pages in Redis for 300 s. "
        f"Queries are the database's own count. Then marks, each followed by a look at the page; "
        f"for the plain cache with a TTL of {', '.join(map(str, TTLS))} s, waited for in full.")
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        school = Nine(Path(name))
        try:
            requests, found = crowd(proof, school)
            hidden, stale, elsewhere = staleness(proof, school)
        finally:
            school.close()
    none, naive, ours = found.values()
    one_page = f"queries, {HOT} requests for one page"
    proof.control(all(none[f"queries, {when}"] >= requests - none[f"refused, {when}"]
                      for when in ("cold", "again")),
                  "without a cache each request that is answered is a query, however often it comes")
    proof.control(naive["queries, cold"] > CROWD - naive["refused, cold"] and naive[one_page] > 1,
                  "with a naive cache some pages are loaded several times at once: the stampede")
    proof.control(all(seconds > 0.5 * ttl for ttl, seconds in hidden.items()),
                  "with a plain TTL a mark stays hidden until it runs out")
    proof.check(ours["queries, cold"] < AIM, f"the portal, cold: fewer than {AIM} queries")
    proof.check(ours["queries, again"] == 0, "again: none")
    proof.check(ours[one_page] <= 2, "one page, whoever asks for it: one query, two at most where "
                                     "the first of them came alone")
    proof.check(ours["refused, cold"] + ours["refused, again"] == 0, "and nobody was refused")
    proof.check(stale == 0, "no page was without a mark that had been acknowledged before")
    proof.check(statistics.median(elsewhere) < min(hidden.values()) / 10,
                "another process shows it in less than a tenth of the shortest TTL, by the median")
    proof.finish()


main()

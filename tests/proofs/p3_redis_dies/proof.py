"""Redis dies at ten seconds past nine: what then?"""

import threading
import time
from collections import Counter

import portal
from frame import QUICK, Proof
from harness.process import until
from portal_world import PASSWORD

KILLED, BACK, END = (3, 7, 12) if QUICK else (10, 30, 50)  # seconds past nine
EDGE = 0.5  # what was asked this near to a change may have been answered on either side of it
BIN = 0.5
KNOWN = 20  # sessions that the process has seen before nine
NEAR = "student-portal; hit; detail=near"
DOWN = "while Redis is down"
MARKS = ("present", "late", "absent", "excused")


class Clock:
    """What was asked when, and what came: (second, status)."""

    def __init__(self):
        self.began = time.monotonic()
        self.seen = {}
        self.over = threading.Event()
        self.failed = []
        self.threads = []

    def now(self):
        return time.monotonic() - self.began

    def every(self, name, period, ask):
        """ask() again and again, the next one `period` seconds after the last was answered."""
        events = self.seen[name] = []

        def go_on():
            try:
                while not self.over.wait(period):
                    at = self.now()
                    events.append((at, ask()))
            except Exception as error:  # noqa: BLE001 - told at the end
                self.failed.append(f"{name}: {error!r}")

        self.threads.append(threading.Thread(target=go_on))
        self.threads[-1].start()

    def until(self, second):
        time.sleep(max(0, second - self.now()))

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def between(self, name, first, last):
        return Counter(status for at, status in self.seen[name] if first <= at < last)

    def first(self, name, wanted, after):
        """Seconds from `after` to the first answer of that kind; None: never."""
        return next((at - after for at, status in self.seen[name]
                     if at >= after and status == wanted), None)


class Class:
    """Those who use the portal meanwhile."""

    def __init__(self, world):
        self.world = world
        self.known = world.visitors([("ana", 1)] * KNOWN)
        self.unknown = world.visitors([("ben", 2)] * 2000)
        self.teacher = world.visitor("frank")
        self.count = self.acknowledged = self.stale = 0
        for client in self.known:
            assert client.get("/me/attendance").status_code == 200
        self.sources = []

    def page(self):
        self.count += 1
        return self.known[self.count % KNOWN].get("/me/attendance").status_code

    def from_memory(self):
        reply = self.known[0].get("/me/attendance")
        return reply.headers.get("Cache-Status", reply.status_code)

    def new_page(self):
        """Of a session that this process has not seen; Redis has it."""
        return self.unknown.pop().get("/me/attendance").status_code

    def login(self):
        return self.world.client().login("cara", PASSWORD).status_code

    def mark(self):
        """And whether it is seen at once."""
        mark = MARKS[(self.acknowledged + 1) % len(MARKS)]
        status = self.teacher.mark(6, "ana", mark).status_code
        if status == 200:
            self.acknowledged += 1
            reply = self.known[1].get("/me/attendance")
            if reply.status_code == 200:
                self.stale += reply.json()["courses"][0]["sessions"][5]["mark"] != mark
        return status


def nine(world, redis):
    """The clock, when Redis was dead and when it answered again, and the class."""
    members, clock = Class(world), Clock()
    asks = {"page, session known": (0.02, members.page), "source": (0.05, members.from_memory),
            "page, session not seen yet": (0.1, members.new_page),
            "mark": (0.1, members.mark), "login": (0.25, members.login)}
    for name, (period, ask) in asks.items():
        clock.every(name, period, ask)
    clock.until(KILLED)
    redis.kill()
    killed = clock.now()
    clock.until(BACK)
    redis.start()
    back = clock.now()
    clock.until(END)
    until(lambda: clock.first("source", NEAR, back) and clock.first("login", 200, back), 60, "normal")
    clock.end()
    assert not clock.failed, clock.failed
    return clock, killed, back, members


def without_redis(world, redis):
    """The control: what a server answers that asks Redis for each page."""
    control = portal.a_server(world.env, world.folder, "naive")
    control.env["NAIVE_TTL"] = 300
    control.start()
    client = world.visitors([("ana", 1)], url=control.url)[0]
    assert client.get("/me/attendance").status_code == 200
    redis.kill()
    try:
        return Counter(client.get("/me/attendance").status_code for _ in range(20))
    finally:
        redis.start()
        control.kill()


def plot(proof, clock, killed, back):
    """In per cent of the rate before, so that seldom requests are seen beside frequent ones."""
    series = {}
    for name, events in clock.seen.items():
        if name != "source":
            counts = Counter(int(at / BIN) for at, status in events if status == 200)
            before = clock.between(name, 0, killed)[200] * BIN / killed
            series[name] = [(n * BIN, 100 * counts[n] / before) for n in range(int(END / BIN))]
    proof.plot("Answered with 200", "seconds past nine", "per cent of the rate before", series,
               "Each asks again a little after it was answered.",
               marks={"Redis killed": killed, "Redis back": back}, steps=True)


def said(counts):
    return ", ".join(f"{n} times {status}" for status, n in sorted(counts.items())) or "nothing"


def judge(proof, clock, killed, back, members):
    down = {name: clock.between(name, killed + EDGE, BACK - EDGE) for name in clock.seen}
    for name in ("page, session known", "mark", "page, session not seen yet", "login"):
        proof.figure(f"{DOWN}: {name}", said(down[name]))
    whole = clock.between("page, session known", 0, clock.now())
    proof.figure("all the time: page, session known", said(whole))
    for what, name, wanted in (("a new session", "page, session not seen yet", 200),
                               ("a login", "login", 200), ("a page from memory", "source", NEAR)):
        proof.figure(f"from Redis' return to {what}", round(clock.first(name, wanted, back), 2), "s")
    proof.check(set(down["page, session known"]) == {200} and set(down["mark"]) == {200},
                f"{DOWN}, sessions known go on: pages and marks")
    proof.check(set(down["page, session not seen yet"]) | set(down["login"]) == {503},
                "others, and new logins, are told to come back (503), and never that they are wrong")
    proof.check(set(whole) <= {200, 503}, "no page ever gets another answer")
    proof.check(members.stale == 0, f"none of {members.acknowledged} marks was missing from a page "
                "asked for after it, before, meanwhile and afterwards")
    after = clock.between("login", back + clock.first("login", 200, back), clock.now())
    proof.check(set(after) == {200}, "and then all is as before, without a restart")


def main():
    proof = Proof(
        "p3", "Redis dies", f"Redis dies at 9:00:{KILLED:02}. What happens?",
        "Sessions that the process knows go on, checked against the database, which also answers in "
        "the cache's place; new logins wait. Nothing that was acknowledged is lost, no page is old, "
        "and when Redis is back, so is everything.",
        f"Students read pages, a teacher marks, somebody logs in; Redis is killed at second {KILLED}, "
        f"started again at second {BACK}. Redis keeps its file, so that sessions outlive it.")
    with portal.private_stores(persist=True) as (folder, mariadb, redis):
        world = portal.Portal(folder / "portal", mariadb, redis, "portal")
        try:
            refused = without_redis(world, redis)
            proof.control(set(refused) == {503}, "a server that asks Redis for each page answers "
                          f"none meanwhile: {said(refused)}")
            until(lambda: world.server.get_status("/readyz") == 200, 30, "ready")
            clock, killed, back, members = nine(world, redis)
        finally:
            world.close()
    plot(proof, clock, killed, back)
    judge(proof, clock, killed, back, members)
    proof.finish()


main()

"""Is a read ever older than a mark that was acknowledged before it began? One writer a student
counts through the states of a page; readers say which state they saw."""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

MARKS = ["present", "late", "absent", "excused"]
DIGITS = 6
STATES = 4 ** DIGITS


def marks_of(n):
    """State n as a mark for each session. A Gray code: the next state differs by one mark."""
    d = [n // 4 ** i % 4 for i in range(DIGITS)] + [0]
    return [MARKS[(d[i] - d[i + 1]) % 4] for i in range(DIGITS)]


def state_of(marks):
    state, above = 0, 0
    for mark in reversed(marks):
        above = (MARKS.index(mark) + above) % 4
        state = state * 4 + above
    return state


class History:
    """What was acknowledged of one student, and what the readers saw."""

    def __init__(self):
        self.begun = self.acknowledged = 0
        self.acknowledged_at = {0: time.monotonic()}
        self.reads = 0
        self.late = []    # (states behind, seconds since the first missing one was acknowledged)
        self.never = []   # states that nobody wrote
        self.lock = threading.Lock()

    def ack(self):
        with self.lock:
            self.acknowledged += 1
            self.acknowledged_at[self.acknowledged] = time.monotonic()

    def check(self, known, began, marks):
        """A read that began when `known` was acknowledged saw these marks."""
        n = known + (state_of(marks) - known + STATES // 2) % STATES - STATES // 2
        with self.lock:
            self.reads += 1
            if n < known:
                self.late.append((known - n, began - self.acknowledged_at[n + 1]))
            if n > self.begun:
                self.never.append((n, self.begun))


class Reader:
    """GET /me/attendance over one connection."""

    def __init__(self, url, cookie):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self.headers = {"Cookie": f"session={cookie}"}

    def read(self):
        self.connection.request("GET", "/me/attendance", headers=self.headers)
        reply = self.connection.getresponse()
        body = reply.read()
        assert reply.status == 200, body
        return body


class StaleReader(Reader):
    """The control: a cache that keeps an answer for a while, whatever happens."""
    keep_s = 0.05

    def __init__(self, url, cookie):
        super().__init__(url, cookie)
        self.until = 0

    def read(self):
        if time.monotonic() > self.until:
            self.body = super().read()
            self.until = time.monotonic() + self.keep_s
        return self.body


def run(seconds, writers, readers, disturb=None, enough=lambda: True):
    """writers: {history: mark(session index, mark)}; readers: [(history, Reader)]. Each session gets
    a mark first. Ends after `seconds`, and not before enough(), if that comes within a minute more.
    disturb() is called again and again."""
    over = threading.Event()
    failures = []

    def guard(work, *args):
        try:
            work(*args)
        except BaseException as e:  # noqa: BLE001 - handed to the test
            failures.append(e)
            over.set()

    def write(history, mark):
        while not over.is_set():
            old, new = marks_of(history.acknowledged), marks_of(history.acknowledged + 1)
            changed = next(i for i in range(DIGITS) if old[i] != new[i])
            history.begun += 1
            mark(changed, new[changed])
            history.ack()

    def look(history, reader):
        while not over.is_set():
            known, began = history.acknowledged, time.monotonic()
            course = json.loads(reader.read())["courses"][0]
            history.check(known, began, [s["mark"] for s in course["sessions"]])

    for mark in writers.values():
        for i, value in enumerate(marks_of(0)):
            mark(i, value)
    threads = [threading.Thread(target=guard, args=(write, *pair)) for pair in writers.items()]
    threads += [threading.Thread(target=guard, args=(look, *pair)) for pair in readers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while not over.wait(0.3) and (time.monotonic() < end or
                                  time.monotonic() < end + 60 and not enough()):
        if disturb:
            disturb()
    over.set()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]

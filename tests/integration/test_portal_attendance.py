"""What students and teachers see, and the cache in between: right, whatever Redis does."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from portal_world import World

HIT = "student-portal; hit; detail=redis"
STORED = "student-portal; fwd=miss; stored"
BYPASS = "student-portal; fwd=bypass"


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    mariadb.sql("SET GLOBAL userstat = 1")
    w = World(run_folder / "portal-attendance", mariadb, redis, "portal_attendance",
              PORTAL_NEAR=0)  # what Redis holds shows
    yield w
    w.close()
    mariadb.sql("SET GLOBAL userstat = 0")


def attendance_rows_read(world):
    """The database server's own count of rows it read from the table."""
    text = world.sql("SELECT ROWS_READ FROM information_schema.TABLE_STATISTICS"
                     f" WHERE TABLE_SCHEMA = '{world.database}' AND TABLE_NAME = 'attendance'")
    return int(text or 0)


def entry(student):
    return f"portal:attendance:{student}"


def forget(world):
    world.redis_db().delete(entry(1), entry(2))


def courses(client):
    return {c["course"]: c for c in client.get("/me/attendance").json()["courses"]}


def mark_of(client, session, course="cs101"):
    return {s["session"]: s["mark"] for s in courses(client)[course]["sessions"]}[session]


def test_rows_totals_percentage_and_flag(world):
    ana, ben = world.client("ana"), world.client("ben")
    seen = courses(ana)
    assert list(seen) == ["cs101", "ma201"]
    assert seen["cs101"] == {
        "course": "cs101", "title": "Operating Systems",
        "sessions": [
            {"session": "1", "starts_at": "2026-01-05T09:00:00Z", "mark": "present"},
            {"session": "2", "starts_at": "2026-01-07T09:00:00Z", "mark": "late"},
            {"session": "3", "starts_at": "2026-01-12T09:00:00Z", "mark": "present"},
            {"session": "4", "starts_at": "2026-01-14T09:00:00Z", "mark": "absent"},
            {"session": "5", "starts_at": "2026-01-19T09:00:00Z", "mark": None},
            {"session": "6", "starts_at": "2026-01-21T09:00:00Z", "mark": None}],
        "totals": {"present": 2, "late": 1, "absent": 1, "excused": 0, "unmarked": 2},
        "percentage": 75, "below_75": False}
    assert (seen["ma201"]["percentage"], seen["ma201"]["below_75"]) == (50, True)
    assert list(courses(ben)) == ["cs101"]
    assert (courses(ben)["cs101"]["percentage"], courses(ben)["cs101"]["below_75"]) == (33, True)
    assert ana.get("/me/attendance/cs101").json() == seen["cs101"]
    assert ben.get("/me/attendance/ma201").status_code == 404


def test_enrolled_nowhere_and_course_without_sessions(world):
    dan = world.client("dan")
    assert dan.get("/me/attendance").json() == {"courses": []}
    world.sql("INSERT INTO courses (id, code, title, teacher_id) VALUES (9, 'new', 'New \"☃\" <b>', 5);"
              "INSERT INTO enrolments VALUES (8, 9);"
              "UPDATE users SET attendance_gen = attendance_gen + 1 WHERE id = 8")
    new = {"course": "new", "title": 'New "☃" <b>', "sessions": [], "percentage": None,
           "totals": {"present": 0, "late": 0, "absent": 0, "excused": 0, "unmarked": 0},
           "below_75": False}
    assert dan.get("/me/attendance").json() == {"courses": [new]}
    assert dan.get("/me/attendance/new").json() == new


def test_teachers_see_their_own(world):
    frank, fay = world.client("frank"), world.client("fay")
    assert frank.get("/courses").json()["courses"] == [
        {"course": "cs101", "title": "Operating Systems", "teacher": "frank", "students": 2,
         "sessions": 6},
        {"course": "ma201", "title": "Linear Algebra", "teacher": "frank", "students": 1,
         "sessions": 6}]
    assert {"ph301"} <= {c["course"] for c in fay.get("/courses").json()["courses"]}
    sessions = frank.get("/courses/cs101/sessions").json()["sessions"]
    assert sessions[0] == {"session": "1", "starts_at": "2026-01-05T09:00:00Z", "marked": 2,
                           "check_in_open": False}
    assert len(sessions) == 6
    roster = frank.get("/sessions/4/attendance").json()["students"]
    assert roster == [
        {"student": "ana", "name": "Ana Alvarez", "mark": "absent", "marked_by": "frank",
         "marked_at": "2026-01-14T09:05:00Z"},
        {"student": "ben", "name": "Ben Brandt", "mark": "excused", "marked_by": "frank",
         "marked_at": "2026-01-14T09:05:00Z"}]


def test_marking_twice_is_one_row_with_who_and_when(world):
    frank = world.client("frank")
    reply = frank.mark(5, "ben", "present")
    assert reply.status_code == 200
    assert reply.json() == {"session": "5", "student": "ben", "mark": "present", "marked_by": "frank"}
    world.sql("UPDATE attendance SET marked_by = 5, marked_at = '2020-01-01' WHERE session_id = 5")
    assert frank.mark(5, "ben", "late").status_code == 200
    rows = world.sql("SELECT mark, marked_by, marked_at > UTC_TIMESTAMP() - INTERVAL 1 MINUTE,"
                     " marked_at <= UTC_TIMESTAMP(3) FROM attendance WHERE session_id = 5"
                     " AND student_id = 2")
    assert rows.split() == ["late", "3", "1", "1"]


def test_database_once_then_cache(world):
    ana = world.client("ana")
    forget(world)
    before = attendance_rows_read(world)
    first = ana.get("/me/attendance")
    loaded = attendance_rows_read(world)
    assert first.headers["Cache-Status"] == STORED and loaded > before
    for _ in range(20):
        again = ana.get("/me/attendance")
        assert again.headers["Cache-Status"] == HIT and again.content == first.content
    assert attendance_rows_read(world) == loaded
    assert 0 < world.redis_db().pttl(entry(1)) <= 300_000
    # What one student's entry holds is not another's.
    assert world.client("ben").get("/me/attendance").content != first.content


def test_ttl_has_jitter_and_at_most_five_minutes(world):
    ana, ttls = world.client("ana"), []
    for _ in range(12):
        forget(world)
        assert ana.get("/me/attendance").headers["Cache-Status"] == STORED
        ttls.append(world.redis_db().pttl(entry(1)))
    assert all(265_000 < ttl <= 300_000 for ttl in ttls)
    assert max(ttls) - min(ttls) > 300  # far more than the loop takes between two looks


def test_a_mark_is_seen_by_the_next_read(world):
    ana, frank = world.client("ana"), world.client("frank")
    for mark in ("present", "absent", "late", "excused") * 5:
        assert frank.mark(6, "ana", mark).status_code == 200
        assert mark_of(ana, "6") == mark
        assert ana.get("/me/attendance").headers["Cache-Status"] == HIT
    # The invalidation leaves the generation and no body: a fill begun before it is not stored.
    assert frank.mark(6, "ana", "present").status_code == 200
    generation = int(world.sql("SELECT attendance_gen FROM users WHERE id = 1"))
    assert world.redis_db().hgetall(entry(1)) == {b"gen": str(generation).encode()}
    assert world.redis_db().pttl(entry(1)) > 0


def test_switched_off_the_answers_are_the_same(world):
    ana, frank = world.client("ana"), world.client("frank")
    off = world.another(PORTAL_CACHE="0")
    try:
        plain = world.client(url=off.url)
        plain.cookies.set("session", ana.cookies["session"])
        for mark in ("late", "absent"):
            assert frank.mark(6, "ana", mark).status_code == 200
            for status in (STORED, HIT):
                cached, uncached = ana.get("/me/attendance"), plain.get("/me/attendance")
                assert cached.headers["Cache-Status"] == status
                assert uncached.headers["Cache-Status"] == BYPASS
                assert cached.content == uncached.content
        # A mark by way of the server without a cache is seen through the other's.
        teacher = world.client("frank", url=off.url)
        assert teacher.mark(6, "ana", "excused").status_code == 200
        assert mark_of(ana, "6") == "excused"
    finally:
        assert off.stop() == 0


@pytest.mark.parametrize("older", [1, 5])
def test_an_entry_below_the_generation_is_not_used(world, older):
    """An invalidation that was lost, or a Redis restored from yesterday's snapshot."""
    ana = world.client("ana")
    true = ana.get("/me/attendance").content
    generation = int(world.sql("SELECT attendance_gen FROM users WHERE id = 1"))
    world.redis_db().hset(entry(1), mapping={"gen": generation - older, "body": "{}"})
    reply = ana.get("/me/attendance")
    assert (reply.content, reply.headers["Cache-Status"]) == (true, STORED)
    # The control: under the present generation the same bytes are served.
    world.redis_db().hset(entry(1), mapping={"gen": generation, "body": "{}"})
    assert ana.get("/me/attendance").content == b"{}"
    forget(world)


def test_a_slow_fill_cannot_bury_a_newer_mark(world):
    """What a fill below the known generation reads is answered but not stored."""
    ana = world.client("ana")
    generation = int(world.sql("SELECT attendance_gen FROM users WHERE id = 1"))
    world.redis_db().delete(entry(1))
    world.redis_db().hset(entry(1), "gen", generation + 1)  # a mark that commits just now
    reply = ana.get("/me/attendance")
    assert reply.headers["Cache-Status"] == "student-portal; fwd=miss" and reply.status_code == 200
    assert world.redis_db().hgetall(entry(1)) == {b"gen": str(generation + 1).encode()}
    forget(world)


def test_odd_things_in_redis(world):
    """Another type, another program's bytes, half an entry: the database answers."""
    ana = world.client("ana")
    true = ana.get("/me/attendance").content
    r = world.redis_db()
    for put in (lambda: r.set(entry(1), "x"), lambda: r.hset(entry(1), "body", "x"),
                lambda: r.rpush(entry(1), "x"), lambda: r.hset(entry(1), mapping={"gen": "", "body": "x"}),
                lambda: r.hset(entry(1), mapping={"gen": "x", "body": "x"})):
        forget(world)
        put()
        assert ana.get("/me/attendance").content == true
        assert world.client("frank").mark(6, "ana", "excused").status_code == 200
        forget(world)
    session = "portal:session:*"
    cookie_keys = r.keys(session)
    for value in ("", "x", "1", "1 1", "-1 1 1", "1 x 1", "99999999999999999999 1 1"):
        dan = world.client("dan")
        key = next(iter(set(r.keys(session)) - set(cookie_keys)))
        r.set(key, value)
        assert dan.get("/me").status_code == 401
        r.delete(key)


def test_one_load_for_many_at_once(world):
    """The database is asked once for one student's page, however many ask the portal."""
    ana = world.client("ana")
    before = attendance_rows_read(world)
    forget(world)
    ana.get("/me/attendance")
    one_load = attendance_rows_read(world) - before
    forget(world)
    # The rows wait behind a lock, so that all requests come while the first one loads.
    lock = world.connection()
    cursor = lock.cursor()
    cursor.execute("LOCK TABLES attendance WRITE")
    answers = []

    def read():
        client = world.client()
        client.cookies.set("session", ana.cookies["session"])
        answers.append(client.get("/me/attendance"))

    threads = [threading.Thread(target=read) for _ in range(12)]
    before = attendance_rows_read(world)
    for thread in threads:
        thread.start()
    waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%'"
    monitor = world.connection().cursor()
    seen = 0
    for _ in range(2000):
        monitor.execute(waiting)
        seen = max(seen, monitor.fetchone()[0])
        busy = sum(t.is_alive() for t in threads)
        if seen and world.server_in_flight() >= 12 or busy == 0:
            break
    cursor.execute("UNLOCK TABLES")
    for thread in threads:
        thread.join()
    lock.close()
    assert seen == 1  # one query waited, for all of them
    assert attendance_rows_read(world) - before == one_load
    assert {a.status_code for a in answers} == {200} and len({a.content for a in answers}) == 1
    how = [a.headers["Cache-Status"] for a in answers]
    assert STORED in how and set(how) <= {STORED, HIT}


def test_marks_and_reads_at_once(world):
    """Writers and readers in parallel, through two servers: no read that begins after a mark was
    acknowledged shows an older one."""
    second = world.another()
    order = ["present", "late", "absent", "excused"]
    acknowledged = [0]
    stale = []
    done = threading.Event()

    def write():
        frank = world.client("frank")
        for n in range(1, 81):
            assert frank.mark(6, "ana", order[n % 4]).status_code == 200
            acknowledged[0] = n
        done.set()

    def read(url):
        ana = world.client(url=url)
        ana.cookies.set("session", cookie)
        while not done.is_set():
            known = acknowledged[0]
            mark = mark_of(ana, "6")
            # At most one mark is under way behind the acknowledged ones seen after the read.
            possible = {order[n % 4] for n in range(known, acknowledged[0] + 2)}
            if known and mark not in possible:
                stale.append((known, mark))

    cookie = world.client("ana").cookies["session"]
    try:
        with ThreadPoolExecutor(5) as pool:
            jobs = [pool.submit(read, url) for url in (world.url, world.url, second.url, second.url)]
            pool.submit(write).result()
            for job in jobs:
                job.result()
    finally:
        done.set()
        assert second.stop() == 0
    assert stale == []


def test_many_marks_of_one_student_at_once(world):
    """Every mark is there, and the generation has counted each."""
    before = int(world.sql("SELECT attendance_gen FROM users WHERE id = 1"))
    franks = [world.client("frank") for _ in range(4)]

    def mark(n):
        return franks[n % 4].mark(1 + n % 6, "ana", "present").status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(mark, range(48))) == {200}
    assert int(world.sql("SELECT attendance_gen FROM users WHERE id = 1")) == before + 48
    assert courses(world.client("ana"))["cs101"]["totals"]["present"] == 6


def test_marks_of_different_students_do_not_wait_for_each_other(world):
    """A whole class is marked, or checks in, at one moment."""
    frank = world.client("frank")
    lock = world.connection()
    lock.begin()
    lock.cursor().execute("UPDATE users SET attendance_gen = attendance_gen + 1 WHERE id = 1")
    lock.cursor().execute("INSERT INTO attendance VALUES (6, 1, 'late', 3, NOW(3))"
                          " ON DUPLICATE KEY UPDATE mark = 'late'")
    try:
        assert frank.mark(6, "ben", "late").status_code == 200
        assert frank.mark(6, "ana", "late").status_code == 503  # the control: that row is held
    finally:
        lock.rollback()
        lock.close()
    assert frank.mark(6, "ana", "late").status_code == 200


def test_all_answers_are_json_without_store(world):
    ana = world.client("ana")
    reply = ana.get("/me/attendance")
    assert reply.headers["Content-Type"] == "application/json"
    assert "no-store" in reply.headers["Cache-Control"]
    assert json.loads(reply.content)

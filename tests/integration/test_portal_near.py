"""The near cache, the replay, the leases and the batches: nothing older than what was acknowledged,
and no more queries than it takes."""

import base64
import hashlib
import http.client
import json
import os
import secrets
import time
from urllib.parse import urlsplit

import pytest
from harness.process import until
from portal_checker import History, Reader, StaleReader, run
from portal_world import World, problem, session_key

SECONDS = float(os.environ.get("PORTAL_CHECK_S", "3"))
NEAR, REDIS = "student-portal; hit; detail=near", "student-portal; hit; detail=redis"
STORED = "student-portal; fwd=miss; stored"


@pytest.fixture
def world(folder, mariadb, own_redis):
    w = World(folder / "portal", mariadb, own_redis, "portal_near")
    until_near(w.url)
    yield w
    w.close()


def metric(url, name):
    import requests
    for line in requests.get(url + "/metrics", timeout=10).text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0


def until_near(url, on=1):
    until(lambda: metric(url, "portal_near_cache_on") == on, 30, f"the near cache: {on}")


def source(client):
    reply = client.get("/me/attendance")
    assert reply.status_code == 200, reply.text
    return reply.headers["Cache-Status"]


def last_mark(client):
    return client.get("/me/attendance").json()["courses"][0]["sessions"][5]["mark"]


def pending(world):
    return int(world.sql("SELECT COUNT(*) FROM pending_invalidations"))


def with_session_of(world, client, url=None):
    other = world.client(url=url)
    other.cookies.set("session", client.cookies["session"])
    return other


def test_from_memory_until_something_changes(world):
    ana, frank, alma = world.client("ana"), world.client("frank"), world.client("alma")
    assert [source(ana), source(ana)] == [STORED, NEAR]
    assert frank.mark(6, "ana", "late").status_code == 200
    assert last_mark(ana) == "late" and source(ana) == NEAR
    assert pending(world) == 0
    # HEAD and OPTIONS pass the same check.
    for method in ("HEAD", "OPTIONS"):
        assert ana.request(method, "/me/attendance").status_code in (200, 204)
        assert world.client().request(method, "/me/attendance").status_code == 401
        assert frank.request(method, "/me/attendance").status_code == 403
    # A changed role, a disabled account, a logout: from the next request.
    assert source(ana) == NEAR
    assert alma.patch("/users/ana", json={"role": "faculty"}).status_code == 200
    problem(ana.get("/me/attendance"), 401, "unauthenticated")
    assert alma.patch("/users/ana", json={"role": "student"}).status_code == 200
    ana = world.client("ana")
    assert [source(ana), source(ana)][1] == NEAR
    twin = with_session_of(world, ana)
    assert source(twin) == NEAR
    assert ana.post("/logout").status_code == 204
    problem(twin.get("/me/attendance"), 401, "unauthenticated")
    ana = world.client("ana")
    assert alma.patch("/users/ana", json={"disabled": True}).status_code == 200
    problem(ana.get("/me/attendance"), 401, "unauthenticated")


# --- right --------------------------------------------------------------------------------------


def much(history):
    return history.acknowledged > 5 and history.reads > 20


def checked(world, seconds, read_urls, kind, disturb=None, enough=much):
    """Two writers through the first server, two readers a student and url."""
    histories, writers, readers = [], {}, []
    for account in ("ana", "ben"):
        teacher, cookie = world.client("frank"), world.client(account).cookies["session"]
        history = History()
        histories.append(history)

        def mark(i, value, teacher=teacher, account=account):
            assert teacher.mark(i + 1, account, value).status_code == 200

        writers[history] = mark
        readers += [(history, kind(url, cookie)) for url in read_urls for _ in range(2)]
    run(seconds, writers, readers, disturb, lambda: all(map(enough, histories)))
    for history in histories:
        assert history.never == [] and enough(history)
    return histories


def test_no_read_is_older_than_an_acknowledged_mark(world):
    """In one process, while the subscription is cut again and again."""
    redis = world.redis_db()
    histories = checked(world, SECONDS, [world.url], Reader,
                        lambda: redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))
    assert [h.late for h in histories] == [[], []]
    assert metric(world.url, 'portal_cache_requests_total{result="near"}') > 0
    print(f"{sum(h.acknowledged for h in histories)} marks, {sum(h.reads for h in histories)} reads")


def test_the_checker_finds_a_stale_cache(world):
    checked(world, 0, [world.url], StaleReader, enough=lambda history: history.late)


def test_across_two_processes_the_delay_is_reported(world):
    second = world.another()
    try:
        until_near(second.url)
        histories = checked(world, SECONDS, [second.url], Reader)
        late = sorted(seconds for h in histories for _, seconds in h.late)
        reads = sum(h.reads for h in histories)
        print(f"second process: {reads} reads, {len(late)} behind by up to "
              f"{1000 * max(late, default=0):.1f} ms")
        ana, there = world.client("ana"), world.client("ana", second.url)
        until(lambda: there.get("/me/attendance").content == ana.get("/me/attendance").content, 30,
              "both show the same")
        # A logout here ends the session there.
        there = with_session_of(world, ana, second.url)
        assert source(there) == NEAR
        assert ana.post("/logout").status_code == 204
        until(lambda: there.get("/me/attendance").status_code == 401, 30, "the logout arrives")
    finally:
        assert second.stop() == 0


# --- what is lost on the way --------------------------------------------------------------------


def test_off_while_the_subscription_is_not_confirmed(world):
    ana, frank, redis = world.client("ana"), world.client("frank"), world.redis_db()
    assert [source(ana), source(ana)][1] == NEAR
    redis.execute_command("ACL", "SETUSER", "default", "-subscribe")
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    until_near(world.url, 0)
    assert source(ana) == REDIS
    assert frank.mark(6, "ana", "absent").status_code == 200
    assert [source(ana), source(ana)] == [STORED, REDIS] and last_mark(ana) == "absent"
    redis.execute_command("ACL", "SETUSER", "default", "+subscribe")
    until_near(world.url)
    assert [source(ana), source(ana)] == [REDIS, NEAR]


MARK_BY_HAND = """BEGIN;
UPDATE users SET attendance_gen = attendance_gen + 1 WHERE id = 1;
INSERT INTO attendance VALUES (6, 1, 'excused', 3, NOW(3)) ON DUPLICATE KEY UPDATE mark = 'excused';
INSERT INTO pending_invalidations SELECT id, attendance_gen, UTC_TIMESTAMP(3) FROM users WHERE id = 1;
COMMIT;"""


def test_a_writer_that_dies_behind_its_commit(world):
    """Its pending row is replayed by any process; when none runs, at the next start."""
    ana = world.client("ana")
    assert [source(ana), source(ana)][1] == NEAR
    world.sql(MARK_BY_HAND)
    until(lambda: last_mark(ana) == "excused", 30, "the row is replayed")
    until(lambda: pending(world) == 0, 30, "the row is deleted")
    until(lambda: metric(world.url, "portal_invalidations_replayed_total") == 1, 30, "it is counted")
    world.sql(MARK_BY_HAND.replace("'excused'", "'late'"))
    world.server.kill()
    world.server.start()
    until_near(world.url)
    assert pending(world) == 0 and last_mark(ana) == "late"


def test_a_mark_that_cannot_be_told(world):
    """Acknowledged all the same; seen here at once, in other processes by the pending row."""
    second = world.another()
    try:
        until_near(second.url)
        ana, frank, redis = world.client("ana"), world.client("frank"), world.redis_db()
        there = with_session_of(world, ana, second.url)
        assert [source(there), source(there)][1] == NEAR
        assert [source(ana), source(ana)][1] == NEAR
        redis.execute_command("ACL", "SETUSER", "default", "-publish")
        assert frank.mark(6, "ana", "late").status_code == 200
        assert last_mark(ana) == "late"
        assert pending(world) == 1
        until(lambda: last_mark(there) == "late", 30, "the other process has found the row")
        redis.execute_command("ACL", "SETUSER", "default", "+publish")
        until(lambda: pending(world) == 0, 30, "it is told")
    finally:
        assert second.stop() == 0


def test_a_fill_that_outlives_its_connection_is_not_kept(world):
    """An invalidation may have been lost with the connection."""
    ana, frank, redis = world.visitor("ana"), world.visitor("frank"), world.redis_db()
    with Held(world) as held:
        asked = ask(world.url, ana.cookies["session"])
        until(lambda: held.waiting() == 1, 30, "the fill waits")
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal")
        frank.get("/me")  # finds its connection broken
        until(lambda: "store=redis epoch=2" in world.server.log_text(), 30, "a new connection")
        held.release()
        reply, _ = answer_of(asked)
    assert (reply.status, reply.headers["Cache-Status"]) == (200, "student-portal; fwd=miss")
    assert redis.hget("portal:attendance:1", "body") is None
    assert source(ana) == STORED  # nor in memory


def test_redis_full(world):
    ana, frank, redis = world.client("ana"), world.client("frank"), world.redis_db()
    assert last_mark(ana) is None
    redis.config_set("maxmemory", 1)
    problem(world.client().login("ben"), 503, "unavailable")
    for mark in ("late", "absent"):
        assert frank.mark(6, "ana", mark).status_code == 200
        assert last_mark(ana) == mark
    assert pending(world) == 0
    redis.config_set("maxmemory", 0)
    until(lambda: world.client().login("ben").status_code == 200, 30, "logins again")
    assert frank.mark(6, "ana", "present").status_code == 200 and last_mark(ana) == "present"


def test_redis_restored_from_a_snapshot(world):
    """Killed and back with yesterday's sessions and pages: no session is revived, no mark undone."""
    redis = world.redis_db()
    ana, ben, frank = world.client("ana"), world.client("ben"), world.client("frank")
    assert last_mark(ana) is None and source(ben)
    snapshot = {key: redis.dump(key) for key in redis.keys("*")}
    gone = with_session_of(world, ben)
    assert ben.post("/logout").status_code == 204
    assert frank.mark(6, "ana", "absent").status_code == 200
    world.redis.kill()
    world.redis.start()
    for key, value in snapshot.items():
        redis.restore(key, 300_000, value, replace=True)
    until_near(world.url)
    until(lambda: last_mark(ana) == "absent", 30, "the session is there again")
    problem(gone.get("/me/attendance"), 401, "unauthenticated")
    problem(gone.get("/me"), 401, "unauthenticated")


def test_a_session_used_from_memory_does_not_become_idle(folder, mariadb, own_redis):
    w = World(folder / "portal", mariadb, own_redis, "portal_idle", PORTAL_SESSION_IDLE=32)
    try:
        until_near(w.url)
        ana, redis = w.client("ana"), w.redis_db()
        key = session_key(ana.cookies["session"])
        redis.expire(key, 10)
        until(lambda: source(ana) and redis.ttl(key) > 20, 30, "the idle time is renewed")
        redis.delete(key)
        until(lambda: ana.get("/me/attendance").status_code == 401, 30, "it is over")
    finally:
        w.close()


# --- together -----------------------------------------------------------------------------------


def crowd(world, n):
    """n more students in cs101, each with a session: their cookies."""
    world.sql(f"""INSERT INTO users (id, account, name, password_hash, role)
        SELECT 1000 + seq, CONCAT('s', seq), CONCAT('Student ', seq), '', 'student'
        FROM seq_1_to_{n};
        INSERT INTO enrolments SELECT id, 1 FROM users WHERE id > 1000;
        INSERT INTO attendance SELECT 1 + seq % 6, 1000 + seq, 'late', 3, NOW(3) FROM seq_1_to_{n}""")
    cookies, pipe = [], world.redis_db().pipeline()
    for i in range(1, n + 1):
        raw = secrets.token_bytes(32)
        cookies.append(base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
        key = "portal:session:" + hashlib.sha256(raw).hexdigest()
        pipe.set(key, f"{1000 + i} 1 {int(time.time() * 1000)}", ex=1800)
    pipe.execute()
    return cookies


class Held:
    """The rows of attendance behind a lock, so that whoever reads them waits."""

    def __init__(self, world):
        self.world, self.connection = world, world.connection()

    def __enter__(self):
        self.connection.cursor().execute("LOCK TABLES attendance WRITE")
        return self

    def waiting(self):
        return int(self.world.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST"
                                  " WHERE STATE LIKE '%metadata lock%'"))

    def release(self):
        self.connection.cursor().execute("UNLOCK TABLES")

    def __exit__(self, *_):
        self.connection.close()


def ask(url, cookie):
    """GET /me/attendance, sent and not yet read."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", "/me/attendance", headers={"Cookie": f"session={cookie}"})
    return connection


def answer_of(connection):
    reply = connection.getresponse()
    return reply, reply.read()


def test_misses_of_many_are_loaded_together(world):
    """By the database server's own count: 192 who wait at one moment are three queries, and what
    each of them sees is their own."""
    cookies = crowd(world, 193)
    selects = lambda: int(world.sql("SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'").split()[1])
    with Held(world) as held:
        asked = [ask(world.url, cookies[0])]
        until(lambda: held.waiting() == 1, 30, "the first fill waits")
        asked += [ask(world.url, cookie) for cookie in cookies[1:]]
        until(lambda: metric(world.url, "http_requests_in_flight") == 194, 60, "all are there")
        before, swept = selects(), metric(world.url, "portal_sweeps_total")
        held.release()
        answers = [answer_of(connection) for connection in asked]
        spent = selects() - before - (metric(world.url, "portal_sweeps_total") - swept)
    for i, (reply, body) in enumerate(answers, 1):
        assert reply.status == 200
        marks = [s["mark"] for s in json.loads(body)["courses"][0]["sessions"]]
        assert marks == ["late" if n == i % 6 else None for n in range(6)]
    assert spent <= 3 + 1  # (of the looks for pending rows, one may fall in between)
    assert metric(world.url, "portal_fill_queries_total") == 4
    again = [answer_of(ask(world.url, cookie))[0].headers["Cache-Status"] for cookie in cookies[:9]]
    assert set(again) == {NEAR}


def test_who_has_a_class_soon_is_warmed(world):
    """Their first page comes from memory, without a query; nobody else's does."""
    world.sql("UPDATE class_sessions SET starts_at = UTC_TIMESTAMP() + INTERVAL 10 MINUTE WHERE id = 6")
    warm = world.another(PORTAL_WARM=30)
    try:
        until(lambda: metric(warm.url, "portal_warmed_total") >= 2, 30, "ana and ben are warmed")
        asked = metric(warm.url, "portal_fill_queries_total")
        for account in ("ana", "ben"):
            assert source(world.client(account, warm.url)) == NEAR
        assert metric(warm.url, "portal_fill_queries_total") == asked
        assert source(world.client("cara", warm.url)) != NEAR
    finally:
        assert warm.stop() == 0


def test_one_process_fills_and_the_other_waits(world):
    second = world.another()
    try:
        ana = world.client("ana")
        cookie = ana.cookies["session"]
        with Held(world) as held:
            here = ask(world.url, cookie)
            until(lambda: held.waiting() == 1, 30, "the fill waits")
            other = ask(second.url, cookie)
            until(lambda: metric(second.url, "portal_fill_students_total") > 0, 30, "it has looked")
            assert held.waiting() == 1  # only one of the two asks
            held.release()
            (a, page), (b, same) = answer_of(here), answer_of(other)
        assert (a.status, a.headers["Cache-Status"]) == (200, STORED)
        assert (b.status, b.headers["Cache-Status"]) == (200, REDIS)
        assert page == same
    finally:
        assert second.stop() == 0


def test_who_waits_too_long_is_told(world):
    """Also those whose query hangs; and then all goes on."""
    ana, ben = world.client("ana"), world.client("ben")
    with Held(world) as held:
        asked = [ask(world.url, ana.cookies["session"])]
        until(lambda: held.waiting() == 1, 30, "the fill waits")
        asked.append(ask(world.url, ben.cookies["session"]))
        for reply, body in map(answer_of, asked):
            assert reply.status == 503 and int(reply.headers["Retry-After"]) >= 1
            assert json.loads(body)["type"] == "/problems/timeout"
        assert held.waiting() == 1
        held.release()
    until(lambda: ana.get("/me/attendance").status_code == 200, 30, "ana is served")
    assert ben.get("/me/attendance").status_code == 200
    assert json.loads(ben.get("/me/attendance").content)["courses"][0]["course"] == "cs101"

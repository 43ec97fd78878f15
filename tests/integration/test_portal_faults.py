"""Stores that die, hang, forget and come back; signals; a start without stores."""

import threading

import pytest
from harness.process import until
from harness.server import Server
from portal_world import Client, World, problem

DOWN = "student-portal; fwd=bypass; detail=redis-down"
NEAR = "student-portal; hit; detail=near"


@pytest.fixture
def world(folder, own_mariadb, own_redis):
    w = World(folder / "portal", own_mariadb, own_redis, "portal")
    yield w
    w.close()


def ready(world, status=200):
    until(lambda: world.server.get_status("/readyz") == status, 30, f"/readyz {status}")


def set_mark(world, mark):
    frank = world.client("frank")
    assert frank.mark(6, "ana", mark).status_code == 200


def mark(client):
    reply = client.get("/me/attendance")
    assert reply.status_code == 200, reply.text
    return reply.json()["courses"][0]["sessions"][5]["mark"]


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_redis_goes_and_comes_back(world, fault):
    ana, frank = world.client("ana"), world.client("frank")
    stranger = world.client("ben").cookies["session"]
    assert mark(ana) is None
    getattr(world.redis, fault)()
    # Who is logged in goes on, from the database once the loss is noticed; who is not must wait.
    until(lambda: ana.get("/me/attendance").headers["Cache-Status"] == DOWN, 30, "the database asked")
    ready(world, 503)
    assert "redis" in world.client().get("/readyz").json()["checks"]
    assert frank.mark(6, "ana", "late").status_code == 200
    assert mark(ana) == "late"
    problem(world.client().login("ben"), 503, "unavailable")
    unknown = world.client()
    unknown.cookies.set("session", stranger[::-1][:42] + "A")
    problem(unknown.get("/me"), 503, "unavailable")
    # Revoking needs no Redis.
    assert frank.post("/logout").status_code == 204
    frank.cookies.set("session", "x" * 43)
    ben = world.client()
    ben.cookies.set("session", stranger)
    assert ben.get("/me").status_code == 200
    world.sql("UPDATE users SET session_gen = session_gen + 1 WHERE account = 'ben'")
    assert ben.get("/me").status_code == 401

    world.redis.resume() if fault == "pause" else world.redis.start()
    ready(world)
    if fault == "kill":  # its sessions are gone
        assert ana.get("/me").status_code == 401
        ana = world.client("ana")
    assert mark(ana) == "late"
    until(lambda: ana.get("/me/attendance").headers["Cache-Status"] == NEAR, 30, "the near cache")
    assert mark(ana) == "late"


def test_a_mark_while_redis_hangs_is_not_hidden_by_what_it_kept(world):
    ana, frank = world.client("ana"), world.client("frank")
    assert mark(ana) is None
    assert world.redis_db().hexists("portal:attendance:1", "body")
    world.redis.pause()
    assert frank.mark(6, "ana", "present").status_code == 200
    world.redis.resume()
    ready(world)
    assert mark(ana) == "present"


def test_redis_flushed(world):
    ana = world.client("ana")
    set_mark(world, "late")
    assert mark(ana) == "late"
    world.redis_db().flushall()
    problem(ana.get("/me"), 401, "unauthenticated")
    ana = world.client("ana")
    assert mark(ana) == "late"


def test_redis_rolled_back_revives_no_session_and_no_mark(world):
    r = world.redis_db()
    ana, ben = world.client("ana"), world.client("ben")
    assert mark(ana) is None
    snapshot = {key: (r.dump(key), r.pttl(key)) for key in r.keys("*")}
    cookie, token = ben.cookies["session"], ben.headers["X-CSRF-Token"]
    assert ben.post("/logout").status_code == 204
    set_mark(world, "absent")
    r.flushall()
    for key, (value, ttl) in snapshot.items():
        r.restore(key, ttl, value, replace=True)
    back = world.client()
    back.cookies.set("session", cookie)
    assert back.get("/me").status_code == 401
    assert back.post("/logout", headers={"X-CSRF-Token": token}).status_code == 401
    assert mark(ana) == "absent"


@pytest.mark.parametrize("fault", ["kill", "stop", "pause"])
def test_mariadb_goes_and_comes_back(world, fault):
    ana, ben, frank = world.client("ana"), world.client("ben"), world.client("frank")
    until(lambda: ben.get("/me/attendance").headers["Cache-Status"] == NEAR, 30, "in memory")
    set_mark(world, "late")
    getattr(world.mariadb, fault)()
    # Nine in the morning: what is in memory goes on, the rest is told to come again.
    assert ben.get("/me/attendance").headers["Cache-Status"] == NEAR
    # Of a frozen server the watch or the request itself may be the first to find out.
    found = {"timeout", "unavailable"} if fault == "pause" else {"unavailable"}
    for reply in (ana.get("/me/attendance"), frank.mark(6, "ana", "absent"), ana.get("/me"),
                  world.client().login("ben")):
        problem(reply, 503, *found)
    ready(world, 503)
    assert "mysql" in world.client().get("/readyz").json()["checks"]
    assert world.client().get("/healthz").status_code == 200
    assert world.client().get("/").status_code == 200
    for _ in range(8):  # an attempt that could not be decided costs none
        problem(world.client().login("ben"), 503, "unavailable")
    world.mariadb.resume() if fault == "pause" else world.mariadb.start()
    ready(world)
    assert world.client().login("ben").status_code == 200
    assert mark(ana) == "late"
    assert frank.mark(6, "ana", "absent").status_code == 200
    assert mark(ana) == "absent"


def test_both_stores_go_and_come_back(world):
    """Nothing is answered that neither can vouch for, not even to who is known."""
    ana, frank = world.client("ana"), world.client("frank")
    assert mark(ana) is None and frank.get("/me").status_code == 200
    world.redis.kill()
    world.mariadb.kill()
    until(lambda: ana.get("/me/attendance").status_code == 503, 30, "the loss is noticed")
    ready(world, 503)
    for reply in (ana.get("/me/attendance"), ana.get("/me"), frank.mark(6, "ana", "late"),
                  world.client().login("ben")):
        problem(reply, 503, "unavailable")
    assert world.client().get("/me").status_code == 401
    world.redis.start()
    world.mariadb.start()
    ready(world)
    set_mark(world, "late")
    assert mark(world.client("ana")) == "late"


def test_what_was_acknowledged_before_a_crash_is_there(world):
    frank = world.client("frank")
    for session in range(1, 7):
        assert frank.mark(session, "ben", "excused").status_code == 200
    world.mariadb.kill()
    world.mariadb.start()
    ready(world)
    rows = world.sql("SELECT COUNT(*) FROM attendance WHERE student_id = 2 AND mark = 'excused'")
    assert rows.strip() == "6"


def test_start_without_stores(folder, own_mariadb, own_redis):
    env = {"MYSQL_URL": own_mariadb.url("portal"), "REDIS_URL": own_redis.url}
    own_mariadb.stop()
    own_redis.stop()
    s = Server("student-portal", env, folder / "portal").start(wait="/healthz")
    try:
        assert s.get_status("/readyz") == 503
        client = Client(s.url)
        assert set(client.get("/readyz").json()["checks"]) >= {"mysql", "redis"}
        problem(client.login("ana"), 503, "unavailable")
        assert client.get("/me").status_code == 401
        own_redis.start()
        until(lambda: client.get("/readyz").json()["checks"]["redis"] == "ok", 30, "redis seen")
        problem(client.login("ana"), 503, "unavailable")
        own_mariadb.start()
        until(lambda: s.get_status("/readyz") == 200, 30, "/readyz 200")
        problem(client.login("ana"), 401, "unauthenticated")  # the schema is there, nobody in it
    finally:
        assert s.stop() == 0


def test_sigterm_with_requests_in_flight(world):
    """What was begun is finished, and the exit code is 0."""
    frank, codes = world.client("frank"), []
    lock = world.connection()
    lock.begin()
    lock.cursor().execute("SELECT * FROM users WHERE id = 1 FOR UPDATE")
    thread = threading.Thread(
        target=lambda: codes.append(frank.mark(6, "ana", "present").status_code))
    thread.start()
    waiting = world.connection().cursor()

    def blocked():
        waiting.execute("SELECT COUNT(*) FROM information_schema.INNODB_TRX"
                        " WHERE trx_state = 'LOCK WAIT'")
        return waiting.fetchone()[0] > 0

    until(blocked, 30, "the mark waits for the lock")
    world.server.signal(15)
    until(lambda: "stopping" in world.server.log_text() or "drain" in world.server.log_text(), 10,
          "the drain begins")
    lock.rollback()
    thread.join()
    assert world.server.ended() == 0
    assert codes == [200]
    assert world.sql("SELECT mark FROM attendance WHERE session_id = 6 AND student_id = 1") == "present\n"


def test_throttle_holds_without_redis(world):
    """Logins that fail are counted in the process: what was counted still counts when Redis has
    been away."""
    for _ in range(5):
        assert world.client().login("ana", "wrong").status_code == 401
    world.redis.kill()
    world.redis.start()
    ready(world)
    # The first delay may be over by now, or between the two; the next one is longer. Forgotten, five
    # more would be free.
    replies = [world.client().login("ana", "wrong") for _ in range(2)]
    refused = [reply for reply in replies if reply.status_code == 429]
    problem(refused[0], 429, "rate-limited")

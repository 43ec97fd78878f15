"""Check-in by the code on the wall."""

import hashlib
import hmac
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from portal_world import World, at_once, post, problem

from harness.process import until

STEP_S, TRIES = 30, 8


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-checkin", mariadb, redis, "portal_checkin")
    yield w
    w.close()


@pytest.fixture
def session(world):
    """A session of cs101 that begins now: its id."""
    connection = world.connection()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO class_sessions (course_id, starts_at) VALUES (1, UTC_TIMESTAMP())")
        id = cursor.lastrowid
        cursor.execute("UPDATE users SET attendance_gen = attendance_gen + 1")
    connection.close()
    return id


def wall(teacher, session):
    reply = teacher.get(f"/sessions/{session}/check-in")
    assert reply.status_code == 200
    return reply.json()


def open_wall(teacher, session, **body):
    reply = teacher.put(f"/sessions/{session}/check-in", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def check_in(student, session, code):
    return student.post(f"/sessions/{session}/check-in", json={"code": code})


def wrong(code, n=1):
    """Another code; it may be that of the step before once in a million."""
    return f"{(int(code) + 7919 * n) % 1000000:06}"


def row(world, session, student):
    return world.sql("SELECT mark, marked_by FROM attendance WHERE"
                     f" session_id = {session} AND student_id = {student}").split()


def code_at(world, session, steps=0):
    """The code as RFC 6238 makes it of the key in the database, by Python's own HMAC."""
    key, seconds = world.sql("SELECT HEX(check_in_key), UNIX_TIMESTAMP() FROM class_sessions"
                             f" WHERE id = {session}").split()
    counter = int(seconds) // STEP_S + steps
    mac = hmac.digest(bytes.fromhex(key), counter.to_bytes(8, "big"), hashlib.sha256)
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset:offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def test_from_the_wall_to_the_page(world, session):
    frank, ana = world.visitor("frank"), world.visitor("ana")
    assert wall(frank, session) == {"open": False, "checked_in": 0}
    assert ana.get("/me/check-ins").json() == {"sessions": []}
    seen = open_wall(frank, session)
    assert seen["open"] and len(seen["code"]) == 6 and 0 < seen["code_ms"] <= STEP_S * 1000
    offers = ana.get("/me/check-ins").json()["sessions"]
    assert [(o["session"], o["course"], o["until"]) for o in offers] == [
        (str(session), "cs101", seen["until"])]
    reply = check_in(ana, session, wall(frank, session)["code"])
    assert (reply.status_code, reply.json()) == (200, {"session": str(session), "mark": "present"})
    assert row(world, session, 1) == ["present", "1"]
    assert wall(frank, session)["checked_in"] == 1
    assert world.sql("SELECT actor_id, subject, detail, address FROM audit_log WHERE action ="
                     " 'check-in' ORDER BY id DESC LIMIT 1").rstrip("\n").split("\t") == [
                         "1", "user:ana", f"session {session}: present", "127.0.0.1"]
    assert ana.get("/me/check-ins").json() == {"sessions": []}
    course = next(c for c in ana.get("/me/attendance").json()["courses"] if c["course"] == "cs101")
    assert {s["session"]: s["mark"] for s in course["sessions"]}[str(session)] == "present"


def test_the_code_is_that_of_rfc_6238_and_the_one_before_still_counts(world, session):
    frank = world.visitor("frank")
    open_wall(frank, session)

    def same():  # both in one step of the clock
        before, shown, after = code_at(world, session), wall(frank, session)["code"], code_at(world, session)
        return before == after and shown == before
    until(same, 10, "the code on the wall is the one of the key")
    for steps in (-3, 2, 3):  # and still refused when the clock goes one on meanwhile
        code = code_at(world, session, steps)
        if code not in (code_at(world, session, -1), code_at(world, session)):
            assert check_in(world.visitor("ana"), session, code).status_code == 422, steps
    ben = world.visitor("ben")
    until(lambda: check_in(ben, session, code_at(world, session, -1)).status_code == 200, 10,
          "the code of the step before counts")


def test_two_sessions_have_two_codes_and_opening_again_keeps_it(world, session):
    frank = world.visitor("frank")
    keys = []
    for id in (session, 6):
        open_wall(frank, id)
        keys.append(world.sql(f"SELECT HEX(check_in_key) FROM class_sessions WHERE id = {id}"))
    assert keys[0] != keys[1]
    later = open_wall(frank, session, minutes=180)["until"]
    assert later > open_wall(frank, session, minutes=1)["until"]
    assert world.sql(f"SELECT HEX(check_in_key) FROM class_sessions WHERE id = {session}") == keys[0]
    assert frank.delete(f"/sessions/{session}/check-in").status_code == 204
    open_wall(frank, session)
    assert world.sql(f"SELECT HEX(check_in_key) FROM class_sessions WHERE id = {session}") != keys[0]
    assert frank.delete("/sessions/6/check-in").status_code == 204


def test_who_comes_late_is_late(world, session):
    frank = world.visitor("frank")
    open_wall(frank, session)
    for minutes, student, id, mark in ((9, "ana", 1, "present"), (11, "ben", 2, "late")):
        world.sql(f"UPDATE class_sessions SET starts_at = UTC_TIMESTAMP() - INTERVAL {minutes} MINUTE"
                  f" WHERE id = {session}")
        reply = check_in(world.visitor(student), session, wall(frank, session)["code"])
        assert reply.json()["mark"] == mark
        assert row(world, session, id) == [mark, str(id)]


def test_closed_before_after_and_when_the_time_is_over(world, session):
    frank, ana = world.visitor("frank"), world.visitor("ana")
    problem(check_in(ana, session, "000000"), 409, "conflict")
    code = open_wall(frank, session)["code"]
    assert frank.delete(f"/sessions/{session}/check-in").status_code == 204
    problem(check_in(ana, session, code), 409, "conflict")
    open_wall(frank, session)
    world.sql(f"UPDATE class_sessions SET check_in_until = NOW(3) WHERE id = {session}")
    assert wall(frank, session) == {"open": False, "checked_in": 0}
    problem(check_in(ana, session, code_at(world, session)), 409, "conflict")
    assert row(world, session, 1) == []


def test_a_second_time_changes_nothing_and_a_teachers_mark_stays(world, session):
    frank, ana, ben = (world.visitor(name) for name in ("frank", "ana", "ben"))
    open_wall(frank, session)
    assert check_in(ana, session, wall(frank, session)["code"]).status_code == 200
    world.sql(f"UPDATE class_sessions SET starts_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR"
              f" WHERE id = {session}")
    generation = world.sql("SELECT attendance_gen FROM users WHERE id = 1")
    lines = world.sql("SELECT COUNT(*) FROM audit_log")
    again = check_in(ana, session, "anything")
    assert world.sql("SELECT COUNT(*) FROM audit_log") == lines
    assert (again.status_code, again.json()["mark"]) == (200, "present")
    assert world.sql("SELECT attendance_gen FROM users WHERE id = 1") == generation
    assert frank.mark(session, "ben", "absent").status_code == 200
    problem(check_in(ben, session, wall(frank, session)["code"]), 409, "conflict")
    assert row(world, session, 2) == ["absent", "3"]
    # The teacher has the last word over a check-in, too.
    assert frank.mark(session, "ana", "absent").status_code == 200
    assert row(world, session, 1) == ["absent", "3"]


def test_few_codes_can_be_tried(world, session):
    """Eight wrong ones end it, even all at once; another student is not held up."""
    frank, ana, ben = (world.visitor(name) for name in ("frank", "ana", "ben"))
    code = open_wall(frank, session)["code"]
    copies = [world.visitor("ana") for _ in range(6)]
    gate = threading.Barrier(6)

    def guess(i):
        gate.wait()
        return [check_in(copies[i], session, wrong(code, 6 * k + i + 1)).status_code for k in range(4)]

    with ThreadPoolExecutor(6) as pool:
        statuses = [status for part in pool.map(guess, range(6)) for status in part]
    assert sorted(statuses) == [403] * (24 - TRIES) + [422] * TRIES
    assert check_in(ana, session, wall(frank, session)["code"]).status_code == 403
    assert row(world, session, 1) == []
    assert check_in(ben, session, wall(frank, session)["code"]).status_code == 200
    assert frank.mark(session, "ana", "present").status_code == 200  # the way out


def test_who_is_not_in_the_course_learns_nothing(world, session):
    frank, cara = world.visitor("frank"), world.visitor("cara")
    code = open_wall(frank, session)["code"]
    missing = check_in(cara, 987654, code)
    stranger = check_in(cara, session, code)
    for reply in (missing, stranger):
        problem(reply, 404, "not-found")
    assert {**missing.json(), "request_id": 0} == {**stranger.json(), "request_id": 0}
    assert cara.get("/me/check-ins").json() == {"sessions": []}
    assert row(world, session, 6) == []


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666",
                                  " 12345", "-12345", "1" * 5000])
def test_what_is_no_code(world, session, code):
    open_wall(world.visitor("frank"), session)
    world.sql("DELETE FROM check_in_failures")
    assert check_in(world.visitor("ana"), session, code).status_code == 422
    assert row(world, session, 1) == []


@pytest.mark.parametrize("body", [{"minutes": 0}, {"minutes": 181}, {"minutes": "15"}, {"minutes": -1},
                                  {"minutes": 1.5}, {"minutes": 2**40}, {"code": "123456"}, []])
def test_what_opens_nothing(world, session, body):
    frank = world.visitor("frank")
    assert frank.put(f"/sessions/{session}/check-in", json=body).status_code == 422
    assert not wall(frank, session)["open"]


def test_a_whole_year_at_one_moment(world, session):
    """1,500 students check in at once: each has one row, on their page, and none is refused."""
    world.sql("INSERT INTO users (id, account, name, password_hash, role) SELECT 10000 + seq,"
              " CONCAT('year', seq), 'Of the year', '', 'student' FROM seq_1_to_1500;"
              "INSERT INTO enrolments SELECT 10000 + seq, 1 FROM seq_1_to_1500")
    frank = world.visitor("frank")
    open_wall(frank, session)
    students = [(f"year{n}", 10000 + n) for n in range(1, 1501)]
    clients = world.visitors(students)
    turns = clients + clients[:150]  # some are impatient, and press twice
    world.sql("DELETE FROM check_in_failures")
    while turns:  # again when the code has changed, or when told to try again
        code = {"code": wall(frank, session)["code"]}
        answers = at_once(world.server.port, [
            post(f"/sessions/{session}/check-in", code, client) for client in turns])
        assert {status for status, _ in answers} <= {200, 422, 503}
        assert all("Retry-After: " in text for status, text in answers if status == 503)
        turns = [client for client, (status, _) in zip(turns, answers) if status != 200]
    assert world.sql("SELECT COUNT(*), COUNT(DISTINCT student_id), SUM(marked_by = student_id)"
                     f" FROM attendance WHERE session_id = {session}").split() == ["1500"] * 3
    assert world.sql("SELECT MIN(attendance_gen), MAX(attendance_gen) FROM users WHERE id > 10000"
                     ).split() == ["2", "2"]
    assert wall(frank, session)["checked_in"] == 1500
    page = clients[0].get("/me/attendance").json()["courses"][0]["sessions"][-1]
    assert (page["session"], page["mark"]) == (str(session), "present")
    assert frank.get(f"/sessions/{session}/attendance").json()["students"][-1]["mark"] == "present"

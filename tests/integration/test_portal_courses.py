"""What teachers and admins do with courses, sessions and marks; and the report."""

import csv
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from portal_world import World, problem


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-courses", mariadb, redis, "portal_courses")
    yield w
    w.close()


def pages(client):
    return {c["course"]: c for c in client.get("/me/attendance").json()["courses"]}


def marks(client, course="cs101"):
    return {s["session"]: s["mark"] for s in pages(client)[course]["sessions"]}


def audit(world, action):
    """The lines of that action: (by, subject, detail, address), oldest first."""
    text = world.sql("SELECT u.account, l.subject, l.detail, l.address FROM audit_log l JOIN users u"
                     f" ON u.id = l.actor_id WHERE l.action = '{action}' ORDER BY l.id")
    return [tuple(line.split("\t")) for line in text.splitlines()]


def set_class(client, session, marks):
    return client.put(f"/sessions/{session}/attendance", json={"marks": marks})


def test_a_class_is_marked_at_once(world):
    frank, ana, ben = (world.visitor(name) for name in ("frank", "ana", "ben"))
    assert marks(ana)["5"] is None  # and in the cache
    reply = set_class(frank, 5, {"ben": "late", "ana": "present"})
    assert (reply.status_code, reply.json()) == (200, {"session": "5", "marked": 2})
    assert (marks(ana)["5"], marks(ben)["5"]) == ("present", "late")
    assert audit(world, "mark.set")[-2:] == [
        ("frank", "user:ana", "session 5: present", "127.0.0.1"),
        ("frank", "user:ben", "session 5: late", "127.0.0.1")]


def test_a_class_is_marked_wholly_or_not_at_all(world):
    frank, ana = world.visitor("frank"), world.visitor("ana")
    assert set_class(frank, 6, {"ana": "absent"}).status_code == 200
    lines = world.sql("SELECT COUNT(*) FROM audit_log")
    generation = world.sql("SELECT attendance_gen FROM users WHERE id = 1")
    reply = set_class(frank, 6, {"ana": "present", "cara": "late", "ben": "late", "no'one": "late"})
    body = problem(reply, 422, "unprocessable")
    assert sorted(body["not_enrolled"]) == ["cara", "no'one"]
    assert marks(ana)["6"] == "absent"
    assert world.sql("SELECT COUNT(*) FROM attendance WHERE session_id = 6").strip() == "1"
    assert world.sql("SELECT COUNT(*) FROM audit_log") == lines
    assert world.sql("SELECT attendance_gen FROM users WHERE id = 1") == generation


@pytest.mark.parametrize("body, status", [
    (b'{"marks": {}}', 422), (b'{"marks": []}', 422), (b'{"marks": {"ana": "here"}}', 422),
    (b'{"marks": {"ana": 1}}', 422), (b'{"marks": {"ana": null}}', 422), (b'{}', 422),
    (b'{"marks": {"ana": "late"}, "x": 1}', 422), (b'[]', 422), (b'{"marks": {"ana": "late"}', 400),
    (b'{"marks": {"ana": "late", "ana": "absent"}}', 400), (b'', 400)])
def test_what_is_no_list_of_marks(world, body, status):
    before = world.sql("SELECT * FROM attendance")
    reply = world.visitor("frank").put("/sessions/6/attendance", data=body,
                                      headers={"Content-Type": "application/json"})
    assert reply.status_code == status
    assert world.sql("SELECT * FROM attendance") == before


def test_the_bounds_of_a_class(world):
    frank = world.visitor("frank")
    assert set_class(frank, 6, {f"s{i}": "late" for i in range(2001)}).status_code == 422
    json_type = {"Content-Type": "application/json"}
    large = b'{"marks": {"ana": "' + b"x" * (4 * 1024 * 1024) + b'"}}'
    assert frank.put("/sessions/6/attendance", data=large, headers=json_type).status_code == 413
    for other in ("text/plain", "application/jsonp", None):
        headers = {"Content-Type": other} if other else {}
        reply = frank.put("/sessions/6/attendance", data=b"{}", headers=headers)
        assert reply.status_code == 415, other


def test_two_teachers_of_the_same_students_at_once(world):
    """Both classes are marked in the opposite order: nobody waits in a circle, nothing is lost."""
    world.sql("INSERT INTO users (id, account, name, password_hash, role)"
              " SELECT 100 + seq, CONCAT('many', seq), 'Many', '', 'student' FROM seq_0_to_59;"
              "INSERT INTO enrolments SELECT 100 + seq, 1 + c.seq FROM seq_0_to_59,"
              " (SELECT seq FROM seq_0_to_1) c".replace("seq FROM seq_0_to_1", "0 AS seq UNION SELECT 1"
              ).replace("SELECT 100 + seq, 1 + c.seq FROM seq_0_to_59",
                        "SELECT 100 + s.seq, 1 + c.seq FROM seq_0_to_59 s"))
    names = [f"many{i}" for i in range(60)]
    franks = [world.visitor("frank") for _ in range(4)]

    def mark(i):
        order = names if i % 2 else names[::-1]
        return set_class(franks[i % 4], (1, 7)[i % 2], dict.fromkeys(order, "present")).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(mark, range(8))) == {200}
    assert world.sql("SELECT COUNT(*), MIN(attendance_gen), MAX(attendance_gen) FROM users u"
                     " JOIN attendance a ON a.student_id = u.id WHERE u.id >= 100").split() == [
                         "120", "9", "9"]
    world.sql("DELETE FROM attendance WHERE student_id >= 100;"
              "DELETE FROM enrolments WHERE student_id >= 100")


def test_a_new_session_is_on_every_page_at_once(world):
    fay, cara = world.visitor("fay"), world.visitor("cara")
    before = marks(cara, "ph301")
    reply = fay.post("/courses/ph301/sessions", json={"starts_at": "2026-02-01T10:30:00+01:00"})
    assert reply.status_code == 201
    new = reply.json()["session"]
    assert reply.json() == {"session": new, "starts_at": "2026-02-01T09:30:00Z"}
    assert marks(cara, "ph301") == {**before, new: None}
    again = fay.post("/courses/ph301/sessions", json={"starts_at": "2026-02-01T09:30:00Z"})
    assert (again.status_code, again.json()) == (200, reply.json())
    assert fay.delete(f"/sessions/{new}").status_code == 204
    assert marks(cara, "ph301") == before
    assert fay.delete(f"/sessions/{new}").status_code == 404
    assert [line[:2] for line in audit(world, "session.remove")] == [("fay", f"session:{new}")]


def test_sessions_with_marks_stay(world):
    problem(world.visitor("frank").delete("/sessions/1"), 409, "conflict")
    assert world.sql("SELECT COUNT(*) FROM class_sessions WHERE id = 1").strip() == "1"


@pytest.mark.parametrize("start", ["2026-02-01", "2026-02-30T09:00:00Z", "2026-02-01T09:00:01Z",
                                   "1999-12-31T23:59:00Z", "2100-01-01T00:00:00Z", "", 5, None])
def test_what_is_no_start(world, start):
    reply = world.visitor("fay").post("/courses/ph301/sessions", json={"starts_at": start})
    assert reply.status_code == 422


def test_one_session_when_many_ask_for_it(world):
    fays = [world.visitor("fay") for _ in range(4)]
    gate = threading.Barrier(4)

    def add(fay):
        gate.wait()
        return fay.post("/courses/ph301/sessions", json={"starts_at": "2026-03-01T09:00:00Z"})

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(add, fays))
    assert sorted(r.status_code for r in replies) == [200, 200, 200, 201]
    assert len({r.json()["session"] for r in replies}) == 1


def test_courses_and_enrolments(world):
    alma, fay, dan = world.visitor("alma"), world.visitor("fay"), world.visitor("dan")
    made = {"title": "Thermo \u2603", "teacher": "fay"}
    reply = alma.put("/courses/th1", json=made)
    assert (reply.status_code, reply.json()) == (201, {"course": "th1", **made})
    assert pages(dan) == {}
    for _ in range(2):
        assert alma.put("/courses/th1/students/dan").status_code == 204
    assert pages(dan)["th1"]["title"] == "Thermo \u2603"
    assert alma.put("/courses/th1", json={**made, "title": "Heat"}).status_code == 200
    assert pages(dan)["th1"]["title"] == "Heat"
    assert fay.get("/courses/th1/students").json() == {
        "students": [{"student": "dan", "name": "Dan Dahl"}]}
    assert alma.get("/courses/th1/students").json() == {"students": [
        {"account": "dan", "name": "Dan Dahl", "role": "student", "disabled": False}]}
    assert {c["course"] for c in alma.get("/courses").json()["courses"]} > {"cs101", "th1"}
    assert "cs101" not in {c["course"] for c in fay.get("/courses").json()["courses"]}
    # Handed to another teacher: from the next request on.
    assert alma.put("/courses/th1", json={**made, "teacher": "frank"}).status_code == 200
    assert fay.get("/courses/th1/students").status_code == 404
    assert world.visitor("frank").get("/courses/th1/students").status_code == 200
    assert alma.delete("/courses/th1/students/dan").status_code == 204
    assert pages(dan) == {}
    assert [line[1:3] for line in audit(world, "enrolment.add") + audit(world, "enrolment.remove")
            ] == [("user:dan", "course th1")] * 2


def test_marks_are_back_with_the_enrolment(world):
    alma, ben = world.visitor("alma"), world.visitor("ben")
    before = pages(ben)["cs101"]
    assert alma.delete("/courses/cs101/students/ben").status_code == 204
    assert "cs101" not in pages(ben)
    assert world.visitor("frank").mark(6, "ben", "late").status_code == 404
    assert alma.put("/courses/cs101/students/ben").status_code == 204
    assert pages(ben)["cs101"] == before


@pytest.mark.parametrize("body", [{"title": "", "teacher": "fay"}, {"title": "x" * 201, "teacher": "fay"},
                                  {"title": "a\nb", "teacher": "fay"}, {"title": "x"},
                                  {"title": "x", "teacher": "none"}, {"title": "x", "teacher": "alma"},
                                  {"title": "x", "teacher": "fay", "id": 7}])
def test_what_is_no_course(world, body):
    assert world.visitor("alma").put("/courses/new1", json=body).status_code == 422
    assert world.sql("SELECT COUNT(*) FROM courses WHERE code = 'new1'").strip() == "0"


def test_codes_that_are_none(world):
    alma = world.visitor("alma")
    for code in ("x" * 33, "a%20b", "%C3%A9", "-a"):
        assert alma.put(f"/courses/{code}", json={"title": "x", "teacher": "fay"}
                        ).status_code == 422, code


# --- the report -------------------------------------------------------------------------------


def test_report_as_json(world):
    world.sql("DELETE FROM attendance WHERE session_id IN (5, 6)")
    assert world.visitor("frank").get("/courses/cs101/report").json() == {"students": [
        {"student": "ana", "name": "Ana Alvarez", "percentage": 75, "below_75": False,
         "totals": {"present": 2, "late": 1, "absent": 1, "excused": 0, "unmarked": 2}},
        {"student": "ben", "name": "Ben Brandt", "percentage": 33, "below_75": True,
         "totals": {"present": 1, "late": 0, "absent": 2, "excused": 1, "unmarked": 2}}]}


def test_report_as_csv_is_data_and_no_formula(world):
    """Names that a spreadsheet would run, and what RFC 4180 has to quote."""
    names = ["=HYPERLINK(\"http://x\";\"a\")", "+1+1", "-2", "@SUM(A1)", "\t=1", "a,b", 'say "x"',
             "Zo\u00eb \u674e", "'=1"]
    world.sql("INSERT INTO courses (id, code, title, teacher_id) VALUES (50, 'evil', 'x', 3)")
    connection = world.connection()
    with connection.cursor() as cursor:
        for i, name in enumerate(names):
            cursor.execute("INSERT INTO users (id, account, name, password_hash, role)"
                           " VALUES (%s, %s, %s, '', 'student')", (200 + i, f"e{i}", name))
            cursor.execute("INSERT INTO enrolments VALUES (%s, 50)", (200 + i,))
    connection.close()
    reply = world.visitor("frank").get("/courses/evil/report.csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="attendance-evil.csv"'
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.reader(io.StringIO(reply.content.decode(), newline=""), strict=True))
    assert rows[0] == ["student", "name", "present", "late", "absent", "excused", "unmarked",
                       "percentage", "below_75"]
    assert [row[1] for row in rows[1:]] == [("'" if n[0] in "=+-@\t" else "") + n for n in names]
    assert rows[1] == ["e0", "'" + names[0], "0", "0", "0", "0", "0", "", "no"]
    for row in rows:
        assert not any(cell and cell[0] in "=+-@\t\r" for cell in row)


def test_report_of_a_course_without_students_or_sessions(world):
    world.sql("INSERT INTO courses (id, code, title, teacher_id) VALUES (60, 'empty', 'x', 3)")
    frank = world.visitor("frank")
    assert frank.get("/courses/empty/report").json() == {"students": []}
    assert frank.get("/courses/empty/report.csv").text.count("\n") == 1

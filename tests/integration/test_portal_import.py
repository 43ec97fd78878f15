"""People from a CSV file: all of them or none."""

import threading

import pytest
from portal_world import World, problem

from harness.process import until

HEAD = "account,name,role,courses\r\n"


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-import", mariadb, redis, "portal_import")
    yield w
    w.close()


@pytest.fixture
def alma(world):
    return world.visitor("alma")


def upload(client, text, type="text/csv; charset=utf-8"):
    body = text if isinstance(text, bytes) else text.encode()
    return client.post("/imports", data=body, headers={"Content-Type": type})


def state(world):
    return world.sql("SELECT id, account, name, role, attendance_gen FROM users ORDER BY id;"
                     "SELECT * FROM enrolments ORDER BY 1, 2; SELECT COUNT(*) FROM audit_log")


def errors(reply):
    body = problem(reply, 422, "unprocessable")
    return [(e["line"], e["reason"]) for e in body["errors"]], body["error_count"]


def test_new_people_and_known_ones(world, alma):
    ana = world.visitor("ana")
    assert ana.get("/me/attendance").status_code == 200  # in the cache
    reply = upload(alma, "\ufeff" + HEAD
                   + 'eve,"Eve ""E"" Engel, jr.",student,cs101 ph301\r\n'
                   + "gus,Gus \u674e,faculty,\n"
                   + "\r\n"
                   + "ana,Ana A. Alvarez,student,ph301  cs101\n"
                   + "ben,Ben Brandt,student,cs101")
    assert (reply.status_code, reply.json()) == (200, {"created": 2, "renamed": 1, "enrolled": 3})
    assert alma.get("/users/eve").json() == {"account": "eve", "name": 'Eve "E" Engel, jr.',
                                            "role": "student", "disabled": False}
    assert alma.get("/users/gus").json()["name"] == "Gus \u674e"
    assert [c["course"] for c in ana.get("/me/attendance").json()["courses"]] == [
        "cs101", "ma201", "ph301"]
    assert ana.get("/me").json()["name"] == "Ana A. Alvarez"
    # Nobody can log in before there is a password.
    assert world.client().login("eve", "").status_code in (401, 422)
    password = alma.post("/users/eve/password-reset").json()["password"]
    assert world.client().login("eve", password).status_code == 200
    before = state(world)
    again = upload(alma, HEAD + "gus,Gus \u674e,faculty,\nana,Ana A. Alvarez,student,cs101\n")
    assert again.json() == {"created": 0, "renamed": 0, "enrolled": 0}
    assert state(world) == before


def test_lines_that_differ_in_case_alone(world, alma):
    """Two people; and a name in another case is another name."""
    both = "twin,Same Name,student,cs101 ma201\nTWIN,Same Name,student,cs101 ma201\n"
    assert upload(alma, HEAD + both).json() == {"created": 2, "renamed": 0, "enrolled": 4}
    upper = both.replace("Same Name", "SAME NAME")
    assert upload(alma, HEAD + upper).json() == {"created": 0, "renamed": 2, "enrolled": 0}
    lines = world.sql("SELECT action, subject, detail FROM audit_log ORDER BY id DESC LIMIT 4")
    assert sorted(lines.splitlines()) == [
        f"{action}\tuser:{who}\tstudent cs101 ma201" for action in ("user.import", "user.import-change")
        for who in ("TWIN", "twin")]
    assert upload(alma, HEAD + upper.replace("cs101 ma201", "cs101 ma201 cs101")).json() == {
        "created": 0, "renamed": 0, "enrolled": 0}


@pytest.mark.parametrize("line, reason", [
    ("a b,X,student,", "account is"), (",X,student,", "account is"), ("x,,student,", "name is"),
    ("x,X,pupil,", "role is"), ("x,X,Student,", "role is"), ("x,X,student", "four fields"),
    ("x,X,student,,", "four fields"), ("x,X,faculty,cs101", "only students"),
    ("x,X,student,none", "there is no course none"), (f"x,X,student,{'cs101 ' * 167}", "at most 1000"), ("x,X,student,cs101 CS101", "no course CS101"),
    ("fay,Fay,student,", "another role"), ('x,X "y",student,', "a quote inside"),
    ('x,"X"y,student,', "text behind"), (b"x,\xff,student,", "not UTF-8"), (b"x,a\0b,student,", "a NUL"),
    (b"x,\xed\xa0\x80,student,", "not UTF-8"), ("x,a\tb,student,", "name is"),
    (f"x,X,student,{'c' * 40}", "there is no course"), ("x,'; DROP TABLE users; --,student,none", "no course"),
    (f"x,{'n' * 201},student,", "name is"), ("x,X,student,cs101;ph301", "no course cs101;ph301"),
])
def test_one_bad_line_and_nothing_is_imported(world, alma, line, reason):
    before = state(world)
    line = line if isinstance(line, bytes) else line.encode()
    reply = upload(alma, HEAD.encode() + b"good1,Good,student,cs101\r\n" + line
                   + b"\r\ngood2,Good,student,\r\n")
    found, count = errors(reply)
    assert count == 1 and found[0][0] == 3 and reason in found[0][1]
    assert state(world) == before


def test_every_bad_line_is_named(world, alma):
    before = state(world)
    found, count = errors(upload(alma, HEAD + "a,A,student,\nb,B,nobody,\na,A,student,\n"
                                 'c,"C\nc",student,\n"d",D,admin,cs101\nA,A,student,\n'))
    assert (count, [line for line, _ in found]) == (4, [3, 4, 5, 7])
    assert "line 2" in found[1][1]  # the account stands there already; another case is another one
    assert state(world) == before


@pytest.mark.parametrize("text", ["", "\n", "account,name,role\na,A,student\n", "a,A,student,\n",
                                  "Account,name,role,courses\n", '"account,name,role,courses"\n',
                                  'account,"name', "\ufeff\ufeff" + HEAD])
def test_without_its_first_line_it_is_none(alma, text):
    found, count = errors(upload(alma, text))
    assert count == 1 and found[0][0] == 1 and "the first line is" in found[0][1]


def test_types_and_bounds(world, alma):
    before = state(world)
    for type in ("application/json", "text/plain", "text/csvx", ""):
        assert upload(alma, HEAD + "x,X,student,\n", type).status_code == 415, type
    assert upload(alma, HEAD + "x" * (4 * 1024 * 1024)).status_code == 413
    found, count = errors(upload(alma, HEAD + "".join(f"p{i},P,student,\n" for i in range(50001))))
    assert (count, found[0][0]) == (1, 50002)
    assert state(world) == before


def test_twenty_thousand_lines(world, alma):
    """With a few bad ones nothing is there; without them everybody is."""
    lines = [f"mass{i},\"Name, {i}\",student,{'cs101' if i % 4 == 0 else ''}\n" for i in range(20000)]
    bad = list(lines)
    bad[0], bad[9999], bad[19999] = "mass 0,X,student,\n", "mass1,X,student,\n", "z,Z,student,none\n"
    bad[500:700] = [f"bad{i},X,boss,\n" for i in range(200)]
    before = state(world)
    found, count = errors(upload(alma, HEAD + "".join(bad)))
    assert count == 202 and len(found) == 100 and found[0][0] == 2 and found[1][0] == 502
    assert state(world) == before
    found, count = errors(upload(alma, HEAD + "".join(lines[:-1]) + bad[-1]))
    assert (found, count) == ([(20001, "there is no course none")], 1)
    assert state(world) == before
    reply = upload(alma, HEAD + "".join(lines))
    assert reply.json() == {"created": 20000, "renamed": 0, "enrolled": 5000}
    assert world.sql("SELECT COUNT(*) FROM users WHERE account LIKE 'mass%'").strip() == "20000"
    assert world.sql("SELECT COUNT(*) FROM audit_log WHERE action = 'user.import'"
                     " AND subject LIKE 'user:mass%'").strip() == "20000"


def test_a_database_that_goes_away_leaves_nothing(world, alma):
    """The connection is cut while the lines are written."""
    lines = "".join(f"cut{i},X,student,\n" for i in range(20000))
    outcome = []
    before = state(world)
    thread = threading.Thread(target=lambda: outcome.append(upload(alma, HEAD + lines)))
    thread.start()
    connection = world.connection()

    def cut():  # the server looks at its transactions ten times a second
        with connection.cursor() as cursor:
            cursor.execute("SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX"
                           " WHERE trx_rows_modified > 500")
            found = cursor.fetchall()
            for (id,) in found:
                cursor.execute(f"KILL {id}")
        return found or not thread.is_alive()

    until(cut, 60, "the import has written some lines", interval=0.15)
    connection.close()
    thread.join()
    assert outcome[0].status_code == 503
    assert state(world) == before

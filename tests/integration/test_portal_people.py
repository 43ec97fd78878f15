"""What admins do with people, and the log that tells of it."""

import pymysql
import pytest
from portal_world import World, problem


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-people", mariadb, redis, "portal_people")
    yield w
    w.close()


@pytest.fixture(scope="module")
def alma(world):
    return world.visitor("alma")


def log(alma, **query):
    reply = alma.get("/audit", params=query)
    assert reply.status_code == 200
    return reply.json()["lines"]


def test_a_new_person_logs_in_with_the_password_that_is_told_once(world, alma):
    reply = alma.put("/users/nora", json={"name": "Nora N\u00f8rgaard", "role": "student"})
    assert reply.status_code == 201 and "no-store" in reply.headers["Cache-Control"]
    person = reply.json()
    password = person.pop("password")
    assert person == {"account": "nora", "name": "Nora N\u00f8rgaard", "role": "student",
                      "disabled": False}
    assert len(password) == 20
    assert alma.get("/users/nora").json() == person
    assert password not in world.server.log_text()
    nora = world.client()
    assert nora.login("nora", password).status_code == 200
    assert nora.get("/me/attendance").json() == {"courses": []}
    line = log(alma, limit=1)[0]
    assert (line["by"], line["action"], line["subject"], line["detail"], line["address"]) == (
        "alma", "user.create", "user:nora", "student", "127.0.0.1")
    problem(alma.put("/users/nora", json={"name": "X", "role": "admin"}), 409, "conflict")
    assert alma.get("/users/nora").json() == person


def test_a_reset_ends_the_old_password_and_the_sessions(world, alma):
    ben = world.visitor("ben")
    reply = alma.post("/users/ben/password-reset")
    assert reply.status_code == 200
    assert ben.get("/me").status_code == 401
    assert world.client().login("ben").status_code == 401
    assert world.client().login("ben", reply.json()["password"]).status_code == 200
    assert log(alma, limit=1)[0]["action"] == "user.password-reset"
    other = alma.post("/users/ben/password-reset").json()["password"]
    assert other != reply.json()["password"]


def test_a_changed_name_ends_no_session(world, alma):
    cara = world.visitor("cara")
    assert alma.patch("/users/cara", json={"name": "Cara Cost"}).status_code == 200
    assert cara.get("/me").json()["name"] == "Cara Cost"


def test_a_disabled_account_and_a_changed_role_count_at_once(world, alma):
    dan, fay = world.visitor("dan"), world.visitor("fay")
    assert alma.patch("/users/dan", json={"disabled": True}).json()["disabled"] is True
    assert dan.get("/me").status_code == 401 and world.client().login("dan").status_code == 401
    assert alma.patch("/users/dan", json={"disabled": False, "role": "admin"}).status_code == 200
    assert world.visitor("dan").get("/users").status_code == 200
    assert alma.patch("/users/dan", json={"role": "student"}).status_code == 200
    assert world.visitor("dan").get("/users").status_code == 403
    # A course keeps its teacher.
    problem(alma.patch("/users/fay", json={"role": "student"}), 409, "conflict")
    assert fay.get("/courses").status_code == 200


@pytest.mark.parametrize("body", [{"name": "", "role": "student"}, {"name": "x", "role": "root"},
                                  {"name": "x"}, {"role": "student"}, {"name": 5, "role": "student"},
                                  {"name": "a\x00b", "role": "student"},
                                  {"name": "x" * 201, "role": "student"},
                                  {"name": "x", "role": "student", "password": "mine"},
                                  {"name": "x", "role": "student", "session_gen": 9}])
def test_what_is_no_person(world, alma, body):
    assert alma.put("/users/new1", json=body).status_code in (400, 422)
    assert alma.get("/users/new1").status_code == 404


def test_accounts_that_are_none(alma):
    for account in ("a%20b", "x" * 65, "%C3%A9", "-a", "_a", ".a"):
        reply = alma.put(f"/users/{account}", json={"name": "x", "role": "student"})
        assert reply.status_code == 422, account


def test_nobody_is_given_more_than_their_role_sees(world):
    """Field level: no hash, generation or id of the database is in any answer."""
    for who, paths in {"alma": ("/users", "/users/ana", "/courses", "/courses/cs101/students",
                                "/audit", "/dashboard", "/me"),
                       "frank": ("/courses", "/courses/cs101/students", "/sessions/6/attendance",
                                 "/courses/cs101/report", "/me"),
                       "ana": ("/me", "/me/attendance", "/me/check-ins")}.items():
        client = world.visitor(who)
        for path in paths:
            text = client.get(path).text
            for word in ("hash", "argon", "_gen", "teacher_id", "key"):
                assert word not in text, (who, path, word)
            if who != "alma":
                assert '"disabled"' not in text, (who, path)
            if who == "ana":
                assert "Ben" not in text, path


def test_users_by_pages_and_search(world, alma):
    world.sql("INSERT INTO users (account, name, password_hash, role) SELECT"
              " CONCAT('page', LPAD(seq, 3, '0')), CONCAT('Paging 50%_ ', seq), '', 'student'"
              " FROM seq_1_to_120")
    seen, path = [], "/users?search=page&limit=50"
    while path:
        reply = alma.get(path)
        seen += [u["account"] for u in reply.json()["users"]]
        path = reply.links.get("next", {}).get("url")
    assert seen == [f"page{i:03}" for i in range(1, 121)]
    by_name = alma.get("/users", params="search=50%25_%207&limit=200").json()["users"]
    assert len(by_name) == 11
    assert "search=50%25_%20" in alma.get("/users", params="search=50%25_%20&limit=1").headers["Link"]
    assert [u["account"] for u in alma.get("/users", params={"search": "ALVAREZ"}).json()["users"]] == ["ana"]
    assert alma.get("/users", params={"search": "%"}).json()["users"][0]["account"] == "page001"
    assert alma.get("/users", params={"search": "' OR 1=1 --"}).json()["users"] == []
    for query in ("limit=0", "limit=201", "limit=x", "after=%27", "role=admin", "search=a&search=b"):
        assert alma.get("/users?" + query).status_code == 400, query


def test_the_log_comes_newest_first_in_pages(alma):
    for name in ("One", "Two", "Three"):
        assert alma.patch("/users/nora2", json={"name": name}).status_code == 404
        assert alma.patch("/users/ana", json={"name": name}).status_code == 200
    first = alma.get("/audit?limit=2")
    lines = first.json()["lines"] + alma.get(first.links["next"]["url"]).json()["lines"]
    ids = [int(line["id"]) for line in lines]
    assert len(ids) == 4 and ids == sorted(ids, reverse=True)
    assert [line["action"] for line in lines[:3]] == ["user.change"] * 3
    assert {line["subject"] for line in lines[:3]} == {"user:ana"}
    assert alma.get("/audit?after=0x10").status_code == 400


def test_the_log_is_append_only(world, alma):
    """No statement on its rows from the server's own connection can do more than add to it."""
    assert alma.patch("/users/ana", json={"name": "Ana Alvarez"}).status_code == 200
    before, columns = log(alma), "id, at, actor_id, action, subject, detail, address"
    row = f"SELECT {columns} FROM audit_log l WHERE id = {before[0]['id']}"
    connection = world.connection()
    with connection.cursor() as cursor:
        for statement in ("DELETE FROM audit_log", "UPDATE audit_log SET detail = ''",
                          f"DELETE FROM audit_log WHERE id = {before[0]['id']}",
                          f"REPLACE INTO audit_log ({columns}) {row}", "TRUNCATE audit_log",
                          f"INSERT INTO audit_log ({columns}) {row} ON DUPLICATE KEY UPDATE at = NOW()",
                          "DROP TABLE audit_log"):
            with pytest.raises(pymysql.err.MySQLError, match="append-only|foreign key constraint"):
                cursor.execute(statement)
    connection.close()
    assert log(alma) == before


def test_what_is_refused_leaves_no_line(world, alma):
    before = world.sql("SELECT COUNT(*) FROM audit_log")
    assert alma.patch("/users/fay", json={"role": "student"}).status_code == 409
    assert alma.put("/users/ana", json={"name": "x", "role": "student"}).status_code == 409
    assert alma.put("/courses/cs101/students/none").status_code == 404
    assert world.visitor("ana").get("/users").status_code == 403
    assert world.sql("SELECT COUNT(*) FROM audit_log") == before


def test_the_address_in_the_log_is_the_clients(world):
    """Only a trusted proxy says for whom it speaks."""
    behind = world.another(TRUSTED_PROXIES="127.0.0.1")
    try:
        for server, seen in ((behind, "203.0.113.9"), (world.server, "127.0.0.1")):
            client = world.visitor("alma", url=server.url)
            client.headers["X-Forwarded-For"] = "203.0.113.9"
            assert client.patch("/users/ana", json={"name": "Ana Alvarez"}).status_code == 200
            assert log(client, limit=1)[0]["address"] == seen
    finally:
        assert behind.stop() == 0


def test_dashboard_counts(world, alma):
    world.sql("INSERT INTO class_sessions (id, course_id, starts_at) VALUES"
              " (500, 1, UTC_DATE()), (501, 1, UTC_DATE() + INTERVAL 1439 MINUTE),"
              " (502, 1, UTC_DATE() + INTERVAL 1 DAY), (503, 1, UTC_DATE() - INTERVAL 1 SECOND)")
    assert world.visitor("frank").mark(500, "ana", "absent").status_code == 200
    assert world.visitor("frank").put("/sessions/501/check-in", json={}).status_code == 200
    figures = alma.get("/dashboard").json()
    people = world.sql("SELECT SUM(role = 'student' AND NOT disabled), SUM(role = 'faculty'),"
                       " SUM(role = 'admin'), SUM(disabled) FROM users").split()
    assert [figures[k] for k in ("students", "faculty", "admins", "disabled")] == list(map(int, people))
    assert (figures["sessions_today"], figures["marked_today"], figures["check_ins_open"]) == (2, 1, 1)
    assert (figures["courses"], figures["enrolments"]) == (3, 4)
    # ana: 3 of 5 in cs101, 2 of 4 in ma201, once; ben: 1 of 3; cara has no mark.
    assert figures["below_75"] == 2

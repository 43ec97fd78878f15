"""The portal's tables on a server that was set up for other purposes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import server
from harness.process import ROOT
from portal_world import PEOPLE, Client

NAME = "Zo\u00eb \u0141ukasiewicz \u674e"


def test_names_of_every_script_where_the_default_is_latin1(folder, mariadb, redis):
    mariadb.sql("DROP DATABASE IF EXISTS portal_latin1;"
                "CREATE DATABASE portal_latin1 CHARACTER SET latin1")
    portal = server.Server("student-portal", {"MYSQL_URL": mariadb.url("portal_latin1"),
                                              "REDIS_URL": f"{redis.url}/6"}, folder).start()
    portal.stop()
    stored = mariadb.sql(
        "SET NAMES utf8mb4;"
        f"INSERT INTO users (account, name, password_hash, role) VALUES ('zoe', '{NAME}', '', 1);"
        "SELECT HEX(name) FROM users", "portal_latin1")
    assert stored.strip() == NAME.encode().hex().upper()


FILES = sorted((ROOT / "student-portal" / "schema").glob("*.sql"))


def lay_old(mariadb, database, version):
    """A database as the program of that version left it, with people in it."""
    mariadb.sql(f"DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database}")
    mariadb.sql("CREATE TABLE schema_version (version INT PRIMARY KEY, finished BOOLEAN NOT NULL,"
                " begun_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)", database)
    for n, file in enumerate(FILES[:version], 1):
        mariadb.sql(f"{file.read_text()};INSERT INTO schema_version (version, finished)"
                    f" VALUES ({n}, 1)", database)
    mariadb.sql(PEOPLE.read_text(), database)


def rows(mariadb, database):
    return mariadb.sql("SELECT id, account, name, password_hash, role, disabled FROM users ORDER BY id;"
                       "SELECT id, code, title, teacher_id FROM courses ORDER BY id;"
                       "SELECT * FROM enrolments ORDER BY 1, 2;"
                       "SELECT id, course_id, starts_at FROM class_sessions ORDER BY id;"
                       "SELECT * FROM attendance ORDER BY 1, 2", database)


@pytest.mark.parametrize("version", range(1, len(FILES) + 1))
def test_an_older_database_with_rows_is_brought_up_to_date(folder, mariadb, redis, version):
    """By two servers that start at once; then it works, and every row is as it was."""
    database = f"portal_old{version}"
    lay_old(mariadb, database, version)
    before = rows(mariadb, database)
    env = {"MYSQL_URL": mariadb.url(database), "REDIS_URL": f"{redis.url}/6"}
    servers = [server.Server("student-portal", env, folder) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda s: s.start(), servers))
    try:
        assert mariadb.sql("SELECT version, finished FROM schema_version ORDER BY 1", database
                           ).split() == [x for n in range(len(FILES)) for x in (str(n + 1), "1")]
        assert rows(mariadb, database) == before
        frank = Client(servers[0].url)
        assert frank.login("frank").status_code == 200
        assert frank.get("/courses/cs101/report").json()["students"][0]["percentage"] == 75
        assert frank.put("/sessions/6/check-in", json={}).json()["open"]
        assert frank.mark(6, "ana", "late").status_code == 200
        assert mariadb.sql("SELECT action FROM audit_log ORDER BY id", database).split() == [
            "check-in.open", "mark.set"]
    finally:
        assert [s.stop() for s in servers] == [0, 0]

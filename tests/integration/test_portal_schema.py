"""The portal's tables on a server that was set up for other purposes."""

from harness import server

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

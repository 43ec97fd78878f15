"""common/db against a real server and its deaths; PyMySQL looks from the outside."""

import datetime
import ipaddress
import re
import threading

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from harness import stores
from harness.process import until
from harness.proxy import Proxy, commits

# MySQL prepares no BEGIN, but a call of what does the same.
BEGIN = "CREATE PROCEDURE begin_it() START TRANSACTION;"
TABLE = "CREATE TABLE hammer (id INT PRIMARY KEY, n BIGINT NOT NULL);"
ROWS = "INSERT INTO hammer VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0);"


def connect(server, database, **kwargs):
    return pymysql.connect(host="127.0.0.1", port=server.port, user="root", database=database,
                           autocommit=True, **kwargs)


def fetch(server, database, sql):
    with connect(server, database) as c, c.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def schema(folder, *files):
    """A folder of schema files 001.sql and on."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for i, text in enumerate(files, 1):
        (folder / f"{i:03}.sql").write_text(text)
    return folder


def wait_well(probe, well=True):
    return until(lambda: (h := probe("health"))["well"] == well and h, what=f"well={well}")


def start(start_probe, url, **options):
    p = start_probe("probe_db", url, **options)
    assert p.first == {"status": "ok", "why": ""}
    wait_well(p)
    return p


@pytest.fixture
def database(mariadb, request):
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)[:60]
    mariadb.url(name)
    mariadb.sql(TABLE + ROWS + BEGIN, name)
    yield name
    mariadb.sql(f"DROP DATABASE `{name}`")


@pytest.fixture
def probe(mariadb, database, start_probe):
    return start(start_probe, mariadb.url(database), connections=4, wait_ms=100)


# --- statements -------------------------------------------------------------------------------


def test_session(mariadb, probe):
    row = probe("query", f"SELECT @@time_zone, @@{mariadb.isolation}, @@character_set_client,"
                " @@innodb_lock_wait_timeout, @@sql_mode", [], 5)["rows"][0][::2]
    assert row[:4] == ["+00:00", "READ-COMMITTED", "utf8mb4", "1"]
    assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "ONLY_FULL_GROUP_BY"} <= set(row[4].split(","))


def test_values_go_and_come_back(mariadb, database, probe):
    mariadb.sql("CREATE TABLE v (id INT PRIMARY KEY, i BIGINT, t LONGTEXT, b LONGBLOB)"
                " DEFAULT CHARSET utf8mb4", database)
    texts = ["", "ä€😀", "a\0b", "x" * 63, "x" * 64, "x" * 65, "y" * 3_000_000, None]
    blobs = ["", "00ff", "00" * 64, "ab" * 65, "00" * 500_000, None]
    ints = [0, -1, 2**63 - 1, -(2**63), None]
    for n, text in enumerate(texts):
        blob, i = blobs[n % len(blobs)], ints[n % len(ints)]
        value = None if blob is None else {"hex": blob}
        done = probe("exec", "INSERT INTO v VALUES (?, ?, ?, ?)", [n, i, text, value])
        assert done["status"] == "ok" and done["changed"] == 1
        seen = fetch(mariadb, database, f"SELECT i, t, b FROM v WHERE id = {n}")
        assert seen == ((i, text, None if blob is None else bytes.fromhex(blob)),)
    rows = probe("query", "SELECT id, i, t, HEX(b) FROM v ORDER BY id", [], 4)["rows"]
    for n, row in enumerate(rows):
        blob, i = blobs[n % len(blobs)], ints[n % len(ints)]
        assert row[1] == n and row[3] == (i or 0) and row[4] == texts[n]
        assert row[2] == (None if i is None else str(i))
        assert row[6] == (blob if blob is None else blob.upper())
    raw = probe("query", "SELECT b FROM v WHERE id = 1", [], 1)["rows"][0][0]
    assert raw == {"hex": "00ff"}


def test_types_read_as_text(probe):
    row = probe("query", "SELECT CAST('2026-01-31 09:00:00.123' AS DATETIME(3)), 1.5e0, 1e300,"
                " CAST(2.50 AS DECIMAL(10,2)), 18446744073709551615, DATE'2026-01-02', TRUE",
                [], 7)["rows"][0]
    assert row[0::2] == ["2026-01-31 09:00:00.123", "1.5", "1e300", "2.50",
                         "18446744073709551615", "2026-01-02", "1"]
    assert row[13] == 1


def test_no_rows_and_many(mariadb, probe):
    assert probe("query", "SELECT id FROM hammer WHERE id > 100", [], 1)["rows"] == []
    rows = probe("query", mariadb.spell("SELECT seq FROM seq_1_to_20000"), [], 1)["rows"]
    assert [r[1] for r in rows] == list(range(1, 20001))


def test_failures(probe):
    insert = "INSERT INTO hammer VALUES (?, ?)"
    assert probe("exec", insert, [1, 1])["status"] == "duplicate"
    assert probe("exec", insert, [None, 1])["status"] == "internal"
    assert probe("exec", "no SQL", [])["status"] == "internal"
    assert probe("exec", insert, [9])["status"] == "internal"  # a value is missing
    assert probe("exec", insert, [9, 1])["changed"] == 1  # the connection is as good as new
    assert probe("health")["well"]


def test_an_error_between_two_rows(probe):
    """Its number is not lost: 1242, a subquery of two rows."""
    rows = "SELECT 1 AS n UNION ALL SELECT 2"
    assert probe("query", f"SELECT a.n, (SELECT b.n FROM ({rows}) b WHERE b.n <= a.n) "
                          f"FROM ({rows}) a", [], 2)["status"] == "internal"
    assert "code=1242" in probe.log_text()
    assert probe("query", "SELECT 1", [], 1)["rows"][0][1] == 1


def test_insert_id(mariadb, database, probe):
    mariadb.sql("CREATE TABLE a (id BIGINT AUTO_INCREMENT PRIMARY KEY, x INT)", database)
    assert [probe("exec", "INSERT INTO a (x) VALUES (?)", [i])["id"] for i in (7, 8)] == [1, 2]


def test_statements_kept_are_bounded(mariadb, probe):
    count = "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'"
    before = int(fetch(mariadb, "", count)[0][1])
    for turn in range(2):
        for n in range(100):
            rows = probe("query", f"SELECT {n}, ?", [turn], 2)["rows"]
            assert rows == [[str(n), n, str(turn), turn]]
    assert 60 <= int(fetch(mariadb, "", count)[0][1]) - before <= 64


def test_table_changes_under_a_prepared_statement(mariadb, database, probe):
    named, everything = "SELECT id, n FROM hammer WHERE id = ?", "SELECT * FROM hammer WHERE id = ?"
    for sql in (named, everything):
        assert probe("query", sql, [1], 2)["rows"] == [["1", 1, "0", 0]]
    mariadb.sql("ALTER TABLE hammer ADD COLUMN extra VARCHAR(100) NOT NULL DEFAULT 'e',"
                " MODIFY n VARCHAR(200) NOT NULL", database)
    mariadb.sql(f"UPDATE hammer SET n = '{'7' * 150}'", database)
    assert probe("query", named, [1], 2)["rows"] == [["1", 1, "7" * 150, 2**63 - 1]]
    # Other columns than those prepared for: refused once, then prepared anew.
    assert probe("query", everything, [1], 3)["rows"] == []
    assert probe("query", everything, [1], 3)["rows"][0][4] == "e"


# --- transactions -----------------------------------------------------------------------------


def test_release_rolls_back(mariadb, database, probe):
    assert probe("acquire")["status"] == "ok"
    assert probe("held", "CALL begin_it()")["status"] == "ok"
    assert probe("held", "UPDATE hammer SET n = 5 WHERE id = 1")["status"] == "ok"
    probe("release")
    update = "UPDATE hammer SET n = n + 1 WHERE id = 1"
    assert probe("exec", update, [])["status"] == "ok"  # not in the transaction, nor locked out
    assert fetch(mariadb, database, "SELECT n FROM hammer WHERE id = 1") == ((1,),)


def lock_rows(connection, *ids):
    """Begin a transaction that has changed more than the other: a deadlock's victim is not it."""
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    for i in ids:
        cursor.execute(f"UPDATE hammer SET n = n + 100 WHERE id = {i}")
    return cursor


def wait_for_lock(mariadb):
    """Until somebody waits for a row. (innodb_lock_waits stands still when it is polled often.)"""
    waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
    until(lambda: fetch(mariadb, "", waits)[0][1] != "0")


def test_deadlock_is_retried(mariadb, database, probe):
    with connect(mariadb, database) as other:
        cursor = lock_rows(other, 2, 3, 4, 5)
        probe.send("transaction", ["UPDATE hammer SET n = n + 1 WHERE id = 1", []], "wait",
                   ["UPDATE hammer SET n = n + 1 WHERE id = 2", []])
        assert probe.read() == {"status": "waiting"}
        probe.send("go")
        wait_for_lock(mariadb)
        cursor.execute("UPDATE hammer SET n = n + 100 WHERE id = 1")
        cursor.execute("COMMIT")
        assert probe.read() == {"status": "ok", "runs": 2}
    rows = fetch(mariadb, database, "SELECT n FROM hammer ORDER BY id")
    assert rows == ((101,), (101,), (100,), (100,), (100,))


def test_nothing_goes_on_after_a_deadlock(mariadb, database, probe):
    """The server has rolled back: further statements would commit by themselves."""
    with connect(mariadb, database) as other:
        cursor = lock_rows(other, 2, 3, 4, 5)
        probe("acquire")
        probe("held", "CALL begin_it()")
        assert probe("held", "UPDATE hammer SET n = n + 1 WHERE id = 1")["status"] == "ok"
        probe.send("held", "UPDATE hammer SET n = n + 1 WHERE id = 2")
        wait_for_lock(mariadb)
        cursor.execute("UPDATE hammer SET n = n + 100 WHERE id = 1")
        assert probe.read() == {"status": "contended"}
        cursor.execute("ROLLBACK")
        again = "UPDATE hammer SET n = n + 1 WHERE id = 3"
        assert probe("held", again)["status"] == "contended"
        probe("release")
        assert probe("exec", again, [])["status"] == "ok"
    assert fetch(mariadb, database, "SELECT SUM(n) FROM hammer") == ((1,),)


def test_lock_wait(mariadb, database, probe):
    update = "UPDATE hammer SET n = 1 WHERE id = ?"
    with connect(mariadb, database) as other:
        lock_rows(other, 1)
        answer = probe("exec", update, [1])
        assert answer["status"] == "contended" and answer["lock_timeout"]
        answer = probe("transaction", [update, [1]])
        assert answer["status"] == "overloaded" and 2 <= answer["runs"] <= 8
        assert probe("exec", update, [2])["status"] == "ok"


def test_other_failures_roll_back(mariadb, database, probe):
    insert = ["INSERT INTO hammer VALUES (?, 0)", [1]]
    answer = probe("transaction", ["UPDATE hammer SET n = 9 WHERE id = 1", []], insert)
    assert answer == {"status": "duplicate", "runs": 1}
    assert fetch(mariadb, database, "SELECT n FROM hammer WHERE id = 1") == ((0,),)


@pytest.mark.parametrize("reaches_server", [True, False])
def test_lost_answer_to_commit(mariadb, database, start_probe, reaches_server):
    """Whether the server has committed cannot be seen from here, and is not claimed."""
    armed, seen = threading.Event(), threading.Event()

    def cut(direction, data):
        if direction == "up" and commits(data) and armed.is_set():
            seen.set()
            return not reaches_server
        return direction == "down" and seen.is_set()

    proxy = Proxy(mariadb.port, cut)
    url = f"mysql://root@127.0.0.1:{proxy.port}/{database}?tls=0"
    probe = start(start_probe, url)
    update = ["UPDATE hammer SET n = n + 1 WHERE id = 1", []]
    assert probe("transaction", update)["status"] == "ok"  # uncut
    armed.set()
    assert probe("transaction", update) == {"status": "outcome-unknown", "runs": 1}
    count = lambda: fetch(mariadb, database, "SELECT n FROM hammer WHERE id = 1")[0][0]  # noqa: E731
    until(lambda: count() == (2 if reaches_server else 1))
    armed.clear()
    seen.clear()
    until(lambda: probe("transaction", update)["status"] == "ok")
    assert count() == (3 if reaches_server else 2)
    proxy.close()


def test_connection_lost_before_commit_is_no_unknown(mariadb, database, probe):
    probe.send("transaction", ["UPDATE hammer SET n = 7 WHERE id = 1", []], "wait",
               ["UPDATE hammer SET n = 7 WHERE id = 2", []])
    assert probe.read() == {"status": "waiting"}
    kill_connections(mariadb, database, "AND ID IN (SELECT trx_mysql_thread_id"
                     " FROM information_schema.INNODB_TRX)")
    probe.send("go")
    assert probe.read() == {"status": "unavailable", "runs": 1}
    assert fetch(mariadb, database, "SELECT SUM(n) FROM hammer") == ((0,),)
    until(lambda: probe("transaction", ["UPDATE hammer SET n = 7", []])["status"] == "ok")


# --- the pool ---------------------------------------------------------------------------------


def kill_connections(mariadb, database, which=""):
    """KILL connections to a database; returns how many."""
    sql = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}' {which}"
    with connect(mariadb, "") as c, c.cursor() as cursor:
        cursor.execute(sql)
        ids = [row[0] for row in cursor.fetchall()]
        for i in ids:
            cursor.execute(f"KILL {i}")
    until(lambda: not fetch(mariadb, "", "SELECT ID FROM information_schema.PROCESSLIST WHERE ID"
                            f" IN ({','.join(map(str, ids))})"))
    return len(ids)


def test_pool_is_bounded(probe):
    assert [probe("acquire")["status"] for _ in range(4)] == ["ok"] * 4
    assert probe("acquire")["status"] == "overloaded"
    probe("release")
    assert probe("acquire")["status"] == "ok"


def test_connection_killed_while_idle_is_not_used(mariadb, database, probe):
    """As after a night longer than the server's wait_timeout."""
    for _ in range(3):
        assert probe("exec", "UPDATE hammer SET n = 1 WHERE id = 1", [])["status"] == "ok"
        keepers = "(SELECT MIN(ID) FROM information_schema.PROCESSLIST" \
                  f" WHERE DB = '{database}')"  # it connected first
        assert kill_connections(mariadb, database, f"AND ID > {keepers}") == 1


def test_server_without_room(folder, start_probe):
    server = stores.MariaDB(folder / "small", options=["--max-connections=10"]).start()
    probe = start(start_probe, server.url("full"), connections=4)
    others = []
    with pytest.raises(pymysql.err.OperationalError, match="1040"):
        while True:
            others.append(connect(server, "full"))
    assert probe("acquire")["status"] == "unavailable"
    assert "(1040)" in probe.log_text()
    for c in others:
        c.close()
    until(lambda: probe("acquire")["status"] == "ok")
    assert probe("health")["well"]  # all the time: the keeper was in before
    assert "store_down" not in probe.log_text()
    probe.close()
    server.stop()


# --- a server that comes and goes ----------------------------------------------------------------


def test_dead_at_start(own_mariadb, start_probe, folder):
    url = own_mariadb.url("late")
    own_mariadb.stop()
    probe = start_probe("probe_db", url, schema=schema(folder / "schema", TABLE + ROWS))
    assert probe.first["status"] == "ok"
    assert probe("acquire")["status"] == "unavailable"
    until(lambda: re.search(r"\(200[23]\)", probe("health")["why"]))
    own_mariadb.start()
    wait_well(probe)
    assert probe("transaction", ["UPDATE hammer SET n = 1", []]) == {"status": "ok", "runs": 1}


def test_killed_in_use_loses_nothing(own_mariadb, start_probe):
    url = own_mariadb.url("durable")
    own_mariadb.sql(TABLE + ROWS, "durable")
    probe = start(start_probe, url, connections=4)
    count = "SELECT n FROM hammer WHERE id = 1"
    probe.send("hammer", 6, 0)
    for _ in range(2):
        before = fetch(own_mariadb, "durable", count)[0][0]
        until(lambda: fetch(own_mariadb, "durable", count)[0][0] > before + 50)
        own_mariadb.kill()
        own_mariadb.start()
    before = fetch(own_mariadb, "durable", count)[0][0]
    until(lambda: fetch(own_mariadb, "durable", count)[0][0] > before)
    counts = probe("stop")
    assert set(counts) <= {"ok", "unavailable", "overloaded", "outcome-unknown"}
    assert counts["ok"] > 100 and counts["unavailable"] > 0
    n = fetch(own_mariadb, "durable", count)[0][0]
    assert counts["ok"] <= n <= counts["ok"] + counts.get("outcome-unknown", 0)
    wait_well(probe)
    assert probe("exec", "UPDATE hammer SET n = 0", [])["status"] == "ok"


def test_frozen(own_mariadb, start_probe):
    """A server that is there and says nothing: calls end by themselves, later ones at once."""
    url = own_mariadb.url("frozen")
    own_mariadb.sql(TABLE + ROWS, "frozen")
    probe = start(start_probe, url)
    update = "UPDATE hammer SET n = 1"
    assert probe("exec", update, [])["status"] == "ok"
    own_mariadb.pause()
    assert probe("exec", update, [])["status"] == "unavailable"
    wait_well(probe, False)
    assert probe("acquire")["status"] == "unavailable"
    own_mariadb.resume()
    wait_well(probe)
    assert probe("exec", update, [])["status"] == "ok"
    own_mariadb.pause()
    probe.close()  # ends, though the server does not answer
    own_mariadb.resume()


# --- schema -----------------------------------------------------------------------------------


def test_schema_race(mariadb, start_probe, folder):
    files = schema(folder / "schema", "CREATE TABLE applied (file INT); DO SLEEP(0.3);",
                   *(f"INSERT INTO applied VALUES ({i}); DO SLEEP(0.1);" for i in range(2, 9)))
    url = mariadb.url("race")
    for p in [start_probe("probe_db", url, schema=files) for _ in range(3)]:
        wait_well(p)
    assert fetch(mariadb, "race", "SELECT file FROM applied") == tuple((i,) for i in range(2, 9))
    versions = fetch(mariadb, "race", "SELECT version, finished FROM schema_version ORDER BY 1")
    assert versions == tuple((i, 1) for i in range(1, 9))


def test_schema_upgrade_keeps_rows(mariadb, start_probe, folder):
    url = mariadb.url("older")
    start(start_probe, url, schema=schema(folder / "schema", TABLE + ROWS)).close()
    second = "ALTER TABLE hammer ADD COLUMN name VARCHAR(20) NOT NULL DEFAULT 'old';\n" \
             "-- a comment; with a semicolon\n" \
             "CREATE TRIGGER t BEFORE INSERT ON hammer FOR EACH ROW BEGIN\n" \
             "  SET NEW.name = 'new'; SET NEW.n = 5; END;\n" \
             "INSERT INTO hammer (id, n) VALUES (6, 0)"
    start(start_probe, url, schema=schema(folder / "schema", TABLE + ROWS, second))
    rows = fetch(mariadb, "older", "SELECT n, name FROM hammer ORDER BY id")
    assert rows == ((0, "old"),) * 5 + ((5, "new"),)


def test_schema_newer_than_the_program(mariadb, start_probe, folder):
    url = mariadb.url("newer")
    start(start_probe, url, schema=schema(folder / "schema", TABLE, ROWS)).close()
    older = start_probe("probe_db", url, schema=schema(folder / "schema", TABLE))
    until(lambda: "newer" in older("health")["why"])
    assert older("acquire")["status"] == "unavailable"
    assert fetch(mariadb, "newer", "SELECT COUNT(*) FROM hammer") == ((5,),)


def test_schema_stopped_half_way(mariadb, start_probe, folder):
    url = mariadb.url("half")
    broken = "CREATE TABLE one (x INT); CREATE TABLE hammer (y INT); CREATE TABLE two (x INT);"
    probe = start_probe("probe_db", url, schema=schema(folder / "schema", TABLE, broken))
    until(lambda: "half way" in probe("health")["why"])
    assert "002.sql" in probe.log_text()
    assert fetch(mariadb, "half", "SHOW TABLES") == (("hammer",), ("one",), ("schema_version",))
    mariadb.sql("CREATE TABLE two (x INT); UPDATE schema_version SET finished = 1", "half")
    wait_well(probe)


def test_schema_refused_at_once_may_be_mended(mariadb, start_probe, folder):
    url = mariadb.url("mended")
    mariadb.sql("CREATE TABLE hammer (z INT)", "mended")
    probe = start_probe("probe_db", url, schema=schema(folder / "schema", TABLE + ROWS))
    until(lambda: "already exists" in probe("health")["why"])
    mariadb.sql("DROP TABLE hammer", "mended")
    wait_well(probe)
    assert fetch(mariadb, "mended", "SELECT COUNT(*) FROM hammer") == ((5,),)


def test_schema_up_to_date_needs_no_rights(mariadb, start_probe, folder):
    files = schema(folder / "schema", TABLE + ROWS)
    start(start_probe, mariadb.url("rights"), schema=files).close()
    mariadb.sql("CREATE USER reader@'127.0.0.1'; GRANT SELECT ON rights.* TO"
                " reader@'127.0.0.1'")
    start(start_probe, f"mysql://reader@127.0.0.1:{mariadb.port}/rights", schema=files)


# --- who and how --------------------------------------------------------------------------------


def test_password(mariadb, start_probe):
    mariadb.url("secrets")
    mariadb.sql("CREATE USER 'a@b'@'127.0.0.1' IDENTIFIED BY 'p:/?#@%é';"
                " GRANT ALL ON secrets.* TO 'a@b'@'127.0.0.1'")
    where = f"127.0.0.1:{mariadb.port}/secrets"
    start(start_probe, f"mysql://a%40b:p%3A%2F%3F%23%40%25%C3%A9@{where}")
    wrong = start_probe("probe_db", f"mysql://a%40b:wrong-password@{where}")
    until(lambda: "(1045)" in wrong("health")["why"])
    assert wrong("acquire")["status"] == "unavailable"
    assert "wrong-password" not in wrong.log_text()


def test_socket(mariadb, start_probe):
    mariadb.url("by_socket")
    socket = str(mariadb.data / "mariadb.sock").replace("/", "%2F")
    probe = start(start_probe, f"mysql://root@/by_socket?socket={socket}")
    assert probe("query", "SELECT DATABASE()", [], 1)["rows"] == [["by_socket", 0]]


def certificate(folder, name, address, issuer=None):
    """A key and a certificate for an IP address in folder/name.pem, signed by `issuer` (or itself:
    an authority)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
        .issuer_name(issuer[1].subject if issuer else subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address(address))]), critical=False))
    cert = builder.sign(issuer[0] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(
        cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
    return key, cert


@pytest.mark.parametrize("address, authority, good", [
    ("127.0.0.2", "ours", True),
    ("127.0.0.2", "another", False),
    ("192.0.2.1", "ours", False),
])
def test_tls_verifies_the_server(folder, start_probe, address, authority, good):
    """On 127.0.0.2: MariaDB's library does not look at the name of a server at 127.0.0.1."""
    ours = certificate(folder, "ours", "192.0.2.9")
    certificate(folder, "another", "192.0.2.9")
    certificate(folder, "server", address, ours)
    options = [f"--ssl-cert={folder}/server.pem", f"--ssl-key={folder}/server.pem",
               "--bind-address=127.0.0.1,127.0.0.2"]
    server = stores.MariaDB(folder / "tls", options=options).start()
    server.sql("CREATE DATABASE tls")
    ca = str(folder / f"{authority}.pem").replace("/", "%2F")
    url = f"mysql://root@127.0.0.2:{server.port}/tls"
    verified = start_probe("probe_db", f"{url}?tls=1&ca={ca}")
    cipher = lambda p: p("query", "SHOW STATUS LIKE 'Ssl_cipher'", [], 2)["rows"][0][2]  # noqa: E731
    if good:
        wait_well(verified)
        assert cipher(verified)
        first = verified("query", "SELECT CONNECTION_ID()", [], 1)["rows"]
        for _ in range(3):  # an idle connection's session tickets are no farewell
            assert verified("query", "SELECT CONNECTION_ID()", [], 1)["rows"] == first
    else:
        until(lambda: "(2026)" in verified("health")["why"])
        assert verified("acquire")["status"] == "unavailable"
    plain = start(start_probe, f"{url}?tls=0")
    assert cipher(plain) == ""
    server.stop()


def test_tls_asked_of_a_server_without(folder, start_probe):
    server = stores.MariaDB(folder / "plain", options=stores.MariaDB.without_tls).start()
    probe = start_probe("probe_db", server.url("plain") + "?tls=1")
    until(lambda: "(2026)" in probe("health")["why"])
    assert probe("acquire")["status"] == "unavailable"
    start(start_probe, server.url("plain"))
    server.stop()


def test_localhost_is_no_socket(mariadb, start_probe):
    mariadb.url("by_name")
    start(start_probe, f"mysql://root@localhost:{mariadb.port}/by_name")

"""Logging in, sessions, CSRF, and what bad input gets."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from math import comb
from random import randrange, sample

import argon2
import pytest
from harness.process import until
from portal_world import PASSWORD, World, at_once, post, problem, raw, session_key


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-login", mariadb, redis, "portal_login")
    yield w
    w.close()


# --- logging in -----------------------------------------------------------------------------


def test_login_me_logout(world):
    ana = world.client()
    reply = ana.login("ana")
    assert reply.status_code == 200
    assert reply.json() == {"account": "ana", "name": "Ana Alvarez", "role": "student",
                            "csrf_token": reply.json()["csrf_token"]}
    assert ana.get("/me").json() == reply.json()
    cookie = ana.cookies["session"]
    assert ana.post("/logout").status_code == 204
    assert "session" not in ana.cookies
    problem(ana.get("/me"), 401, "unauthenticated")
    again = world.client()
    again.cookies.set("session", cookie)
    problem(again.get("/me"), 401, "unauthenticated")
    problem(again.post("/logout", headers={"X-CSRF-Token": reply.json()["csrf_token"]}), 401,
            "unauthenticated")


def test_cookie_on_plain_http_and_behind_tls(world):
    value = world.client().login("ana").headers["Set-Cookie"]
    name, *attributes = value.split("; ")
    assert name.startswith("session=") and len(name) == len("session=") + 43
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes and not any(a.startswith("Domain") for a in attributes)
    # Who is no trusted proxy does not say whether there is TLS.
    forged = world.client().post("/login", json={"account": "ana", "password": PASSWORD},
                                 headers={"X-Forwarded-Proto": "https"})
    assert forged.headers["Set-Cookie"].startswith("session=")

    behind = world.another(TRUSTED_PROXIES="127.0.0.1")
    try:
        tls = {"X-Forwarded-Proto": "https"}
        client = world.client(url=behind.url)
        reply = client.post("/login", json={"account": "ana", "password": PASSWORD}, headers=tls)
        name, *attributes = reply.headers["Set-Cookie"].split("; ")
        assert name.startswith("__Host-session=")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
        cookie = name.split("=", 1)[1]
        for name, headers, status in (("__Host-session", tls, 200), ("session", tls, 401),
                                      ("__Host-session", {}, 401)):
            headers = {**headers, "Cookie": f"{name}={cookie}"}
            assert world.client(url=behind.url).get("/me", headers=headers).status_code == status
    finally:
        assert behind.stop() == 0


def test_refused_logins_say_the_same(world):
    world.sql("UPDATE users SET disabled = TRUE WHERE account = 'dan'")
    bodies = []
    for account, password in (("ana", "wrong"), ("nobody", PASSWORD), ("dan", PASSWORD),
                              ("dan", "wrong"), ("ana", ""), ("ana", PASSWORD + "\n"),
                              ("ana", PASSWORD.upper())):
        reply = world.client().login(account, password)
        body = problem(reply, 401, "unauthenticated")
        assert "Set-Cookie" not in reply.headers
        body.pop("request_id")
        bodies.append(body)
    assert all(body == bodies[0] for body in bodies)
    world.sql("UPDATE users SET disabled = FALSE WHERE account = 'dan'")
    assert world.client().login("dan").status_code == 200


def by_chance(wins, rounds):
    """How probable so many wins, or more, are where each is a toss of a coin."""
    return sum(comb(rounds, k) for k in range(wins, rounds + 1)) / 2 ** rounds


def test_unknown_user_takes_as_long_as_a_wrong_password(world):
    """Rounds of one login of each kind, in random order, are compared one by one, so that a busy
    machine slows all kinds alike; until the control is told apart, an account whose stored hash
    costs next to nothing. Where there is no difference this fails twice in 100,000 runs."""
    rare = 1e-5
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("another")
    world.sql("INSERT INTO users (account, name, password_hash, role) SELECT CONCAT(k.kind, seq), 'timed',"
              " COALESCE(k.hash, password_hash), 'student' FROM seq_1_to_200, users,"
              f" (SELECT 'known' kind, NULL hash UNION SELECT 'cheap', '{cheap}') k WHERE account = 'ana'")
    behind = world.another(TRUSTED_PROXIES="127.0.0.1")  # each comes from an address of its own

    def spent(account):
        client = world.client(url=behind.url)
        client.headers["X-Forwarded-For"] = f"10.{randrange(256)}.{randrange(256)}.{randrange(256)}"
        begin = time.perf_counter()
        assert client.login(account, "wrong").status_code == 401
        return time.perf_counter() - begin

    try:
        rounds, slower = 0, {"cheap": 0, "unknown": 0}
        while by_chance(slower["cheap"], rounds) > rare:
            assert rounds < 200
            rounds += 1
            kinds = sample(("known", "cheap", "unknown"), 3)
            took = {kind: spent(f"{kind}{rounds}") for kind in kinds}
            for kind in slower:
                slower[kind] += took["known"] > took[kind]
        wins = max(slower["unknown"], rounds - slower["unknown"])
        assert by_chance(wins, rounds) > rare, (slower, rounds)
    finally:
        world.sql("DELETE FROM users WHERE name = 'timed'")
        assert behind.stop() == 0


def test_hash_of_an_independent_library_and_upgrade(world):
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("pä ☃")
    world.sql("INSERT INTO users (account, name, password_hash, role)"
              f" VALUES ('weak', 'Weak', '{weak}', 'student')")
    assert world.client().login("weak", "pä ☃x").status_code == 401
    assert world.client().login("weak", "pä ☃").status_code == 200
    stored = world.sql("SELECT password_hash FROM users WHERE account = 'weak'").strip()
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") and stored != weak
    assert argon2.PasswordHasher().verify(stored, "pä ☃")
    assert world.client().login("weak", "pä ☃").status_code == 200
    assert world.sql("SELECT password_hash FROM users WHERE account = 'weak'").strip() == stored


def test_stored_hash_out_of_bounds_costs_nothing(world):
    greedy = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43
    for n, text in enumerate((greedy, "", "plain")):
        world.sql("INSERT INTO users (account, name, password_hash, role)"
                  f" VALUES ('broken{n}', 'x', '{text}', 'student')")
        assert world.client().login(f"broken{n}").status_code in (401, 500)
    assert world.server.rss_peak_kib() < 2 * 1024 * 1024
    assert world.client().login("ana").status_code == 200


def test_a_session_is_stored_hashed_and_each_is_new(world):
    world.redis_db().flushdb()
    ana = world.client()
    ana.cookies.set("session", "A" * 43)  # planted
    assert ana.login("ana").status_code == 200
    cookies = {c.value for c in ana.cookies} - {"A" * 43}
    assert len(cookies) == 1
    cookie = cookies.pop()
    keys = world.redis_db().keys("portal:session:*")
    assert keys == [session_key(cookie).encode()]
    stored = world.redis_db().get(keys[0])
    assert cookie.encode() not in keys[0] + stored
    assert 0 < world.redis_db().ttl(keys[0]) <= 1800
    log = world.server.log_text()
    assert cookie not in log and PASSWORD not in log
    # Logging in again over a session ends that session.
    one = world.client("ana")
    old = one.cookies["session"]
    assert one.login("ana").status_code == 200 and one.cookies["session"] != old
    late = world.client()
    late.cookies.set("session", old)
    assert late.get("/me").status_code == 401


def test_idle_and_absolute_expiry(run_folder, mariadb, redis):
    w = World(run_folder / "portal-expiry", mariadb, redis, "portal_expiry",
              PORTAL_SESSION_IDLE=3600, PORTAL_SESSION_MAX=7200)
    try:
        ana = w.client("ana")
        key = session_key(ana.cookies["session"])
        r = w.redis_db()
        # Use renews the idle time.
        r.expire(key, 5)
        assert ana.get("/me").status_code == 200 and r.ttl(key) > 3000
        # As old as the absolute limit: over, however busy.
        user, gen, created = r.get(key).decode().split()
        r.set(key, f"{user} {gen} {int(created) - 7190_000}", keepttl=True)
        assert ana.get("/me").status_code == 200
        r.set(key, f"{user} {gen} {int(created) - 7201_000}", keepttl=True)
        assert ana.get("/me").status_code == 401
        ana = w.client("ana")
        r.delete(session_key(ana.cookies["session"]))  # idle too long: Redis has dropped it
        assert ana.get("/me").status_code == 401
    finally:
        w.close()


def test_damaged_and_doubled_cookies(world):
    good = world.client("ana").cookies["session"]
    get = lambda cookie: world.client().get("/me", headers={"Cookie": cookie}).status_code
    assert get(f"session={good}") == 200
    assert get(f"a=b; session={good}; c=d") == 200
    for i in range(len(good)):
        other = "A" if good[i] != "A" else "B"
        assert get(f"session={good[:i]}{other}{good[i + 1:]}") == 401
        assert get(f"session={good[:i]}") == 401
    for text in ("", "=", "session", "session=", f"session={good}=", f"Session={good}",
                 f"session ={good}", f'session="{good}"', f"session={good[::-1]}", "session=*",
                 f"session=%{good}", f"xsession={good}"):
        assert get(text) in (400, 401), text
    assert get(f"session={good}; session={good}") == 400
    assert get(f"session={good}; session=x") == 400
    assert get(f"session={good}x") == 400
    assert get("session=" + "A" * 5000) == 400
    assert get("a=" + "A" * 5000 + f"; session={good}") == 200


# --- what counts from the next request ------------------------------------------------------


def test_role_disabled_and_generation_count_at_once(world):
    fay = world.client("fay")
    assert fay.get("/courses").status_code == 200
    world.sql("UPDATE users SET role = 'student' WHERE account = 'fay'")
    assert fay.get("/courses").status_code == 403
    assert fay.get("/me/attendance").status_code == 200
    world.sql("UPDATE users SET role = 'faculty' WHERE account = 'fay'")
    assert fay.get("/courses").status_code == 200
    world.sql("UPDATE users SET disabled = TRUE WHERE account = 'fay'")
    assert fay.get("/courses").status_code == 401
    world.sql("UPDATE users SET disabled = FALSE WHERE account = 'fay'")
    assert fay.get("/courses").status_code == 401  # that session is over for good
    fay = world.client("fay")
    world.sql("UPDATE users SET session_gen = session_gen + 1 WHERE account = 'fay'")
    assert fay.get("/courses").status_code == 401


def test_admin_changes_end_sessions(world):
    alma, cara = world.client("alma"), world.client("cara")
    assert alma.patch("/users/cara", json={"role": "faculty"}).json() == {
        "account": "cara", "name": "Cara Costa", "role": "faculty", "disabled": False}
    assert cara.get("/me").status_code == 401
    cara = world.client("cara")
    assert cara.get("/courses").json() == {"courses": []}
    assert alma.patch("/users/cara", json={"role": "student", "disabled": True}).status_code == 200
    assert cara.get("/me").status_code == 401 and world.client().login("cara").status_code == 401
    assert alma.patch("/users/cara", json={"disabled": False}).json()["role"] == "student"
    assert world.client("cara").get("/me/attendance").status_code == 200
    problem(alma.patch("/users/alma", json={"role": "student"}), 409, "conflict")


def test_logout_ends_the_sessions_of_all_devices(world):
    one, two = world.client("ben"), world.client("ben")
    assert two.post("/logout").status_code == 204
    assert one.get("/me").status_code == 401
    assert world.client("ben").get("/me").status_code == 200


def test_users_by_pages(world):
    alma = world.client("alma")
    everyone = [u["account"] for u in alma.get("/users?limit=200").json()["users"]]
    assert everyone == sorted(everyone) and {"ana", "frank", "alma"} <= set(everyone)
    seen, path = [], "/users?limit=3"
    while path:
        reply = alma.get(path)
        seen += [u["account"] for u in reply.json()["users"]]
        path = reply.links["next"]["url"] if "next" in reply.links else None
    assert seen == everyone
    assert set(alma.get("/users?limit=1").json()["users"][0]) == {"account", "name", "role", "disabled"}
    for query in ("limit=0", "limit=201", "limit=x", "limit=", "limit=3&limit=4", "after=%00",
                  "after=a%20b", "nonsense=1", "limit=18446744073709551617"):
        problem(alma.get(f"/users?{query}"), 400, "bad-request")


# --- one's own password ----------------------------------------------------------------------


def change(client, old, new):
    reply = client.post("/password", json={"old": old, "new": new})
    if reply.status_code == 200:
        client.headers["X-CSRF-Token"] = reply.json()["csrf_token"]
    return reply


def test_a_new_password_ends_the_old_one_and_every_other_session(world):
    dan, elsewhere = world.client("dan"), world.client("dan")
    before = dan.cookies["session"]
    reply = change(dan, PASSWORD, "another-pässword")
    assert reply.status_code == 200 and dan.cookies["session"] != before
    assert reply.json() == dan.get("/me").json()
    assert dan.post("/password", json={}).status_code == 422  # the new token counts
    late = world.client()
    late.cookies.set("session", before)
    assert late.get("/me").status_code == 401 and elsewhere.get("/me").status_code == 401
    assert world.client().login("dan").status_code == 401
    assert world.client().login("dan", "another-pässword").status_code == 200
    assert world.sql("SELECT a.account, l.action, l.subject, l.detail FROM audit_log l JOIN users a"
                     " ON a.id = l.actor_id ORDER BY l.id DESC LIMIT 1").rstrip("\n").split("\t") == [
                         "dan", "user.password", "user:dan", ""]
    assert "another-p" not in world.server.log_text()
    assert change(dan, "another-pässword", PASSWORD).status_code == 200


def test_a_new_password_wants_the_old_one(world):
    """Whoever finds a browser logged in cannot take the account, nor try many passwords."""
    cara = world.visitor("cara")
    hash = world.sql("SELECT password_hash, session_gen FROM users WHERE account = 'cara'")
    for old, new in ((PASSWORD, "x" * 9), (PASSWORD, "x" * 257), ("x" * 257, "x" * 10), (PASSWORD, ""),
                     (1, "x" * 10), (PASSWORD, None)):
        problem(change(cara, old, new), 422, "unprocessable")
    outcomes = [change(cara, "wrong", "x" * 10).status_code for _ in range(6)]
    assert outcomes == [403] * 5 + [429]
    problem(world.client().login("cara"), 429, "rate-limited")
    assert world.sql("SELECT password_hash, session_gen FROM users WHERE account = 'cara'") == hash
    assert cara.get("/me").status_code == 200


def test_a_reset_wins_over_a_change_under_way(world):
    """The old password was looked at before the reset, and the row changes after it."""
    fay, lock = world.visitor("fay"), world.connection()
    lock.begin()
    cursor = lock.cursor()
    cursor.execute("UPDATE users SET session_gen = session_gen + 1 WHERE account = 'fay'")

    def waits():
        cursor.execute("SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'")
        return cursor.fetchone()[0]

    with ThreadPoolExecutor(1) as pool:
        changed = pool.submit(change, fay, PASSWORD, "x" * 10)
        until(waits, 30, "the change waits", interval=0.15)
        lock.commit()
        problem(changed.result(), 401, "unauthenticated")
    lock.close()
    assert world.client().login("fay").status_code == 200


# --- CSRF -----------------------------------------------------------------------------------


def test_state_changes_need_the_token_of_the_session(world):
    frank, fay = world.client("frank"), world.client("fay")
    right = frank.headers.pop("X-CSRF-Token")
    before = world.sql("SELECT * FROM attendance ORDER BY 1, 2")
    for token in (None, "", "x", right[:-1], right + "x", right.swapcase(),
                  fay.headers["X-CSRF-Token"], frank.cookies["session"]):
        headers = {} if token is None else {"X-CSRF-Token": token}
        for method, path in (("PUT", "/sessions/5/attendance/ana"), ("POST", "/logout")):
            reply = frank.request(method, path, json={"mark": "absent"}, headers=headers)
            problem(reply, 403, "forbidden")
    assert world.sql("SELECT * FROM attendance ORDER BY 1, 2") == before
    assert frank.get("/courses").status_code == 200  # reading needs none, and nobody logged out
    frank.headers["X-CSRF-Token"] = right
    assert frank.mark(5, "ana", "absent").status_code == 200


def test_another_site_cannot_log_anybody_in(world):
    """A form of another site can send these types only, and gets no answer to a preflight."""
    text = '{"account": "ana", "password": "%s"}' % PASSWORD
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                 "application/jsonx", "application/json5", "", None):
        headers = {"Content-Type": kind} if kind is not None else {}
        reply = world.client().post("/login", data=text.encode(), headers=headers)
        problem(reply, 415, "unsupported-media-type")
    reply = world.client().options("/login", headers={
        "Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
    assert "Access-Control-Allow-Origin" not in reply.headers


# --- bad input ------------------------------------------------------------------------------


BAD_JSON = [b"", b"{", b"}", b"[]", b"null", b'"x"', b"{}x", b'{"account":"ana","account":"ben"}',
            b'{"account":"ana\x00","password":"x"}', b'{"account":"\xff","password":"x"}',
            b'{"account":"ana","password":"\\u0000"}', b"[" * 10000, b'{"a":' * 3000,
            b"account=ana&password=demo-password", b"\xef\xbb\xbf{}", b"{'account':'ana'}"]
WRONG_SHAPE = [{}, {"account": "ana"}, {"password": "x"}, {"account": 1, "password": "x"},
               {"account": "ana", "password": None}, {"account": ["ana"], "password": "x"},
               {"account": "ana", "password": "x", "role": "admin"}, {"account": {}, "password": {}},
               {"account": "", "password": "x"}, {"account": "a" * 65, "password": "x"},
               {"account": "ana", "password": "x" * 257}, {"account": "ana ", "password": "x"},
               {"account": "an\na", "password": "x"}, {"account": "änä", "password": "x"}]


def test_bad_bodies(world):
    client = world.client()
    for body in BAD_JSON:
        reply = client.post("/login", data=body, headers={"Content-Type": "application/json"})
        assert reply.status_code in (400, 422), body
        assert reply.headers["Content-Type"] == "application/problem+json"
    for body in WRONG_SHAPE:
        problem(client.post("/login", json=body), 422, "unprocessable")
    frank, alma = world.client("frank"), world.client("alma")
    for body in ({}, {"mark": None}, {"mark": 1}, {"mark": "here"}, {"mark": ""}, {"mark": "Present"},
                 {"mark": "present", "by": "ana"}, {"mark": ["present"]}):
        problem(frank.put("/sessions/5/attendance/ana", json=body), 422, "unprocessable")
    for body in ({}, {"role": "root"}, {"role": None}, {"disabled": "yes"}, {"disabled": 1},
                 {"role": "admin", "id": 1}, {"role": ""}, {"session_gen": 5}):
        problem(alma.patch("/users/ben", json=body), 422, "unprocessable")
    big = {"account": "ana", "password": "x" * 20000}
    problem(client.post("/login", json=big), 413, "too-large")
    chunks = (b"x" * 4096 for _ in range(8))
    reply = client.post("/login", data=chunks, headers={"Content-Type": "application/json"})
    problem(reply, 413, "too-large")
    status, _ = raw(world.server.port, b"POST /login HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200000)
    assert status in (None, 413, 431)
    assert client.login("ana").status_code == 200


# --- throttle -------------------------------------------------------------------------------


def test_failed_logins_are_slowed(world):
    for _ in range(5):
        assert world.client().login("aldo", "wrong").status_code == 401
    assert problem(world.client().login("aldo"), 429, "rate-limited")  # the right one, too
    assert world.client().login("ana").status_code == 200  # others at this address go on
    problem(world.client().login("Aldo.unknown", "x"), 401, "unauthenticated")
    assert until(lambda: world.client().login("aldo").status_code == 200, 20, "the delay ends")
    for _ in range(4):  # a success has wiped the slate
        assert world.client().login("aldo", "wrong").status_code == 401
    assert world.client().login("aldo").status_code == 200


def test_no_other_address_can_be_pretended(world):
    """Neither to a server that trusts nobody, nor past the hop that a trusted proxy wrote."""
    behind = world.another(TRUSTED_PROXIES="127.0.0.1")
    try:
        for url, hops in ((world.url, "203.0.113.{n}"), (behind.url, "203.0.113.{n}, 198.51.100.7")):
            codes = [world.client(url=url).post(
                "/login", json={"account": "alma", "password": "wrong"},
                headers={"X-Forwarded-For": hops.format(n=n), "X-Real-IP": f"203.0.113.{n}",
                         "Forwarded": f"for=203.0.113.{n}"}).status_code for n in range(6)]
            assert codes == [401] * 5 + [429]
        # The control: what the proxy itself says does count.
        elsewhere = world.client(url=behind.url)
        elsewhere.headers["X-Forwarded-For"] = "198.51.100.8"
        assert elsewhere.login("alma").status_code == 200
    finally:
        assert behind.stop() == 0


def test_guesses_at_the_same_moment_do_not_slip_by(world):
    barrier = threading.Barrier(40)

    def guess(_):
        client = world.client()
        barrier.wait()
        return client.login("frank", "wrong").status_code

    with ThreadPoolExecutor(40) as pool:
        outcomes = list(pool.map(guess, range(40)))
    assert set(outcomes) <= {401, 429} and outcomes.count(401) <= 5


# --- many at once ---------------------------------------------------------------------------


@pytest.mark.release
def test_1500_logins_at_once(run_folder, mariadb, redis, variant, monkeypatch):
    """Each answered 200, or 503 with Retry-After; never more hashes at once than threads."""
    monkeypatch.setenv("VARIANT", variant)
    w = World(run_folder / "portal-crowd", mariadb, redis, "portal_crowd",
              PORTAL_HASH_THREADS=2, PORTAL_HASH_QUEUE=20)
    try:
        w.sql("INSERT INTO users (account, name, password_hash, role)"
              " SELECT CONCAT('s', seq), 'x', (SELECT password_hash FROM users u WHERE id = 1),"
              " 'student' FROM seq_1_to_1500")
        before = w.server.rss_peak_kib()
        answers = at_once(w.server.port, [
            post("/login", {"account": f"s{n}", "password": PASSWORD}) for n in range(1, 1501)])
        codes = [status for status, _ in answers]
        assert set(codes) == {200, 503}  # more than the queue holds: some must be refused
        for status, text in answers:
            assert status == 200 or ("/problems/overloaded" in text and "Retry-After: " in text), text
        # 1,500 hashes would take 28 GiB, 2 take 38 MiB.
        assert w.server.rss_peak_kib() - before < 250 * 1024
        # A refusal costs no attempt: whoever was turned away gets in later.
        for n in [i for i, code in enumerate(codes, 1) if code == 503][:20]:
            assert w.client().login(f"s{n}").status_code == 200
    finally:
        w.close()

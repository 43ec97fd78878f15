"""How do you keep a student out of another's page, in every script?"""

import json
import re

from frame import QUICK, Proof
from portal import Portal, private_stores
from portal_world import raw
from test_portal_routes import CALLERS, EVERYBODY, EXPECTED, PATHS, TRICKS, callers, send

COLUMNS = {"nobody": "no session", "forged": "forged", "ana": "student", "frank": "faculty",
           "alma": "admin"}
SAMPLE = 8 if QUICK else 1  # of the disguises each caller tries every so many-th on each request
TABLES = "users, courses, enrolments, class_sessions, attendance, audit_log, pending_invalidations"
# What a server lacks, each time one check of one row of the table.
HOLES = ("roles GET /users", "object GET /sessions/{session}/attendance",
         "roles PUT /sessions/{session}/attendance/{student}")


def answers(portal):
    """Every request of the matrix by every caller: [(method, pattern, path, [(status, expected of
    each caller)])]."""
    clients = callers(portal)
    return [(method, pattern, path, [(send(clients[who], method, path, body).status_code,
                                      statuses[who]) for who in CALLERS])
            for method, pattern, path, body, statuses in EXPECTED]


def colour(status, expected):
    if status != expected:
        return "wrong"
    return "closed" if status in (401, 403) else "hidden" if status == 404 else "open"


def picture(seen):
    return [(f"{method} {path}", [(status, colour(status, expected)) for status, expected in cells])
            for method, _, path, cells in seen]


def wrong(seen):
    return [row for row in seen if any(status != expected for status, expected in row[3])]


# --- ways around ------------------------------------------------------------------------------


def disguises(path):
    """The path in every spelling that once led around somebody's check."""
    for form in PATHS:
        if "?" in form or not re.search("us(e|%65)rs|%75sers", form, re.I):
            continue  # of the first kind the path is another one, that everybody may see
        if "%75" in form or "%65" in form:
            yield f"/%{ord(path[1]):x}{path[2:]}"
        elif "USERS" in form or "Users" in form:
            yield path.upper() if "USERS" in form else path[0] + path[1:].capitalize()
        else:
            yield form.replace("users", path[1:])


def tries(path):
    """(target, headers)"""
    yield from ((target, {}) for target in disguises(path))
    yield from ((path, headers) for headers in TRICKS)


def attempt(portal, client, method, target, body, headers):
    """The status of one request over a connection of its own; None: it was not even answered."""
    content = (body if isinstance(body, str) else json.dumps(body) if body is not None else "")
    fields = {"Host": "x", "Connection": "close", "Content-Length": len(content), **headers,
              "Content-Type": "text/csv" if isinstance(body, str) else "application/json"}
    for name, value in client.cookies.items():
        fields["Cookie"] = f"{name}={value}"
    if "X-CSRF-Token" in client.headers:
        fields["X-CSRF-Token"] = client.headers["X-CSRF-Token"]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(portal.server.port, f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode(),
               content.encode())[0]


def ways_around(portal, expected, sample):
    """Everything that a caller may not do, disguised: how often tried, and what was let through."""
    clients, through, tried, turn = callers(portal), [], 0, 0
    for method, _, path, body, statuses in expected:
        refused = [who for who in CALLERS if statuses[who] in (401, 403, 404)]
        for who in refused if statuses is not EVERYBODY else ():
            turn += 1
            for n, (target, headers) in enumerate(tries(path)):
                if (n + turn) % sample:
                    continue
                tried += 1
                status = attempt(portal, clients[who], method, target, body, headers)
                if status is not None and status < 400:
                    through.append(f"{who} {method} {target} {headers or ''}: {status}")
    return tried, through


def controls(proof, folder, mariadb, redis):
    for n, hole in enumerate(HOLES):
        portal = Portal(folder / f"hole-{n}", mariadb, redis, f"hole_{n}", "hole", HOLE=hole)
        try:
            if n == 0:
                row = [r for r in EXPECTED if (r[0], r[2]) == ("GET", "/users")]
                _, through = ways_around(portal, row, 1)
                proof.control(through, "the disguises get through where a check is missing")
            found = wrong(answers(portal))
        finally:
            portal.close()
        check, method, pattern = hole.split()
        proof.control({row[:2] for row in found} == {(method, pattern)},
                      f"a server that lacks the check of {check} of {method} {pattern}: the matrix "
                      "shows that, and nothing else")
        proof.matrix(f"Without the check of {check} of {method} {pattern}", list(COLUMNS.values()),
                     picture(found))


def main():
    proof = Proof(
        "p2", "Who sees what", "How do you make sure that no script forgets the role check?",
        "Nothing is reachable but through one table of routes and roles, checked before the handler; "
        "what belongs to another is the same as what does not exist.",
        f"Every route and method, on one's own, another's (13, ph301, cara) and what does not exist "
        f"(99, none), by {len(CALLERS)} callers, against an expectation that was written down "
        f"without the product's table. Then everything that a caller may not do again, in "
        f"{len(list(tries('/users')))} disguises: encoded and doubled slashes, dots, upper case, "
        "headers that override a method, a path or a user.")
    with private_stores() as (folder, mariadb, redis):
        portal = Portal(folder / "portal", mariadb, redis, "portal")
        try:
            before = portal.sql(f"CHECKSUM TABLE {TABLES}")
            tried, through = ways_around(portal, EXPECTED, SAMPLE)
            unchanged = portal.sql(f"CHECKSUM TABLE {TABLES}") == before
            seen = answers(portal)
        finally:
            portal.close()
        proof.matrix("What each caller gets", list(COLUMNS.values()), picture(seen),
                     "Green: let in (some on to a refusal of what they sent). Grey: not with this "
                     "role. Yellow: as if it did not exist. Red would be other than expected.")
        proof.figure("cells of the matrix", len(seen) * len(CALLERS))
        proof.figure("disguised requests", tried)
        proof.check(wrong(seen) == [], "every cell is as expected")
        proof.check(through == [], f"no disguise is let through{': ' if through else ''}"
                    f"{'; '.join(through[:5])}")
        proof.check(unchanged, "and none changed a row")
        controls(proof, folder, mariadb, redis)
    proof.finish()


main()

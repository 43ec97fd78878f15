"""What clients of the vault see."""

import hashlib
import http.client
import re
import socket

import pytest
from harness.process import ROOT, until
from vault_kit import pattern, vault  # noqa: F401

SCOPES = {  # written down here once more, apart from the server's own table
    ("POST", "/files"): "write",
    ("GET", "/files"): "read",
    ("HEAD", "/files"): "read",
    ("GET", "/files/{id}"): "read",
    ("HEAD", "/files/{id}"): "read",
    ("GET", "/files/{id}/seal"): "read",
    ("DELETE", "/files/{id}"): "admin",
    ("GET", "/audit"): "admin",
    ("HEAD", "/audit"): "admin",
}
STUDY = "/dicomweb/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
DICOMWEB = {
    ("POST", "/dicomweb/studies"): "write",
    ("POST", STUDY): "write",
    ("DELETE", STUDY): "admin",
    **{("GET", path): "read" for path in (
        "/dicomweb/studies", "/dicomweb/series", "/dicomweb/instances", STUDY, SERIES, INSTANCE,
        STUDY + "/series", STUDY + "/instances", SERIES + "/instances", STUDY + "/metadata",
        SERIES + "/metadata", INSTANCE + "/metadata", INSTANCE + "/frames/{frames}",
        INSTANCE + "/frames/{frames}/rendered", INSTANCE + "/rendered", INSTANCE + "/thumbnail",
        SERIES + "/thumbnail", INSTANCE + "/bulkdata/{range}")},
}
PUBLIC = ("/", *(f"/{f.name}" for f in (ROOT / "dicom-vault/web").iterdir() if f.name != "index.html"),
          "/healthz", "/readyz", "/metrics")


def problem(reply, status):
    assert reply.status_code == status, reply.text
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    body = reply.json()
    assert body["status"] == status and body["type"].startswith("/problems/")
    return body


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 1_000_003])
def test_what_is_stored_comes_back(vault, length):
    vault.start()
    content = pattern(length)
    digest = hashlib.sha256(content).hexdigest()
    reply = vault.request("POST", "/files", data=content,
                          headers={"Content-Disposition": 'attachment; filename="a scan.dcm"'})
    assert reply.status_code == 201
    stored = reply.json()
    assert stored["size"] == length and stored["sha256"] == digest
    assert stored["name"] == "a scan.dcm"
    assert re.fullmatch("[0-9a-f]{32}", stored["id"])
    assert reply.headers["Location"] == f"/files/{stored['id']}"
    got = vault.request("GET", reply.headers["Location"])
    assert got.status_code == 200 and got.content == content
    assert got.headers["ETag"] == f'"{digest}"' == reply.headers["ETag"]
    assert got.headers["Content-Type"] == "application/octet-stream"
    assert got.headers["Content-Disposition"] == 'attachment; filename="a scan.dcm"'
    head = vault.request("HEAD", reply.headers["Location"])
    assert head.status_code == 200 and head.content == b""
    assert head.headers["Content-Length"] == str(length)
    assert head.headers["ETag"] == got.headers["ETag"]
    assert vault.list() == [stored]
    assert vault.request("DELETE", f"/files/{stored['id']}").status_code == 204
    problem(vault.request("GET", f"/files/{stored['id']}"), 404)
    problem(vault.request("DELETE", f"/files/{stored['id']}"), 404)
    assert vault.list() == [] and vault.disk.blobs() == []


def test_chunked_transfer_encoding(vault):
    vault.start()
    content = pattern(300_000)
    pieces = (content[i:i + 7001] for i in range(0, len(content), 7001))
    file_id = vault.put(pieces)
    assert vault.fetch(file_id) == (200, content, True)


def test_lists_page_by_page(vault):
    vault.start()
    ids = [vault.put(b"x" * i) for i in range(7)]
    seen, path = [], "/files?limit=3"
    while path:
        reply = vault.request("GET", path)
        page = reply.json()
        seen.append([f["id"] for f in page["files"]])
        link = reply.links.get("next", {}).get("url")
        assert (page["next"] is None) == (link is None)
        path = link
    assert seen == [ids[0:3], ids[3:6], ids[6:7]]
    vault.request("DELETE", f"/files/{ids[2]}")
    after = vault.request("GET", "/files?limit=3").json()
    assert [f["id"] for f in after["files"]] == [ids[0], ids[1], ids[3]]
    for bad in ("limit=0", "limit=1001", "limit=x", "limit=", "after=-1", "after=x", "limit=1&limit=2",
                "after=9223372036854775808", "order=name"):
        problem(vault.request("GET", f"/files?{bad}"), 400)


def test_ranges(vault):
    vault.start()
    content = pattern(100_000)
    file_id = vault.put(content)
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    for header, first, last in [
        ("bytes=0-0", 0, 0), ("bytes=16383-16384", 16383, 16384), ("bytes=20000-60000", 20000, 60000),
        ("bytes=99999-", 99999, 99999), ("bytes=-1", 99999, 99999), ("bytes=-200000", 0, 99999),
        ("bytes=98304-98304", 98304, 98304), ("bytes=50000-1000000", 50000, 99999),
    ]:
        reply = vault.request("GET", f"/files/{file_id}", headers={"Range": header})
        assert reply.status_code == 206
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/100000"
        assert reply.content == content[first:last + 1]
    for header in ("bytes=0-1,5-6", "bytes=x", "lines=1-2", "bytes=5-3"):
        reply = vault.request("GET", f"/files/{file_id}", headers={"Range": header})
        assert reply.status_code == 200 and reply.content == content
    for header in ("bytes=100000-", "bytes=-0"):
        reply = vault.request("GET", f"/files/{file_id}", headers={"Range": header})
        problem(reply, 416)
        assert reply.headers["Content-Range"] == "bytes */100000"
    for condition, status in ((etag, 206), ('"other"', 200), ("Tue, 01 Dec 2026 00:00:00 GMT", 200)):
        reply = vault.request("GET", f"/files/{file_id}",
                              headers={"Range": "bytes=1-2", "If-Range": condition})
        assert reply.status_code == status
    for condition, status in ((etag, 304), (f'"x", W/{etag}', 304), ("*", 304), ('"x"', 200)):
        reply = vault.request("GET", f"/files/{file_id}", headers={"If-None-Match": condition})
        assert reply.status_code == status
        assert reply.headers["ETag"] == etag
        assert reply.content == (content if status == 200 else b"")


def test_if_match(vault):
    vault.start()
    file_id = vault.put(b"x")
    path, etag = f"/files/{file_id}", f'"{hashlib.sha256(b"x").hexdigest()}"'
    for method in ("GET", "DELETE"):
        problem(vault.request(method, path, headers={"If-Match": '"other"'}), 412)
    assert vault.request("GET", path, headers={"If-Match": f'"other", {etag}'}).status_code == 200
    problem(vault.request("DELETE", f"/files/{'0' * 32}", headers={"If-Match": etag}), 404)
    assert vault.request("DELETE", path, headers={"If-Match": etag}).status_code == 204


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest", "Content-Disposition", "Range",
                                   "If-Range", "If-Match", "If-None-Match"])
def test_a_field_given_twice_is_refused(vault, field):
    """The first would be taken, the second not even looked at."""
    vault.start()
    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=30)
    connection.putrequest("POST", "/files")
    for name, value in (("Authorization", f"Bearer {vault.key}"), (field, "a"),
                        (field.upper(), "b"), ("Content-Length", "0")):
        connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 400 and b"given twice" in reply.read()
    connection.close()


def test_scopes(vault):
    """Every route with every single scope, none, and all."""
    vault.start()
    keys = {scope: vault.new_key(scope) for scope in ("read", "write", "admin")}
    for (method, route), needed in SCOPES.items():
        path = route.replace("{id}", vault.put(b"x"))
        for scope, key in keys.items():
            reply = vault.request(method, path, key=key, data=b"x" if method == "POST" else None)
            if scope == needed:
                assert reply.status_code in (200, 201, 204), (method, route, scope)
            else:
                assert reply.status_code == 403, (method, route, scope)
    for (method, route), needed in DICOMWEB.items():
        for scope, key in keys.items():
            reply = vault.request(method, re.sub(r"{\w+}", "1", route), key=key)
            assert (reply.status_code != 403) == (scope == needed), (method, route, scope)
            assert reply.status_code < 500
    for method, path in (("PUT", "/files"), ("PATCH", "/files/x"), ("POST", "/files/x")):
        reply = vault.request(method, path, data=b"x")
        problem(reply, 405)
        assert "GET" in reply.headers["Allow"]


def test_without_a_good_key(vault):
    vault.start()
    key = vault.new_key("read,write,admin")
    secret = key[20:]
    file_id = vault.put(b"x")
    flipped = key[:-1] + ("0" if key[-1] != "0" else "1")
    bad = [None, "", "Bearer", "Bearer ", f"Basic {key}", key, f"Bearer {flipped}", f"Bearer {key}0",
           f"Bearer {key[:-1]}", f"Bearer vk_0011223344556677_{secret}", f"Bearer {key.upper()}",
           "Bearer vk__", f"Bearer {key} x", f"Bearer {'A' * 3000}"]
    for i, authorization in enumerate(bad):
        for (method, route) in (*SCOPES, *DICOMWEB):
            # An address each: one that fails 100 times a minute is told 429.
            connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=30,
                                                    source_address=(f"127.0.1.{i + 1}", 0))
            path = re.sub(r"{\w+}", "1", route.replace("{id}", file_id))
            connection.request(method, path, headers={
                "Authorization": authorization} if authorization is not None else {})
            reply = connection.getresponse()
            assert reply.status == 401, (authorization, method, route)
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")
            connection.close()
    assert vault.request("GET", f"/files/{file_id}", key=key).status_code == 200
    assert vault.disk.blobs() == [file_id]
    assert secret not in vault.server.log_text()


def test_a_revoked_key_is_refused_at_the_next_request(vault):
    vault.start()
    key, other = vault.new_key("read"), vault.new_key("read")
    assert vault.request("GET", "/files", key=key).status_code == 200
    vault.command("apikey", "--revoke", key.split("_")[1])
    problem(vault.request("GET", "/files", key=key), 401)
    assert vault.request("GET", "/files", key=other).status_code == 200
    again = vault.command("apikey", "--revoke", key.split("_")[1], check=False)
    assert again.returncode == 1 and "No such" in again.stderr


def test_unknown_ids(vault):
    vault.start()
    vault.put(b"x")
    for file_id in ("0" * 32, "f" * 31, "F" * 32, "x", "0" * 33, "..0", "%C3%B6", "a" * 120):
        problem(vault.request("GET", f"/files/{file_id}"), 404)
        problem(vault.request("DELETE", f"/files/{file_id}"), 404)
    for path in ("/files/", "/files/%2e%2e", "/files/..%2fkeyring", "/files/%00", "//files"):
        with socket.create_connection(("127.0.0.1", vault.server.port)) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                      f"Authorization: Bearer {vault.key}\r\n\r\n".encode())
            assert s.recv(4096).startswith(b"HTTP/1.1 400 "), path


def test_names(vault):
    vault.start()
    good = {
        "attachment; filename=plain.dcm": "plain.dcm",
        'inline; filename="with \\"quotes\\".txt"': 'with "quotes".txt',
        "attachment; filename*=UTF-8''r%C3%B6ntgen%20%F0%9F%A9%BB.dcm": "röntgen 🩻.dcm",
        "attachment": None,
        None: None,
    }
    for header, name in good.items():
        file_id = vault.put(b"x", **({"Content-Disposition": header} if header else {}))
        assert vault.list()[-1] == {**vault.list()[-1], "id": file_id, "name": name}
        sent = vault.request("HEAD", f"/files/{file_id}").headers["Content-Disposition"]
        again = vault.put(b"x", **{"Content-Disposition": sent})
        assert [f["name"] for f in vault.list() if f["id"] == again] == [name]
    count = len(vault.list())
    for header in ('attachment; filename="../x"', "attachment; filename=", 'attachment; filename="x',
                   "attachment; filename*=UTF-8''a%00b", "attachment; filename*=latin1''x",
                   "attachment; filename=a; filename=b", f"attachment; filename={'n' * 256}", ";",
                   "attachment; filename*=UTF-8''%0d%0aX-Evil:%20yes"):
        problem(vault.request("POST", "/files", data=b"x",
                              headers={"Content-Disposition": header}), 400)
    problem(vault.request("POST", "/files?name=x", data=b"x"), 400)
    assert len(vault.list()) == count and len(vault.disk.blobs()) == count
    assert vault.disk.under_way() == []


def test_too_large(vault):
    vault.start(VAULT_FILE_MAX=100_000)
    vault.put(pattern(100_000))
    problem(vault.request("POST", "/files", data=pattern(100_001)), 413)
    pieces = (pattern(10_000) for _ in range(11))  # no Content-Length to refuse by
    problem(vault.request("POST", "/files", data=pieces), 413)
    assert len(vault.disk.blobs()) == 1
    until(lambda: vault.disk.under_way() == [], what="the long upload gone")


def test_public_pages(vault):
    vault.start()
    for path in PUBLIC:
        reply = vault.request("GET", path, key="x", headers={"Authorization": None})
        assert reply.status_code == 200, path
    page = vault.request("GET", "/", headers={"Authorization": None})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'")
    api = vault.request("GET", "/openapi.json", headers={"Authorization": None}).json()
    documented = {(method.upper(), path) for path, item in api["paths"].items()
                  for method in item if method != "parameters"}
    assert documented == {(m, p) for m, p in (*SCOPES, *DICOMWEB) if m != "HEAD"}

"""STOW-RS: what is stored, what is refused, and how that is told."""

import http.client
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from dicomweb_kit import TYPE, failures, instance, multipart, read, sample, stow, values
from vault_kit import vault  # noqa: F401


def stored(reply):
    return values(reply.json().get("00081199", {}).get("Value", []), "00081155")


def test_several_instances(vault):
    vault.start()
    files = [instance(study="1.2.3") for _ in range(3)]
    reply = stow(vault, *files)
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Type"] == "application/dicom+json"
    assert stored(reply) == [read(f).SOPInstanceUID for f in files]
    assert reply.json()["00081190"]["Value"] == [vault.server.url + "/dicomweb/studies/1.2.3"]
    listed = vault.list()
    assert [f["name"] for f in listed] == [uid + ".dcm" for uid in stored(reply)]
    for file, content in zip(listed, files):
        assert vault.fetch(file["id"]) == (200, content, True)


def test_the_same_again_and_something_else_under_its_uid(vault):
    vault.start()
    one, other = instance(uid="1.2.7"), instance(uid="1.2.7", PatientID="other")
    for _ in range(2):
        reply = stow(vault, one)
        assert (reply.status_code, stored(reply)) == (200, ["1.2.7"])
    reply = stow(vault, other)
    assert reply.status_code == 409 and failures(reply)[0][0] == 0x0111
    reply = stow(vault, instance(uid="1.2.8"), other, one)
    assert reply.status_code == 202 and failures(reply)[0][0] == 0x0111
    assert stored(reply) == ["1.2.8", "1.2.7"]
    assert len(vault.list()) == 2


def test_what_is_refused(vault):
    vault.start()
    good = instance()
    for part, code, why in [
            (b"", 0xC000, "not a DICOM file: too short"),
            (b"x" * 500, 0xC000, "not a DICOM file: no DICM at byte 128"),
            (good[:-1], 0xC000, "ends inside an element"),
            (sample("MR_small_bigendian.dcm"), 0xC122, "transfer syntax not supported"),
            (sample("image_dfl.dcm"), 0xC122, "transfer syntax not supported"),
            (instance(StudyInstanceUID="x"), 0xC000, "no valid StudyInstanceUID"),
            (instance(SeriesInstanceUID=""), 0xC000, "no valid SeriesInstanceUID")]:
        reply = stow(vault, part)
        assert (reply.status_code, failures(reply)) == (409, [(code, why)])
    reply = stow(vault, good, study="1.2.3")
    assert (reply.status_code, failures(reply)[0][0]) == (409, 0xA900)
    body = multipart([good], headers="Content-Type: image/png\r\n")
    assert stow(vault, body=body).status_code == 415
    body = multipart([good], headers="Content-Type: image/png\r\n")[:-8] + multipart([good])
    reply = stow(vault, body=body)
    assert (reply.status_code, failures(reply)[0][1]) == (202, "the part is not application/dicom")
    assert len(vault.list()) == 1 and not any((vault.data / "tmp").iterdir())


@pytest.mark.parametrize("content_type, code", [
    ("application/dicom", 415), ("multipart/related; boundary=xx", 415),
    ("multipart/related; type=application/dicom", 400),
    ('multipart/related; type="application/dicom+xml"; boundary=xx', 415),
    ("multipart/related; type=application/dicom; boundary=xx; boundary=yy", 400),
    ('Multipart/Related; Type="application/dicom"; Boundary="xx"', 200)])
def test_content_types(vault, content_type, code):
    vault.start()
    reply = stow(vault, instance(), **{"Content-Type": content_type})
    assert reply.status_code == code, reply.text
    assert stow(vault, instance(), Accept="application/dicom+xml").status_code == 406


def test_boundaries(vault):
    """Content that looks like the delimiter, as far as it goes, comes back as it was."""
    vault.start()
    boundary = "a-b"
    tricky = [b"\r\n--a-", b"\r\n-", b"\r", b"\r\n\r\n--a-x", b"\r\r\n--a", b"--a-b--", b"\n--a-b",
              b"\r\n--a-\r\n--a-"]
    files = [instance(ImageComments="x", PixelData=t.ljust(32, b"\r")) for t in tricky]
    reply = stow(vault, *files, boundary=boundary)
    assert reply.status_code == 200, reply.text
    for file, content in zip(vault.list(), files):
        assert vault.fetch(file["id"])[1] == content


def test_malformed_bodies(vault):
    vault.start()
    good = multipart([instance()])
    preamble = b"a preamble\r\nof lines" + good + b"an epilogue\r\n--xx--\r\n"
    assert stow(vault, body=preamble).status_code == 200
    assert stow(vault, body=good[2:]).status_code == 200, "a delimiter at once"
    assert stow(vault, body=good.replace(b"--xx\r\n", b"--xx \t\r\n")).status_code == 200
    for body in [b"", good[:-4], good[:60], b"--xx--", b"no delimiter",
                 good.replace(b"--xx\r\n", b"--xxx\r\n"), good.replace(b"--xx\r\n", b"--xx\n"),
                 good.replace(b"Content-Type", b"Content-Type: a/b\r\nContent-Type"),
                 good.replace(b"Content-Type", b" folded\r\nContent-Type"),
                 good.replace(b"Content-Type", b"X: " + b"y" * 2000 + b"\r\nContent-Type"),
                 good.replace(b"Content-Type", b"X: y\r\n" * 1000 + b"Content-Type")]:
        assert stow(vault, body=body).status_code == 400, body[:80]
    assert not any((vault.data / "tmp").iterdir())


def test_nothing_of_a_patient_in_the_folder(vault):
    """Neither in the index nor its log nor in a payload; the control is a file that has it."""
    vault.start()
    secrets = {"PatientName": "Zweiundvierzig^Ottokar", "PatientID": "PID-8123-77",
               "AccessionNumber": "ACC99812", "StudyDescription": "knee of the chancellor",
               "ReferringPhysicianName": "Wunderlich^Hieronymus", "PatientBirthDate": "19310417"}
    study = "1.2.826.0.1.3680043.8.498.777777"
    content = instance(study=study, uid=study + ".1", series=study + ".2", **secrets)
    needles = [w.encode() for v in [*secrets.values(), study] for w in v.split("^")]
    assert all(n in content for n in needles)
    assert stow(vault, content).status_code == 200
    assert stow(vault, content[:-1]).status_code == 409
    assert stow(vault, instance(study=study, uid=study + ".1")).status_code == 409
    assert vault.request("GET", f"/files?name={study}.1.dcm").json()["files"]
    vault.server.stop()
    places = [p for p in vault.data.rglob("*") if p.is_file()]
    assert len(places) > 3
    for place, needle in itertools.product(places, needles):
        on_disk = place.read_bytes()
        assert needle not in on_disk and needle.decode().encode("utf-16-le") not in on_disk
        assert needle.hex().encode() not in on_disk


def test_the_same_instance_of_many_at_once(vault):
    """One of them stores it; other content under its UID loses, whoever came first."""
    vault.start()
    same, others = instance(uid="1.5"), [instance(uid="1.6", InstanceNumber=i) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert [r.status_code for r in pool.map(lambda f: stow(vault, f), [same] * 8)] == [200] * 8
        codes = sorted(r.status_code for r in pool.map(lambda f: stow(vault, f), others))
    assert codes == [200] + [409] * 7
    assert sorted(f["name"] for f in vault.list()) == ["1.5.dcm", "1.6.dcm"]
    assert len(vault.disk.blobs()) == 2


def test_keys_change_and_are_shredded_with_it(vault):
    vault.start()
    stow(vault, instance("1.1", uid="1.1.1"), instance("1.2", uid="1.2.1"))
    for command in (["rotate"], ["rewrap"], ["retire", "1"]):
        vault.command(*command)
    assert len(vault.request("GET", "/dicomweb/studies").json()) == 2
    row, = vault.disk.sql("SELECT sealed FROM dicom_instances WHERE id = 1")
    places = [vault.data / "index.db", vault.data / "index.db-wal"]
    assert any(row[0][:64] in p.read_bytes() for p in places if p.exists())
    vault.command("shred", vault.list()[0]["id"])
    assert not any(row[0][:64] in p.read_bytes() for p in places if p.exists())
    left = vault.request("GET", "/dicomweb/studies").json()
    assert values(left, "0020000D") == ["1.2"]
    for table in ("dicom_instances", "dicom_series"):
        assert vault.disk.sql(f"SELECT COUNT(*) FROM {table}") == [(1,)]
    assert vault.disk.sql("SELECT COUNT(*) FROM dicom_tags WHERE series NOT IN "
                          "(SELECT id FROM dicom_series)") == [(0,)]


def test_no_room(vault):
    """What there is no room for is told beside what was stored, before it and behind it."""
    vault.start(VAULT_QUOTA=100_000)
    large = instance(rows=256, uid="1.7")
    assert stow(vault, large, instance()).status_code == 507, "at once: nothing is stored so far"
    assert vault.list() == []
    reply = stow(vault, instance(rows=32, uid="1.1"), large, instance(rows=32, uid="1.2"))
    assert (reply.status_code, stored(reply)) == (202, ["1.1", "1.2"]), reply.text
    assert failures(reply) == [(0xA700, "no space left")]
    assert values(reply.json()["00081198"]["Value"], "00081155") == ["1.7"]
    assert sorted(f["name"] for f in vault.list()) == ["1.1.dcm", "1.2.dcm"]
    assert vault.disk.under_way() == []
    log = vault.command("audit", "list").stdout.splitlines()
    assert [" ".join(line.split()[4:]) for line in log if "storage-full" in line] == [
        "store - storage-full"] * 2


def test_an_upload_that_breaks_off(vault):
    """What came before stays, what comes again is a success, and nothing else is left."""
    vault.start()
    small = instance(rows=32)
    assert stow(vault, small).status_code == 200
    whole = multipart([small, small[:500]])
    connection = http.client.HTTPConnection("127.0.0.1", vault.server.port, timeout=60)
    connection.request("POST", "/dicomweb/studies", body=whole[:-300], headers={
        "Authorization": f"Bearer {vault.key}", "Content-Type": TYPE.format("xx"),
        "Content-Length": str(len(whole))})
    connection.close()
    deadline = time.monotonic() + 10
    while vault.disk.under_way() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert vault.disk.under_way() == [] and len(vault.list()) == 1
    assert stow(vault, small).status_code == 200


def test_scopes_and_audit(vault):
    vault.start()
    content = instance()
    for scope, code in [("read", 403), ("admin", 403), ("write", 200)]:
        assert stow(vault, content, key=vault.new_key(scope)).status_code == code
    assert stow(vault, content, key="vk_none").status_code == 401
    assert stow(vault, b"junk").status_code == 409
    log = vault.command("audit", "list").stdout
    assert [line.split() for line in log.splitlines() if " store " in line]
    assert log.count("forbidden") == 2 and " store " in log and "unprocessable" in log

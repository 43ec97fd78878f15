"""QIDO-RS: what is found by which criteria, and what is refused since a blind index cannot answer."""

import hashlib
import hmac
import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import vault_disk
from dicomweb_kit import instance, stow, values
from vault_kit import vault  # noqa: F401

STUDY, SERIES, UID = "0020000D", "0020000E", "00080018"


def search(vault, path="/studies", code=200, **criteria):
    reply = vault.request("GET", "/dicomweb" + path, params=criteria)
    assert reply.status_code == code, reply.text
    return reply.json() if code == 200 else reply.json()["detail"] if code == 400 else []


@pytest.fixture
def hospital(vault):
    """Two patients; the first has two studies, one of these has two series."""
    vault.start()
    made = [
        ("1.1", "1.1.1", "1.1.1.1", "A1", "Müller^Änne", "20240228", "CT", "ACC1"),
        ("1.1", "1.1.1", "1.1.1.2", "A1", "Müller^Änne", "20240228", "CT", "ACC1"),
        ("1.1", "1.1.2", "1.1.2.1", "A1", "Müller^Änne", "20240228", "SR", "ACC1"),
        ("1.2", "1.2.1", "1.2.1.1", "A1", "Müller^Änne", "20240301", "MR", "ACC2"),
        ("1.3", "1.3.1", "1.3.1.1", "B2", "Doe^John^^^", "20250101", "CT", "ACC3"),
    ]
    reply = stow(vault, *(
        instance(study, series, uid, PatientID=pid, PatientName=name, StudyDate=date, Modality=mod,
                 AccessionNumber=acc, SpecificCharacterSet="ISO_IR 100", InstanceNumber=7,
                 StudyDescription="what", SeriesNumber=3)
        for study, series, uid, pid, name, date, mod, acc in made))
    assert reply.status_code == 200, reply.text
    return vault


FOUND = [
    ({}, ["1.1", "1.2", "1.3"]), ({"PatientID": "A1"}, ["1.1", "1.2"]),
    ({"00100020": "A1"}, ["1.1", "1.2"]), ({"PatientID": "a1"}, []), ({"PatientID": "A"}, []),
    ({"PatientName": "Müller^Änne"}, ["1.1", "1.2"]),
    ({"PatientName": "MÜLLER^änne^^^ "}, ["1.1", "1.2"]), ({"PatientName": "Müller"}, []),
    ({"PatientName": "DOE^JOHN"}, ["1.3"]), ({"PatientName": "*"}, ["1.1", "1.2", "1.3"]),
    ({"AccessionNumber": "ACC2"}, ["1.2"]), ({"ModalitiesInStudy": "SR"}, ["1.1"]),
    ({"StudyInstanceUID": "1.3,1.2"}, ["1.2", "1.3"]), ({"StudyInstanceUID": "1.9"}, []),
    ({"StudyDate": "20240228"}, ["1.1"]), ({"StudyDate": "20240228-20240301"}, ["1.1", "1.2"]),
    ({"StudyDate": "20240229-20250228"}, ["1.2", "1.3"]), ({"StudyDate": "20240229"}, []),
    ({"PatientID": "A1", "StudyDate": "20240301-20240331"}, ["1.2"]),
    ({"PatientID": "A1", "ModalitiesInStudy": "CT", "StudyDate": "20240101-20241231"}, ["1.1"]),
    ({"PatientID": "B2", "AccessionNumber": "ACC2"}, []),
    ({"limit": 1}, ["1.1"]), ({"limit": 1, "offset": 1}, ["1.2"]), ({"offset": 3}, []),
    ({"PatientID": "A1", "offset": 1, "fuzzymatching": "false"}, ["1.2"]),

]


def test_studies(hospital):
    for criteria, found in FOUND:
        got = search(hospital, code=200 if found else 204, **criteria)
        assert values(got, STUDY) == found, criteria


def test_what_a_list_tells(hospital):
    one = search(hospital, PatientID="A1")[0]
    assert one["00100010"]["Value"] == [{"Alphabetic": "Müller^Änne"}]
    assert one["00080061"]["Value"] == ["CT", "SR"]
    assert (one["00201206"]["Value"], one["00201208"]["Value"]) == ([2], [3])
    assert one["00081190"]["Value"] == [hospital.server.url + "/dicomweb/studies/1.1"]
    assert one["00081030"]["Value"] == ["what"] and one["00080005"]["Value"] == ["ISO_IR 192"]
    assert "0020000E" not in one
    series = search(hospital, "/studies/1.1/series")
    assert values(series, SERIES) == ["1.1.1", "1.1.2"] and values(series, "00201209") == [2, 1]
    assert values(series, "00200011") == [3, 3] and UID not in series[0]
    instances = search(hospital, "/studies/1.1/series/1.1.1/instances")
    assert values(instances, UID) == ["1.1.1.1", "1.1.1.2"]
    assert values(instances, "00280010") == [4, 4] and values(instances, "00080060") == ["CT"] * 2
    assert instances[1]["00081190"]["Value"][0].endswith(
        "/dicomweb/studies/1.1/series/1.1.1/instances/1.1.1.2")


def test_series_and_instances(hospital):
    def of(path, tag, **criteria):
        return values(search(hospital, path, **criteria), tag)
    assert of("/series", SERIES) == ["1.1.1", "1.1.2", "1.2.1", "1.3.1"]
    assert of("/series", SERIES, Modality="CT") == ["1.1.1", "1.3.1"]
    assert of("/series", SERIES, Modality="CT", PatientID="A1") == ["1.1.1"]
    assert of("/instances", UID, limit=2, offset=1) == ["1.1.1.2", "1.1.2.1"]
    assert of("/instances", UID, SOPInstanceUID="1.3.1.1,1.1.1.2") == ["1.1.1.2", "1.3.1.1"]
    assert of("/instances", UID, SOPInstanceUID="1.3.1.1,1.1.1.2", PatientID="B2") == ["1.3.1.1"]
    assert of("/studies/1.1/instances", UID, SeriesInstanceUID="1.1.2") == ["1.1.2.1"]
    search(hospital, "/studies/1.2/series", 204, Modality="CT")
    search(hospital, "/studies/1.2/series/1.1.1/instances", 204)


REFUSED = [
    ("/studies", "PatientName=Do*", "whole values only"),
    ("/studies", "PatientID=A%3F", "whole values only"),
    ("/studies", "fuzzymatching=true", "whole values only"),
    ("/studies", "StudyDate=20240101-", "closed range"),
    ("/studies", "StudyDate=-20240101", "closed range"),
    ("/studies", "StudyDate=20240101-20250102", "366 days"),
    ("/studies", "StudyDate=20240230", "a day"), ("/studies", "StudyDate=2024", "a day"),
    ("/studies", "StudyDate=20240301-20240228", "closed range"),
    ("/studies", "PatientBirthDate=19310417", "what can be searched for"),
    ("/studies", "00100030=19310417", "what can be searched for"),
    ("/studies", "PatientID=A1&00100020=A1", "twice"),
    ("/studies", "SeriesInstanceUID=1.1.1", "finer list"),
    ("/series", "SOPInstanceUID=1.1.1", "finer list"),
    ("/series", "ModalitiesInStudy=CT", "studies only"),
    ("/series", "Modality=CT&ModalitiesInStudy=CT", "studies only"),
    ("/studies", "Modality=CT&ModalitiesInStudy=CT", "finer list"),
    ("/studies/1.1/instances", "00080061=CT", "studies only"),
    ("/studies", "StudyInstanceUID=x", "want UIDs"), ("/studies", "limit=0", "limit"),
    ("/studies", "limit=1001", "limit"), ("/studies", "offset=-1", "offset"),
    ("/studies/1.1/series", "StudyInstanceUID=1.1", "path and query"),
    ("/studies", "PatientID=%FF", "badly encoded"),
]


def test_what_a_blind_index_cannot_answer(hospital):
    for path, query, why in REFUSED:
        assert why in search(hospital, f"{path}?{query}", 400), query


def test_a_leap_year_is_a_range(hospital):
    assert len(search(hospital, StudyDate="20240101-20241231")) == 2


def test_included_fields(hospital):
    for fields in ["00081030,PatientID", "all", "00280010"]:
        got = hospital.request("GET", f"/dicomweb/studies?includefield={fields}&includefield=all")
        assert got.status_code == 200
        assert ("Warning" in got.headers) == (fields == "00280010")


def test_every_modality_of_many_series(vault):
    """The last of 1,101 series is the only one of its modality. To save time 1,099 of them are but
    rows on the disk, without instances."""
    vault.start()
    assert stow(vault, instance("1.1", "1.1.1", Modality="CT")).status_code == 200
    vault.disk.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1099) "
                   "INSERT INTO dicom_series SELECT NULL, randomblob(32), study, randomblob(32) "
                   "FROM n, (SELECT study FROM dicom_series)")
    vault.disk.sql("INSERT OR IGNORE INTO dicom_tags SELECT study, id FROM dicom_series")
    assert stow(vault, instance("1.1", "1.1.2", Modality="SR")).status_code == 200
    assert search(vault)[0]["00080061"]["Value"] == ["CT", "SR"]


def test_a_reply_is_bounded(vault):
    """In bytes as well: what does not fit is left for the next page, and that is said."""
    vault.start()
    long = {"StudyDescription": "x" * 8000, "SeriesDescription": "y" * 7000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = [instance("1.1", "1.1.1", f"1.1.1.{i}", **long) for i in range(300)]
    with ThreadPoolExecutor(6) as pool:
        replies = pool.map(lambda i: stow(vault, *files[i::6]), range(6))
        assert {r.status_code for r in replies} == {200}
    got = vault.request("GET", "/dicomweb/instances?limit=1000&includefield=all")
    found, offset = values(got.json(), UID), re.search(r"offset=(\d+)", got.headers["Warning"])[1]
    assert 200 < len(found) < 300 and int(offset) == len(found) and len(got.content) < 5 << 20
    rest = vault.request("GET", f"/dicomweb/instances?limit=1000&offset={offset}")
    assert "Warning" not in rest.headers
    assert sorted(found + values(rest.json(), UID)) == sorted(f"1.1.1.{i}" for i in range(300))


def test_deleted_studies_are_found_no_more(hospital):
    assert hospital.request("DELETE", "/dicomweb/studies/1.1").status_code == 204
    assert hospital.request("DELETE", "/dicomweb/studies/1.1").status_code == 404
    assert values(search(hospital), STUDY) == ["1.2", "1.3"]
    file = hospital.request("GET", "/files?name=1.3.1.1.dcm").json()["files"][0]["id"]
    assert hospital.request("DELETE", f"/files/{file}").status_code == 204
    assert values(search(hospital), STUDY) == ["1.2"]
    search(hospital, code=204, PatientID="B2")
    assert len(hospital.list()) == 1
    assert stow(hospital, instance("1.1", "1.1.1", "1.1.1.1")).status_code == 200, "free again"


def test_the_rows_are_as_the_format_says(hospital):
    """Tags and sealed rows by Python's cryptography, from DICOMWEB.md."""
    disk, root = hospital.disk, bytes.fromhex(hospital.root_key_file.read_text())
    key = vault_disk.expand(root, b"dicom-vault blind index v1", 32)

    def tag(name, value):
        return hmac.digest(key, f"dicom {name}\0{value}".encode(), "sha256")

    (series, study, same), = disk.sql(
        "SELECT series, study, same FROM dicom_series WHERE id = (SELECT series FROM dicom_tags "
        "WHERE tag = ?)", tag("patient id", "B2"))
    tags = [tag("study", "1.3"), tag("series", "1.3.1"), tag("patient id", "B2"),
            tag("patient name", "DOE^JOHN"), tag("accession number", "ACC3"),
            tag("modality", "CT"), tag("study date", "20250101")]
    assert (study, series) == tuple(tags[:2])
    assert same == hashlib.sha256(b"".join(b"\1" + t for t in tags)).digest()
    assert {t for t, in disk.sql("SELECT tag FROM dicom_tags t JOIN dicom_series s "
                                 "ON s.id = t.series WHERE same = ?", same)} == set(tags)
    (file_id,), = disk.sql("SELECT object FROM once WHERE tag = ?", tag("instance", "1.3.1.1"))
    (sealed,), = disk.sql("SELECT sealed FROM dicom_instances WHERE object = ?", file_id)
    row = vault_disk.unseal(
        vault_disk.expand(disk.data_key(file_id.hex()), b"dicom-vault dicom row v1", 32), sealed,
        disk.identity(file_id))
    assert json.loads(row)["00100020"]["Value"] == ["B2"]


def test_a_row_of_another_object_opens_nothing(hospital):
    """Rows swapped on the disk: left out of the list, with a warning."""
    rows = hospital.disk.sql("SELECT id, sealed FROM dicom_instances ORDER BY id LIMIT 2")
    for (row_id, _), (_, sealed) in zip(rows, reversed(rows)):
        hospital.disk.sql("UPDATE dicom_instances SET sealed = ? WHERE id = ?", sealed, row_id)
    got = hospital.request("GET", "/dicomweb/instances")
    assert values(got.json(), UID) == ["1.1.2.1", "1.2.1.1", "1.3.1.1"]
    assert "damaged" in got.headers["Warning"]
    said = hospital.command("verify", check=False)
    assert said.returncode == 1 and said.stdout.count("damaged ") == 2


def test_tags_that_were_moved_lead_nowhere(hospital):
    """On the disk, an instance is put into the series of another patient, and another's UID is given
    to it: neither search nor retrieval takes the one for the other."""
    disk = hospital.disk
    of = {name: hospital.request("GET", f"/files?name={name}.dcm").json()["files"][0]["id"]
          for name in ("1.2.1.1", "1.3.1.1")}
    raw = {name: bytes.fromhex(file_id) for name, file_id in of.items()}
    move = "UPDATE dicom_instances SET series = ? WHERE object = ?"
    at = {name: disk.sql("SELECT series FROM dicom_instances WHERE object = ?", object_id)[0][0]
          for name, object_id in raw.items()}
    hospital.command("verify")
    disk.sql(move, at["1.3.1.1"], raw["1.2.1.1"])
    assert f"damaged {of['1.2.1.1']}" in hospital.command("verify", check=False).stdout
    assert values(search(hospital, "/instances", PatientID="B2"), UID) == ["1.3.1.1"]
    assert hospital.request("GET", "/dicomweb/studies/1.3").status_code == 500
    assert hospital.request("DELETE", "/dicomweb/studies/1.3").status_code == 500
    disk.sql(move, at["1.2.1.1"], raw["1.2.1.1"])
    assert hospital.request("GET", "/dicomweb/studies/1.3").status_code == 200
    tag, = disk.sql("SELECT tag FROM once WHERE object = ?", raw["1.3.1.1"])
    disk.sql("DELETE FROM once WHERE object = ?", raw["1.3.1.1"])
    disk.sql("UPDATE once SET tag = ? WHERE object = ?", tag[0], raw["1.2.1.1"])
    disk.sql(move, at["1.3.1.1"], raw["1.2.1.1"])
    place = "/dicomweb/studies/1.3/series/1.3.1/instances/1.3.1.1"
    assert hospital.request("GET", place).status_code == 500


def test_scopes_and_audit(hospital):
    for scope, code in [("write", 403), ("admin", 403), ("read", 200)]:
        key = hospital.new_key(scope)
        assert hospital.request("GET", "/dicomweb/studies", key=key).status_code == code
        code = 403 if scope != "admin" else 404
        assert hospital.request("DELETE", "/dicomweb/studies/9", key=key).status_code == code
    log = hospital.command("audit", "list").stdout
    assert " search - ok" in log and " search - forbidden" in log and "A1" not in log


def test_only_configured_origins(vault):
    ours = "https://viewer.example"
    vault.start(VAULT_CORS_ORIGINS=f"https://other.example,{ours}")
    entries = vault.command("audit", "head").stdout
    ask = {"Access-Control-Request-Method": "GET"}
    reply = vault.request("OPTIONS", "/dicomweb/studies/1.2", key="none",
                          headers={"Origin": ours, **ask})
    assert (reply.status_code, reply.headers["Access-Control-Allow-Origin"]) == (204, ours)
    assert "GET" in reply.headers["Access-Control-Allow-Methods"]
    # A browser asks for Accept as well when there are quotes in it, as in type="application/dicom".
    assert {"Accept", "Authorization", "Content-Type"} <= set(
        reply.headers["Access-Control-Allow-Headers"].split(", "))
    assert vault.command("audit", "head").stdout == entries, "nothing was looked at"
    for origin in ["https://viewer.example.evil", "https://viewer", "null", f"{ours},x"]:
        reply = vault.request("OPTIONS", "/dicomweb/studies", key="none",
                              headers={"Origin": origin, **ask})
        assert reply.status_code == 401
        assert "Access-Control-Allow-Origin" not in reply.headers
    reply = vault.request("GET", "/dicomweb/studies", headers={"Origin": ours})
    assert (reply.status_code, reply.headers["Access-Control-Allow-Origin"]) == (204, ours)

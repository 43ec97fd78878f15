"""WADO-RS: what was stored comes back, byte for byte, to independent readers."""

import struct
import subprocess
from email.parser import BytesParser

import pydicom
import pytest
import requests
from dicomweb_kit import failures, instance, read, sample, samples, stow, write
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from vault_kit import vault  # noqa: F401

DICOM = 'multipart/related; type="application/dicom"'
FRAMES = 'multipart/related; type="application/octet-stream"'
EXPLICIT, IMPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"


def get(vault, path, accept="*/*", **kwargs):
    return vault.request("GET", "/dicomweb" + path, headers={"Accept": accept}, **kwargs)


def parts(reply):
    """Type and content of each part, as Python's own parser has it."""
    head = f"Content-Type: {reply.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + reply.content)
    assert message.is_multipart() and not message.defects, message.defects
    # the parser cuts lines at a bare CR or LF too: contents are cut out by the boundary instead
    cut = reply.content.split(b"--" + message.get_boundary().encode())
    assert cut[0] == b"" and cut[-1] == b"--\r\n" and len(cut) == len(message.get_payload()) + 2
    bodies = [piece[2:-2].split(b"\r\n\r\n", 1)[1] for piece in cut[1:-1]]
    return list(zip([p.get_content_type() for p in message.get_payload()], bodies))


def path_of(ds, *more):
    return (f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}" + "".join(more))


def test_study_series_instance(vault):
    vault.start()
    files = [instance("1.1", "1.1.1"), instance("1.1", "1.1.1"), instance("1.1", "1.1.2")]
    assert stow(vault, *files).status_code == 200
    for path, wanted in [("/studies/1.1", files), ("/studies/1.1/series/1.1.1", files[:2]),
                         (path_of(read(files[2])), files[2:])]:
        reply = get(vault, path, DICOM)
        assert reply.status_code == 200
        assert parts(reply) == [("application/dicom", f) for f in wanted]
    reply = get(vault, path_of(read(files[0])), "application/dicom")
    assert (reply.headers["Content-Type"], reply.content) == ("application/dicom", files[0])
    assert get(vault, "/studies/1.1", "application/dicom").status_code == 406, "three of them"
    for path in ["/studies/1.2", "/studies/1.1/series/1.1", "/studies/1.1.1/series/1.1.1",
                 path_of(read(files[2])).replace("1.1.2", "1.1.1"), "/studies/x"]:
        for more in ["", "/metadata"]:
            assert get(vault, path + more).status_code == 404, path


def test_transfer_syntaxes(vault):
    """As stored, or not at all."""
    vault.start()
    explicit, implicit = instance("1.1"), write(read(instance("1.1")), IMPLICIT)
    stow(vault, explicit)
    one = path_of(read(explicit))
    for path, syntax, code in [(one, "*", 200), (one, EXPLICIT, 200), (one, IMPLICIT, 406),
                               (one, JPEG, 406)]:
        assert get(vault, path, f"{DICOM}; transfer-syntax={syntax}").status_code == code
    stow(vault, implicit)
    for syntax, code in [("*", 200), (EXPLICIT, 406), (IMPLICIT, 406)]:
        assert get(vault, "/studies/1.1", f"{DICOM};transfer-syntax={syntax}").status_code == code
    for accept, code in [(f"image/png, {DICOM};q=0.5", 200), (f"{DICOM};q=0", 406),
                         ("multipart/*", 200), ("text/html, */*;q=0.1", 200), ("image/png", 406),
                         ('multipart/related; type="application/dicom+xml"', 406), ("???", 400)]:
        assert get(vault, one, accept).status_code == code, accept


def dump(files):
    """Each as dcmtk reads it, by one process since it reads its dictionary first."""
    done = subprocess.run(["dcmdump", "-q", "+F", *files], capture_output=True, timeout=60,
                          check=False)
    said = done.stdout.decode("latin1").split("# dcmdump (")[1:]
    assert len(said) == len(files)
    return said


def same(value, text):
    return str(value) == str(text) or (isinstance(value, (int, float)) and
                                       abs(float(text) - value) < 1e-6 * max(1, abs(value)))


def compare(ds, got, where=""):
    """Every element as pydicom has it is in the metadata, and nothing else is."""
    tags = {f"{e.tag:08X}": e for e in ds if e.tag.element != 0}
    assert set(got) - {"00083002", "00080005"} == set(tags) - {"00083002", "00080005"}, where
    for tag, element in tags.items():
        values = got[tag].get("Value", [])
        if element.VR == "SQ" and got[tag]["vr"] == "SQ":
            assert len(values) == len(element.value)
            for item, have in zip(element.value, values):
                compare(item, have, where + tag)
        elif element.VR in ("UI", "LO", "SH", "CS", "DA", "TM", "US", "IS", "FL", "FD", "SS") and \
                tag != "00080005" and got[tag]["vr"] == element.VR:
            wanted = [] if element.is_empty else element.value
            wanted = list(wanted) if element.VM > 1 else [wanted] if wanted != [] else []
            wanted = [w for w in wanted]
            assert len(values) == len(wanted) and all(
                v is None or same(v, str(w).strip()) for v, w in zip(values, wanted)), (
                    where, tag, values, wanted)


def test_every_sample_file(vault, folder):
    """Some 170 files, odd and broken ones among them. What is refused is refused with a reason; what
    is stored comes back the same, byte for byte and to dcmtk, and its metadata says what pydicom
    says."""
    vault.start()
    uids, compared, refused, fetched = {}, 0, set(), folder / "fetched"
    fetched.mkdir()
    for path in samples():
        content = path.read_bytes()
        reply = stow(vault, content)
        if reply.status_code == 409:
            (_, why), = failures(reply)
            refused.add(why)
            continue
        assert reply.status_code == 200, (path, reply.text)
        ds = read(content)
        reply = get(vault, path_of(ds), "application/dicom")
        assert reply.content == content, path
        metadata = get(vault, path_of(ds, "/metadata"), "application/dicom+json")
        assert metadata.status_code == 200, (path, metadata.text)
        got, = metadata.json()
        syntax = ds.file_meta.TransferSyntaxUID
        assert got["00083002"]["Value"] == [syntax]
        uids[fetched / f"{len(uids)}.dcm"] = (ds.SOPInstanceUID, syntax, path.name)
        [*uids][-1].write_bytes(reply.content)
        if not syntax.is_implicit_VR:
            compare(ds, got, path.name)
            compared += 1
    unread = [name for (uid, _, name), said in zip(uids.values(), dump([*uids])) if uid not in said]
    assert unread == [], unread
    syntaxes = {syntax for _, syntax, _ in uids.values()}
    assert len(syntaxes) > 6 and compared > 100 and len(refused) > 6 and "" not in refused, (
        syntaxes, compared, refused)


def nested():
    ds = read(instance(ImageComments="x" * 9000, SpecificCharacterSet="ISO_IR 192",
                       PatientName="Yamada^Tarou=山田^太郎", WindowCenter=["40", "400.5"]))
    inner = Dataset()
    inner.ReferencedSOPInstanceUID, inner.PatientName = "1.2.3", "Ünal^Ö"
    outer = Dataset()
    outer.ReferencedSOPSequence = Sequence([inner, Dataset()])
    ds.ReferencedSeriesSequence = Sequence([outer])
    ds.add_new(0x00091001, "OB", b"\1\2\3\4")
    ds.add_new(0x00091002, "UN", bytes(5000))
    ds.add_new(0x00189999, "FD", [1.5, -2])
    ds.FrameIncrementPointer = 0x00181063
    return ds


def test_metadata(vault):
    vault.start()
    content = write(nested())
    ds = read(content)
    assert stow(vault, content).status_code == 200
    got, = get(vault, path_of(ds, "/metadata"), "application/dicom+json").json()
    assert got["00100010"]["Value"] == [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]
    assert got["00281050"]["Value"] == [40, 400.5] and got["00189999"]["Value"] == [1.5, -2]
    assert got["00280009"]["Value"] == ["00181063"]
    assert got["00091001"] == {"vr": "OB", "InlineBinary": "AQIDBA=="}
    item = got["00081115"]["Value"][0]["00081199"]["Value"]
    assert item[0]["00100010"]["Value"] == [{"Alphabetic": "Ünal^Ö"}] and item[1] == {}
    for tag, value in [("7FE00010", ds.PixelData), ("00091002", bytes(5000)),
                       ("00204000", b"x" * 9000)]:
        assert set(got[tag]) == {"vr", "BulkDataURI"}
        path = got[tag]["BulkDataURI"].removeprefix(vault.server.url + "/dicomweb")
        assert get(vault, path, "application/octet-stream").content == value
        assert parts(get(vault, path, FRAMES)) == [("application/octet-stream", value)]
    base = path_of(ds, "/bulkdata/")
    for name in ["0-", "00-1", "0-999999999", "-1-1", "18446744073709551615-2", "x", "0-1-1"]:
        assert get(vault, base + name).status_code == 404, name
    raw = [("IS", b"1.5 ", ["1.5"]), ("IS", b"-12\\+7 ", [-12, 7]), ("IS", b"9" * 16, ["9" * 16]),
           ("IS", b"1e3 ", ["1e3 ".strip()]), ("DS", b"1.5\\ 2 \\-.5E+2", [1.5, 2, -50]),
           ("DS", b"0x10\\1,5 ", ["0x10", "1,5"]), ("DS", b"1e999 ", ["1e999"])]
    private = b"".join(struct.pack("<HH2sH", 0x41, 0x1000 + i, vr.encode(), len(v)) + v
                       for i, (vr, v, _) in enumerate(raw)) + struct.pack(
                           "<HH2sHIQ", 0x41, 0x1010, b"UV", 0, 8, 2**64 - 1)
    odd = instance()
    at = odd.index(b"\xe0\x7f\x10\x00")
    assert stow(vault, odd[:at] + private + odd[at:]).status_code == 200
    odd, = get(vault, path_of(read(odd), "/metadata")).json()
    assert [odd[f"0041{0x1000 + i:04X}"]["Value"] for i in range(len(raw))] == [v for *_, v in raw]
    assert odd["00411010"]["Value"] == [str(2**64 - 1)]
    again = Dataset.from_json(got, lambda *_: b"")
    assert again.PatientName == ds.PatientName and again.ReferencedSeriesSequence[0] == \
        ds.ReferencedSeriesSequence[0]


def test_metadata_is_bounded(vault):
    """In memory JSON takes some 30 times what many short values take in the file: of all values
    1 MiB stands in the metadata, the rest is bulk data."""
    vault.start()
    plain = instance("1.1", "1.1.1", "1.1.1.1")
    values = [b"a\\" * 4095 for _ in range(300)]
    private = b"".join(struct.pack("<HH2sH", 0x41, 0x1000 + i, b"LO", len(v)) + v
                       for i, v in enumerate(values))
    at = plain.index(b"\xe0\x7f\x10\x00")
    assert stow(vault, plain[:at] + private + plain[at:]).status_code == 200
    reply, = get(vault, path_of(read(plain), "/metadata")).json()
    inline = [tag for tag in reply if len(reply[tag].get("Value", [])) > 4000]
    bulk = [tag for tag in reply if "BulkDataURI" in reply[tag] and tag.startswith("0041")]
    assert len(inline) + len(bulk) == 300 and 100 < len(inline) <= 2**20 // 8190
    assert reply["00280010"]["Value"] == [4]
    uri = reply[bulk[-1]]["BulkDataURI"]
    got = vault.request("GET", uri.removeprefix(vault.server.url), headers={"Accept": "*/*"})
    assert values[-1] in got.content


def audited(vault):
    """What was read: action, object and outcome of each."""
    lines = [line.split(maxsplit=4)[4] for line in
             vault.command("audit", "list").stdout.splitlines()]
    return [line for line in lines if line.startswith("read")]


def test_metadata_of_too_many_elements(vault):
    """What is too much for it is stored and found, and its metadata refused. Behind an instance that
    is sound the reply has begun: it breaks off, for the client and for the audit log."""
    vault.start()
    items = (b"\xfe\xff\x00\xe0" + bytes(4)) * (1 << 17)
    too_many = struct.pack("<HH2sHI", 0x7FE1, 0x1001, b"SQ", 0, len(items)) + items
    content = instance("1.1") + too_many
    assert stow(vault, content).status_code == 200
    assert len(get(vault, "/instances").json()) == 1
    assert get(vault, path_of(read(content), "/metadata")).status_code == 406
    assert get(vault, path_of(read(content), "/frames/1")).status_code == 200
    one = vault.list()[0]["id"]
    assert audited(vault) == [f"read metadata {one} not-acceptable", f"read frames {one} ok"]
    assert stow(vault, instance("1.2")).status_code == 200
    assert stow(vault, instance("1.2") + too_many).status_code == 200
    with pytest.raises(requests.RequestException):
        get(vault, "/studies/1.2/metadata")
    sound, broken = (f["id"] for f in vault.list()[1:])
    assert audited(vault)[2:] == [f"read metadata {sound} ok", f"read metadata {broken} ok",
                                  f"read metadata {broken} not-acceptable"]


def test_frames(vault):
    vault.start()
    ds = read(instance(rows=8, NumberOfFrames=3, PixelData=bytes(range(128)) * 3))
    cases = [(write(ds), [bytes(range(128))] * 3, "application/octet-stream")]
    for name, kind in [("SC_rgb_rle_2frame.dcm", "image/dicom-rle"),
                       ("JPEG2000.dcm", "image/jp2"), ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg")]:
        content = sample(name)
        frames = list(pydicom.encaps.generate_frames(
            read(content).PixelData, number_of_frames=read(content).get("NumberOfFrames", 1)))
        cases.append((content, frames, kind))
    for content, frames, kind in cases:
        assert stow(vault, content).status_code == 200
        base = path_of(read(content), "/frames/")
        numbers = list(range(len(frames), 0, -1))
        reply = get(vault, base + ",".join(map(str, numbers)))
        assert parts(reply) == [(kind, frames[n - 1]) for n in numbers]
        code = 200 if kind == "application/octet-stream" else 406
        assert get(vault, base + "1", FRAMES).status_code == code
        for bad, code in [("0", 404), (str(len(frames) + 1), 404), ("x", 400), ("1,", 400),
                          ("1,,2", 400), ("9999999999", 400)]:
            assert get(vault, base + bad).status_code == code, bad
    report = sample("test-SR.dcm")
    assert stow(vault, report).status_code == 200
    assert get(vault, path_of(read(report), "/frames/1")).status_code == 404


def several_fragments(table):
    """Two frames, the first of which is in two fragments; an offset table says so."""
    ds = read(sample("SC_rgb_jpeg_dcmtk.dcm"))
    one, two = b"\xff\xd8" + b"a" * 6, b"\xff\xd8" + b"b" * 10
    ds.NumberOfFrames, ds.SOPInstanceUID = 2, generate_uid()
    ds.PixelData = pydicom.encaps.encapsulate([one, two], fragments_per_frame=2, has_bot=table)
    return write(ds, JPEG), [one, two]


def test_frames_of_several_fragments(vault):
    vault.start()
    content, frames = several_fragments(True)
    assert stow(vault, content).status_code == 200
    got = parts(get(vault, path_of(read(content), "/frames/2,1")))
    assert [body for _, body in got] == frames[::-1]
    content, _ = several_fragments(False)
    assert stow(vault, content).status_code == 200
    assert get(vault, path_of(read(content), "/frames/1")).status_code == 406


def test_a_frame_of_many_fragments_many_times(vault):
    """What a reply is made of is bounded, however often a frame is named."""
    vault.start()
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    plain = instance()
    head = plain[:plain.index(b"\xe0\x7f\x10\x00")].replace(EXPLICIT.encode(), b"1.2.840.10008.1.2.5")
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + item * 200_001
    assert stow(vault, head + pixels + b"\xfe\xff\xdd\xe0\0\0\0\0").status_code == 200
    path = path_of(read(plain), "/frames/1")
    assert get(vault, path).status_code == 200
    assert get(vault, path + ",1").status_code == 400


def test_rendered(vault):
    """What is rendered is a picture of the right size, for a window that was asked for too; what is
    compressed is given as it is, or not at all."""
    vault.start()
    gray, rgb = read(sample("CT_small.dcm")), sample("SC_rgb_small_odd.dcm")
    jpeg = sample("SC_rgb_jpeg_dcmtk.dcm")
    for content in [sample("CT_small.dcm"), rgb, jpeg, sample("JPEG2000.dcm"),
                    sample("test-SR.dcm")]:
        assert stow(vault, content).status_code == 200
    base = path_of(gray)
    for accept, kind, magic in [("image/jpeg", "image/jpeg", b"\xff\xd8"),
                                ("image/png", "image/png", b"\x89PNG"),
                                ("*/*", "image/jpeg", b"\xff\xd8")]:
        for more in ["/rendered", "/thumbnail", "/frames/1/rendered"]:
            reply = get(vault, base + more, accept)
            assert reply.status_code == 200, reply.text
            assert reply.headers["Content-Type"] == kind and reply.content.startswith(magic)
    png = get(vault, base + "/rendered?window=40,400", "image/png").content
    assert png[16:24] == (128).to_bytes(4, "big") * 2
    assert get(vault, base + "/rendered?viewport=32,32", "image/png").content[16:24] == \
        (32).to_bytes(4, "big") * 2
    series = base[:base.index("/instances")]
    assert get(vault, series + "/thumbnail").status_code == 200
    assert get(vault, path_of(read(rgb), "/rendered"), "image/png").status_code == 200
    reply = get(vault, path_of(read(jpeg), "/rendered"), "image/jpeg")
    frame, = pydicom.encaps.generate_frames(read(jpeg).PixelData, number_of_frames=1)
    assert (reply.headers["Content-Type"], reply.content) == ("image/jpeg", frame)
    for accept, code in [("image/png;q=1, image/jpeg;q=0.5", 200), ("image/png, */*;q=0.1", 200),
                         ("image/png", 406), ("image/png, image/jpeg;q=0", 406)]:
        assert get(vault, path_of(read(jpeg), "/rendered"), accept).status_code == code, accept
    for accept, kind in [("image/png;q=0.4, image/jpeg;q=0.5", "image/jpeg"),
                         ("image/jpeg;q=0.5, image/png", "image/png")]:
        assert get(vault, base + "/rendered", accept).headers["Content-Type"] == kind
    for path, code in [(base + "/rendered?window=x", 400), (base + "/rendered?what=1", 400),
                       (base + "/frames/2/rendered", 404), (base + "/frames/1,1/rendered", 400),
                       (path_of(read(jpeg), "/rendered?window=1,2"), 406),
                       (path_of(read(sample("JPEG2000.dcm")), "/rendered"), 406),
                       (path_of(read(sample("test-SR.dcm")), "/thumbnail"), 406)]:
        assert get(vault, path).status_code == code, path
    assert get(vault, base + "/rendered", "image/gif").status_code == 406


def test_damage_is_never_given_out(vault):
    """In the middle of a frame the reply breaks off; what is made of the whole frame is none."""
    vault.start()
    content = instance(rows=400)
    stow(vault, content)
    ds = read(content)
    blob = vault.disk.path(vault.list()[0]["id"])
    sound = blob.read_bytes()
    blob.write_bytes(sound[:300_000] + bytes([sound[300_000] ^ 1]) + sound[300_001:])
    assert get(vault, path_of(ds, "/metadata")).status_code == 200, "its chunks are sound"
    assert get(vault, path_of(ds, "/rendered")).status_code == 500
    with pytest.raises(requests.RequestException):
        get(vault, path_of(ds, "/frames/1"))
    assert "read frames" in vault.command("audit", "list").stdout.splitlines()[-1]
    assert vault.command("audit", "list").stdout.endswith(" corrupt\n")
    blob.write_bytes(sound[:100] + bytes([sound[100] ^ 1]) + sound[101:])
    for path in ["/metadata", "/rendered", "/frames/1", ""]:
        assert get(vault, path_of(ds, path)).status_code == 500, path


def test_every_read_is_in_the_audit_log(vault):
    vault.start()
    stow(vault, instance("1.1", "1.1.1", "1.1.1.1"), instance("1.1", "1.1.1", "1.1.1.2"))
    ids = [f["id"] for f in vault.list()]
    base = "/studies/1.1/series/1.1.1/instances/1.1.1.1"
    for path in ["/studies/1.1", base + "/metadata", base + "/frames/1", base + "/rendered",
                 base + "/bulkdata/0-9", "/studies/1.9", base + "/frames/9"]:
        get(vault, path)
    vault.request("DELETE", "/dicomweb/studies/1.1")
    log = [line.split(maxsplit=4)[4] for line in
           vault.command("audit", "list").stdout.splitlines()][-10:]
    assert log == [f"read {ids[0]} ok", f"read {ids[1]} ok", f"read metadata {ids[0]} ok",
                   f"read frames {ids[0]} ok", f"render {ids[0]} ok", f"read bulk data {ids[0]} ok",
                   "read - not-found", f"read frames {ids[0]} not-found",
                   f"delete {ids[0]} ok", f"delete {ids[1]} ok"]

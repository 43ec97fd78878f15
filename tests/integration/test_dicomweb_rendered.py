"""Rendered pictures, pixel by pixel against PS3.3, C.11.2.1.2, worked out here once more."""

import math
import struct
import warnings
import zlib

import pydicom
from dicomweb_kit import instance, read, sample, samples, stow
from vault_kit import vault  # noqa: F401


def rendered(vault, ds, query=""):
    path = (f"/dicomweb/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}/rendered{query}")
    return vault.request("GET", path, headers={"Accept": "image/png"})


def unfilter(kind, row, above, step):
    """A row of a PNG as it was before its filter (PNG, section 9.2)."""
    for i, x in enumerate(row):
        a, b, c = row[i - step] if i >= step else 0, above[i], above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        row[i] = (x + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
    return row


def unpack_png(content):
    """Columns, rows, samples a pixel, and the rows with their filters, of an 8-bit picture."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", content, at + 8 + length)[0]
        if kind == b"IHDR":
            columns, rows, depth, color = struct.unpack_from(">IIBB", body)
            assert depth == 8 and color in (0, 2)
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    assert kind == b"IEND"
    step, raw = 3 if color == 2 else 1, zlib.decompress(packed)
    assert len(raw) == rows * (1 + columns * step)
    return columns, rows, step, raw


def read_png(content):
    """Columns, rows and samples."""
    columns, rows, step, raw = unpack_png(content)
    out, above = bytearray(), bytes(columns * step)
    for y in range(rows):
        begin = y * (columns * step + 1)
        above = unfilter(raw[begin], bytearray(raw[begin + 1:begin + 1 + columns * step]), above,
                         step)
        out += above
    return columns, rows, bytes(out)


def values(ds):
    """The rescaled values of a gray frame."""
    code = {(8, 0): "B", (8, 1): "b", (16, 0): "H", (16, 1): "h"}[
        ds.BitsAllocated, ds.PixelRepresentation]
    raw = struct.unpack_from(f"<{ds.Rows * ds.Columns}{code}", ds.PixelData)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    return [v * slope + intercept for v in raw]


def linear(c, w):
    return lambda x: (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(c, w):
    return lambda x: (x - c) / w + 0.5


def sigmoid(c, w):
    return lambda x: 1 / (1 + math.exp(-4 * (x - c) / w))


WINDOWS = [("40,400", linear(40, 400)), ("-600.5,1500,linear", linear(-600.5, 1500)),
           ("100,50,linear-exact", linear_exact(100, 50)), ("300,200,sigmoid", sigmoid(300, 200))]


def shades(numbers, shape):
    return [max(0, min(255, 255 * shape(x))) for x in numbers]


def same(got, want):
    """Halves may be rounded either way."""
    assert len(got) == len(want)
    wrong = [(i, g, w) for i, (g, w) in enumerate(zip(got, want)) if abs(g - w) > 0.5 + 1e-6]
    assert wrong == [], wrong[:5]


def check(vault, ds, shape, query=""):
    reply = rendered(vault, ds, query)
    assert reply.status_code == 200, reply.text
    columns, rows, got = read_png(reply.content)
    assert (columns, rows) == (ds.Columns, ds.Rows)
    want = shades(values(ds), shape)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        want = [255 - w for w in want]
    same(got, want)


def test_real_pictures(vault):
    vault.start()
    for name in "CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm":
        content = sample(name)
        assert stow(vault, content).status_code == 200
        check_windows(vault, read(content), 1 if name == "examples_overlay.dcm" else 4)


def check_windows(vault, ds, queries):
    if "WindowWidth" in ds:
        first = [float(getattr(ds, k)[0] if ds[k].VM > 1 else getattr(ds, k))
                 for k in ("WindowCenter", "WindowWidth")]
        check(vault, ds, linear(*first))
    else:
        low, high = min(values(ds)), max(values(ds))
        check(vault, ds, linear_exact((low + high) / 2, high - low))
    for window, shape in WINDOWS[:queries]:
        check(vault, ds, shape, f"?window={window}")


def test_made_pictures(vault):
    """What no sample is: inverted, signed 8 bits, a slope that turns it round."""
    vault.start()
    noise = bytes((i * 7919 + i // 3) % 256 for i in range(512))
    for content in [
            instance(rows=16, PixelData=noise, PhotometricInterpretation="MONOCHROME1"),
            instance(rows=16, PixelData=noise, RescaleSlope="-0.37", RescaleIntercept="1200"),
            instance(rows=16, PixelData=noise[:256], BitsAllocated=8, BitsStored=8, HighBit=7,
                     PixelRepresentation=1)]:
        ds = read(content)
        assert stow(vault, content).status_code == 200
        low, high = min(values(ds)), max(values(ds))
        check(vault, ds, linear_exact((low + high) / 2, high - low))
        check(vault, ds, linear(10, 90), "?window=10,90")


def test_colors(vault):
    vault.start()
    content = sample("examples_rgb_color.dcm")
    ds = read(content)
    assert stow(vault, content).status_code == 200
    got = read_png(rendered(vault, ds).content)
    assert got == (ds.Columns, ds.Rows, ds.PixelData[:ds.Columns * ds.Rows * 3])
    whole = read_png(rendered(vault, ds, "?viewport=4000,60").content)
    assert whole[:2] == (80, 60)
    part = read_png(rendered(vault, ds, "?viewport=10,10,20,30,10,10").content)
    rows = [ds.PixelData[((30 + y) * ds.Columns + 20) * 3:][:30] for y in range(10)]
    assert part == (10, 10, b"".join(rows))


def test_every_sample_is_rendered_or_refused_with_a_reason(vault):
    vault.start()
    seen, refused = 0, {}
    for path in samples():
        content = path.read_bytes()
        if path.parent.name == "charset_files":  # of texts alone
            continue
        if stow(vault, content).status_code != 200:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path)
        reply = rendered(vault, ds)
        if reply.status_code == 200:
            assert unpack_png(reply.content)[:3] == (ds.Columns, ds.Rows, ds.SamplesPerPixel)
            seen += 1
        else:
            assert reply.status_code == 406, (path, reply.text)
            refused.setdefault(reply.json()["detail"], []).append(path.name)
    assert seen > 8 and len(refused) > 3, (seen, refused)

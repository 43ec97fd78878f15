"""The page in headless Chromium, with DICOM files that pydicom brings: upload, search, pictures,
seals, the audit log."""

import json
import os
import struct
import warnings
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from harness.process import until
from pydicom.uid import generate_uid
from vault_kit import vault  # noqa: F401

SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
EVIL = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
NAME = "<b>Evil</b><script>alert(1)</script>"  # in a name, = is between groups
# What must never happen is kept from the first moment of a page on.
WATCH = """window.wrong = [];
for (const kind of ['securitypolicyviolation', 'error', 'unhandledrejection'])
  window.addEventListener(kind, (e) => window.wrong.push(
    `${kind} ${e.violatedDirective || ''} ${e.blockedURI || ''} ${e.message || e.reason || ''}`));
window.drops = 0;
window.addEventListener('drop', () => { window.drops += 1; });"""


class Person:
    """One who looks at the vault's page."""

    def __init__(self, browser, vault):
        self.page = browser.open("about:blank#")
        self.page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.page.go(vault.server.url + "/")
        self.page.wait("document.readyState === 'complete' && !!document.getElementById('key')")
        for name in ("run", "wait", "click", "type", "press", "texts", "call"):
            setattr(self, name, getattr(self.page, name))

    def sign_in(self, key):
        self.type("#key", key)
        self.wait("!document.getElementById('vault').hidden")

    def drop(self, *paths):
        """Drag files from outside onto the page, as a file manager does."""
        data = {"items": [], "files": [str(p) for p in paths], "dragOperationsMask": 1}

        def drag(kind):
            self.call("Input.dispatchDragEvent", type=kind, x=400, y=300, data=data)

        def dropped():
            """A drop before the page has answered dragOver is told to it as a leave."""
            before = self.run("window.drops")
            for kind in "dragEnter", "dragOver", "dragOver", "drop":
                drag(kind)
            try:
                return self.wait(f"window.drops > {before}", timeout=5)
            except AssertionError:
                return False

        until(dropped, what="the page takes what is dropped")

    def stored(self, said):
        until(lambda: self.texts("#uploads-said") == [said],
              what=f"{said}: {self.texts('#uploads-said') + self.texts('#uploads-list li')}")

    def names(self):
        return self.texts("#study-list strong")

    def lists(self, *names):
        until(lambda: sorted(self.texts("button.study strong")) == sorted(names),
              what=f"{names}: {self.texts('button.study strong')}")

    def press_button(self, text, within="body"):
        self.wait(f"[...document.querySelectorAll({json.dumps(within + ' button')})].some((b) => "
                  f"b.textContent.includes({json.dumps(text)}))")
        self.run(f"[...document.querySelectorAll({json.dumps(within + ' button')})].find((b) => "
                 f"b.textContent.includes({json.dumps(text)})).click()")

    def look_at(self, name, picture=True):
        """Open the first series of that patient's study, once its thumbnail, or that there is none,
        is there."""
        self.press_button(name, "#study-list")
        study = ("[...document.querySelectorAll('#study-list > li')].find((li) => li.querySelector("
                 f"'.study').textContent.includes({json.dumps(name)}))")
        self.wait(f"{study}.querySelector('.thumbnail img')?.naturalWidth > 0" if picture else
                  f"!!{study}.querySelector('.no-picture')")
        self.run(f"{study}.querySelector('.series').click()")
        self.wait("document.getElementById('viewer').open && "
                  "document.getElementById('picture-said').textContent !== '…' && "
                  "document.querySelectorAll('#tag-list tr').length > 0")

    def shade(self, x, y):
        """Red, green and blue of the picture there."""
        return self.run("[...document.getElementById('picture').getContext('2d')"
                        f".getImageData({x}, {y}, 1, 1).data].slice(0, 3)")

    def drag(self, dx, dy):
        at = self.run("(() => { const r = document.getElementById('picture')"
                      ".getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; "
                      "})()")
        for kind, x, y in (("mousePressed", *at), ("mouseMoved", at[0] + dx / 2, at[1] + dy / 2),
                           ("mouseMoved", at[0] + dx, at[1] + dy),
                           ("mouseReleased", at[0] + dx, at[1] + dy)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1,
                      buttons=0 if kind == "mouseReleased" else 1)

    def turn_wheel(self, notches):
        for _ in range(abs(notches)):
            self.call("Input.dispatchMouseEvent", type="mouseWheel", x=200, y=300, deltaX=0,
                      deltaY=120 if notches > 0 else -120)

    def window(self):
        return [float(t) for t in self.texts("#center-at, #width-at")]

    def tab_to(self, selector, most=40):
        for _ in range(most):
            self.press("Tab")
            if self.run(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{selector} is not reached by Tab")

    def screenshot(self, name, dark=False, phone=False):
        if not os.environ.get("SCREENSHOTS"):
            return
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        if phone:
            self.call("Emulation.setDeviceMetricsOverride", width=390, height=844,
                      deviceScaleFactor=2, mobile=True)
        self.page.screenshot(f"{os.environ['SCREENSHOTS']}/{name}.png")
        self.call("Emulation.clearDeviceMetricsOverride")


@pytest.fixture
def visit(browsers, vault):
    """visit(): somebody at the vault's page. In the end nothing went wrong that nobody saw."""
    people = []

    def come():
        people.append(Person(browsers(0), vault))
        return people[-1]

    vault.start()
    yield come
    for person in people:
        wrong = person.run("window.wrong")
        person.page.close()
        assert wrong == []


@pytest.fixture
def dicom(folder):
    """dicom(name, change): one of pydicom's files, changed; its path."""

    def make(sample, name=None, **elements):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(SAMPLES / sample)
            for keyword, value in elements.items():
                setattr(ds, keyword, value)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            path = folder / (name or sample)
            ds.save_as(path, enforce_file_format=True)
        return path

    return make


def expected(path, x, y, center, width):
    """The shade of a CT's pixel, by PS3.3, C.11.2.1.2.1, from what pydicom reads."""
    ds = pydicom.dcmread(path)
    [v] = struct.unpack_from("<h", ds.PixelData, 2 * (y * ds.Columns + x))
    value = v * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    return round(max(0, min(1, (value - (center - 0.5)) / (width - 1) + 0.5)) * 255)


def test_what_is_dropped_is_found_and_seen(visit, vault, folder):
    person = visit()
    person.sign_in(vault.key)
    person.wait("!!document.querySelector('#study-list .empty')")
    (folder / "note.txt").write_text("no picture")
    person.drop(SAMPLES / "CT_small.dcm", SAMPLES / "MR_small.dcm",
                SAMPLES / "examples_rgb_color.dcm", folder / "note.txt")
    person.stored("4 of 4 files stored")
    person.lists("CompressedSamples CT1", "CompressedSamples MR1", "CompressedSamples US1")
    person.screenshot("vault-studies")
    person.type("[name=PatientName]", "compressedsamples^ct1")
    person.lists("CompressedSamples CT1")

    person.look_at("CT1")
    path = SAMPLES / "CT_small.dcm"
    center, width = person.window()
    for x, y in (0, 0), (64, 64), (127, 127), (90, 30):
        shade = expected(path, x, y, center, width)
        assert all(abs(c - shade) <= 1 for c in person.shade(x, y)), (x, y)
    assert person.texts("#viewer-title") == ["CompressedSamples CT1"]
    person.screenshot("vault-viewer")
    person.screenshot("vault-viewer-dark", dark=True, phone=True)

    # Down and to the right: a lower level, a wider window.
    log = vault.command("audit", "list").stdout
    person.drag(40, 60)
    person.wait(f"document.getElementById('center-at').textContent !== '{center:.0f}'")
    level, window = person.window()
    assert level < center and window > width
    assert abs(person.shade(64, 64)[0] - expected(path, 64, 64, level, window)) <= 1
    assert person.shade(64, 64)[0] != expected(path, 64, 64, center, width)
    person.press_button("Lung", "#presets")
    assert person.window() == [-600, 1500]
    assert abs(person.shade(10, 10)[0] - expected(path, 10, 10, -600, 1500)) <= 1
    person.press_button("As stored", "#presets")
    assert person.window() == [center, width]
    assert vault.command("audit", "list").stdout == log  # nothing was asked for again

    tags = dict(zip(person.texts("#tag-list code"), person.texts("#tag-list .value")))
    assert tags["(0010,0020)"] == "1CT1" and tags["(0028,0010)"] == "128"
    assert tags["· (0010,0020)"] == "1234ABCD"  # inside of Other Patient IDs
    assert tags["(0008,0008)"] == "ORIGINAL \\ PRIMARY \\ AXIAL"
    person.type("#tags-find", "(0010,", enter=False)
    assert all("(0010," in t for t in person.texts("#tag-list code"))
    assert len(person.texts("#tag-list code")) >= 5


def test_colors_and_what_has_no_picture(visit, vault):
    person = visit()
    person.sign_in(vault.key)
    person.drop(SAMPLES / "examples_rgb_color.dcm", SAMPLES / "SC_rgb_jpeg_dcmtk.dcm",
                SAMPLES / "JPEG2000.dcm")
    person.stored("3 of 3 files stored")
    person.look_at("US1")
    assert person.run("document.getElementById('picture').width") == 320
    assert person.run("document.getElementById('window').disabled") is True
    ds = pydicom.dcmread(SAMPLES / "examples_rgb_color.dcm")
    at = (100 * 320 + 100) * 3
    want = ds.PixelData[at:at + 3]
    assert all(abs(a - b) < 24 for a, b in zip(person.shade(100, 100), want))
    person.press("Escape")
    person.look_at("Lestrade")  # baseline JPEG, as it is
    assert person.run("document.getElementById('picture').width") == 100
    red = person.shade(50, 5)
    assert red[0] > 200 and red[1] < 60 and red[2] < 60
    person.press("Escape")
    person.look_at("NM1", picture=False)
    assert person.run("document.getElementById('picture').width") == 1
    assert person.texts("#picture-said") != [""]
    assert "1CT" not in person.texts("#tag-list .value")


def test_pictures_by_wheel_and_keyboard(visit, vault, dicom):
    """A series of one picture and three frames; somebody without a mouse sees all of it."""
    ct = pydicom.dcmread(SAMPLES / "CT_small.dcm")
    flat = [struct.pack("<h", v) * (ct.Rows * ct.Columns) for v in (1000, 1100, 1200)]
    frames = dicom("CT_small.dcm", "frames.dcm", NumberOfFrames=3, PixelData=b"".join(flat),
                   InstanceNumber=2, SOPInstanceUID=generate_uid())
    person = visit()
    person.sign_in(vault.key)
    person.drop(SAMPLES / "CT_small.dcm", frames)
    person.stored("2 of 2 files stored")
    until(lambda: "2 objects" in "".join(person.texts("button.study")), what="both in one study")

    person.run("document.getElementById('choose').querySelector('input').focus()")
    person.tab_to("button.study")
    person.press("Enter")
    person.wait("!!document.querySelector('button.series')")
    person.tab_to("button.series")
    person.press("Enter")
    person.wait("document.getElementById('viewer').open && document.activeElement.id === 'picture'")

    def at(n):
        """That picture, which is all of one shade unless it is the first, as Soft tissue has it."""
        shade = {n: round((1000 + 100 * (n - 2) - 1024 - 39.5) / 399 * 255 + 127.5)
                 for n in (2, 3, 4)}.get(n)
        until(lambda: person.texts("#picture-place") == [f"{n} of 4"] and
              (n == 1 or abs(person.shade(5, 5)[0] - shade) <= 1), what=f"picture {n}, {shade}: {person.texts('#picture-place')}, "
                   f"{person.shade(5, 5)}")

    at(1)
    person.press_button("Soft tissue", "#presets")
    person.run("document.getElementById('picture').focus()")
    person.press("ArrowDown")
    at(2)
    person.turn_wheel(1)
    at(3)
    assert person.window() == [40, 400]  # a window that was chosen stays
    person.turn_wheel(-2)
    at(1)
    person.press("End")
    at(4)
    person.turn_wheel(1)
    at(4)
    person.tab_to("#frame")
    person.press("ArrowLeft")
    at(3)
    person.run("document.getElementById('picture').focus()")
    person.press("Home")
    at(1)
    person.wait("Number(document.getElementById('width').max) > 1000")  # the picture is there
    person.press("ArrowUp", modifiers=8)  # with Shift
    person.press("ArrowRight", modifiers=8)
    level, window = person.window()
    assert level > 40 and window > 400
    person.press("Escape")
    person.wait("!document.getElementById('viewer').open && "
                "document.activeElement.matches('button.series')")


def test_text_is_never_markup(visit, vault, dicom, folder):
    """Every text that a stranger may choose, everywhere it is shown."""
    path = dicom("CT_small.dcm", "evil.dcm", PatientName=NAME, PatientID="<b>7", StudyID="<i>",
                 StudyDescription=EVIL[:64], SeriesDescription=EVIL[:64], AccessionNumber="<u>9",
                 PatientComments=EVIL, ResultsID="<s>")
    named = folder / "<img src=x onerror='window.hit=1'>.txt"
    named.write_text("x")
    person = visit()
    person.sign_in(vault.key)
    person.drop(path, named)
    person.stored("2 of 2 files stored")
    person.lists(NAME)
    person.look_at("Evil")
    assert person.texts("#viewer-title") == [NAME]
    assert EVIL in person.texts("#tag-list .value")
    tags = [t for t in person.texts("#tag-list code") if t[0] == "("]
    assert "(4008,0040)" in tags and tags == sorted(tags)
    person.press("Escape")
    person.click("[data-view=files]")
    person.wait("document.getElementById('file-list').textContent.includes('onerror')")
    person.click("#file-list button[aria-label^=Seal]")
    person.wait("document.getElementById('seal').open")
    assert person.run("document.querySelectorAll('img[src=x], body script, b, i, u, s').length") == 0
    assert person.run("window.hit") is None
    assert person.run("window.wrong") == []
    # A control: the policy of the page holds where escaping would fail, and its watch sees it.
    person.run("(() => { const d = document.createElement('div'); d.innerHTML = "
               "\"<img src=x onerror='window.hit=1'>\"; document.body.append(d); })()")
    person.wait("window.wrong.length > 0")
    assert person.run("window.hit") is None
    assert "script-src" in person.run("window.wrong.splice(0).join()")


def test_progress_of_an_upload(visit, vault, dicom):
    """Over a slow line the bar goes from nothing to all by way of what is between, never back."""
    path = dicom("CT_small.dcm", "large.dcm", Rows=1024, Columns=1024, PixelData=bytes(2 << 20))
    person = visit()
    person.sign_in(vault.key)
    person.run("""window.progress = [];
        new MutationObserver(() => {
          const bar = document.getElementById('uploads-all');
          window.progress.push(bar.value / bar.max);
        }).observe(document.getElementById('uploads-all'), {attributes: true})""")
    person.call("Network.enable")
    person.call("Network.emulateNetworkConditions", offline=False, latency=0,
                downloadThroughput=-1, uploadThroughput=2 << 20)
    person.drop(path)
    person.stored("1 of 1 file stored")
    seen = person.run("window.progress")
    assert seen == sorted(seen) and seen[-1] == 1, seen
    assert len({x for x in seen if 0.05 < x < 0.95}) > 1, seen


def test_one_file_twice_shares_nothing(visit, vault, folder):
    once, twice = folder / "a.txt", folder / "b.txt"
    for path in once, twice:
        path.write_text("the same words, " * 10_000)
    person = visit()
    person.sign_in(vault.key)
    person.drop(once, twice)
    person.stored("2 of 2 files stored")
    person.click("[data-view=files]")
    person.click("#file-list button[aria-label='Seal a.txt']")
    person.wait("document.getElementById('seal').open")
    assert len(person.texts("#seals section")) == 2  # put beside it by itself
    [said] = person.texts("#seal-verdict")
    assert said.startswith("The same content. Of the 56 bytes")
    left, right = (person.texts(f"#seals section:nth-child({i}) dd") for i in (1, 2))
    assert left[2] == right[2] and left[0] == "a.txt" and right[0] == "b.txt"
    for file_id, shown in zip((left[1], right[1]), (left, right)):
        assert "".join(shown[5:7]) == vault.disk.path(file_id).read_bytes()[:56].hex()
    assert left[5] != right[5] and left[6] != right[6]

    def pieces(content):
        return {content[i:i + 8] for i in range(len(content) - 7)}

    seals = [pieces(vault.disk.path(file_id).read_bytes()) for file_id in (left[1], right[1])]
    assert len(seals[0]) == len(seals[1]) > 160_000, "nor is a piece in one of them twice"
    assert not seals[0] & seals[1] and not seals[0] & pieces(once.read_bytes())
    assert len(pieces(once.read_bytes())) == 16, "a control: in the clear they are the same 16"
    person.screenshot("vault-seal")


def test_the_audit_log_is_for_admins(visit, vault):
    reader = vault.new_key("read")
    vault.request("POST", "/files", key=reader, data=b"x")
    person = visit()
    person.sign_in(reader)
    person.click("[data-view=audit]")
    person.wait("document.getElementById('said').textContent !== ''")
    assert person.texts("#audit-list tr") == []
    person.click("#sign-out")
    person.sign_in(vault.key)
    person.click("[data-view=audit]")
    person.wait("document.querySelectorAll('#audit-list tr').length > 3")
    newest = person.texts("#audit-list tr:first-child td")
    assert newest[2] == vault.key.split("_")[1] and newest[3] == "127.0.0.1"
    refused = person.texts("#audit-list .refused td:nth-child(5)")
    assert sorted(refused)[-1] == "store" and "audit" in "".join(refused)
    person.click("#audit-refused")
    shown = person.run("[...document.querySelectorAll('#audit-list tr')]"
                       ".filter((tr) => tr.offsetParent).map((tr) => tr.lastChild.textContent)")
    assert set(shown) == {"forbidden"}
    person.screenshot("vault-audit", dark=True)


def test_only_an_admin_deletes(visit, vault, dicom):
    """And a file that says that it has two thousand million frames is but a file."""
    path = dicom("CT_small.dcm", "many.dcm", NumberOfFrames=2_000_000_000)
    person = visit()
    person.sign_in(vault.new_key("read,write"))
    person.drop(path)
    person.stored("1 of 1 file stored")
    person.look_at("CT1")
    assert person.texts("#picture-place") == ["1 of 200000"]
    person.press("End")
    person.wait("document.getElementById('picture').width === 1")
    person.press("Escape")
    person.run("window.confirm = () => true")
    person.press_button("Delete this study", "#study-list")
    person.wait("document.getElementById('said').className === 'error'")
    assert len(vault.list()) == 1
    person.click("#sign-out")
    person.sign_in(vault.key)
    person.press_button("CT1", "#study-list")
    person.press_button("Delete this study", "#study-list")
    until(lambda: vault.list() == [], what="the study gone")
    person.wait("document.querySelectorAll('.study').length === 0")


def test_a_key_is_kept_nowhere_and_may_end(visit, vault):
    key = vault.new_key("read,write")
    person = visit()
    person.type("#key", "vk_0123456789abcdef_" + "0" * 64)
    person.wait("document.getElementById('login-error').textContent !== ''")
    person.sign_in(key)
    assert person.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert person.run("document.getElementById('key').value") == ""
    vault.command("apikey", "--revoke", key)
    person.click("[data-view=files]")
    person.wait("!document.getElementById('login').hidden")
    assert "no good" in person.texts("#login-error")[0]
    assert person.texts("#study-list li") == []


def test_what_is_refused_is_said(visit, vault, folder):
    """One that breaks off, among others."""
    cut = folder / "cut.dcm"
    cut.write_bytes((SAMPLES / "CT_small.dcm").read_bytes()[:3000])
    person = visit()
    person.sign_in(vault.key)
    person.drop(SAMPLES / "CT_small.dcm", cut)
    person.stored("1 of 2 files stored, 1 failed")
    [said] = person.texts("#uploads-list .failed")
    assert said.startswith("cut.dcm") and len(said) > len("cut.dcm") + 5
    person.lists("CompressedSamples CT1")


def test_fits_a_phone(visit, vault, dicom):
    """Nothing sticks out, and every control has a name."""
    long = "Donaudampfschifffahrtsgesellschaft" * 2
    path = dicom("CT_small.dcm", "long.dcm", PatientName=long[:64], StudyDescription=long[:64],
                 SeriesDescription=long[:64])
    person = visit()
    person.sign_in(vault.key)
    person.drop(path)
    person.stored("1 of 1 file stored")
    vault.put(b"x", **{"Content-Disposition": f"attachment; filename={long}"})
    person.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2,
                mobile=True)
    nameless = ("[...document.querySelectorAll('button, input, select')].filter((e) => "
                "e.offsetParent && !(e.textContent || e.ariaLabel || e.labels?.length)).map((e) => e.outerHTML)")
    for view in "files", "audit", "studies":
        person.click(f"[data-view={view}]")
        person.wait(f"document.querySelectorAll('#{view} tbody tr, #{view} .study').length > 0")
        assert person.run("document.documentElement.scrollWidth") <= 360, view
        assert person.run(nameless) == [], view
    person.look_at("Donau")
    assert person.run("document.documentElement.scrollWidth") <= 360
    assert person.run("document.getElementById('viewer').scrollWidth") <= 360
    assert person.run(nameless) == []
    person.call("Emulation.clearDeviceMetricsOverride")

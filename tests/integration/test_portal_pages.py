"""The pages in headless Chromium: a student, a teacher, an admin; and a student at the admin's
address."""

import json
import os

import pytest
from portal_world import PASSWORD, World

from harness.process import until


@pytest.fixture(scope="module")
def world(run_folder, mariadb, redis):
    w = World(run_folder / "portal-pages", mariadb, redis, "portal_pages")
    yield w
    w.close()


@pytest.fixture
def open_page(world, browsers):
    """open_page(account, hash) -> a page where that person is logged in, by a session put there."""
    pages = []

    def start(account=None, hash=""):
        page = browsers(0).open(world.url + "/openapi.json")
        page.call("Network.clearBrowserCookies")
        if account:
            cookie = world.visitor(account).cookies["session"]
            page.call("Network.setCookie", name="session", value=cookie, url=world.url)
        page.go(world.url + "/" + hash)
        pages.append(page)
        return page

    yield start
    for page in pages:
        page.call("Page.close")


def has(page, text, selector="#view"):
    page.wait(f"document.querySelector({json.dumps(selector)})?.textContent.includes({json.dumps(text)})")


def press(page, text, selector="button"):
    """The button, or link, of that text."""
    find = (f"[...document.querySelectorAll({json.dumps(selector)})]"
            f".find((e) => e.textContent === {json.dumps(text)})")
    page.wait(f"!!{find}")
    page.run(f"{find}.click()")


def fill(page, **fields):
    for name, text in fields.items():
        page.type(f"#view [name={name}]", text, enter=False)


def key(page, name, code=None):
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=name, code=code or f"Key{name.upper()}")


def shot(page, name):
    """Pictures of the pages, light and dark and narrow, when somebody wants to look at them."""
    folder = os.environ.get("SCREENSHOTS")
    if not folder:
        return
    for scheme, width in (("light", 1000), ("dark", 1000), ("light", 400)):
        page.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1, mobile=width < 500)
        page.screenshot(f"{folder}/portal-{name}-{scheme}-{width}.png")
    page.call("Emulation.clearDeviceMetricsOverride")


def test_log_in_and_out(world, open_page):
    page = open_page()
    page.wait("!document.getElementById('login').hidden")
    shot(page, "login")
    page.type("#account", "ana", enter=False)
    page.type("#password", "wrong")
    has(page, "wrong", "#login-error")
    page.run("document.getElementById('password').value = ''")
    page.type("#password", PASSWORD)
    has(page, "Operating Systems")
    assert page.texts("#who") == ["Ana Alvarez (student)"]
    page.click("#logout")
    page.wait("!document.getElementById('login').hidden")
    assert "Operating" not in page.run("document.body.textContent")
    page.go(world.url + "/#/people")
    page.wait("!document.getElementById('login').hidden")


def test_a_person_changes_the_password(world, open_page):
    page = open_page("dan", "#/password")
    has(page, "Change your password")
    for old, outcome in (("wrong", "old is not your password"), (PASSWORD, "was changed")):
        page.run("document.querySelector('#view form')?.reset()")
        fill(page, old=old, new="another-password")
        press(page, "Change")
        has(page, outcome, "#message")
    assert world.client().login("dan").status_code == 401
    fill(page, old="another-password", new=PASSWORD)  # the page has the new session's token
    press(page, "Change")
    until(lambda: world.client().login("dan").status_code == 200, 20, "the old one again")


def test_a_student_sees_attendance_and_checks_in(world, open_page):
    world.sql("INSERT INTO class_sessions (id, course_id, starts_at) VALUES (70, 1, UTC_TIMESTAMP())")
    frank = world.visitor("frank")
    assert frank.put("/sessions/70/check-in", json={}).status_code == 200
    page = open_page("ana")
    has(page, "75 % attended")
    has(page, "50 % below 75 %")
    assert page.texts("h2") == ["Check in: Operating Systems", "Operating Systems", "Linear Algebra"]
    assert "January 2026" in page.texts("caption")
    first = page.run("[...document.querySelectorAll('.month td')].find((e) => e.textContent === '5: present')"
                     ".firstChild.className")
    assert first == "mark-present"
    shot(page, "student")
    page.type("[name=code]", "12345")  # the form itself wants six digits
    page.run("document.querySelector('[name=code]').value = ''")
    page.type("[name=code]", frank.get("/sessions/70/check-in").json()["code"])
    has(page, "Checked in: present", "#message")
    page.wait("document.querySelectorAll('[name=code]').length === 0")
    assert world.sql("SELECT mark FROM attendance WHERE session_id = 70 AND student_id = 1").strip() == "present"
    world.sql("DELETE FROM attendance WHERE session_id = 70; DELETE FROM class_sessions WHERE id = 70;"
              "UPDATE users SET attendance_gen = attendance_gen + 1")


def test_a_teacher_marks_a_class_by_keyboard(world, open_page):
    page = open_page("frank", "#/courses/cs101/sessions/6")
    page.wait("document.activeElement.tagName === 'TR'")
    has(page, "2 of 2 not marked")
    key(page, "l")
    has(page, "1 of 2 not marked")
    page.wait("document.activeElement.textContent.includes('Ben')")
    key(page, "x")
    key(page, "ArrowUp", "ArrowUp")
    page.wait("document.activeElement.textContent.includes('Ana')")
    key(page, "a")
    until(lambda: world.sql("SELECT mark FROM attendance WHERE session_id = 6").split() == ["absent"],
          20, "the mark is stored")
    page.wait("document.querySelector('.roster [aria-pressed=true]').textContent === 'absent'")
    press(page, "Mark the rest present")
    has(page, "1 marked present", "#message")
    assert world.sql("SELECT mark FROM attendance WHERE session_id = 6 ORDER BY student_id").split() == [
        "absent", "present"]
    page.run("document.querySelector('.roster tr').focus()")
    shot(page, "marking")
    # By mouse.
    page.click(".roster tr:nth-child(2) .mark-excused")
    until(lambda: "excused" in world.sql("SELECT mark FROM attendance WHERE session_id = 6"), 20,
          "the mark is stored")


def test_a_teacher_shows_the_code_and_the_report(world, open_page):
    page = open_page("frank", "#/courses/cs101/sessions/5/wall")
    has(page, "Check-in is closed")
    press(page, "Open check-in")
    page.wait("/^[0-9]{6}$/.test(document.querySelector('.wall output').textContent)")
    has(page, "New code in")
    has(page, "0 checked in")
    code = page.texts(".wall output")[0]
    assert world.visitor("ana").post("/sessions/5/check-in", json={"code": code}).status_code in (200, 422)
    has(page, "checked in")
    shot(page, "wall")
    press(page, "Close check-in")
    has(page, "Check-in is closed")
    page.go(world.url + "/#/courses/cs101")
    has(page, "New session")
    shot(page, "course")
    assert page.run("document.querySelector('a[download]').getAttribute('href')") == "/courses/cs101/report.csv"
    body = page.run("fetch('/courses/cs101/report.csv').then((r) => r.text())")
    assert body.startswith('"student","name"')
    page.run("document.querySelector('[name=start]').value = '2026-05-04T09:00'")
    press(page, "Add")
    page.wait("document.querySelectorAll('tbody tr').length === 7")
    page.go(world.url + "/#/courses/cs101/report")
    has(page, "Ben Brandt")
    shot(page, "report")


def test_an_admin_looks_after_people(world, open_page, folder):
    page = open_page("alma")
    has(page, "Students below 75\u00a0%")
    shot(page, "dashboard")
    press(page, "People", "nav a")
    has(page, "cara")
    fill(page, account="otto", name="Otto <b>Okoye</b>")
    press(page, "Create")
    has(page, "The password of otto", "#message")
    password = page.texts(".secret")[0]
    assert world.client().login("otto", password).status_code == 200
    has(page, "Otto <b>Okoye</b>")
    shot(page, "people")
    press(page, "Disable")
    has(page, "otto was changed", "#message")
    assert world.client().login("otto", password).status_code == 401
    press(page, "Audit log", "nav a")
    has(page, "user.create")
    assert page.texts("tbody tr:first-child td")[1:3] == ["user.change", "user:otto"]
    shot(page, "audit")
    press(page, "Courses", "nav a")
    has(page, "Optics")
    shot(page, "admin-courses")
    press(page, "Import", "nav a")
    for text, outcome in (("account,name,role,courses\nold,Old,pupil,\nzz,Z Z,student,cs101\n", "role is one of"),
                          ("account,name,role,courses\nzz,Z Z,student,cs101\n", "1 created")):
        file = folder / "people.csv"
        file.write_text(text)
        page.wait("!!document.querySelector('[type=file]')")
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        node = page.call("DOM.querySelector", nodeId=root, selector="[type=file]")["nodeId"]
        page.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)
        press(page, "Import", "form button")
        has(page, outcome)
        if "pupil" in text:
            shot(page, "import")
            assert world.sql("SELECT COUNT(*) FROM users WHERE account = 'zz'").strip() == "0"
    assert world.sql("SELECT COUNT(*) FROM users WHERE account = 'zz'").strip() == "1"


@pytest.mark.parametrize("who", ["ana", "frank"])
@pytest.mark.parametrize("place", ["people", "audit", "import", "dashboard"])
def test_an_admins_address_is_refused_to_others(world, open_page, who, place):
    page = open_page(who, f"#/{place}")
    has(page, "Not allowed")
    text = page.run("document.body.textContent")
    assert "Brandt" not in text and "user.create" not in text
    if (who, place) == ("ana", "people"):
        shot(page, "refused")
    # And without the page.
    page.go(world.url + {"people": "/users", "import": "/imports"}.get(place, f"/{place}"))
    text = page.run("document.body.textContent")
    assert ("forbidden" in text or "method-not-allowed" in text) and "Brandt" not in text


def test_a_student_at_a_teachers_address(world, open_page):
    page = open_page("ana", "#/courses/cs101/sessions/6")
    has(page, "Not allowed")
    page.go(world.url + "/#/courses/cs101/report")
    has(page, "Not allowed")
    assert "Brandt" not in page.run("document.body.textContent")


def test_the_policy_stops_what_is_not_the_servers_own(world, open_page):
    """Control of the Content-Security-Policy: what an attacker would inject does not run."""
    page = open_page("ana")
    has(page, "Operating Systems")
    page.run("""(() => {
        window.broken = [];
        document.addEventListener('securitypolicyviolation',
                                  (e) => window.broken.push(e.effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'window.injected = 1';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend',
            '<img src="x:" onerror="window.injected = 1"><p style="color: red">x</p>');
    })()""")
    page.wait("window.broken.length >= 3")
    assert page.run("window.injected") is None
    assert {"script-src-elem", "script-src-attr", "style-src-attr"} <= set(page.run("window.broken"))
    policy = world.client().get("/").headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy


NAMELESS = """[...document.querySelectorAll('input, select, button, a, meter, progress, output')]
    .filter((e) => e.offsetParent !== null)
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
    .map((e) => e.outerHTML)"""
CONTRAST = """(() => {
    const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const numbers = (s) => s.match(/[0-9.]+/g).map(Number);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const c = numbers(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] > 0) return c;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll('#portal *')].filter((e) => e.offsetParent !== null
        && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
        .map((e) => {
            const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))]
                .sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 120)];
        }).filter(([ratio]) => ratio < 4.5);
})()"""


@pytest.mark.parametrize("who, place, text", [
    ("ana", "", "Linear Algebra"), ("ana", "#/password", "Old password"), ("frank", "#/courses/cs101/sessions/4", "Ben Brandt"),
    ("frank", "#/courses/cs101", "New session"), ("alma", "#/people", "cara"),
    ("alma", "#/audit", "Newest first"), ("alma", "#/import", "A CSV file")])
def test_everything_has_a_name_contrast_and_room(world, open_page, who, place, text):
    page = open_page(who, place)
    has(page, text)
    assert page.run(NAMELESS) == []
    assert page.run("document.documentElement.lang") == "en"
    assert page.run("document.querySelectorAll('#view h1').length") == 1
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert page.run(CONTRAST) == [], scheme
    page.run("document.querySelector('#view h1').style.color = '#777'")
    assert len(page.run(CONTRAST)) == 1  # the control, in the dark
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=700, deviceScaleFactor=1,
              mobile=True)
    page.wait("document.documentElement.scrollWidth <= 360")

"""The page in headless Chromium: people in browsers of their own, on servers of their own."""

import json
import os

import pytest
import scribe_kit as kit
from harness.process import until
from harness.proxy import Proxy


@pytest.fixture
def sign_in(browsers):
    """sign_in(address, account): the page of a person, in a browser that nobody else uses."""
    pages = []

    def start(address, account):
        page = browsers(len(pages)).open(address + "/")
        pages.append(page)
        page.click(f"[data-account={account}]")
        connected(page)
        return page

    yield start
    for page in pages:
        page.set_offline(False)
        page.close()


@pytest.fixture
def servers(start_server, redis, folder):
    env = kit.env(f"sqlite://{folder}/history.db", redis.url, SCRIBE_DEMO_LOGIN="1")
    return [start_server("scribe", env), start_server("scribe", env)]


class Gateway(Proxy):
    """One address before all servers: new connections go to whichever `target` is."""

    def __init__(self, target):
        super().__init__(target, lambda direction, data: False)
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def gateway(servers):
    g = Gateway(servers[0].port)
    yield g
    g.close()


def connected(page):
    page.wait("document.getElementById('status').textContent === 'Connected'")


def offline(page):
    page.wait("document.getElementById('status').classList.contains('away')"
              " && !document.getElementById('banner').hidden")


def enter(page, room, private=False):
    page.click("#add-room")
    if private:
        page.click("#room-private")
    page.type("#room-name", room)
    in_room(page, room)


def in_room(page, room):
    page.wait(f"document.getElementById('title').textContent === '# {room}'"
              " && !document.getElementById('leave').disabled")


def texts(page):
    return page.texts("#messages .text")


def shows(page, *expected):
    until(lambda: texts(page) == list(expected), 30, f"{expected}, not {texts(page)}")


def below_the_line(page):
    return page.texts(".line ~ li .text")


def delivery(page):
    return page.texts("#messages .delivery")


def badge(page, room, text):
    page.wait(f"(document.querySelector('[data-room={json.dumps(room)}] .badge')"
              f"?.firstChild.textContent ?? '') === '{text}'")


def has_read(server, user, room):
    """Wait until the user's read marker, kept in the history, stands at the room's head."""
    def is_at_head():
        with kit.Client(server, user) as again:
            return again.join(room)["unread"] == 0
    until(is_at_head, 30, f"{user} has read {room}")


def screenshot(page, name, dark=False, phone=False):
    if not os.environ.get("SCREENSHOTS"):
        return
    page.call("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1,
              mobile=False)
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    if phone:
        narrow(page)
    page.screenshot(os.environ["SCREENSHOTS"] + f"/scribe-{name}.png")
    page.call("Emulation.clearDeviceMetricsOverride")


def narrow(page):
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2,
              mobile=True)


# --- two people ------------------------------------------------------------------------------


def test_two_people_on_two_servers(sign_in, servers):
    room = kit.name("page")
    ada, grace = sign_in(servers[0].url, "ada"), sign_in(servers[1].url, "grace")
    enter(ada, room)
    enter(grace, room)
    until(lambda: ada.texts("#people li span:last-child") == ["ada (you)", "grace"],
          what="who is here, over both servers")
    ada.type("#text", "Hello from server A", enter=False)
    grace.wait("document.getElementById('typing').textContent === 'ada is typing …'")
    ada.press("Enter")
    shows(grace, "Hello from server A")
    grace.wait("document.getElementById('typing').textContent === ''")
    grace.type("#text", "And hello from B")
    shows(ada, "Hello from server A", "And hello from B")
    assert delivery(ada) == ["✓ sent"] and ada.texts("#messages .waiting") == []
    # What came while the room was open is told to a screen reader; the own message is not.
    assert ada.texts("#live p") == ["grace: And hello from B"]
    screenshot(ada, "desktop")


def test_text_is_never_markup(sign_in, servers):
    room = kit.name("page")
    ada = sign_in(servers[0].url, "ada")
    enter(ada, room)
    evil = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    with kit.Client(servers[1], "grace") as grace:
        grace.join(room)
        grace.send(room, evil)
    shows(ada, evil)
    assert ada.run("document.querySelectorAll('#messages img, #messages script').length") == 0
    # The policy of the page holds where escaping would fail.
    for attempt in ("const s = document.createElement('script'); s.textContent = 'window.hit=1';"
                    "document.body.append(s)",
                    "document.body.innerHTML += \"<img src=x onerror='window.hit=1'>\"",
                    "document.body.setAttribute('onclick', 'window.hit=1')"):
        refused = ada.run(f"(() => {{ try {{ {attempt}; return ''; }}"
                          " catch (e) { return e.message; } })()")
        assert "Trusted" in refused, refused
    assert ada.run("window.hit") is None


# --- offline and back ------------------------------------------------------------------------


def test_offline_misses_three_and_sees_exactly_these(sign_in, servers):
    room = kit.name("page")
    ada, grace = sign_in(servers[0].url, "ada"), sign_in(servers[1].url, "grace")
    enter(ada, room)
    enter(grace, room)
    grace.type("#text", "before")
    shows(ada, "before")
    ada.set_offline(True)
    offline(ada)
    for text in ("missed 1", "missed 2", "missed 3"):
        grace.type("#text", text)
        until(lambda: texts(grace)[-1] == text, what=text)
    assert texts(ada) == ["before"]
    ada.set_offline(False)
    connected(ada)
    shows(ada, "before", "missed 1", "missed 2", "missed 3")
    assert below_the_line(ada) == ["missed 1", "missed 2", "missed 3"]
    screenshot(ada, "missed", dark=True)
    # Read, and so not new any more: another absence has a line of its own.
    has_read(servers[1], "ada", room)
    ada.set_offline(True)
    offline(ada)
    grace.type("#text", "missed 4")
    until(lambda: delivery(grace)[-1] == "✓ sent" and texts(grace)[-1] == "missed 4", what="sent")
    ada.set_offline(False)
    until(lambda: below_the_line(ada) == ["missed 4"], what="the one that is new now")


def test_the_server_is_killed_and_the_page_goes_over_to_the_other(sign_in, servers, gateway):
    room = kit.name("page")
    ada, grace = sign_in(gateway.url, "ada"), sign_in(servers[1].url, "grace")
    enter(ada, room)
    enter(grace, room)
    grace.type("#text", "before")
    shows(ada, "before")
    has_read(servers[1], "ada", room)
    servers[0].kill()
    offline(ada)
    ada.type("#text", "written offline")
    shows(ada, "before", "written offline")
    assert delivery(ada) == ["… sending"]
    screenshot(ada, "offline-phone", phone=True)
    for text in ("missed 1", "missed 2", "missed 3"):
        grace.type("#text", text)
        until(lambda: texts(grace)[-1] == text, what=text)
    gateway.target = servers[1].port
    ada.click("#try-now")
    all = ["before", "missed 1", "missed 2", "missed 3", "written offline"]
    shows(ada, *all)
    shows(grace, *all)
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")
    assert below_the_line(ada) == all[1:]


def test_a_killed_server_that_comes_back_is_found_again(sign_in, servers):
    ada = sign_in(servers[0].url, "ada")
    enter(ada, room := kit.name("page"))
    servers[0].kill()
    offline(ada)
    servers[0].start()
    connected(ada)  # nobody pressed anything
    ada.type("#text", "here again")
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")
    shows(ada, "here again")
    with kit.Client(servers[1], "eve") as eve:
        eve.join(room)
        assert kit.texts(eve.messages(1)) == ["here again"]


def test_a_dead_line_is_noticed(sign_in, servers):
    """The server hangs: nothing comes, and nothing says so. The page's clock is put forward, so that
    the test need not wait as long as the page does."""
    ada = sign_in(servers[0].url, "ada")
    enter(ada, kit.name("page"))
    ada.run("(() => { const now = Date.now; let ahead = 0; Date.now = () => now() + ahead;"
            " window.later = (ms) => { ahead += ms; }; })()")
    servers[0].pause()

    def noticed():
        ada.run("later(11000)")
        return ada.texts("#status") != ["Connected"]
    until(noticed, what="the dead line", interval=1)
    servers[0].resume()
    connected(ada)
    ada.type("#text", "back")
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")


def test_the_outbox_survives_a_reload(sign_in, servers):
    room = kit.name("page")
    ada = sign_in(servers[0].url, "ada")
    enter(ada, room)
    ada.type("#text", "first")
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")
    ada.set_offline(True)
    offline(ada)
    for text in ("kept 1", "kept 2"):
        ada.type("#text", text)
    shows(ada, "first", "kept 1", "kept 2")
    assert delivery(ada) == ["✓ sent", "… sending", "… sending"]
    ada.call("Page.navigate", url="about:blank")  # the page is gone before there is a network
    ada.wait("location.href === 'about:blank'")
    ada.set_offline(False)
    ada.go(servers[0].url + "/")
    shows(ada, "first", "kept 1", "kept 2")
    until(lambda: delivery(ada) == ["✓ sent"] * 3, what="sent")
    assert ada.run("Object.keys(localStorage)") == []
    with kit.Client(servers[1], "eve") as eve:
        eve.join(room)
        assert kit.texts(eve.messages(3)) == ["first", "kept 1", "kept 2"]
        assert eve.rest() == []


def test_one_persons_outbox_is_not_sent_by_the_next(sign_in, servers):
    ada = sign_in(servers[0].url, "ada")
    enter(ada, kit.name("page"))
    ada.set_offline(True)
    offline(ada)
    ada.type("#text", "ada's own")
    shows(ada, "ada's own")
    ada.click("#sign-out")
    ada.set_offline(False)
    ada.click("[data-account=grace]")
    connected(ada)
    in_room(ada, "lobby")
    assert len(ada.run("Object.keys(localStorage)")) == 1
    ada.click("#sign-out")
    ada.click("[data-account=ada]")
    ada.wait("Object.keys(localStorage).length === 0")


# --- delivery --------------------------------------------------------------------------------


def test_sending_lasts_as_long_as_the_history_is_locked(sign_in, servers, folder):
    ada = sign_in(servers[0].url, "ada")
    enter(ada, kit.name("page"))
    with kit.SQLiteHistory(folder).locked():
        ada.type("#text", "patience")
        shows(ada, "patience")
        until(lambda: kit.metric(servers[0], "scribe_nacks_total") >= 1, what="refused once")
        assert delivery(ada) == ["… sending"]
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")


def test_failed_and_tried_again(sign_in, servers):
    """Ada writes without a network; meanwhile she is removed from the room."""
    room = kit.name("page")
    ada = sign_in(servers[0].url, "ada")
    with kit.Client(servers[1], "owner") as owner:
        owner.answer("created", type="create", room=room, private=True)
        owner.join(room)
        owner.answer("invited", type="invite", room=room, user="ada")
        ada.click(f"[data-room={json.dumps(room)}]")
        in_room(ada, room)
        ada.set_offline(True)
        offline(ada)
        for text in ("to be sent", "to be discarded"):
            ada.type("#text", text)
        owner.answer("removed", type="remove", room=room, user="ada")
        ada.set_offline(False)
        badge(ada, room, "")
        ada.click(f"[data-room={json.dumps(room)}]")
        until(lambda: delivery(ada) == ["! not sent"] * 2, what="both have failed")
        assert "no such room" in ada.texts("#messages .note")[0]
        screenshot(ada, "failed")
        ada.click("#messages li:last-child .note button:last-child")
        shows(ada, "to be sent")
        ada.click(".note button")  # in vain: still removed
        until(lambda: delivery(ada) == ["! not sent"], what="failed again")
        owner.answer("invited", type="invite", room=room, user="ada")
        ada.click(".note button")
        until(lambda: delivery(ada) == ["✓ sent"], what="sent")
        assert owner.get("message")["text"] == "to be sent"


# --- rooms -----------------------------------------------------------------------------------


def test_an_unread_badge_counts(sign_in, servers):
    quiet, busy = kit.name("quiet"), kit.name("busy")
    ada = sign_in(servers[0].url, "ada")
    enter(ada, busy)
    enter(ada, quiet)
    with kit.Client(servers[1], "grace") as grace, kit.Client(servers[1], "ada") as phone:
        grace.join(busy)
        phone.join(busy)
        for i in range(3):
            grace.send(busy, str(i))
        badge(ada, busy, "3")
        ada.wait("document.title === '(3) scribe'")
        phone.answer("read", type="read", room=busy, seq=1)
        badge(ada, busy, "2")  # what the same person read elsewhere
        ada.go(servers[0].url + "/")  # by the rooms list, and not by what came while it was open
        badge(ada, busy, "2")
        ada.click(f"[data-room={json.dumps(busy)}]")
        badge(ada, busy, "")
        shows(ada, "0", "1", "2")
        assert below_the_line(ada) == ["1", "2"]
    has_read(servers[1], "ada", busy)


def test_a_private_room_by_invitation(sign_in, servers):
    room = kit.name("secret")
    ada, grace = sign_in(servers[0].url, "ada"), sign_in(servers[1].url, "grace")
    enter(ada, room, private=True)
    assert ada.run("document.getElementById('private').hidden") is False
    grace.click("#add-room")  # a stranger learns nothing, and stays where she was
    grace.type("#room-name", room)
    grace.wait("document.getElementById('room-error').textContent === 'no such room'")
    grace.press("Escape")
    in_room(grace, "lobby")
    ada.click("#invite")
    ada.type("#invite-user", "grace")
    ada.wait("document.getElementById('notice').textContent.startsWith('grace is invited')")
    badge(grace, room, "invited")
    assert grace.texts("#notice") == [f"ada invites you to {room}."]
    grace.click(f"[data-room={json.dumps(room)}]")
    in_room(grace, room)
    ada.type("#text", "between us")
    shows(grace, "between us")
    grace.click("#leave")
    grace.click("#leave-dialog button:not(.cancel)")
    in_room(grace, "lobby")
    badge(grace, room, "")
    assert room not in grace.texts("#rooms .name")


def test_a_long_history_is_read_upwards(sign_in, servers):
    room = kit.name("page")
    with kit.Client(servers[1], "grace") as grace:
        grace.join(room)
        for i in range(1, 121):
            grace.send(room, str(i))
        ada = sign_in(servers[0].url, "ada")
        enter(ada, room)
        shows(ada, *map(str, range(71, 121)))  # the last page, and its end in sight
        assert ada.run("document.getElementById('jump').hidden")
        ada.run("document.getElementById('messages').scrollTop = 0")
        grace.send(room, "121")
        ada.wait("document.getElementById('jump').textContent === '↓ 1 new'")  # not read yet
        height_of_71 = ("[...document.querySelectorAll('.text')].find((e) => e.textContent === '71')"
                        ".getBoundingClientRect().top")
        before = ada.run(height_of_71)
        ada.click("#messages .empty button")
        shows(ada, *map(str, range(21, 122)))
        assert ada.run(f"Math.abs({height_of_71} - {before})") < 60  # a new place, not 50 messages
        ada.click("#messages .empty button")
        shows(ada, *map(str, range(1, 122)))
        assert ada.texts("#messages .empty") == []
        ada.click("#jump")
        ada.wait("document.getElementById('jump').hidden")
        has_read(servers[1], "ada", room)


# --- for everybody ---------------------------------------------------------------------------


def test_by_keyboard_and_screen_reader(sign_in, servers):
    first, second = sorted(kit.name("page") for _ in range(2))
    ada = sign_in(servers[0].url, "ada")
    enter(ada, first)
    enter(ada, second)
    ada.press("ArrowUp", modifiers=1)  # Alt
    in_room(ada, first)
    assert ada.run("document.activeElement.id") == "text"
    ada.run("document.getElementById('invite').focus()")
    ada.press("Enter")
    assert ada.run("document.activeElement.id") == "invite-user"
    ada.press("Escape")
    assert ada.run("document.activeElement.id") == "invite"
    # By Tab, from the beginning, to everything that can be pressed, and out again.
    reached = set()
    ada.run("document.activeElement.blur()")
    for _ in range(40):
        ada.press("Tab")
        reached.add(ada.run("document.activeElement.id || document.activeElement.dataset.room"))
    assert {first, second, "add-room", "sign-out", "show-here", "invite", "leave", "messages",
            "text"} <= reached
    if ada.run("document.getElementById('here').hidden"):
        ada.click("#show-here")
    ada.call("Accessibility.enable")
    nodes = [n for n in ada.call("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    roles = [n["role"]["value"] for n in nodes]
    assert {"navigation", "main", "log", "status", "list", "complementary"} <= set(roles)
    for n in nodes:
        if n["role"]["value"] in ("button", "textbox", "log", "navigation", "link", "dialog"):
            assert n["name"]["value"].strip(), n
    assert f"{first}" in [n["name"]["value"].removeprefix("# ") for n in nodes
                          if n["role"]["value"] == "heading"]


def test_on_a_phone(sign_in, servers):
    room = kit.name("page")
    ada = sign_in(servers[0].url, "ada")
    enter(ada, room)
    narrow(ada)
    ada.type("#text", "long " * 60 + "w" * 300)
    until(lambda: delivery(ada) == ["✓ sent"], what="sent")
    screenshot(ada, "phone", dark=True, phone=True)
    narrow(ada)
    fits = ("document.documentElement.scrollWidth <= 390 &&"
            " document.documentElement.scrollHeight <= 844")
    assert ada.run(fits)
    inside = ("[...document.querySelectorAll('main button, main textarea')].every((e) => "
              "e.getBoundingClientRect().right <= 390)")
    assert ada.run(inside)
    assert not ada.run("document.getElementById('nav').checkVisibility()")
    ada.click("#show-rooms")
    assert ada.run("document.getElementById('nav').checkVisibility()") and ada.run(fits)
    screenshot(ada, "phone-rooms", phone=True)
    narrow(ada)
    ada.click("[data-room=lobby]")
    in_room(ada, "lobby")
    assert not ada.run("document.getElementById('nav').checkVisibility()")


def test_without_demo_login_a_token_signs_in(browsers, start_server, redis, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db", redis.url))
    page = browsers(0).open(server.url + "/")
    page.click("[data-account=ada]")
    page.wait("!document.getElementById('token-form').hidden")
    page.type("#token", kit.token("zoe"))
    page.wait("document.getElementById('who').textContent === 'Signed in as zoe'")
    page.close()

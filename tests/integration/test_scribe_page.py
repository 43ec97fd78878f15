"""The page in headless Chromium: two people in two browsers on two servers."""

import os

import pytest
import scribe_kit as kit
from browser import Browser

from harness.process import until


@pytest.fixture
def browsers(folder):
    opened = []

    def start():
        own = folder / f"browser{len(opened)}"
        own.mkdir()
        opened.append(Browser(own))
        return opened[-1]

    yield start
    for b in opened:
        b.close()


@pytest.fixture
def servers(start_server, redis, folder):
    env = kit.env(f"sqlite://{folder}/history.db", redis.url, SCRIBE_DEMO_LOGIN="1")
    return [start_server("scribe", env), start_server("scribe", env)]


def sign_in(browser, server, account):
    page = browser.open(server.url + "/")
    page.click(f"[data-account={account}]")
    page.wait("document.getElementById('status').textContent === 'Connected'")
    return page


def join(page, room):
    page.type("#room-name", room)
    page.wait(f"document.getElementById('title').textContent === '# {room}'")


def shows(page, text):
    page.wait(f"[...document.querySelectorAll('.text')].some((e) => e.textContent === {text!r})")


def has_read_all(server, user, room):
    """Wait until the user's read marker, kept in the history, stands at the room's head."""
    def is_at_head():
        with kit.Client(server, user) as again:
            return again.join(room)["unread"] == 0
    until(is_at_head, 30, f"{user} has read {room}")


def test_two_people_on_two_servers(browsers, servers):
    room = kit.name("page")
    ada, grace = sign_in(browsers(), servers[0], "ada"), sign_in(browsers(), servers[1], "grace")
    join(ada, room)
    join(grace, room)
    ada.type("#text", "Hello from server A")
    shows(grace, "Hello from server A")
    grace.type("#text", "And hello from B")
    shows(ada, "And hello from B")
    assert ada.texts("#messages .text") == ["Hello from server A", "And hello from B"]
    assert ada.texts("#messages .waiting") == []
    if os.environ.get("SCREENSHOTS"):
        ada.screenshot(os.environ["SCREENSHOTS"] + "/scribe.png")


def test_text_is_never_markup(browsers, servers):
    room = kit.name("page")
    ada = sign_in(browsers(), servers[0], "ada")
    join(ada, room)
    evil = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    with kit.Client(servers[1], "grace") as grace:
        grace.join(room)
        grace.send(room, evil)
    ada.wait("document.querySelectorAll('.text').length === 1")
    assert ada.texts("#messages .text") == [evil]
    assert ada.run("document.querySelectorAll('#messages img, #messages script').length") == 0
    # The policy of the page holds where escaping would fail.
    ada.run("(() => { const s = document.createElement('script'); s.textContent = 'window.hit=1';"
            "document.body.append(s); const d = document.createElement('div');"
            "d.innerHTML = \"<img src=x onerror='window.hit=1'>\"; document.body.append(d); })()")
    ada.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    assert ada.run("window.hit") is None


def test_offline_misses_three_and_sees_exactly_these(browsers, servers):
    room = kit.name("page")
    ada = sign_in(browsers(), servers[0], "ada")
    join(ada, room)
    with kit.Client(servers[1], "grace") as grace:
        grace.join(room)
        grace.send(room, "before")
        shows(ada, "before")
        has_read_all(servers[1], "ada", room)
        port = servers[0].port
        servers[0].kill()
        ada.wait("document.getElementById('status').classList.contains('away')")
        ada.type("#text", "written offline")
        ada.wait("document.querySelectorAll('.waiting').length === 1")
        for i in (1, 2, 3):
            grace.send(room, f"missed {i}")
        servers[0].start()
        assert servers[0].port == port
        shows(ada, "written offline")
        grace.get("message")
    ada.wait("document.querySelectorAll('.waiting').length === 0")
    ada.wait("document.querySelectorAll('.line').length === 1")
    below = ada.run("[...document.querySelectorAll('.line ~ li .text')].map((e) => e.textContent)")
    assert below == ["missed 1", "missed 2", "missed 3", "written offline"]
    assert ada.texts("#messages .text") == ["before", *below]


def test_an_unread_badge_counts(browsers, servers):
    quiet, busy = kit.name("quiet"), kit.name("busy")
    ada = sign_in(browsers(), servers[0], "ada")
    join(ada, busy)
    join(ada, quiet)
    with kit.Client(servers[1], "grace") as grace:
        grace.join(busy)
        has_read_all(servers[1], "ada", busy)
        for i in range(3):
            grace.send(busy, str(i))
        ada.wait("document.querySelector('.badge')?.textContent === '3'")
        ada.run(f"[...document.querySelectorAll('#rooms button')]"
                f".find((b) => b.textContent.startsWith('{busy}')).click()")
        ada.wait("!document.querySelector('.badge')")
        shows(ada, "2")
    has_read_all(servers[1], "ada", busy)


def test_without_demo_login_a_token_signs_in(browsers, start_server, redis, folder):
    server = start_server("scribe", kit.env(f"sqlite://{folder}/history.db", redis.url))
    page = browsers().open(server.url + "/")
    page.click("[data-account=ada]")
    page.wait("!document.getElementById('token-form').hidden")
    page.type("#token", kit.token("zoe"))
    page.wait("document.getElementById('who').textContent === 'Signed in as zoe'")

"""The pages in headless Chromium: a dispatcher's board and a partner's page, each in a browser of
its own, and what happens on the one seen on the other."""

import os

import pytest
import redis as redis_client

import hub
from harness.process import until


@pytest.fixture
def server(start_server, mariadb, redis, request):
    database = "page_" + "".join(c if c.isalnum() else "_" for c in request.node.name)[:50]
    return start_server("delivery-hub", hub.env(mariadb, redis, database, HUB_DEMO_LOGIN=1))


def sign_in(browser, server, account):
    page = browser.open(server.url + "/")
    page.click(f"[data-account={account}]")
    page.wait("document.getElementById('status').textContent === 'Live'")
    return page


def column(page, state):
    """The orders of a column or list, by their numbers."""
    return [t.removeprefix("#") for t in page.texts(f"#{state} li .order strong, #{state} "
                                                    "li.order > strong")]


def shows(page, state, *orders):
    until(lambda: column(page, state) == list(orders), what=f"{state}: {orders}")


def press(page, key):
    for kind in "keyDown", "keyUp":
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                  text="\r" if key == "Enter" else "",
                  windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "Escape": 27}[key])


def screenshot(page, name, dark=False, phone=False):
    if not os.environ.get("SCREENSHOTS"):
        return
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
    if phone:
        page.call("Emulation.setDeviceMetricsOverride", width=390, height=844,
                  deviceScaleFactor=2, mobile=True)
    page.screenshot(os.environ["SCREENSHOTS"] + f"/{name}.png")
    page.call("Emulation.clearDeviceMetricsOverride")


def test_board_and_partner_see_each_other(browsers, server):
    carla = hub.customer(server)
    first, second = (carla.place(note=n) for n in ("ring twice", "third floor"))
    board = sign_in(browsers(0), server, "dora")
    shows(board, "column-pending", second, first)
    p1 = sign_in(browsers(1), server, "p1")
    shows(p1, "waiting", second, first)

    p1.click("#next")  # the oldest
    shows(p1, "mine", first)
    shows(board, "column-assigned", first)
    shows(board, "column-pending", second)
    until(lambda: p1.texts("#said") == [f"#{first} is yours."], what="the word of it")
    minutes = p1.run("document.querySelector('.lease').textContent").split(":")[0]
    assert minutes in ("9", "10")
    before = p1.run("document.querySelector('.lease').textContent")
    p1.wait(f"document.querySelector('.lease').textContent !== {before!r}")
    screenshot(board, "board")
    screenshot(board, "board-dark", dark=True)
    screenshot(p1, "partner")
    screenshot(p1, "partner-phone", dark=True, phone=True)

    third = carla.place()
    shows(p1, "waiting", third, second)  # as it happens
    hub.partner(server, "p9").accept(second)
    p1.run("[...document.querySelectorAll('#waiting li')].find((li) => li.textContent.includes("
           f"'#{second}')).querySelector('button').click()")
    p1.wait("document.getElementById('said').textContent.includes('too late, it is assigned')")
    shows(p1, "waiting", third)

    def act(text):
        p1.run(f"[...document.querySelectorAll('#mine button')].find((b) => b.textContent === "
               f"{text!r}).click()")
    act("Picked up")
    shows(board, "column-picked_up", first)
    p1.wait("!document.querySelector('.lease')")
    act("Delivered")
    shows(board, "column-delivered", first)
    shows(p1, "mine")
    until(lambda: board.texts("#counts dd")[:5] == ["1", "1", "0", "1", "0"], what="the counts")


FETCH = """
window.lists = 0;
window.opened = new Promise((open) => { window.openUp = open; });
window.fetched = window.fetch;
window.fetch = async (path, ...more) => {
  if (!path.startsWith("/orders?")) return window.fetched(path, ...more);
  window.lists += 1;
  if (window.lists <= 5) return new Response("{}", { status: 503 });
  const reply = await window.fetched(path, ...more);
  await window.opened;
  return reply;
};
"""


def test_a_load_that_fails_and_one_that_lasts(browsers, server):
    """Reset while it looks on: the lists are asked for again, and what is heard before they are
    there is kept."""
    carla = hub.customer(server)
    first = carla.place()
    board = sign_in(browsers(0), server, "dora")
    shows(board, "column-pending", first)
    board.run(FETCH)
    redis_client.Redis.from_url(server.env["REDIS_URL"]).delete("hub:events")
    board.wait("window.lists === 10")
    second = carla.place()
    until(lambda: second in column(board, "column-pending"), what="it is heard of")
    board.run("window.openUp()")
    shows(board, "column-pending", second, first)
    board.wait("document.getElementById('status').textContent === 'Live'")


def test_a_race_has_one_winner(browsers, server):
    carla = hub.customer(server)
    order = carla.place()
    p1 = sign_in(browsers(1), server, "p1")
    shows(p1, "waiting", order)
    p1.click("#race")
    p1.wait("document.querySelectorAll('#racers li').length === 12")
    p1.wait("document.getElementById('said').textContent.includes('12 asked')")
    told = p1.texts("#racers li")
    assert sum(t.endswith(" won") for t in told) == 1
    assert sum(t.endswith(" 409") for t in told) == 11
    [winner] = p1.texts("#racers li.won strong")
    assert hub.dispatcher(server).get(f"/orders/{order}").json()["partner"] == winner
    shows(p1, "waiting")
    screenshot(p1, "race")


def test_history_by_keyboard(browsers, server):
    carla, p7 = hub.customer(server), hub.partner(server, "p7")
    order = carla.place()
    p7.accept(order)
    board = sign_in(browsers(0), server, "dora")
    shows(board, "column-assigned", order)
    for _ in range(20):
        press(board, "Tab")
        if board.run("document.activeElement.matches('#column-assigned button')"):
            break
    press(board, "Enter")
    board.wait("document.getElementById('history').open")
    steps = lambda: board.texts("#history-steps strong")
    until(lambda: steps() == ["created", "accepted"], what="the history")
    assert board.texts("#history-title") == [f"Order #{order}: Assigned"]
    # It goes on while it is open, and the card under the focus moves to another column.
    p7.post(f"/orders/{order}/pickup", json={"fence": 1})
    until(lambda: steps() == ["created", "accepted", "picked up"], what="the next step")
    screenshot(board, "history")
    press(board, "Escape")
    board.wait("!document.getElementById('history').open")


def test_text_is_never_markup(browsers, server):
    evil = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
    order = hub.customer(server).place(pickup=evil, dropoff=evil, note=evil)
    board = sign_in(browsers(0), server, "dora")
    shows(board, "column-pending", order)
    assert evil in board.run("document.getElementById('column-pending').textContent")
    board.click("#column-pending button")
    board.wait("document.getElementById('history').open")
    p1 = sign_in(browsers(1), server, "p1")
    shows(p1, "waiting", order)
    for page in board, p1:
        assert page.run("document.querySelectorAll('main img, main script, dialog img').length") == 0
        # The policy of the page holds where escaping would fail.
        page.run("(() => { const d = document.createElement('div'); d.innerHTML = "
                 "\"<img src=x onerror='window.hit=1'>\"; document.body.append(d); })()")
        page.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
        assert page.run("window.hit") is None


def test_a_hub_that_restarts(browsers, server):
    carla = hub.customer(server)
    order = carla.place()
    board = sign_in(browsers(0), server, "dora")
    shows(board, "column-pending", order)
    server.kill()
    board.wait("document.getElementById('status').classList.contains('away')")
    server.start()
    missed = hub.customer(server).place()
    board.wait("document.getElementById('status').textContent === 'Live'")
    shows(board, "column-pending", missed, order)


def test_a_customer(browsers, server):
    carla = sign_in(browsers(0), server, "carla")
    for selector, text in ("[name=pickup]", "Mühlgasse 1"), ("[name=dropoff]", "Am Markt 2"):
        carla.type(selector, text, enter=selector == "[name=dropoff]")
    until(lambda: len(column(carla, "placed")) == 1, what="the order")
    [order] = column(carla, "placed")
    hub.partner(server).accept(order)
    carla.wait("document.querySelector('.state').textContent === 'Assigned'")
    carla.click("#placed button")
    carla.wait("document.querySelector('.state').textContent === 'Cancelled'")
    screenshot(carla, "customer")


def test_fits_a_phone(browsers, server):
    """Nothing sticks out, and every control has a name and a size for fingers."""
    for i in range(3):
        hub.customer(server).place(pickup="Donaudampfschifffahrtsgesellschaft" * 5, note="n" * 300)
    for i, account in enumerate(("dora", "p1", "carla")):
        page = sign_in(browsers(i % 2), server, account)
        page.call("Emulation.setDeviceMetricsOverride", width=360, height=740,
                  deviceScaleFactor=2, mobile=True)
        page.wait("document.querySelectorAll('li .order, li.order').length >= 3")
        page.run("new Promise(requestAnimationFrame)")
        assert page.run("document.documentElement.scrollWidth") <= 360, account
        nameless = page.run(
            "[...document.querySelectorAll('button, input')].filter((e) => e.offsetParent && "
            "!(e.textContent || e.ariaLabel || (e.labels && e.labels.length))).length")
        assert nameless == 0
        if account == "dora":
            screenshot(page, "board-phone", phone=True)
        page.call("Emulation.clearDeviceMetricsOverride")


def test_without_demo_login_a_token_signs_in(browsers, start_server, mariadb, redis):
    server = start_server("delivery-hub", hub.env(mariadb, redis, "page_token"))
    page = browsers(0).open(server.url + "/")
    page.click("[data-account=dora]")
    page.wait("!document.getElementById('token-form').hidden")
    page.type("#token", "nonsense")
    page.wait("document.getElementById('login-error').textContent !== ''")
    page.run("document.getElementById('token').value = ''")
    page.type("#token", hub.token("zoe", "dispatcher"))
    page.wait("document.getElementById('who').textContent === 'zoe, dispatcher'")
    page.wait("document.getElementById('status').textContent === 'Live'")
    page.click("#sign-out")
    page.run("document.getElementById('token').value = ''")
    page.type("#token", hub.token("zoe", "dispatcher", key="x" * 40))
    page.wait("document.getElementById('login-error').textContent === 'Please sign in again.'")

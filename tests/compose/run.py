"""docker-compose.yml from nothing to nothing, as a user types it: up, the tour, a chat server and a
database killed while clients go on, the front page, TLS, the load tests, down. On a base laid by
debootstrap and stand-ins of the stores; on the Docker engine that runs, or on one of its own. Needs
root where none runs."""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import requests

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "compose"
SUITE = "trixie"
for folder in ("tests", "tests/demo", "tests/integration"):
    sys.path.insert(0, str(ROOT / folder))
import tour  # noqa: E402
from browser import Browser  # noqa: E402

BIND = "127.0.0.77"  # whole of 127/8 is this machine's: no port of a demo is in the way
STANDINS = ("mariadb", "redis", "mongo", "gateway")
PROJECT = "interview-test"
ENV = {
    **os.environ,
    "COMPOSE_PROJECT_NAME": PROJECT, "IMAGES": PROJECT, "BIND": BIND, "SUBNET": "10.78.78",
    "BASE_IMAGE": f"{PROJECT}/base",
    **{f"{name.upper()}_IMAGE": f"{PROJECT}/standin-{name}" for name in STANDINS},
}
FRONT = f"http://{BIND}:8080/"
CHAT_ANY = f"http://{BIND}:8100"
CHAT_EACH = {"scribe-a": f"http://{BIND}:8101", "scribe-b": f"http://{BIND}:8102"}
HUB = f"http://{BIND}:8200"
DEADLINE = 60
MESSAGES = 200
CUSTOMERS = 4
PAUSE = 0.05  # s


class Failed(Exception):
    """A check did not hold."""


def check(holds, claim):
    if not holds:
        raise Failed(claim)


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], check=True, text=True, env=ENV, cwd=ROOT,
                          **kwargs)


def out(*command):
    return run(*command, stdout=subprocess.PIPE).stdout.strip()


def works(*command):
    return subprocess.run(command, env=ENV, capture_output=True).returncode == 0


def wait_until(condition, claim):
    end = time.monotonic() + DEADLINE
    while not condition():
        check(time.monotonic() < end, claim)
        time.sleep(0.1)


def say(text):
    print(text, flush=True)


# --- engine and images ------------------------------------------------------------------------


@contextlib.contextmanager
def engine():
    """The engine that runs, or Debian's dockerd with its data in build/, stopped afterwards."""
    if works("docker", "info"):
        yield
        return
    check(os.geteuid() == 0, "no Docker engine runs, and to start one takes root")
    folder = BUILD / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    ENV["DOCKER_HOST"] = f"unix://{folder}/socket"
    with open(folder / "log", "w") as log:
        dockerd = subprocess.Popen(
            ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec",
             "--pidfile", folder / "pid", "--host", ENV["DOCKER_HOST"]], stdout=log, stderr=log)
    try:
        wait_until(lambda: dockerd.poll() is not None or works("docker", "info"),
                   f"dockerd answers ({folder}/log)")
        check(dockerd.poll() is None, f"dockerd runs ({folder}/log)")
        yield
    finally:
        dockerd.terminate()
        dockerd.wait()


def compose(*arguments):
    plugin = works("docker", "compose", "version")
    return [*(("docker", "compose") if plugin else ("docker-compose",)), *arguments]


def import_base():
    base = BUILD / "base"
    if not base.exists():
        say(f"Laying a base system of {SUITE} with debootstrap")
        draft = BUILD / "base.new"
        shutil.rmtree(draft, ignore_errors=True)
        with open(BUILD / "debootstrap.log", "w") as log:
            run("debootstrap", "--variant=minbase", SUITE, draft, stdout=log)
        shutil.rmtree(draft / "var/cache/apt/archives")
        (draft / "var/cache/apt/archives/partial").mkdir(parents=True)
        draft.rename(base)
    with subprocess.Popen(["tar", "-C", base, "-c", "."], stdout=subprocess.PIPE) as tar:
        run("docker", "import", "-", ENV["BASE_IMAGE"], stdin=tar.stdout, stdout=subprocess.DEVNULL)


def build_standins():
    import_base()
    folder = ROOT / "tests/compose/standin"
    shutil.copy(ROOT / "build/tools/ferret", folder / "ferret")
    with open(BUILD / "build.log", "w") as log:
        say(f"Building the stand-ins (log: {BUILD}/build.log)")
        for name in STANDINS:
            run("docker", "build", "--build-arg", f"BASE_IMAGE={ENV['BASE_IMAGE']}", "--target",
                name, "--tag", ENV[f"{name.upper()}_IMAGE"], folder, stdout=log, stderr=log)


# --- checks -----------------------------------------------------------------------------------


def forget_images():
    """As on a machine that sees docker-compose.yml for the first time; the builder keeps its cache."""
    names = out("docker", "images", "--format", "{{.Repository}}", f"{PROJECT}/*").splitlines()
    ours = [n for n in names if n != ENV["BASE_IMAGE"] and "/standin-" not in n]
    if ours:
        run("docker", "rmi", "--no-prune", *ours, stdout=subprocess.DEVNULL)


def take_tour():
    """`up`'s own status is no verdict; the last line of the tour is, and `run` returns it."""
    up = BUILD / "up.log"
    say(f"docker compose up demo: builds, starts, tours (log: {up})")
    with open(up, "w") as log:
        run(*compose("--ansi", "never", "up", "demo"), stdout=log, stderr=log)
    said = re.findall(r"^(?:\x1b\[2K)?demo[-_]1 +\| *(.*)", up.read_text(), re.M)
    print("\n".join(said), flush=True)
    check(said and said[-1] == "PASS", "the tour's last line is PASS")


def tour_again():
    say("docker compose run --rm demo")
    said = run(*compose("run", "--rm", "demo"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    check(said.stdout.splitlines()[-1] == "PASS", "its last line is PASS")


def tour_fails():
    """Without a database: the verdict can be the other one."""
    done = subprocess.run(compose("run", "--rm", "--no-deps", "demo"), env=ENV, cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    check(done.returncode == 1 and done.stdout.splitlines()[-1] == "FAIL", "a tour that fails says so")


def container(service):
    return out(*compose("ps", "-aq", service))


def kill(service):
    run("docker", "kill", container(service), stdout=subprocess.DEVNULL)
    say(f"   killed {service}")


def start(service):
    run("docker", "start", container(service), stdout=subprocess.DEVNULL)


def is_healthy(service):
    return out("docker", "inspect", "--format", "{{.State.Health.Status}}",
               container(service)) == "healthy"


async def persist(attempt):
    """As a client does: connect anew until it is done, or the deadline has passed."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return await asyncio.wait_for(attempt(), 10)
        except (OSError, EOFError, asyncio.TimeoutError, tour.Failed,
                tour.websockets.WebSocketException):
            check(time.monotonic() < end, "a client gets through before the deadline")
            await asyncio.sleep(0.1)


async def chat_goes_on():
    """Messages sent through the gateway while the server that their sender is on is killed: each
    has one place, in the order of their sender. Returns which was killed."""
    room = f"compose-{uuid.uuid4().hex[:8]}"
    acked, waiting = {}, [(f"m{i}", uuid.uuid4().hex) for i in range(MESSAGES)]
    names, used = {}, []
    for service, url in CHAT_EACH.items():
        async with tour.Chat(url, "linus") as linus:
            names[linus.server] = service

    async def send_the_rest():
        async with tour.Chat(CHAT_ANY, "ada") as ada:
            used.append(names[ada.server])
            await ada.join(room)
            while waiting:
                text, key = waiting[0]
                await ada.put(type="send", room=room, id=key, text=text)
                acked[text] = (await ada.get("ack"))["seq"]
                waiting.pop(0)
                if len(waiting) == MESSAGES // 2:
                    kill(used[0])

    async def read_all():
        async with tour.Chat(CHAT_ANY, "grace") as grace:
            await grace.join(room, after=0)
            return await grace.messages(MESSAGES)

    await persist(send_the_rest)
    check(len(set(used)) == 2, f"the sender goes on at the other server, not {used}")
    got = await persist(read_all)
    check({m["text"]: m["seq"] for m in got} == acked, "what was acknowledged is what was stored")
    check([m["seq"] for m in got] == list(range(1, MESSAGES + 1)), "contiguous, none doubled")
    say(f"   {MESSAGES} messages acknowledged, the same {MESSAGES} read back in order")
    return used[0]


def orders_go_on():
    """The database dies under customers who place orders: 503, then they go on, and every order
    that was asked for is there once."""
    headers = {"Authorization": "Bearer " + tour.demo_token(HUB, "carla")}
    before, statuses, ids, tokens = list_orders(headers), [], [], []
    enough, given_up = threading.Event(), threading.Event()

    def place_orders():
        while not enough.is_set():
            key = {"Idempotency-Key": uuid.uuid4().hex}
            while (reply := place_order({**headers, **key})).status == 503 and not given_up.is_set():
                statuses.append(503)
                time.sleep(PAUSE)
            statuses.append(reply.status)
            ids.append(reply.headers["Location"].rpartition("/")[2])
            tokens.append(reply.headers["Consistency-Token"])
            time.sleep(PAUSE)

    with ThreadPoolExecutor(CUSTOMERS) as pool:
        customers = [pool.submit(place_orders) for _ in range(CUSTOMERS)]
        try:
            wait_until(lambda: len(ids) >= CUSTOMERS, "orders are taken")
            kill("mariadb")
            wait_until(lambda: statuses.count(503) >= CUSTOMERS, "customers see the database die")
            tour_fails()
            start("mariadb")
            taken = len(ids)
            wait_until(lambda: len(ids) >= taken + CUSTOMERS, "orders are taken again")
        except BaseException:
            given_up.set()
            raise
        finally:
            enough.set()
    for customer in customers:
        customer.result()
    check(set(statuses) == {201, 503}, f"201 or 503, not {set(statuses)}")
    newest = {"Consistency-Token": max(tokens, key=lambda t: int(t.partition(":")[0]))}
    missing, extra = differ(before + ids, list_orders({**headers, **newest}))
    check(not missing and not extra, f"each order is there, and once; not {missing}, but {extra}")
    say(f"   {len(ids)} orders, {statuses.count(503)} refusals with 503 meanwhile, none lost or doubled")


def differ(expected, seen):
    expected, seen = Counter(expected), Counter(seen)
    return list((expected - seen).elements()), list((seen - expected).elements())


def list_orders(headers):
    ids, url = [], HUB + "/orders?limit=100"
    while url:
        reply = requests.get(url, headers=headers, timeout=30)
        reply.raise_for_status()
        ids += [order["id"] for order in reply.json()["orders"]]
        url = reply.links.get("next", {}).get("url")
        url = url and urljoin(HUB, url)
    return ids


def place_order(headers):
    return tour.request("POST", HUB + "/orders", {
        "pickup": "Bakery, 1 Mill Lane", "dropoff": "12 High Street", "fee_cents": 450}, headers)


def try_the_keys():
    """The front page's keys are for it alone, under this machine's name."""
    here, own = f"{BIND}:8080", {"Sec-Fetch-Site": "same-origin"}
    asked = [(200, here, own), (200, "localhost:8080", own), (403, here, {}),
             (403, here, {"Sec-Fetch-Site": "cross-site"}), (403, "demo.example:8080", own),
             (403, "localhost.example:8080", own), (403, "127.0.0.1.example:8080", own)]
    for name in ("vault", "fault"):
        for status, host, headers in asked:
            reply = tour.request("GET", f"{FRONT}{name}-key.json", headers={"Host": host, **headers})
            check(reply.status == status, f"{status} for {host} {headers}, not {reply.status}")


@contextlib.contextmanager
def front_page():
    shutil.rmtree(BUILD / "browser", ignore_errors=True)
    (BUILD / "browser").mkdir()
    browser = Browser(BUILD / "browser")
    try:
        page = browser.open(FRONT)
        page.wait("document.querySelectorAll('[data-health][data-is=well]').length === 5")
        yield page
    finally:
        browser.close()


def press(page, show):
    """What it then says, and which lines of that do not hold."""
    page.click(f"[data-show={show}]")
    page.wait(f"document.querySelector('[data-show={show}]').disabled === false", DEADLINE)
    log = f"section:has([data-show={show}]) .log li"
    return page.texts(log), page.texts(log + "[data-is=ill]")


def try_the_page():
    """Every button of the front page, in a browser; each line of what it says holds."""
    with front_page() as page:
        for show in page.run("[...document.querySelectorAll('[data-show]')].map(b => b.dataset.show)"):
            lines, bad = press(page, show)
            say(f"   {show}: " + "; ".join(lines))
            check(lines and not bad, f"what {show} shows holds")
        page.screenshot(BUILD / "front.png")


def try_without_faults():
    """With DEMO_FAULTS=0 the page has no key to break anything, and its button says so."""
    ENV["DEMO_FAULTS"] = "0"
    run(*compose("up", "-d", "--no-deps", "gateway"), stderr=subprocess.DEVNULL)
    wait_until(lambda: is_healthy("gateway"), "the gateway is back, without faults")
    own = {"Sec-Fetch-Site": "same-origin"}
    for name, status in (("fault", 404), ("vault", 200)):
        reply = tour.request("GET", f"{FRONT}{name}-key.json", headers=own)
        check(reply.status == status, f"{status} for the {name}'s key, not {reply.status}")
    with front_page() as page:
        _, bad = press(page, "killServer")
        check("DEMO_FAULTS is off" in "".join(bad), f"the button says that it cannot, not {bad}")


def make_certificate(folder):
    folder.mkdir(exist_ok=True)
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", "/CN=gateway", "-addext", f"subjectAltName=IP:{BIND}",
        "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem",
        stderr=subprocess.DEVNULL)
    (folder / "privkey.pem").chmod(0o644)  # for the user in the container


def try_tls():
    """The gateway with a certificate: all of it over TLS, and only so, with secure cookies."""
    folder = BUILD / "tls"
    make_certificate(folder)
    ENV["TLS_DIR"] = str(folder)
    os.environ["SSL_CERT_FILE"] = str(folder / "fullchain.pem")
    run(*compose("up", "-d", "--no-deps", "gateway"), stderr=subprocess.DEVNULL)
    wait_until(lambda: is_healthy("gateway"), "the gateway is back, with a certificate")
    urls = [f"https://{BIND}:{port}" for port in (8080, 8100, 8101, 8102, 8200, 8300, 8400)]
    for url in urls:
        reply = tour.request("GET", url + "/")
        check(reply.status == 200 and reply.headers["Strict-Transport-Security"],
              f"{url} answers, and says to stay with TLS")
        plain = tour.request("GET", url.replace("https", "http") + "/")
        check((plain.status, plain.headers["Location"]) == (308, url + "/"),
              f"{url} without TLS leads to it")
    at = argparse.Namespace(scribe=urls[2:4], portal=urls[6])
    asyncio.run(tour.chat_across_servers(at))
    tour.step_portal(at)
    cookie = tour.request("POST", at.portal + "/login", {
        "account": "ana", "password": "demo-password"}).headers["Set-Cookie"]
    check(cookie.startswith("__Host-session=") and "; Secure" in cookie, "the cookie is secure")


def run_load():
    """The short form, in a container without a network; it writes the report."""
    say(f"QUICK=1 docker compose run --rm load (log: {BUILD}/load.log)")
    report = ROOT / "build/load/report.html"
    report.unlink(missing_ok=True)
    ENV["QUICK"] = "1"
    with open(BUILD / "load.log", "w") as log:
        run(*compose("run", "--rm", "load"), stdout=log, stderr=log)
    check(report.exists(), "the report is there")


def take_down():
    say("docker compose --profile demo down -v")
    run(*compose("--profile", "demo", "down", "-v"), stderr=subprocess.DEVNULL)
    label = f"label=com.docker.compose.project={PROJECT}"
    for kind in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q")):
        check(out("docker", *kind, "--filter", label) == "", f"docker {kind[0]} has nothing left")


def main():
    BUILD.mkdir(parents=True, exist_ok=True)
    with engine():
        build_standins()
        forget_images()
        try:
            take_tour()
            say("A chat server is killed while a client sends")
            killed = asyncio.run(chat_goes_on())
            say("The database is killed while orders come in")
            orders_go_on()
            start(killed)
            wait_until(lambda: is_healthy(killed), "the killed server is back")
            tour_again()
            say("The front page: its keys, its buttons")
            try_the_keys()
            try_the_page()
            say("The gateway without faults, then with a certificate")
            try_without_faults()
            try_tls()
            run_load()
        except BaseException:
            subprocess.run(compose("logs", "--no-color", "--tail=30"), env=ENV, cwd=ROOT)
            raise
        finally:
            take_down()
    print("test-compose: passed", flush=True)


if __name__ == "__main__":
    main()

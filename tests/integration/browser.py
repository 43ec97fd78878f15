"""Headless Chromium, driven through its DevTools protocol."""

import base64
import contextlib
import itertools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

from harness.process import until
from websockets.sync.client import connect

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-extensions", "--disable-background-networking",
         "--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1000,700"]

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36, "ArrowLeft": 37,
        "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One process, which is one person: pages of two browsers share nothing."""

    def __init__(self, folder):
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            raise RuntimeError("chromium is missing: apt-get install chromium")
        self.log = Path(folder) / "chromium.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, *FLAGS, f"--user-data-dir={folder}/profile", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.opened = contextlib.ExitStack()
        self.opened.callback(self._kill)
        try:
            address = until(self._address, 60, "Chromium's DevTools")
            self.socket = self.opened.enter_context(
                connect(address, max_size=None, open_timeout=30))
        except BaseException:
            self.close()
            raise
        self.ids = itertools.count(1)

    def _address(self):
        assert self.process.poll() is None, self.log.read_text()
        found = re.search(r"listening on (ws://\S+)", self.log.read_text())
        return found and found.group(1)

    def call(self, method, session=None, **params):
        id = next(self.ids)
        frame = {"id": id, "method": method, "params": params}
        self.socket.send(json.dumps(frame | ({"sessionId": session} if session else {})))
        deadline = time.monotonic() + 30
        while True:
            reply = json.loads(self.socket.recv(max(0, deadline - time.monotonic())))
            if reply.get("id") == id:
                assert "error" not in reply, reply
                return reply["result"]

    def open(self, url):
        return Page(self, url)

    def close(self):
        self.opened.close()

    def _kill(self):
        self.process.kill()
        self.process.wait()


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target,
                                    flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")
        self.go(url)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script, timeout=30):
        """Until the expression is true; its value."""
        return until(lambda: self.run(script), timeout, script, interval=0.05)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def click(self, selector):
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type(self, selector, text, enter=True):
        """Through the keyboard's path, as a person would."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)
        if enter:
            self.press("Enter")

    def press(self, key, **more):
        text = {"Enter": "\r", " ": " "}.get(key, "")
        code = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text,
                      windowsVirtualKeyCode=code, **more)

    def texts(self, selector):
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})]"
                        ".map((e) => e.textContent)")

    def set_offline(self, offline):
        self.call("Network.emulateNetworkConditions", offline=offline, latency=0,
                  downloadThroughput=-1, uploadThroughput=-1)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))

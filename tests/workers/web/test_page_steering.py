"""The page that steers, in a real headless Chromium, at a real plugin: with the token, by keyboard, and not without."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dnstap_bgp.workers.process import instance
from tests.commands.running import environment
from tests.integration.lab import eventually
from tests.integration.tap_sender import send, sightings
from tests.ports import free_port
from tests.workers.web.browser import Browser, browser

pytestmark = pytest.mark.real("chromium", "chromedriver")

TOKEN = "correct-horse-battery"  # noqa: S105 - of a test
CONFIG = """
runtime_dir = "run"
cache = "state"
[dnstap]
listen = "./tap.sock"
[bgp]
next_hop = "192.0.2.1"
[http]
listen = "127.0.0.1:{port}"
token_file = "token"
[[list]]
name = "video"
sources = "video.txt"
[[list]]
name = "mine"
managed = true
"""


class Page:
    """A plugin and its page."""

    def __init__(self, folder: Path, tab: Browser, port: int) -> None:
        self.folder, self.tab, self.url = folder, tab, f"http://127.0.0.1:{port}/"

    def open(self) -> None:
        self.tab.open("about:blank")
        self.tab.console()
        self.tab.open(self.url)
        self.tab.until("return document.getElementById('live').textContent === 'connected'")
        self.tab.until("return !document.getElementById('steer').hidden")

    def click(self, words: str, within: str = "body") -> None:
        """Click the button with these words, once it is there and may be clicked."""
        script = (
            "const [words, within] = arguments;"
            "const one = [...document.querySelectorAll(`${within} button`)].find((one) => one.offsetParent &&"
            " !one.disabled && (one.textContent === words || one.getAttribute('aria-label') === words));"
            "if (one) one.click(); return Boolean(one)"
        )
        self.tab.until(script, words, within)

    def fill(self, selector: str, value: str) -> None:
        self.tab.until("return document.querySelector(arguments[0])", selector)
        self.tab.run("document.querySelector(arguments[0]).value = arguments[1]", selector, value)

    def unlock(self) -> None:
        self.click("Steer: needs the token")
        self.fill("#act input", TOKEN)
        self.click("Unlock", "#act")
        self.tab.until("return document.getElementById('steer').getAttribute('aria-pressed') === 'true'")
        self.tab.until("return !document.getElementById('act').open")

    def says(self, words: str, where: str = "#act .outcome") -> None:
        script = "const one = document.querySelector(arguments[0]); return one && one.innerText.includes(arguments[1])"
        try:
            self.tab.until(script, where, words)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.tab.text(where)}") from error

    def press(self, key: str, code: int) -> None:
        """Press a key as a person does, wherever the focus is."""
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self.tab.devtools("Input.dispatchKeyEvent", **event, **(more if kind == "keyDown" else {}))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def page(tmp_path: Path, tab: Browser) -> Iterator[Page]:
    port = free_port()
    (tmp_path / "d.toml").write_text(CONFIG.format(port=port))
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "video.txt").write_text("video.example\n")
    command = [sys.executable, "-m", "dnstap_bgp", "plugin", "--config", str(tmp_path / "d.toml")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        )
    with process:
        try:
            eventually(lambda: instance.holder(tmp_path / "run" / "dnstap-bgp.pid") == process.pid, 30, "the plugin")
            eventually((tmp_path / "tap.sock").exists, 30, "the tap")
            tab.show(1280, 900)
            yield Page(tmp_path, tab, port)
            tab.open("about:blank")
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_person_steers(page: Page):
    send(page.folder / "tap.sock", sightings("www.video.example", ["11.1.0.1"]))
    page.open()
    page.tab.until("return document.querySelectorAll('#routes tr').length === 1")
    assert page.tab.run("return document.getElementById('reload').hidden"), "nothing steers without the token"
    page.click("Steer: needs the token")
    page.fill("#act input", "wrong-but-long-enough")
    page.click("Unlock", "#act")
    page.says("the token is missing or another one")
    page.click("Close", "#act")
    eventually(lambda: page.tab.run("return new Promise((done) => setTimeout(() => done(true), 1100))"), 5, "a second")
    page.unlock()

    page.click("Switch off…", "#lists li:first-child")
    page.click("Switch off", "#act")
    page.says("list video: routes: 0 added, 1 withdrawn")
    page.says("list video: switched off by hand")
    page.click("Close", "#act")
    page.says("off by token at 127.0.0.1", "#lists li:first-child .tag")
    page.click("Switch on…", "#lists li:first-child")
    page.click("Switch on", "#act")
    page.says("as the configuration says")
    page.click("Close", "#act")

    page.click("Names…", "#lists")
    page.fill("#act textarea", "mine.example\nxn--mnchen-3ya.example, =one.example")
    page.fill("#act input", "<b>why</b>")
    page.click("Preview", "#act")
    page.says("list mine: rules: 3 added, 0 withdrawn")
    page.says("No name yet", "#act .entries")
    page.click("Add", "#act")
    page.says("<b>why</b>", "#act .entries")
    page.says("münchen.example (xn--mnchen-3ya.example)", "#act .entries")
    page.click("Remove =one.example", "#act")
    page.says("rules: 0 added, 1 withdrawn")
    page.click("Remove =one.example", "#act .confirm")
    page.tab.until("return !document.querySelector('#act .entries').innerText.includes('one.example ')")
    page.click("Close", "#act")


def test_routes_by_hand_reload_and_the_audit(page: Page):
    page.open()
    page.unlock()
    page.click("Add a route…")
    page.fill("#act input", "11.1.0.9")
    page.click("Add", "#act")
    page.says("11.1.0.9 is a route of the list video")
    page.click("Close", "#act")
    page.tab.run("location.hash = '#why=11.1.0.9'")
    page.click("Forget", "#why")
    page.says("1 claim ended", "#why .outcome")
    page.tab.run("document.getElementById('why').close()")

    (page.folder / "video.txt").write_text("video.example\nmore.example\n")
    page.click("Reload…")
    page.says("list video: rules: 1 added")
    page.click("Reload", "#act")
    page.says("done")
    page.click("Close", "#act")
    page.says("forget", "#audit")
    noted = [json.loads(line) for line in (page.folder / "state.audit").read_text().splitlines()]
    assert [one["what"] for one in noted] == [
        "/v1/add",
        "/v1/forget",
        "/v1/reload",
    ]
    assert {one["who"] for one in noted} == {"token at 127.0.0.1"}
    assert TOKEN not in (page.folder / "state.audit").read_text() + (page.folder / "log").read_text()
    assert [line for line in page.tab.console() if "401" not in line] == []


def test_by_keyboard_alone_and_the_token_stays_in_the_tab(page: Page):
    page.open()
    page.tab.run("document.getElementById('steer').focus()")
    page.press("Enter", 13)
    page.tab.until("return document.activeElement.type === 'password'")
    page.tab.devtools("Input.insertText", text=TOKEN)
    page.press("Enter", 13)
    page.tab.until("return document.getElementById('steer').getAttribute('aria-pressed') === 'true'")
    page.tab.until("return document.querySelector('#lists .steering button')")
    page.tab.run("document.querySelector('#lists .steering button').focus()")
    page.press("Enter", 13)
    page.tab.until("return document.getElementById('act').open && document.activeElement.tagName === 'SELECT'")
    page.press("Escape", 27)
    page.tab.until("return !document.getElementById('act').open")
    assert page.tab.run("return document.cookie") == ""
    assert page.tab.run("return [localStorage.length, sessionStorage.length]") == [0, 1]
    page.open()
    page.tab.until("return document.getElementById('steer').getAttribute('aria-pressed') === 'true'")
    page.click("Steering: forget the token")
    assert page.tab.run("return sessionStorage.length") == 0
    page.tab.until("return !document.querySelector('#lists .steering')")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_cut_off_on_a_phone(page: Page, dark: bool):
    page.tab.show(360, 740, dark=dark, phone=True)
    page.open()
    page.unlock()
    for words, within in (("Switch off…", "#lists li:first-child"), ("Names…", "#lists"), ("Add a route…", "body")):
        page.click(words, within)
        page.tab.until("return document.getElementById('act').open")
        assert page.tab.run("return document.documentElement.scrollWidth <= innerWidth")
        cut = "return [...document.querySelectorAll('#act :is(button, input, select, textarea)')].filter((one) =>"
        cut += " one.getBoundingClientRect().right > innerWidth || one.getBoundingClientRect().left < 0).length"
        assert page.tab.run(cut) == 0
        page.click("Close", "#act")


HOSTILE = """
const [url, token] = arguments;
const tries = {
  read: () => fetch(url + "v1/status"),
  page: () => fetch(url),
  blind: () => fetch(url + "v1/lists/switch", { method: "POST", mode: "no-cors",
    body: '{"list": "video", "enabled": false}' }),
  json: () => fetch(url + "v1/lists/switch", { method: "POST", headers: { "Content-Type": "application/json" },
    body: '{"list": "video", "enabled": false}' }),
  token: () => fetch(url + "v1/lists/switch", { method: "POST", headers: { Authorization: "Bearer " + token },
    body: '{"list": "video", "enabled": false}' }),
  events: () => new Promise((good, bad) => {
    const found = new EventSource(url + "v1/events"); found.onmessage = good; found.onerror = bad; }),
};
window.outcomes = {};
for (const [name, one] of Object.entries(tries))
  one().then((answer) => { outcomes[name] = answer.type === "opaque" ? "blind" : "READ"; },
    () => { outcomes[name] = "refused"; });
const frame = document.createElement("iframe");
frame.src = url;
document.body.append(frame);
"""


def test_a_hostile_page_in_the_same_browser_reads_and_steers_nothing(page: Page, tmp_path: Path):
    """Also with the very token, which it may have guessed: it can't send the header, nor read an answer."""
    page.open()
    page.unlock()
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "index.html").write_text("<!doctype html><title>hostile</title><body>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "hostile"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page.tab.open(f"http://127.0.0.1:{server.server_port}/")
            page.tab.run(HOSTILE, page.url, TOKEN)
            page.tab.until("return Object.keys(outcomes).length === 6")
            assert page.tab.run("return outcomes") == {
                "read": "refused",
                "page": "refused",
                "blind": "refused",
                "json": "refused",
                "token": "refused",
                "events": "refused",
            }
            assert page.tab.run("return sessionStorage.length") == 0, "the token is of the other origin's tab"
        finally:
            server.shutdown()
    page.open()
    page.tab.until("return document.querySelector('#lists li').innerText.includes('video')")
    assert "off" not in page.tab.text("#lists li").split()
    assert not (page.folder / "state.switches").exists()

"""A real headless Chromium, driven over WebDriver (https://www.w3.org/TR/webdriver2/) by the standard library."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port

DEADLINE_S = 30.0
START_S = 60.0
"""A cold Chromium on a busy machine."""


class Browser:
    """One tab of a browser with a fresh profile."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        options = {
            "args": [
                "--headless=new",
                "--no-sandbox",  # as root it starts in no other way
                "--disable-gpu",
                "--disable-dev-shm-usage",  # /dev/shm is small in containers
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--no-proxy-server",
                f"--user-data-dir={folder}/profile",
            ]
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        found = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}}, START_S)
        self._session = f"/session/{found['sessionId']}"

    def open(self, url: str) -> None:
        """Go there and wait until it is loaded."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run a function's body in the page, and give what it returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, *arguments: object) -> Any:
        """Wait until a function's body returns something that is true."""
        return self._eventually(lambda: self.run(script, *arguments), script)

    def text(self, selector: str) -> str:
        """The text of the first element, as it is rendered."""
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def console(self) -> list[str]:
        """What the page has complained of since the last call: faults of scripts, and of the security policy."""
        found = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{entry['level']} {entry['message']}" for entry in found]

    def show(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Be a window of this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is seen."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def devtools(self, command: str, **parameters: object) -> Any:
        """Give a command of the DevTools protocol."""
        return self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def close(self) -> None:
        """End the browser."""
        self._ask("DELETE", self._session)

    def _ask(self, method: str, path: str, body: object = None, timeout_s: float = DEADLINE_S) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
        try:
            connection.request(method, path, json.dumps(body) if method == "POST" else None)
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    @staticmethod
    def _eventually(check: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while not (found := check()):
            assert time.monotonic() < deadline, f"did not come true: {what}"
            time.sleep(0.05)
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser until the block ends; all that it started ends with it."""
    port = free_port()
    with (folder / "chromedriver.log").open("wb") as log:
        process = subprocess.Popen(
            ["chromedriver", f"--port={port}"],
            stdout=log,
            stderr=log,
            process_group=0,
            env=os.environ | {"HOME": str(folder), "TMPDIR": str(folder)},
        )
    try:
        _await(port, process)
        found = Browser(port, folder)
        try:
            yield found
        finally:
            with suppress(OSError, AssertionError, http.client.HTTPException):
                found.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "chromedriver has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "chromedriver doesn't listen"
            time.sleep(0.05)
        else:
            return

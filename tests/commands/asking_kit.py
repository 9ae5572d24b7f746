"""A real `up` with a real ExaBGP and some routes, and the commands that ask and steer it."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

from tests.commands.running import Instance, cli
from tests.integration.lab import eventually

MORE = """
[guard]
allow = ["198.51.100.0/24", "203.0.113.0/24"]
[[list]]
name = "video"
sources = "video.txt"
communities = ["65001:100"]
"""


INTRODUCED = b"\x0a\x03ns1\x12\x0eunbound 1.17.1"  # identity and version, fields 1 and 2 of Dnstap


class Asked:
    """The commands' end."""

    def __init__(self, found: Instance) -> None:
        self.instance = found

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return cli(*words, "--config", str(self.instance.config))

    def text(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.text(*words, "--json"))

    def until(self, check: Callable[[], Any], what: str) -> None:
        eventually(check, 60, what)

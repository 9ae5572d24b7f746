"""The files of `deploy/` as tests run them: as they are shipped, but for one table of substitutions each."""

import itertools
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parents[2] / "deploy"

TAP_SOCKET = "/run/dnstap-bgp/tap.sock"
TAP_ADDRESS = "192.0.2.10"
"""Where the files of `deploy/` say that dnstap-bgp is."""


def shipped(name: str, folder: Path, substitutions: Mapping[str, str]) -> Path:
    """Copy a file of `deploy/` into a folder, with what this place must have otherwise.

    A text that isn't in the file fails the test: it would be tested with something else than the test says.
    """
    text = (DEPLOY / name).read_text()
    for old, new in substitutions.items():
        assert old in text, f"deploy/{name} has no {old!r}"
        text = text.replace(old, new)
    copy = folder / Path(name).name
    copy.write_text(text)
    return copy


def tls_folder(folder: Path) -> Path:
    """Fill a folder with what both sides of TLS need, by the very commands in the comment of unbound-tls.conf."""
    folder.mkdir()
    lines = (DEPLOY / "resolvers/unbound-tls.conf").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("#   openssl"))
    commands = [line.removeprefix("# ") for line in itertools.takewhile(lambda line: line != "#", lines[first:])]
    subprocess.run(["sh", "-e"], input="\n".join(commands), text=True, cwd=folder, check=True, capture_output=True)
    return folder


def shipped_bgp(name: str) -> dict[str, Any]:
    """The `[bgp]` that the comment of a file in `deploy/routers` has, without its peers."""
    lines = [line.lstrip("#! ") for line in (DEPLOY / name).read_text().splitlines()]
    table = "\n".join(itertools.takewhile(bool, lines[lines.index("[bgp]") :]))
    return {key: value for key, value in tomllib.loads(table)["bgp"].items() if key != "peers"}


def shipped_rules(name: str) -> list[list[str]]:
    """The `ip rule` commands that the comment of a file in `deploy/routers` has, by their words."""
    lines = [line.lstrip("#! ") for line in (DEPLOY / name).read_text().splitlines()]
    return [line.split() for line in lines if line.startswith("ip ") and " rule add " in line]

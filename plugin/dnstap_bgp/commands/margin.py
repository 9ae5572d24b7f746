"""`dnstap-bgp margin`: measure how long a router takes from ExaBGP's acknowledgment until a route stands in its table.

A look is one run of the command that prints the table. Looks follow each other from before the announcement on. The
route stood at the end of the first one that shows it, at the latest: that end counts, so that a margin is never
measured too short. What a look itself takes is told beside it.
"""

import json
import math
import random
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import click

from dnstap_bgp.commands.control import Control
from dnstap_bgp.commands.options import config_option, json_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.core.hold.margins import GIVE_UP_MOST_S
from dnstap_bgp.core.hold.statistics import percentile
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.process.clocks import process_clock

TABLES = {
    "linux": "ip route show {prefix} table all",
    "bird": "birdc -r show route {prefix}",
    "frr": "vtysh -c 'show ip route {prefix}'",
    "gobgp": "gobgp global rib {prefix}",
}
TABLES_V6 = {
    "linux": "ip -6 route show {prefix} table all",
    "bird": "birdc -r show route {prefix}",
    "frr": "vtysh -c 'show ipv6 route {prefix}'",
    "gobgp": "gobgp global rib -a ipv6 {prefix}",
}
LOOK_S = 10.0
"""A command that takes longer prints no table."""
STANDS_S = 5.0
"""A router that takes longer hasn't taken the route: a filter, or the wrong table."""

Step = Callable[..., dict[str, Any]]


@click.command("margin")
@config_option
@json_option
@click.argument("neighbor")
@click.option("--table", type=click.Choice(list(TABLES)), default="linux", show_default=True, help="Of what router.")
@click.option("--command", "own_command", metavar="COMMAND", help="Prints the table, in place of --table's own.")
@click.option("--count", type=click.IntRange(1, 200), default=30, show_default=True, help="How many routes.")
@click.option("--yes", is_flag=True, help="Also where the neighbor is in another AS.")
def command(
    config_path: Path, neighbor: str, table: str, own_command: str | None, count: int, *, as_json: bool, yes: bool
) -> None:
    """Measure how long a router takes until a route stands in its table.

    That is the `margin` of [hold]. The running plugin announces documentation prefixes (203.0.113.0/24, with the
    community no-advertise) to that NEIGHBOR alone, one after the other for moments; a command of yours prints the
    router's table, from here or by ssh. `{prefix}` in it stands for the prefix. The table that the router forwards by
    is the kernel's.

    \b
    Examples:
        dnstap-bgp margin 192.0.2.1 --command "ssh router ip route show {prefix} table 53"
        dnstap-bgp margin 127.0.0.2 --table bird
    """  # noqa: D301 - click wants a real \b
    control = Control(config_path)

    def step(name: str, **body: object) -> dict[str, Any]:
        found: dict[str, Any] = control.post("/v1/margin", {"step": name, **body})
        return found

    margins_s, looks_s = [], []
    with _measurement(step, neighbor, yes=yes) as measurement:
        for _ in range(count):
            prefix = step("choose", measurement=measurement)["prefix"]
            line = own_command or (TABLES_V6 if ":" in prefix else TABLES)[table]
            argv = shlex.split(line.replace("{prefix}", prefix))
            margin_s, of_looks_s = _measure(step, measurement, prefix, argv)
            margins_s.append(margin_s)
            looks_s += of_looks_s
            time.sleep(random.uniform(0.02, 0.06))  # noqa: S311 - ExaBGP's loop must not be met always at one point
    for line in _told(neighbor, sorted(margins_s), sorted(looks_s), as_json=as_json):
        say(line, as_is=as_json)


@contextmanager
def _measurement(step: Step, neighbor: str, *, yes: bool) -> Iterator[str]:
    measurement = step("begin", neighbor=neighbor, yes=yes)["measurement"]
    try:
        yield measurement
    finally:
        with suppress(CommandError):  # it ends by itself, too
            step("end", measurement=measurement)


def _measure(step: Step, measurement: str, prefix: str, argv: Sequence[str]) -> tuple[float, list[float]]:
    """Measure one route: seconds from the acknowledgment until it stood at the latest, and what each look took."""
    if _shows(argv, prefix):
        raise CommandError(f"the table shows {prefix} already, before it was announced: is that the right command?")
    answers: list[dict[str, Any]] = []
    failures: list[CommandError] = []

    def announce() -> None:
        try:
            answers.append(step("announce", measurement=measurement))
        except CommandError as error:
            failures.append(error)

    asking, looks_s = Thread(target=announce), []
    asking.start()
    deadline, stood_at = process_clock() + STANDS_S, 0.0
    while not stood_at and not failures:
        began = process_clock()
        is_there = _shows(argv, prefix)
        ended = process_clock()
        looks_s.append(ended - began)
        if is_there:
            stood_at = ended
        elif ended > deadline:
            break
    asking.join()
    if failures:
        raise failures[0]
    step("withdraw", measurement=measurement)
    if not stood_at:
        raise CommandError(
            f"{prefix} was not in the table within {STANDS_S:.0f} s: does the router's filter take it, and is"
            f" `{shlex.join(argv)}` its table?"
        )
    return max(0.0, stood_at - answers[0]["acknowledged_at"]), looks_s


def _shows(argv: Sequence[str], prefix: str) -> bool:
    """Run the command once; tell whether the prefix is in what it prints."""
    address = prefix.partition("/")[0]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LOOK_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"`{shlex.join(argv)}` can't be run: {error}") from error
    return re.search(rf"(?<![0-9a-f.:]){re.escape(address)}(?![0-9a-f.:])", done.stdout) is not None


def _told(neighbor: str, margins_s: Sequence[float], looks_s: Sequence[float], *, as_json: bool) -> Iterator[str]:
    """Tell what was measured, and what to set."""
    p50_s, p99_s, look_s = (percentile(margins_s, 0.5), percentile(margins_s, 0.99), percentile(looks_s, 0.5))
    assert p50_s is not None
    assert p99_s is not None
    assert look_s is not None
    margin_ms = math.ceil(p99_s * 1000) + 1
    if as_json:
        yield json.dumps(
            {"neighbor": neighbor, "routes": len(margins_s), "p50_s": p50_s, "p99_s": p99_s, "look_s": look_s}
            | {"margin_s": margin_ms / 1000}
        )
        return
    yield f"{neighbor}: {len(margins_s)} routes stood p50 {p50_s * 1000:.1f} ms, p99 {p99_s * 1000:.1f} ms after"
    yield f"ExaBGP's acknowledgment, at the latest; a look at the table took {look_s * 1000:.1f} ms of that"
    if margin_ms / 1000 > GIVE_UP_MOST_S:
        yield f"that is more than any answer is held ({GIVE_UP_MOST_S * 1000:g} ms): look at what keeps the router"
    else:
        yield f'set [hold] margins = {{ "{neighbor}" = "{margin_ms}ms" }}'

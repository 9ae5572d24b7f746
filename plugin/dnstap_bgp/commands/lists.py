"""`dnstap-bgp lists`: show each list's sources, their age, counts and state; switch lists, edit managed ones."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.control import Control, json_line
from dnstap_bgp.commands.options import FILE, config_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.config import Config
from dnstap_bgp.core.lists import rules
from dnstap_bgp.core.lists.managed import ManagedName
from dnstap_bgp.core.status.report import SourceStatus
from dnstap_bgp.core.text import duration_text
from dnstap_bgp.core.timing import parse_duration
from dnstap_bgp.errors import CommandError, UnreachableError
from dnstap_bgp.workers.lists import status as liststatus
from dnstap_bgp.workers.lists.compile_child import build_lists
from dnstap_bgp.workers.lists.files import plan
from dnstap_bgp.workers.lists.loader import compiled_dir, waiting_in
from dnstap_bgp.workers.lists.status import ListContent, ListsStatus
from dnstap_bgp.workers.lists.steering import SwitchFile, switches_file
from dnstap_bgp.workers.lists.url_cache import UrlCache
from dnstap_bgp.workers.process import instance

CHANGE_S = 120.0
"""The longest wait for a change: lists of a million rules are compiled in seconds, on a busy machine in a minute."""


@click.group("lists", invoke_without_command=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def command(ctx: click.Context, config_path: Path, *, as_json: bool) -> None:
    """Show what each list has: its sources, their age, counts and state.

    Of the running plugin, with what is in force there; where none runs, of the files and copies as they are now.

    \b
    The states of a source:
        ok       all is well
        pending  the URL was never fetched yet
        stale    the last look at the URL failed: the last copy is used
        held     the source has a new version, which looks wrong; `dnstap-bgp reload --force` takes it
        partial  2 % of its lines or 20 are lost: malformed, or of another format than the file is read as
        error    it can't be used

    \b
    Examples:
        dnstap-bgp lists
        dnstap-bgp lists --json | jq '.lists[].sources[] | select(.state != "ok")'
        dnstap-bgp lists disable video --for 2h
        dnstap-bgp lists add by-hand example.com '=www.example.org'
    """  # noqa: D301 - click wants a real \b
    ctx.obj = Asked(config_path, as_json)
    if ctx.invoked_subcommand is not None:
        return
    found = read(config_path)
    for line in json_lines(found) if as_json else table(found):
        say(line, as_is=as_json)


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of `lists`, which may stand behind a subcommand, too.

    Attributes:
        config_path: The configuration file.
        as_json: One JSON object, not text.
    """

    config_path: Path
    as_json: bool


def _asking(step: Callable[..., None]) -> Callable[..., None]:
    """Give a subcommand the options of `lists`, as one `Asked`."""

    @click.option("--config", "config_path", type=FILE, metavar="FILE", help="The configuration file (TOML).")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object.")
    @wraps(step)
    def run(config_path: Path | None, *, as_json: bool, **arguments: object) -> None:
        asked: Asked = click.get_current_context().obj
        step(Asked(config_path or asked.config_path, as_json or asked.as_json), **arguments)

    return run


def _duration(_: click.Context, parameter: click.Parameter, written: str | None) -> float | None:
    """Read the duration that an option has."""
    try:
        return None if written is None else parse_duration(written)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


_Decorator: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]

_for: _Decorator = click.option(
    "--for", "for_s", callback=_duration, metavar="TIME", help="Undo it after this time: 90s, 2h, 7d.  [default: never]"
)
_preview: _Decorator = click.option("--preview", is_flag=True, help="Only say what it would do.")
_list: _Decorator = click.argument("name", metavar="LIST")
_names: _Decorator = click.argument("domains", nargs=-1, required=True, metavar="DOMAIN...")


@command.command("disable")
@_list
@_for
@_asking
def disable(asked: Asked, name: str, for_s: float | None) -> None:
    """Switch a list off: its routes go at once, and stay away across restarts."""
    _change(asked, "/v1/lists/switch", {"list": name, "enabled": False, "for_s": for_s})


@command.command("enable")
@_list
@_for
@_asking
def enable(asked: Asked, name: str, for_s: float | None) -> None:
    """Switch a list on: its static prefixes are back at once, its other routes with the next answers."""
    _change(asked, "/v1/lists/switch", {"list": name, "enabled": True, "for_s": for_s})


@command.command("add")
@_list
@_names
@click.option("--comment", default="", help="Kept with each name.")
@_preview
@_asking
def add(asked: Asked, name: str, domains: tuple[str, ...], comment: str, *, preview: bool) -> None:
    """Add names to a managed list.

    A name is written as in the plain format: example.com, =example.com, *.example.com, !www.example.com. With `-` names
    come from stdin, one a line.
    """
    _change(
        asked, "/v1/lists/edit", {"list": name, "add": _read_names(domains), "comment": comment, "preview": preview}
    )


@command.command("remove")
@_list
@_names
@_preview
@_asking
def remove(asked: Asked, name: str, domains: tuple[str, ...], *, preview: bool) -> None:
    """Remove names from a managed list, written as `show` shows them; `-`: from stdin."""
    _change(asked, "/v1/lists/edit", {"list": name, "remove": _read_names(domains), "preview": preview})


@command.command("show")
@_list
@_asking
def show(asked: Asked, name: str) -> None:
    """Show the names of a managed list: who added each, when and why."""
    answer = Control(asked.config_path).get(f"/v1/lists/{quote(name, safe='')}/names")
    if asked.as_json:
        say(json_line(answer), as_is=True)
        return
    for entry in answer["names"]:
        say(str(ManagedName(**entry)))


def _change(asked: Asked, path: str, body: dict[str, Any]) -> None:
    """Have the plugin change a list, and print what came of it.

    Raises:
        CommandError: It is not all in force, or refused.
    """
    answer = Control(asked.config_path, CHANGE_S).post(path, body)
    if asked.as_json:
        say(json_line(answer), as_is=True)
    else:
        for line in answer["messages"]:
            say(line)
    if not answer["ok"]:
        raise CommandError("not all of it is in force")


def _read_names(arguments: tuple[str, ...]) -> list[str]:
    """Give the names that are meant; `-` stands for lines of stdin, where `#` begins a comment."""
    found: list[str] = []
    for argument in arguments:
        lines: Iterable[str] = sys.stdin if argument == "-" else (argument,)
        found += [name for line in lines if (name := line.partition("#")[0].strip())]
    return found


@dataclass(frozen=True, slots=True)
class Found:
    """Status of all lists, and where it is from.

    Attributes:
        status: Of all lists.
        running: It is that of a running plugin.
        now: Wall clock.
        switched: List name -> what is said of a list that is off, or switched by hand.
    """

    status: ListsStatus
    running: bool
    now: float
    switched: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> Found:
    """Ask the running plugin; without one, read the lists here.

    Args:
        path: The configuration file.

    Raises:
        ConfigError: It can't be used.
        CommandError: The plugin that runs can't be asked, or has not loaded its lists yet.
    """
    config = configuration.load(path, with_secrets=False)
    plugin = instance.holder(config.pidfile)
    if plugin is None:
        return Found(_offline(config), running=False, now=time.time(), switched=_switched_offline(config))
    try:
        status = Control(path).get("/v1/status")
    except UnreachableError as error:
        raise CommandError(f"the plugin (pid {plugin}) can't be asked, or has not loaded its lists: {error}") from None
    switched = {one["name"]: switch_text(one) for one in status["lists"]}
    return Found(_of_plugin(status), running=True, now=time.time(), switched=switched)


def switch_text(found: dict[str, Any]) -> str:
    """Say of a list of /v1/status that it is off, or switched by hand; mostly empty."""
    enabled, switched = found.get("enabled", True), found.get("switched", False)
    if enabled and not switched:
        return ""
    text = ", on" if enabled else ", OFF"
    if not switched:
        return f"{text} (enabled = false)"
    who, until = found.get("switched_by", ""), found.get("switched_until")
    by = f" by {who}" if who else " by hand"
    return text + by + ("" if until is None else time.strftime(" until %Y-%m-%d %H:%M", time.localtime(until)))


def _switched_offline(config: Config) -> dict[str, str]:
    """Tell which lists the plugin will find switched, by the file that keeps that."""
    now = time.time()
    switches = SwitchFile(switches_file(config)).switches.at(now)
    off = switches.off({one.name: one.enabled for one in config.all_lists}, now)
    found = {}
    for one in config.all_lists:
        switch = switches.by_list.get(one.name)
        by = {"switched": True, "switched_by": switch.who, "switched_until": switch.until} if switch else {}
        found[one.name] = switch_text({"enabled": one.name not in off, **by})
    return found


def _of_plugin(status: dict[str, Any]) -> ListsStatus:
    """Take the lists out of /v1/status, which has more of each."""
    return ListsStatus(
        at=status["now"],
        refused=status["lists_refused"],
        lists=tuple(
            ListContent(
                one["name"], one["rules"], one["prefixes"], tuple(SourceStatus(**source) for source in one["sources"])
            )
            for one in status["lists"]
        ),
    )


def _offline(config: Config) -> ListsStatus:
    url_cache = UrlCache(compiled_dir(config))
    sources = config.list_sources()
    built = build_lists(plan(sources, url_cache, waiting_in(compiled_dir(config))))
    return liststatus.take(sources, built.rules.counts, built.prefixes, built.reports, url_cache)


def json_lines(found: Found) -> Iterator[str]:
    """Write the status as one JSON object."""
    yield found.status.to_json()


def table(found: Found) -> Iterator[str]:
    """Write the status as a person reads it."""
    if not found.running:
        yield "no plugin runs: this is what the sources give now"
    if found.status.refused is not None:
        yield f"what the sources give now is not in force: {found.status.refused}"
    for one in found.status.lists:
        yield f"{one.name}: {rules.size_text(one.rules, one.prefixes)}{found.switched.get(one.name, '')}"
        for source in one.sources:
            yield f"  {source.source}"
            yield f"    {source.state}: {source.why or _facts(source, found.now)}"
            if source.why and source.files:
                yield f"    {_facts(source, found.now)}"


def _facts(source: SourceStatus, now: float) -> str:
    facts = [rules.size_text(source.rules, source.prefixes)]
    if source.formats:
        facts.append("/".join(source.formats))
    if source.files > 1:
        facts.append(f"{source.files} files")
    if source.changed:
        facts.append(
            f"{'changed' if source.checked is None else 'fetched'} {duration_text(now - source.changed, 1)} ago"
        )
    if source.checked:
        facts.append(f"checked {duration_text(now - source.checked, 1)} ago")
    skipped = rules.skipped_text(source.skipped)
    return ", ".join(facts) + (f"; skipped: {skipped}" if skipped else "")

"""`dnstap-bgp reload`: have the running instance (`up`, or the plugin alone) read its files again; tell the outcome."""

import os
import signal
from pathlib import Path
from typing import Any

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.options import config_option, force_of, force_option, json_option
from dnstap_bgp.commands.printing import say_outcome
from dnstap_bgp.core.lists.source import Force
from dnstap_bgp.core.text import printable
from dnstap_bgp.errors import CommandError, UnreachableError
from dnstap_bgp.workers.process import instance, mailbox, runtime
from dnstap_bgp.workers.process.mailbox import RELOAD_PLUGIN, RELOAD_UP

TIMEOUT_S = 30.0
"""A list of a million names compiles in about 10 s."""


@click.command("reload")
@config_option
@json_option
@force_option
def command(config_path: Path, *, as_json: bool, forced: tuple[str, ...]) -> None:
    """Have the running instance read its configuration and lists again.

    What a list no longer covers is withdrawn; what it newly covers comes with the next answer for it.

    A configuration with anything wrong in it changes nothing, and neither does one that names a new list source that
    can't be read: what ran before still runs.

    Each source of a list is judged by itself. One that can't be read any more, or whose new content looks wrong (an
    error page, more than half of 20 rules or more gone), keeps the content that it had, and all else comes into force.
    --force takes such content: of all lists, or of the LIST that it names.

    Exit status 0 where all is in force, 1 where something is not: the output says whether that is all of it or which
    sources; 2 where nothing runs or answers.

    \b
    Examples:
        dnstap-bgp reload
        dnstap-bgp reload --force work
        dnstap-bgp reload --force --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    say_outcome(run(config_path, force=force_of(forced)), as_json=as_json)


def run(path: Path, *, force: Force = False, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Have the running instance reload.

    Args:
        path: The configuration file, for the runtime folder and the pidfile.
        force: The lists that take what they would hold back.
        timeout_s: How long to wait for the outcome.

    Returns:
        What the instance says of it, line by line.

    Raises:
        ConfigError: The file can't be used; the instance was not bothered.
        UnreachableError: Nothing runs or answers.
        CommandError: Not all of it is in force: the reasons, line by line.
    """
    config = configuration.load(path, with_secrets=False)
    runtime_dir = config.runtime_dir
    up = instance.holder(runtime.up_pidfile(runtime_dir))
    plugin = instance.holder(config.pidfile)
    target = up or plugin
    if target is None:
        raise UnreachableError(
            f"no plugin is running: nobody holds {config.pidfile}, nor an `up` {runtime_dir};"
            " one that runs as another user may have them elsewhere, unless the file sets runtime_dir"
        )
    # `up` goes first, sessions before routes: it answers for ExaBGP and passes HUP on to the plugin, which answers too.
    boxes = [RELOAD_PLUGIN] + ([RELOAD_UP] if up else [])
    try:
        with mailbox.posted(runtime_dir, RELOAD_PLUGIN, force=force) as request:  # `up` reads the same file
            os.kill(target, signal.SIGHUP)
            outcomes = [mailbox.await_answer(runtime_dir, box, request, timeout_s) for box in boxes]
    except PermissionError as error:
        owner = runtime_dir.stat().st_uid
        raise UnreachableError(f"{runtime_dir} belongs to uid {owner}: reload as that user or as root") from error
    except OSError as error:
        raise CommandError(f"the request can't be made: {error}") from error
    return _told(outcomes)


def _told(outcomes: list[dict[str, Any]]) -> list[str]:
    messages = [printable(str(message)) for outcome in outcomes for message in outcome.get("messages", ())]
    plugin = outcomes[0]
    in_force = f"{plugin.get('rules')} rules, {plugin.get('routes')} routes"
    if plugin.get("in_part"):
        raise CommandError("\n".join([f"reloaded: {in_force}; but not all of it is in force:", *messages]))
    if not plugin.get("ok"):
        changed = ", but for the sessions, which are those of the new file" if outcomes[-1].get("sessions") else ""
        raise CommandError("\n".join([f"the reload failed; what ran before still runs{changed}:", *messages]))
    if not all(outcome.get("ok") for outcome in outcomes):
        raise CommandError("\n".join([f"reloaded: {in_force}; but not the sessions:", *messages]))
    return [*messages, f"reloaded: {in_force}"]

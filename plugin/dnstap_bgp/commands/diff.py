"""`dnstap-bgp diff`: tell what a reload of the running plugin would add and withdraw now."""

import os
import signal
from pathlib import Path
from typing import Any

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands.control import Control
from dnstap_bgp.commands.options import config_option, force_of, force_option, json_option
from dnstap_bgp.commands.printing import say_outcome
from dnstap_bgp.config import Config
from dnstap_bgp.core.lists.source import Force
from dnstap_bgp.core.text import printable
from dnstap_bgp.errors import CommandError, OlderPluginError, UnreachableError
from dnstap_bgp.workers.process import instance, mailbox
from dnstap_bgp.workers.process.mailbox import DIFF_PLUGIN

TIMEOUT_S = 60.0
"""A list of a million names compiles in about 10 s, and comparing it takes as long."""


@click.command("diff")
@config_option
@json_option
@force_option
def command(config_path: Path, *, as_json: bool, forced: tuple[str, ...]) -> None:
    """Say what `dnstap-bgp reload` would add and withdraw now, without doing it.

    For each list the rules and the routes that would come (+), go (-) or get other attributes (~), with examples. The
    running plugin works it out from its table, so it has to run; nothing in it changes. Exit status 1 where `reload`
    would have that; --force is as for `reload`.

    \b
    Example:
        dnstap-bgp diff && dnstap-bgp reload
    """  # noqa: D301 - click wants a real \b
    say_outcome(run(config_path, force=force_of(forced)), as_json=as_json)


def run(path: Path, *, force: Force = False, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Ask the running plugin what a reload would do; nothing changes by it.

    Args:
        path: The configuration file.
        force: The lists that would take what they hold back.
        timeout_s: How long to wait for the answer.

    Returns:
        What would come and go, line by line.

    Raises:
        ConfigError: The file can't be used.
        UnreachableError: No plugin runs or answers.
        CommandError: Not all of it would be in force: the reasons, and what would come and go, line by line.
    """
    config = configuration.load(path, with_secrets=False)
    plugin = instance.holder(config.pidfile)
    if plugin is None:
        raise UnreachableError(
            f"no plugin is running (nobody holds {config.pidfile}), so there is nothing to compare with;"
            " `dnstap-bgp check` says whether the files are good"
        )
    try:
        answer = Control(path, timeout_s).post("/v1/diff", {"force": mailbox.force_value(force)})
    except (UnreachableError, OlderPluginError):  # it is starting, or of 0.1.0
        answer = _by_mail(config, plugin, force=force, timeout_s=timeout_s)
    messages = [printable(str(message)) for message in answer.get("messages", ())]
    if answer.get("in_part"):
        raise CommandError("\n".join(["the reload would leave something as it is:", *messages]))
    if not answer.get("ok"):
        raise CommandError("\n".join(["the reload would fail, and what runs now would go on:", *messages]))
    return messages


def _by_mail(config: Config, plugin: int, *, force: Force, timeout_s: float) -> dict[str, Any]:
    """Ask by a file and a signal, which a plugin answers that has no control socket yet."""
    try:
        with mailbox.posted(config.runtime_dir, DIFF_PLUGIN, force=force) as request:
            os.kill(plugin, signal.SIGUSR1)  # which alone has a plugin log its counts, and no more
            return mailbox.await_answer(config.runtime_dir, DIFF_PLUGIN, request, timeout_s)
    except PermissionError as error:
        owner = config.runtime_dir.stat().st_uid
        text = f"{config.runtime_dir} belongs to uid {owner}: ask as that user or as root"
        raise UnreachableError(text) from error
    except OSError as error:
        raise CommandError(f"the request can't be made: {error}") from error

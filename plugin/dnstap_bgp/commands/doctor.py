"""`dnstap-bgp doctor`: findings with advice, from files and from the running plugin."""

import grp
import json
import os
import pwd
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import check, host
from dnstap_bgp.commands.control import Control
from dnstap_bgp.commands.options import config_option
from dnstap_bgp.commands.printing import say
from dnstap_bgp.commands.status import SO_FAR, missing_yet
from dnstap_bgp.config import Config, UnixAddress
from dnstap_bgp.core.doctor.evidence import Account, PathStep
from dnstap_bgp.core.doctor.socket_access import blockage, obstacle
from dnstap_bgp.core.status.report import Finding
from dnstap_bgp.core.text import duration_text
from dnstap_bgp.errors import CommandError, ConfigError, HostError
from dnstap_bgp.workers.doctor import reach
from dnstap_bgp.workers.process import instance, runtime


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config_path: Path, *, as_json: bool) -> None:
    """Say what is wrong and what to change.

    Looks at the configuration and its lists, at folders, the resolvers' way to the DNSTap socket and ExaBGP, and asks
    the running plugin, if there is one, what is wrong with what arrives: senders that speak something else, answers
    without the DNS message in them, neighbors that are down, and so on. Changes nothing. Exit status 1 where anything
    is worse than a note.

    \b
    Examples:
        dnstap-bgp doctor
        sudo dnstap-bgp doctor --config ./dnstap-bgp.toml
    """  # noqa: D301 - click wants a real \b
    report = run(config_path)
    for line in [json.dumps(report.to_json())] if as_json else report.lines():
        say(line, as_is=as_json)
    sys.exit(report.exit_status)


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Findings, and what was looked at.

    Attributes:
        findings: What is wrong.
        looked: What was looked at, one line each.
        missing: What the running plugin waits for, see `status.missing_yet`.
    """

    findings: tuple[Finding, ...]
    looked: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """Exit status: 1 where anything is worse than a note."""
        return 1 if any(finding.level != "note" for finding in self.findings) else 0

    def lines(self) -> Iterator[str]:
        """Write the report as a person reads it."""
        for finding in self.findings:
            yield f"{finding.level}: {finding.text}"
            if finding.advice:
                yield f"    {finding.advice}"
        yield from self.looked
        if self.missing and not self.exit_status:
            yield f"{SO_FAR}: {', '.join(self.missing)}; ask again in a minute"
        elif not self.findings:
            yield "nothing is wrong that can be seen from here"

    def to_json(self) -> dict[str, Any]:
        """Give the report as one JSON object."""
        keys = ("level", "kind", "text", "advice", "subject")
        found = [{key: getattr(one, key) for key in keys} for one in self.findings]
        return {"findings": found, "looked": self.looked, "missing": self.missing}


def run(path: Path) -> DoctorReport:
    """Look at configuration, lists, folders, sockets, ExaBGP and the running plugin.

    Args:
        path: The configuration file. Reading its lists takes seconds for a million rules.
    """
    report = check.run(path)
    found = [Finding("error", "config", str(problem)) for problem in report.errors]
    found += [Finding("warning", "config", warning) for warning in report.warnings]
    looked = [f"looked at {path}" + (": " + ", ".join(report.summary[1:]) if report.summary[1:] else "")]
    found += _exabgp(looked)
    missing: list[str] = []
    with suppress(ConfigError):  # which the check has told
        config = configuration.load(path)
        found += _folders(config)
        status = _plugin(config, looked)
        if status is None:
            found += _sockets(config)
        else:
            found += [Finding(**finding) for finding in status["findings"]]
            missing = missing_yet(status)
    return DoctorReport(tuple(found), tuple(looked), tuple(missing))


def _exabgp(looked: list[str]) -> Iterator[Finding]:
    try:
        looked.append(f"looked at ExaBGP: {host.installed_version()}")
    except HostError as error:
        yield Finding("error", "exabgp-version", str(error))


def _folders(config: Config) -> Iterator[Finding]:
    """Give each folder that the plugin's user could not write to."""
    user = _user(config)
    for key, folder in (
        ("runtime_dir", config.runtime_dir),
        ("pidfile", config.pidfile.parent),
        ("cache", config.cache.parent if config.cache else config.runtime_dir),
    ):
        if folder == config.runtime_dir and key != "runtime_dir":
            continue
        there = next(found for found in (folder, *folder.parents) if found.exists())
        if not there.is_dir():
            yield Finding("error", "folder", f"{key}: {there} is no folder", f"choose another {key}", key)
        elif (there == folder or key != "runtime_dir") and not _may_write(user, there):
            advice = f"`install -d -o {user.name} {folder}`, or choose another {key}"
            yield Finding("error", "folder", f"{key}: {user.name} can't write to {folder}", advice, key)


def _sockets(config: Config) -> Iterator[Finding]:
    """Give each unix socket that resolvers of this system can't reach, as it is or as it would be made."""
    accounts = reach.accounts(reach.RESOLVER_USERS)
    for address in config.dnstap.listen:
        if not isinstance(address, UnixAddress):
            continue
        steps = reach.steps(address.path) or _planned(config, address.path)
        if not steps:
            if address.path.parent != config.runtime_dir:  # that one is made at the start
                text = f"the folder of {address.path} does not exist yet"
                yield Finding("note", "socket-folder", text, "`up` makes runtime_dir alone: this one is yours to make")
            continue
        blocked = [(account, step) for account in accounts if (step := obstacle(account, steps)) is not None]
        for account, step in blocked:
            finding = blockage(account, step, steps)
            yield finding if len(blocked) == len(accounts) else replace(finding, level="note")


def _planned(config: Config, path: Path) -> tuple[PathStep, ...]:
    """Give the folders to a socket that is not there, and the socket as the plugin would make it."""
    user = _user(config)
    folders = reach.steps(path.parent)
    return (*folders, PathStep(str(path), config.dnstap.perm, user.uid, _gid(config, user))) if folders else ()


def _gid(config: Config, user: Account) -> int:
    group = config.dnstap.group
    with suppress(KeyError):  # a group that isn't there is told by the check
        if group is not None:
            return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        return pwd.getpwuid(user.uid).pw_gid
    return -1


def _plugin(config: Config, looked: list[str]) -> dict[str, Any] | None:
    """Ask the running plugin; None: there is none, or it doesn't answer."""
    try:
        status: dict[str, Any] = Control(config.path).get("/v1/status")
    except CommandError as error:
        up = instance.holder(runtime.up_pidfile(config.runtime_dir))
        starting = f"; `up` runs (pid {up}), so it starts just now, or ends again and again: see the log" if up else ""
        looked.append(f"did not look at what arrives: {error}{starting}")
        return None
    looked.append(f"asked the plugin (pid {status['pid']}, up {duration_text(status['uptime_s'])})")
    return status


def _user(config: Config) -> Account:
    """Find the account that the plugin runs as: whom `up` becomes, or else ours."""
    name = config.process.user
    with suppress(KeyError):
        entry = pwd.getpwuid(os.geteuid()) if name is None else _entry(name)
        return Account(entry.pw_name, entry.pw_uid, frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid)))
    return Account(name or str(os.geteuid()), os.geteuid(), frozenset(os.getgroups()))


def _entry(name: str) -> pwd.struct_passwd:
    return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)


def _may_write(account: Account, folder: Path) -> bool:
    steps = reach.steps(folder)
    return not steps or obstacle(account, steps) is None

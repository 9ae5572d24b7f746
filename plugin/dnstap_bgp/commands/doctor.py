"""`dnstap-bgp doctor`: what is wrong and what to change, as files tell and as the running plugin tells."""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import check, host
from dnstap_bgp.commands.control import Control
from dnstap_bgp.config import Config, UnixAddress
from dnstap_bgp.core.doctor.access import blockage, obstacle
from dnstap_bgp.core.doctor.clues import Account, Step
from dnstap_bgp.core.status.findings import Finding
from dnstap_bgp.errors import CommandError, ConfigError, HostError
from dnstap_bgp.workers.doctor import reach


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        findings: What is wrong.
        looked: What was looked at, one line each.
    """

    findings: tuple[Finding, ...]
    looked: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """1 where anything is worse than a note."""
        return 1 if any(finding.level != "note" for finding in self.findings) else 0

    def lines(self) -> Iterator[str]:
        """The report as a person reads it."""
        for finding in self.findings:
            yield f"{finding.level}: {finding.text}"
            if finding.advice:
                yield f"    {finding.advice}"
        yield from self.looked
        if not self.findings:
            yield "nothing is wrong that can be seen from here"

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        keys = ("level", "kind", "text", "advice", "subject")
        return {"findings": [{key: getattr(one, key) for key in keys} for one in self.findings], "looked": self.looked}


def run(path: Path) -> Report:
    """Look at all that can be seen.

    Args:
        path: The configuration file. Reading its lists takes seconds for a million rules.
    """
    report = check.run(path)
    found = [Finding("error", "config", str(problem)) for problem in report.errors]
    found += [Finding("warning", "config", warning) for warning in report.warnings]
    looked = [f"looked at {path}" + (": " + ", ".join(report.summary[1:]) if report.summary[1:] else "")]
    found += _exabgp(looked)
    with suppress(ConfigError):  # which the check has told
        config = configuration.load(path)
        found += _folders(config)
        status = _plugin(config, looked)
        if status is None:
            found += _sockets(config)
        else:
            found += [Finding(**finding) for finding in status["findings"]]
    return Report(tuple(found), tuple(looked))


def _exabgp(looked: list[str]) -> Iterator[Finding]:
    try:
        looked.append(f"looked at ExaBGP: {host.installed_version()}")
    except HostError as error:
        yield Finding("error", "exabgp-version", str(error))


def _folders(config: Config) -> Iterator[Finding]:
    """Folders that the plugin writes to, as its user could."""
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
    """Whether the resolvers of this system can reach the unix sockets, as they are or as they would be."""
    accounts = reach.accounts(reach.RESOLVERS)
    for address in config.dnstap.listen:
        if not isinstance(address, UnixAddress):
            continue
        steps = reach.steps(address.path) or _planned(config, address.path)
        if not steps:
            text = f"the folder of {address.path} does not exist yet"
            yield Finding("note", "socket-folder", text, "`up` makes runtime_dir; any other folder is yours to make")
            continue
        blocked = [(account, step) for account in accounts if (step := obstacle(account, steps)) is not None]
        for account, step in blocked:
            finding = blockage(account, step, steps)
            yield finding if len(blocked) == len(accounts) else replace(finding, level="note")


def _planned(config: Config, path: Path) -> tuple[Step, ...]:
    """The way to a socket that is not there, with the socket as the plugin would make it."""
    user = _user(config)
    folders = reach.steps(path.parent)
    return (*folders, Step(str(path), config.dnstap.perm, user.uid, _gid(config, user))) if folders else ()


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
        looked.append(f"did not look at what arrives: {error}")
        return None
    looked.append(f"asked the plugin (pid {status['pid']})")
    return status


def _user(config: Config) -> Account:
    """Who the plugin is: whom `up` becomes, or else we."""
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

"""`dnstap-bgp import FILE`: from the Go program of the same name to this one, without a route lost at the switch.

its file                ours, key by key, and what means something else now
NAMESPACE= of its unit  a systemd drop-in that runs ours in the same network namespace
its running cache       our state file, so that the first start announces what it announces
"""

import grp
import os
import pwd
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import import_config, import_routes
from dnstap_bgp.commands.privileges import NAMESPACES
from dnstap_bgp.config import DEFAULT_PATH, Config, UnixAddress
from dnstap_bgp.config.spelling import canonical
from dnstap_bgp.errors import CommandError

OLD_DEFAULTS = Path("/etc/default/dnstap-bgp")
OLD_PATH = Path("/etc/dnstap-bgp/dnstap-bgp.conf")
STATE_FILE = Path("/var/lib/dnstap-bgp/state.msgpack")
DROP_IN = Path("/etc/systemd/system/dnstap-bgp.service.d/import.conf")
PACKAGED = Path("/usr/share/dnstap-bgp/dnstap-bgp.toml")
"""The configuration as our packages bring it: where it is untouched, nothing of an operator's is replaced."""
ACCOUNT = "dnstap-bgp"
"""The packages' user and group: it reads the configuration and owns the state file."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for.

    Attributes:
        old: The Go program's configuration; None: as its unit says, else where it usually is.
        to: Ours.
        cache: Our state file.
        defaults: The environment file of the Go program's unit.
        drop_in: Where systemd looks for it.
        fetch: `host:port` of the running program's syncer; None: as its configuration says.
        routes: Whether to fetch at all.
        dry_run: Only show.
        force: Replace files that are there.
    """

    old: Path | None
    to: Path
    cache: Path
    defaults: Path
    drop_in: Path
    fetch: str | None
    routes: bool
    dry_run: bool
    force: bool


def run(request: Request) -> int:
    """Do it, and say what was done.

    Returns:
        The exit status: 1 where the routes were wanted and could not be fetched; all else is done then.

    Raises:
        ConfigError: The old file can't be used.
        CommandError: A file is there already, or can't be written.
    """
    unit = _environment(request.defaults)
    old_path = (request.old or Path(unit.get("CONFIG") or OLD_PATH)).absolute()
    to, cache = request.to.absolute(), request.cache.absolute()
    old = configuration.load(old_path)
    table, _ = canonical(Config, tomllib.loads(old_path.read_text("utf-8-sig")))
    made = import_config.convert(old, table, to, cache)
    namespace = unit.get("NAMESPACE") or None
    drop_in = _drop_in(made.config, namespace, request.defaults)
    writes = {to: made.text} | ({request.drop_in: drop_in} if drop_in else {})
    _show(old_path, made)
    for line in _obstacles(made.config, request.drop_in.parent.with_suffix("")):
        click.echo(f"  {line}")
    if not request.dry_run:
        _refuse_to_replace(writes, force=request.force)
        for path, text in writes.items():
            _write(path, text)
            click.echo(f"\nWrote {path}" + (f" (network namespace {namespace})" if path == request.drop_in else ""))
    else:
        for path, text in writes.items():
            click.echo(f"\nWould write {path}:\n{text}", nl=False)
    return _take_routes(request, made.config, namespace) if request.routes else 0


def _take_routes(request: Request, config: Config, namespace: str | None) -> int:
    """Fetch what the running program holds, into the state file."""
    endpoint = request.fetch or import_routes.endpoint_of(config)
    if endpoint is None:
        click.echo(
            "\nRoutes: the old configuration has no [syncer] listen to fetch them from. They come back with the next "
            "answers; to keep them, add `[syncer] listen` there, restart it with its cache, and import again."
        )
        return 0
    try:
        entries = import_routes.fetch(endpoint, namespace)
    except CommandError as error:
        click.echo(f"\nRoutes: {error}. Nothing was taken over; start the old program and import again.", err=True)
        return 1
    if request.dry_run:
        click.echo(f"\nRoutes: {len(entries)} to take over from {endpoint}")
        return 0
    assert config.cache is not None
    missing = not config.cache.parent.exists()
    kept = import_routes.keep(entries, config)
    if missing:
        _give_to_account(config.cache.parent, 0o750)
    _give_to_account(config.cache, 0o600)
    _give_to_account(config.cache.with_name(config.cache.name + ".lock"), 0o600)
    click.echo(f"\nRoutes: {kept} of {len(entries)} entries from {endpoint} are in {config.cache}")
    return 0


def _environment(path: Path) -> dict[str, str]:
    """The assignments of a unit's environment file (systemd.exec, EnvironmentFile); none where there is no file."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    found = re.findall(r"^\s*(\w+)=(.*?)\s*$", text, re.MULTILINE)
    return {name: value.strip("\"'") for name, value in found}


def _drop_in(config: Config, namespace: str | None, defaults: Path) -> str | None:
    """What our unit needs beside its own text; None: nothing."""
    service = list(_service_lines(config, namespace))
    if not service:
        return None
    lines = [f"# Written by `dnstap-bgp import`; NAMESPACE is from {defaults}."]
    if namespace is not None:
        lines += ["[Unit]", f"AssertPathExists={NAMESPACES / namespace}", ""]
    return "\n".join([*lines, "[Service]", *service]) + "\n"


def _service_lines(config: Config, namespace: str | None) -> Iterator[str]:
    if namespace is not None:
        yield f"NetworkNamespacePath={NAMESPACES / namespace}"
    folders = {at.path.parent for at in config.dnstap.listen if isinstance(at, UnixAddress)}
    assert config.cache is not None
    folders.add(config.cache.parent)
    outside = sorted(folder for folder in folders if not _is_ours(folder))
    if any(folder.is_relative_to("/tmp") for folder in outside):  # noqa: S108 - where the old socket was by default
        yield "# the resolver writes to a socket in /tmp, the real one"
        yield "PrivateTmp=no"
    for socket in _sockets_outside(config):
        yield "# the Go program, which is root, leaves its socket behind: only root may remove it"
        yield f"ExecStartPre=+/bin/rm -f {socket}"
    if outside:
        yield "ReadWritePaths=" + " ".join(map(str, outside))
    if config.path != DEFAULT_PATH:
        yield "ExecStart="
        yield f"ExecStart=/usr/bin/dnstap-bgp up --config {config.path}"


def _sockets_outside(config: Config) -> list[Path]:
    return [at.path for at in config.dnstap.listen if isinstance(at, UnixAddress) and not _is_ours(at.path.parent)]


def _obstacles(config: Config, own_unit: Path) -> Iterator[str]:
    """What is in our service's way on this machine, which the Go program as root did not mind."""
    if own_unit.exists():
        yield f"unit: {own_unit} hides that of our package: remove it before the switch"
    for socket in _sockets_outside(config):
        if socket.parent.is_dir() and not socket.parent.stat().st_mode & 0o002:
            yield (
                f"dnstap.listen: the user {ACCOUNT} may not make {socket}: let its group write in {socket.parent}, or "
                "take /run/dnstap-bgp/tap.sock, here and in the resolver"
            )
    for source in config.domains or ():
        path = Path(source)
        if path.is_file() and not path.stat().st_mode & 0o004:
            yield f"domains: the user {ACCOUNT} must be able to read {path}: chgrp {ACCOUNT}, with mode 0640"


def _is_ours(folder: Path) -> bool:
    return any(folder.is_relative_to(own) for own in ("/run/dnstap-bgp", "/var/lib/dnstap-bgp"))


def _show(old: Path, made: import_config.Imported) -> None:
    click.echo(f"From {old}\n\nCarries over:")
    for line in made.carried:
        click.echo(f"  {line}")
    click.echo("\nChanges:")
    for line in made.changed:
        click.echo(f"  {line}")
    for line in made.config.warnings:
        click.echo(f"  {line}")


def _refuse_to_replace(writes: dict[Path, str], *, force: bool) -> None:
    untouched = PACKAGED.read_text() if PACKAGED.exists() else None
    there = [str(path) for path, text in writes.items() if path.exists() and path.read_text() not in (text, untouched)]
    if there and not force:
        raise CommandError(f"{', '.join(there)} is there already and differs: --force replaces it")


def _write(path: Path, text: str) -> None:
    """Write a file that may hold passwords, in place at once."""
    new = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(text)
        if path.suffix == ".toml":
            _give_to_account(new, 0o640, owner=False)
        else:
            new.chmod(0o644)
        new.replace(path)
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from None


def _give_to_account(path: Path, mode: int, *, owner: bool = True) -> None:
    """Let the packages' user have the file, where there is such a user and we may say so."""
    path.chmod(mode)
    if os.geteuid() != 0:
        return
    try:
        user, group = pwd.getpwnam(ACCOUNT).pw_uid, grp.getgrnam(ACCOUNT).gr_gid
    except KeyError:
        return
    os.chown(path, user if owner else -1, group)

"""`dnstap-bgp import FILE`: move over from the Go program of the same name, without a route lost at the switch.

its file                ours, key by key, and what means something else now
NAMESPACE= of its unit  a systemd drop-in that runs ours in the same network namespace
its running cache       our state file, so that the first start announces what it announces
"""

import errno
import grp
import os
import pwd
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from dnstap_bgp import config as configuration
from dnstap_bgp.commands import import_config, import_routes
from dnstap_bgp.commands.options import CONFIG, FILE
from dnstap_bgp.commands.printing import complain, say
from dnstap_bgp.commands.privileges import NAMESPACES
from dnstap_bgp.config import DEFAULT_PATH, Config, UnixAddress
from dnstap_bgp.config.model import ConfigFile
from dnstap_bgp.config.spelling import canonical
from dnstap_bgp.errors import CommandError

OLD_DEFAULTS = Path("/etc/default/dnstap-bgp")
OLD_PATH = Path("/etc/dnstap-bgp/dnstap-bgp.conf")
STATE_FILE = Path("/var/lib/dnstap-bgp/state")
DROP_IN = Path("/etc/systemd/system/dnstap-bgp.service.d/import.conf")
PACKAGED = Path("/usr/share/dnstap-bgp/dnstap-bgp.toml")
"""The configuration as our packages bring it: where it is untouched, nothing of an operator's is replaced."""
SYSTEMD = Path("/run/systemd/system")
"""There while systemd runs, sd_booted(3)."""
UNITS = (Path("/usr/lib/systemd/system/dnstap-bgp.service"), Path("/lib/systemd/system/dnstap-bgp.service"))
"""Where packages put the unit: ours, or until then the Go program's."""
NO_SYNCER = (
    "Routes: the old program has no [syncer] listen to fetch them from. They come back with the next answers. To keep",
    "all that it has learnt, add two lines to its file, restart it once (its own cache keeps it meanwhile), and import",
    "again before it is stopped:",
    "    [syncer]",
    '    listen = "127.0.0.1:8080"',
)
ACCOUNT = "dnstap-bgp"
"""The packages' user and group: it reads the configuration and owns the state file."""


@click.command("import")
@click.argument("old", required=False, type=FILE)
@click.option("--to", type=FILE, help="Our configuration file. [default: /etc/dnstap-bgp/dnstap-bgp.toml]")
@click.option("--cache", type=FILE, help="Our state file. [default: /var/lib/dnstap-bgp/state]")
@click.option("--defaults", type=FILE, help="The old unit's environment file. [default: /etc/default/dnstap-bgp]")
@click.option("--drop-in", type=FILE, help="[default: /etc/systemd/system/dnstap-bgp.service.d/import.conf]")
@click.option("--fetch", metavar="HOST:PORT", help="Where the old program syncs. [default: as its file says]")
@click.option("--routes/--no-routes", default=True, help="Whether to take over what the old program has learnt.")
@click.option("--dry-run", is_flag=True, help="Only show what would be written.")
@click.option("--force", is_flag=True, help="Replace files that are there already.")
def command(
    *,
    old: Path | None,
    to: Path | None,
    cache: Path | None,
    defaults: Path | None,
    drop_in: Path | None,
    fetch: str | None,
    routes: bool,
    dry_run: bool,
    force: bool,
) -> None:
    """Move over from the Go program of the same name.

    Reads its configuration file OLD (default: the one that its systemd unit uses), says what carries over and what
    means something else now, and writes our configuration, and a drop-in for our unit where the old one ran in a
    network namespace. If the old program runs and has a [syncer], what it has learnt goes to our state file, so that
    our first start announces all of it. The old files are left alone.

    \b
    Examples:
        dnstap-bgp import --dry-run
        dnstap-bgp import && systemctl daemon-reload && systemctl restart dnstap-bgp
    """  # noqa: D301 - click wants a real \b
    options = ImportOptions(
        old=old,
        to=to or CONFIG,
        cache=cache or STATE_FILE,
        defaults=defaults or OLD_DEFAULTS,
        drop_in=drop_in or DROP_IN,
        has_unit=drop_in is not None or _has_unit(),
        fetch=fetch,
        routes=routes,
        dry_run=dry_run,
        force=force,
    )
    sys.exit(run(options))


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        old: The Go program's configuration; None: as its unit says, else where it usually is.
        to: Ours.
        cache: Our state file.
        defaults: The environment file of the Go program's unit.
        drop_in: Where systemd looks for it.
        has_unit: Whether there is a unit that a drop-in could be for.
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
    has_unit: bool
    fetch: str | None
    routes: bool
    dry_run: bool
    force: bool


def run(options: ImportOptions) -> int:
    """Import, and tell what was done.

    Returns:
        The exit status: 1 where the routes were wanted and could not be fetched; all else is done then.

    Raises:
        ConfigError: The old file can't be used.
        CommandError: A file is there already, or can't be written.
    """
    unit = _environment(options.defaults)
    old_path = (options.old or Path(unit.get("CONFIG") or OLD_PATH)).absolute()
    to, cache = options.to.absolute(), options.cache.absolute()
    old = configuration.load(old_path)
    table, _ = canonical(ConfigFile, tomllib.loads(old_path.read_text("utf-8-sig")))
    made = import_config.convert(old, table, to, cache)
    namespace = unit.get("NAMESPACE") or None
    drop_in = _drop_in(made.config, namespace, options.defaults)
    writes = {to: made.text} | ({options.drop_in: drop_in} if drop_in and options.has_unit else {})
    _show(old_path, made)
    for line in _obstacles(made.config, options.drop_in.parent.with_suffix("")):
        say(f"  {line}")
    if drop_in and not options.has_unit:
        say("  unit: no drop-in is written, as systemd or the unit of our package is not here; it would have")
        for line in drop_in.splitlines():
            say(f"    {line}")
    if not options.dry_run:
        _refuse_to_replace(writes, force=options.force)
        for path, text in writes.items():
            _write(path, text)
            say("")
            of_namespace = namespace is not None and path == options.drop_in
            say(f"Wrote {path}" + (f" (network namespace {namespace})" if of_namespace else ""))
    else:
        for path, text in writes.items():
            for line in ("", f"Would write {path}:", *text.splitlines()):
                say(line)
    return _take_routes(options, made.config, namespace) if options.routes else 0


def _take_routes(options: ImportOptions, config: Config, namespace: str | None) -> int:
    """Fetch what the running program holds, into the state file."""
    endpoint = options.fetch or import_routes.endpoint_of(config)
    if endpoint is None:
        say("")
        for line in NO_SYNCER:
            say(line)
        return 0
    try:
        entries = import_routes.fetch(endpoint, namespace)
    except CommandError as error:
        complain("")
        complain(f"Routes: {error}. Nothing was taken over; start the old program and import again.")
        return 1
    if options.dry_run:
        say("")
        say(f"Routes: {len(entries)} to take over from {endpoint}")
        return 0
    assert config.cache is not None
    missing = not config.cache.parent.exists()
    kept = import_routes.keep(entries, config)
    if missing:
        _give_to_account(config.cache.parent, 0o750)
    _give_to_account(config.cache, 0o600)
    _give_to_account(config.cache.with_name(config.cache.name + ".lock"), 0o600)
    say("")
    say(f"Routes: {kept} of {len(entries)} entries from {endpoint} are in {config.cache}")
    return 0


def _has_unit() -> bool:
    return SYSTEMD.is_dir() and any(unit.exists() for unit in UNITS)


def _environment(path: Path) -> dict[str, str]:
    """Read the assignments of a unit's environment file (systemd.exec(5), EnvironmentFile); none: no file."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    found = re.findall(r"^\s*(\w+)=(.*?)\s*$", text, re.MULTILINE)
    return {name: value.strip("\"'") for name, value in found}


def _drop_in(config: Config, namespace: str | None, defaults: Path) -> str | None:
    """Write what our unit needs beside its own text; None: nothing."""
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
    """Tell what is in our service's way on this machine, which the Go program as root did not mind."""
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
    for line in (f"From {old}", "", "Carries over:"):
        say(line)
    for line in made.carried:
        say(f"  {line}")
    for line in ("", "Changes:"):
        say(line)
    for line in made.changed:
        say(f"  {line}")
    for line in made.config.warnings:
        say(f"  {line}")


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
    """Let the packages' user have the file, where there is such a user and we may say so.

    By its descriptor and through no link: the folder may be that user's, who must not choose a file of root's.

    Raises:
        CommandError: A link stands in its place.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise CommandError(f"{path} is a symbolic link by now: who may write to its folder has put it there") from None
    try:
        os.fchmod(fd, mode)
        if os.geteuid() != 0:
            return
        try:
            user, group = pwd.getpwnam(ACCOUNT).pw_uid, grp.getgrnam(ACCOUNT).gr_gid
        except KeyError:
            return
        os.fchown(fd, user if owner else -1, group)
    finally:
        os.close(fd)

"""`dnstap-bgp lists`: what each list has, where it is from, how old it is and in which state."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dnstap_bgp import config as configuration
from dnstap_bgp.config import Config
from dnstap_bgp.core.lists import counts
from dnstap_bgp.errors import CommandError
from dnstap_bgp.workers.lists import status as liststatus
from dnstap_bgp.workers.lists.copies import Copies
from dnstap_bgp.workers.lists.loader import compiled_dir
from dnstap_bgp.workers.lists.sources import build_here, plan
from dnstap_bgp.workers.lists.status import SourceStatus, Status
from dnstap_bgp.workers.process import instance, runtime

_AGES = ((86400, "d"), (3600, "h"), (60, "m"), (0, "s"))


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to show.

    Attributes:
        status: Of all lists.
        running: It is that of a running plugin.
        now: Wall clock.
    """

    status: Status
    running: bool
    now: float


def read(path: Path) -> Found:
    """Ask the running plugin's file; without one, read the lists here.

    Args:
        path: The configuration file.

    Raises:
        ConfigError: It can't be used.
        CommandError: The plugin's file can't be read.
    """
    config = configuration.load(path)
    if instance.holder(config.pidfile) is None:
        return Found(_offline(config), running=False, now=time.time())
    file = runtime.lists_file(config.runtime_dir)
    try:
        return Found(liststatus.from_json(file.read_bytes()), running=True, now=time.time())
    except FileNotFoundError:
        raise CommandError(f"{file} is not there yet: the plugin has not loaded its lists") from None
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}") from error


def _offline(config: Config) -> Status:
    kept = Copies(compiled_dir(config))
    sources = config.list_sources()
    built = build_here(plan(sources, kept))
    return liststatus.take(sources, built.rules.counts, built.prefixes, built.reports, kept)


def json_lines(found: Found) -> Iterator[str]:
    """As JSON, one object."""
    yield found.status.to_json()


def table(found: Found) -> Iterator[str]:
    """As a person reads it."""
    if not found.running:
        yield "no plugin runs: this is what the sources give now"
    if found.status.refused is not None:
        yield f"what the sources give now is not in force: {found.status.refused}"
    for one in found.status.lists:
        yield f"{one.name}: {counts.held(one.rules, one.prefixes)}"
        for source in one.sources:
            yield f"  {source.source}"
            yield f"    {source.state}: {source.why or _facts(source, found.now)}"
            if source.why and source.files:
                yield f"    {_facts(source, found.now)}"


def _facts(source: SourceStatus, now: float) -> str:
    facts = [counts.held(source.rules, source.prefixes)]
    if source.formats:
        facts.append("/".join(source.formats))
    if source.files > 1:
        facts.append(f"{source.files} files")
    if source.changed:
        facts.append(f"{'changed' if source.checked is None else 'fetched'} {_age(now - source.changed)} ago")
    if source.checked:
        facts.append(f"checked {_age(now - source.checked)} ago")
    skipped = counts.skipped(source.skipped)
    return ", ".join(facts) + (f"; skipped: {skipped}" if skipped else "")


def _age(age_s: float) -> str:
    """An age in one unit, `5 m`; a clock that was set back makes none negative."""
    age_s = max(0.0, age_s)
    size, unit = next((size, unit) for size, unit in _AGES if age_s >= size)
    return f"{int(age_s / size) if size else int(age_s)} {unit}"

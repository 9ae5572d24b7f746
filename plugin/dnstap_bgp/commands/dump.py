"""`dnstap-bgp dump FILE`: what a state file holds, as JSON lines or a table; a damaged one as far as it can be read.

The file is only read, without its lock, so that of a running plugin can be looked at as well.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dnstap_bgp.core.model import Attributes, Claim, Prefix
from dnstap_bgp.core.state.records import attributes_object, claim_object, prefix_text
from dnstap_bgp.core.state.stamps import Stamp
from dnstap_bgp.errors import CommandError, ForeignFileError
from dnstap_bgp.workers.process.clocks import system_clock
from dnstap_bgp.workers.state.restore import LoadReport, restore
from dnstap_bgp.workers.state.statefile import reading

COLUMNS = ("ADDRESS", "LIST", "NAME", "SEEN", "ENDS IN", "TOLD")


@dataclass(slots=True)
class Dump:
    """What a state file says, the last record of each thing only.

    Attributes:
        now: When it was read.
        claims: By (address, list, name); their times in the process clock of `now`.
        told: What the host was told and not untold.
        report: Counts and damage.
    """

    now: Stamp
    claims: dict[tuple[bytes, str, bytes], Claim] = field(default_factory=dict)
    told: dict[Prefix, Attributes] = field(default_factory=dict)
    report: LoadReport = field(default_factory=LoadReport)

    @property
    def damaged(self) -> bool:
        """Whether a part of the file could not be read."""
        return self.report.survey.holes_total > 0

    def adopt(self, claims: list[Claim]) -> None:
        """Take the claims of one block."""
        self.claims.update((claim[:3], claim) for claim in claims)

    def recall(self, told: list[tuple[Prefix, Attributes]], untold: list[Prefix]) -> None:
        """Take what one block says of the host."""
        for prefix in untold:
            self.told.pop(prefix, None)
        self.told.update(told)

    def routes(self) -> Iterator[tuple[Prefix, Sequence[Claim], Attributes | None]]:
        """Every prefix that has claims or was told, in order, IPv4 first."""
        by_prefix: dict[Prefix, list[Claim]] = {prefix: [] for prefix in self.told}
        for claim in self.claims.values():
            by_prefix.setdefault(claim.address, []).append(claim)
        for prefix in sorted(by_prefix, key=lambda prefix: (len(prefix), prefix)):
            yield prefix, sorted(by_prefix[prefix]), self.told.get(prefix)


def read(path: Path) -> Dump:
    """Read a state file.

    Raises:
        CommandError: It can't be opened, or is of another kind or a newer version.
    """
    dump = Dump(system_clock()())
    try:
        with reading(path) as (reader, size):
            if size == 0:
                msg = f"{path} is empty or does not exist"
                raise CommandError(msg)
            dump.report = restore(reader, size, dump.now, dump.adopt, dump.recall, with_expired=True)
    except ForeignFileError as error:
        msg = f"{path} {error}"
        raise CommandError(msg) from error
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise CommandError(msg) from error
    return dump


def json_lines(dump: Dump) -> Iterator[str]:
    """One object for each prefix: its claims, and what the host was told (null: nothing).

    A claim's `ends_in_s` below 0 says that its deadline has passed.
    """
    for prefix, claims, told in dump.routes():
        yield json.dumps(
            {
                "prefix": prefix_text(prefix),
                "told": attributes_object(told) if told else None,
                "claims": [_claim(claim, dump.now) for claim in claims],
            }
        )


def table(dump: Dump) -> Iterator[str]:
    """A line for each claim, and for each prefix that the host was told and no claim holds."""
    rows = [
        (
            prefix_text(prefix),
            claim.list,
            claim.name.decode("ascii", "backslashreplace"),
            f"{_duration(dump.now.boottime_s - claim.seen)} ago",
            _duration(claim.seen + claim.ttl_s - dump.now.boottime_s),
            _told(told),
        )
        if claim
        else (prefix_text(prefix), "-", "-", "-", "-", _told(told))
        for prefix, claims, told in dump.routes()
        for claim in claims or (None,)
    ]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for row in (COLUMNS, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def summary(dump: Dump) -> Iterator[str]:
    """What to say beside it: counts, the last record's age, each damaged part."""
    expired = sum(claim.seen + claim.ttl_s <= dump.now.boottime_s for claim in dump.claims.values())
    yield (
        f"{len(dump.claims)} claims, {expired} of them past their deadline; {len(dump.told)} prefixes told;"
        f" last written {_duration(dump.report.downtime_s)} ago"
    )
    for hole in dump.report.survey.holes:
        yield f"damaged: {hole}"
    more = dump.report.survey.holes_total - len(dump.report.survey.holes)
    if more:
        yield f"damaged: {more} more parts"


def _claim(claim: Claim, now: Stamp) -> dict[str, object]:
    ends_in_s = claim.seen + claim.ttl_s - now.boottime_s
    seen = dt.datetime.fromtimestamp(now.wall_s - (now.boottime_s - claim.seen), dt.UTC)
    fields = claim_object(claim, now.boottime_s)
    del fields["address"]
    return fields | {"seen": seen.isoformat(timespec="milliseconds"), "ends_in_s": round(ends_in_s, 3)}


def _told(told: Attributes | None) -> str:
    if told is None:
        return "-"
    values = attributes_object(told)
    next_hop = values.pop("next_hop")
    return (
        f"{next_hop}{'' if not values else ' ' + ' '.join(f'{name}={_text(value)}' for name, value in values.items())}"
    )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _duration(seconds: float) -> str:
    """Two units: 2d03h, 5h07m, 12m09s, 8s; `-` in front of what has passed."""
    sign, rest = ("-" if seconds < 0 else ""), int(abs(seconds))
    days, hours, minutes = rest // 86_400, rest // 3600 % 24, rest // 60 % 60
    if days:
        return f"{sign}{days}d{hours:02}h"
    if hours:
        return f"{sign}{hours}h{minutes:02}m"
    return f"{sign}{minutes}m{rest % 60:02}s" if minutes else f"{sign}{rest}s"

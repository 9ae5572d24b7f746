"""`dnstap-bgp dump FILE`: show a state file as JSON lines or a table; a damaged one as far as it can be read.

The file is only read, without its lock, so that of a running plugin can be looked at as well.
"""

import datetime as dt
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from dnstap_bgp.commands.printing import complain, say
from dnstap_bgp.core.model import EVERYONE, Attributes, Audience, Claim, Prefix, RibRecord
from dnstap_bgp.core.state.records import attributes_object, audience_object, claim_object
from dnstap_bgp.core.state.timestamps import Stamp
from dnstap_bgp.core.text import duration_column, name_text, prefix_text
from dnstap_bgp.errors import CommandError, ForeignFileError
from dnstap_bgp.workers.process.clocks import system_clock
from dnstap_bgp.workers.state.restore import LoadReport, restore
from dnstap_bgp.workers.state.statefile import reading

COLUMNS = ("ADDRESS", "LIST", "NAME", "SEEN", "ENDS IN", "TOLD")


@click.command("dump")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    help="A table, or one JSON object a line.  [default: table on a terminal, else json]",
)
def command(file: Path, form: str | None) -> None:
    """Show what a state file (the configuration's `cache`) holds.

    For each prefix: the names that hold it, until when, and what ExaBGP was told. The file is only read, also while a
    plugin runs with it; a damaged one is shown as far as it can be read, with exit status 1.

    \b
    Examples:
        dnstap-bgp dump /var/lib/dnstap-bgp/state
        dnstap-bgp dump --format json state | jq .prefix
    """  # noqa: D301 - click wants a real \b
    found = read(file)
    as_table = form == "table" or (form is None and sys.stdout.isatty())
    for line in table(found) if as_table else json_lines(found):
        say(line, as_is=not as_table)
    for line in summary(found):
        complain(line)
    sys.exit(1 if found.damaged else 0)


@dataclass(slots=True)
class Dump:
    """Content of a state file: the last record of each claim and prefix.

    Attributes:
        now: When it was read.
        claims: By (address, list, name); their times in the process clock of `now`.
        told: What the host was told and not untold, where the records name no neighbors of their own.
        told_views: The same where they do, by neighbors.
        report: Counts and damage.
    """

    now: Stamp
    claims: dict[tuple[bytes, str, bytes], Claim] = field(default_factory=dict)
    told: dict[Prefix, Attributes] = field(default_factory=dict)
    told_views: dict[Prefix, dict[Audience, Attributes]] = field(default_factory=dict)
    report: LoadReport = field(default_factory=LoadReport)

    @property
    def damaged(self) -> bool:
        """True where a part of the file could not be read."""
        return self.report.survey.holes_total > 0

    def adopt(self, claims: list[Claim]) -> None:
        """Take the claims of one block."""
        self.claims.update((claim[:3], claim) for claim in claims)

    def recall(self, records: list[RibRecord]) -> None:
        """Take what one block says that ExaBGP was told."""
        for key, attributes in records:
            if isinstance(key, bytes):
                self.told.pop(key, None)
                self.told_views.pop(key, None)
                if attributes is not None:
                    self.told[key] = attributes
            else:
                self._recall_of_view(key.prefix, key.audience, attributes)

    def _recall_of_view(self, prefix: Prefix, audience: Audience, attributes: Attributes | None) -> None:
        """Take a record that is about some neighbors; the others have what they had."""
        of_all, before = self.told.pop(prefix, None), self.told_views.pop(prefix, {})
        if of_all is not None:
            all_of_them = Audience(of_all.neighbors) if of_all.neighbors else EVERYONE
            before = {all_of_them: replace(of_all, neighbors=())}
        views = {rest: known for other, known in before.items() if (rest := other - audience)}
        if attributes is not None:
            same = next((other for other, known in views.items() if known == attributes), Audience())
            views.pop(same, None)
            views[audience | same] = attributes
            if EVERYONE in views:
                self.told[prefix] = attributes
                return
        if views:
            self.told_views[prefix] = views

    def routes(self) -> Iterator[tuple[Prefix, Sequence[Claim], Mapping[Audience | None, Attributes]]]:
        """Give every prefix that has claims or was told, in order, IPv4 first.

        What was told is by neighbors; None: the records name none of their own.
        """
        by_prefix: dict[Prefix, list[Claim]] = {prefix: [] for prefix in (*self.told, *self.told_views)}
        for claim in self.claims.values():
            by_prefix.setdefault(claim.address, []).append(claim)
        for prefix in sorted(by_prefix, key=lambda prefix: (len(prefix), prefix)):
            told: dict[Audience | None, Attributes] = dict(self.told_views.get(prefix, {}).items())
            if prefix in self.told:
                told[None] = self.told[prefix]
            yield prefix, sorted(by_prefix[prefix]), told


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
    """Write one object for each prefix: its claims, and what ExaBGP was told (null: nothing).

    A claim's `ends_in_s` below 0 says that its deadline has passed. Where neighbors were told differently, `views` says
    what each was told, and `told` is the first of them.
    """
    for prefix, claims, told in dump.routes():
        row: dict[str, object] = {
            "prefix": prefix_text(prefix),
            "told": attributes_object(next(iter(told.values()))) if told else None,
            "claims": [_claim(claim, dump.now) for claim in claims],
        }
        if told and None not in told:
            row["views"] = [
                {**audience_object(audience), "told": attributes_object(attributes)}
                for audience, attributes in told.items()
                if audience is not None
            ]
        yield json.dumps(row)


def table(dump: Dump) -> Iterator[str]:
    """Write a line for each claim, and for each prefix that ExaBGP was told and no claim holds."""
    rows = [
        (
            prefix_text(prefix),
            claim.list,
            name_text(claim.name),
            f"{duration_column(dump.now.boottime_s - claim.seen)} ago",
            duration_column(claim.seen + claim.ttl_s - dump.now.boottime_s),
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
    """Write the counts, the last record's age and each damaged part."""
    expired = sum(claim.seen + claim.ttl_s <= dump.now.boottime_s for claim in dump.claims.values())
    told = len(dump.told) + len(dump.told_views)
    yield (
        f"{len(dump.claims)} claims, {expired} of them past their deadline; {told} prefixes told;"
        f" last written {duration_column(dump.report.downtime_s)} ago"
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


def _told(told: Mapping[Audience | None, Attributes]) -> str:
    texts = (
        _attributes_text(attributes) + (f" to {audience}" if audience is not None else "")
        for audience, attributes in told.items()
    )
    return "; ".join(texts) or "-"


def _attributes_text(told: Attributes) -> str:
    values = attributes_object(told)
    next_hop = values.pop("next_hop")
    return (
        f"{next_hop}{'' if not values else ' ' + ' '.join(f'{name}={_text(value)}' for name, value in values.items())}"
    )


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""Records that wait to be written to the state file: the newest of a prefix wins, and there is a limit.

Where there is more than one view of neighbors, records of one prefix may be about sets of neighbors that overlap: then
their order says what each neighbor has. So a record that replaces an older one of the same neighbors goes behind all
others, as it would in the file.

Where an announced prefix gets other attributes, the record of the old ones stays before that of the new ones: should
the process be killed before ExaBGP has read the change, it has the old ones, and those must be named to withdraw them.

Past the limit nothing is kept at all. The keeper holds everything anyway, so a full snapshot is then what is
owed, and it costs less than a queue that grows while a disk hangs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dnstap_bgp.core.model import Attributes, Claim, RibKey, RibRecord

PENDING_MAX = 100_000
"""Claims and prefixes: about 25 MB. A healthy disk is a few hundred behind, a bulk load of 15 s on a hung one this."""


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """Records of one write.

    Attributes:
        claims: In order; a claim may occur twice.
        records: Prefixes with their attributes, in order; None: withdrawn. A prefix may occur twice, with the
            attributes before its last change and those after it.
    """

    claims: list[Claim]
    records: list[RibRecord]


class Pending:
    """Queue in front of the state file.

    Attributes:
        dropped: Something was let go, so that only a snapshot makes the file whole again.
    """

    def __init__(self, at_most: int = PENDING_MAX) -> None:
        self._at_most = at_most
        self._claims: list[Claim] = []
        self._told: dict[RibKey, Attributes | None] = {}
        self._previous: dict[RibKey, Attributes] = {}  # before the last change of attributes
        self.dropped = False

    def __len__(self) -> int:
        return len(self._claims) + len(self._told) + len(self._previous)

    def add(self, claims: Sequence[Claim], records: Sequence[RibRecord]) -> None:
        """Queue records; of one prefix the last counts."""
        if self.dropped:
            return
        self._claims += claims
        self._put(records)
        self._limit()

    def take(self) -> WriteBatch:
        """Take all records that wait."""
        batch = WriteBatch(self._claims, self._records())
        self._claims, self._told, self._previous = [], {}, {}
        return batch

    def give_back(self, batch: WriteBatch) -> None:
        """Put a batch back that could not be written; records that came since are newer and win."""
        if not self.dropped:
            self._claims = batch.claims + self._claims
            newer = self._records()
            self._told, self._previous = {}, {}
            self._put(batch.records)
            self._put(newer)
            self._limit()

    def clear(self) -> None:
        """Drop all records, because a snapshot that starts after this has all of them."""
        self._claims, self._told, self._previous = [], {}, {}
        self.dropped = False

    def _put(self, records: Sequence[RibRecord]) -> None:
        told, previous = self._told, self._previous
        if told.keys().isdisjoint(fresh := dict(records)) and len(fresh) == len(records):
            told.update(fresh)  # nearly always, and all of it in C
            return
        for key, attributes in records:
            before = told.pop(key, None)
            told[key] = attributes
            if before is not None and before is not attributes:
                if attributes is None:
                    previous.pop(key, None)
                elif before != attributes:
                    previous[key] = before

    def _records(self) -> list[RibRecord]:
        if not self._previous:
            return list(self._told.items())
        records: list[RibRecord] = []
        for key, attributes in self._told.items():
            if key in self._previous:
                records.append((key, self._previous[key]))
            records.append((key, attributes))
        return records

    def _limit(self) -> None:
        if len(self) > self._at_most:
            self.clear()
            self.dropped = True

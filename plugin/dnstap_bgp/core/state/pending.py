"""What waits to be written: newest wins, and never more than a limit.

Strategy: past the limit nothing is kept at all. The keeper holds everything anyway, so a full snapshot is then what is
owed, and it costs less than a queue that grows while a disk hangs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dnstap_bgp.core.model import Attributes, Claim, Prefix

PENDING_MAX = 100_000
"""Claims and prefixes: about 25 MB. A healthy disk is a few hundred behind, a bulk load of 15 s on a hung one this."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one write takes.

    Attributes:
        claims: In order; a claim may occur twice.
        told: By prefix; None: untold.
    """

    claims: list[Claim]
    told: dict[Prefix, Attributes | None]

    def columns(self) -> tuple[list[Claim], list[tuple[Prefix, Attributes]], list[Prefix]]:
        """Claims, told and untold; no prefix is in both of the latter."""
        told = [(prefix, attributes) for prefix, attributes in self.told.items() if attributes is not None]
        untold = [prefix for prefix, attributes in self.told.items() if attributes is None]
        return self.claims, told, untold


class Pending:
    """The queue in front of the state file.

    Attributes:
        dropped: Something was let go, so that only a snapshot makes the file whole again.
    """

    def __init__(self, at_most: int = PENDING_MAX) -> None:
        self._at_most = at_most
        self._claims: list[Claim] = []
        self._told: dict[Prefix, Attributes | None] = {}
        self.dropped = False

    def __len__(self) -> int:
        return len(self._claims) + len(self._told)

    def add(self, claims: Sequence[Claim], told: Sequence[tuple[Prefix, Attributes]], untold: Sequence[Prefix]) -> None:
        """Queue records; a prefix in both `told` and `untold` counts as told, for that can leave no ghost."""
        if self.dropped:
            return
        self._claims += claims
        self._told.update(dict.fromkeys(untold))
        self._told.update(told)
        self._limit()

    def take(self) -> Batch:
        """Take all that waits."""
        batch = Batch(self._claims, self._told)
        self._claims, self._told = [], {}
        return batch

    def give_back(self, batch: Batch) -> None:
        """Put back what could not be written, behind what came since."""
        if not self.dropped:
            self._claims = batch.claims + self._claims
            self._told = batch.told | self._told
            self._limit()

    def clear(self) -> None:
        """Begin anew: a snapshot that starts after this has all."""
        self._claims, self._told = [], {}
        self.dropped = False

    def _limit(self) -> None:
        if len(self) > self._at_most:
            self.clear()
            self.dropped = True

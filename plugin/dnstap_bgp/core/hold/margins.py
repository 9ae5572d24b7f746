"""Margins of neighbors: the time from ExaBGP's acknowledgment until the route stands in the router's own table.

ExaBGP's `done` says that a command was processed. Until the router forwards by the route, the UPDATE has to be sent,
taken in and installed: some 3 ms with BIRD, 70 ms with FRR. That is a property of the router, and of several the
slowest counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

GIVE_UP_LEAST_S = 0.05
"""The bound where margins are small: a new name takes some 6 ms, and 30 ms while ExaBGP has bulk to do."""
GIVE_UP_ABOVE_MARGIN_S = 0.04
"""What the bound leaves beside the largest margin for the way to ExaBGP's acknowledgment."""
GIVE_UP_MOST_S = 0.2
"""People notice more; a stub resolver asks again after a second or more."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Margins by neighbor, and the longest that a question may wait.

    Attributes:
        default_s: Of neighbors that are not named.
        by_neighbor: Of those that are, by address in canonical text.
        give_up_s: The bound that the configuration asks for; None: one that follows from the margins.
    """

    default_s: float = 0.003
    by_neighbor: Mapping[str, float] = field(default_factory=dict)
    give_up_s: float | None = None

    def of(self, address: str) -> float:
        """Give a neighbor's margin in seconds."""
        return self.by_neighbor.get(address, self.default_s)

    @property
    def largest_s(self) -> float:
        """The margin of the slowest neighbor that is named, or of all others."""
        return max(self.default_s, *self.by_neighbor.values(), 0.0)

    @property
    def bound_s(self) -> float:
        """The longest that a question waits, in seconds."""
        if self.give_up_s is not None:
            return self.give_up_s
        return min(GIVE_UP_MOST_S, max(GIVE_UP_LEAST_S, self.largest_s + GIVE_UP_ABOVE_MARGIN_S))

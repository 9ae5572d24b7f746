"""Newcomers of a restore: claims that begin while others, which were held before them, are still to come back.

Of caps and shares they get what they would have got behind all that was held:

    begun     there was room beside what is back: announced at once. What comes back has its place all the same, over a
              cap by as many as there are newcomers, so at most by as much again
    waiting   there was none, or what they cost is not known yet: nothing ends for them before all is back

A process that is killed meanwhile leaves their claims in blocks of their own (`BlockKind.EARLY`). To the next one they
are newcomers again, which come back behind all others; so however often that happens, a restore that comes to its end
leaves no rule above its cap. Until then a rule has as many newcomers beside what was held as each of these processes
has admitted; ExaBGP gives a plugin up after a few deaths in a minute (see `process/instance.py`), and what was
refused in the end is withdrawn.

Once all is back, those that have begun wait, too, but only where a cap was exceeded beside them; what was held is
brought within the caps; then all that wait are judged in the order in which they came. See `RouteTable.judge`.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from dnstap_bgp.core.model import Address, Claim, Name
from dnstap_bgp.core.routes.claim_columns import Row

WAITING_MAX = 20_000
"""Claims for which there was no room: 9 MB. What is one too many comes with its next sighting; or, if the file has it,
as what was held before."""

WAITING_CAP = "restore"
"""The reason of a refusal at that limit."""

ClaimKey: TypeAlias = tuple[Address, str, Name]


class Waiting(NamedTuple):
    """Claim that is to be judged once all is back.

    Attributes:
        claim: As it was seen last.
        is_paid: It has its token of the rate of new routes, or needs none.
        has_begun: It was held, and may be announced.
    """

    claim: Claim
    is_paid: bool
    has_begun: bool = False


class Newcomers:
    """Claims that came while what was held before is still to come back; for the holder of the keeper's lock.

    Attributes:
        is_known: Tells whether an address was announced before the restart; None: that is not known yet.
        rows: Those that have begun and are held, in the order in which they began.
        is_over: What came back has exceeded a cap beside them.
        is_judging: All is back, and whatever comes is judged behind those that wait.
    """

    __slots__ = ("_most", "_waiting", "is_judging", "is_known", "is_over", "rows")

    def __init__(self, is_known: Callable[[Address], bool | None]) -> None:
        self.is_known = is_known
        self.rows: dict[Row, None] = {}
        self.is_over = self.is_judging = False
        self._waiting: OrderedDict[ClaimKey, Waiting] = OrderedDict()
        self._most = WAITING_MAX

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waiting)

    def find(self, claim: Claim) -> Waiting | None:
        """Find a claim among those that wait."""
        return self._waiting.get(claim[:3])

    def wait(self, claim: Claim, *, is_paid: bool) -> bool:
        """Have a claim wait, in its old place if it has one; False: there are too many."""
        before = self._waiting.get(claim[:3])
        if before is None:
            if len(self._waiting) >= self._most:
                return False
            self._waiting[claim[:3]] = Waiting(claim, is_paid)
        else:
            self._waiting[claim[:3]] = before._replace(
                claim=latest(before.claim, claim), is_paid=is_paid or before.is_paid
            )
        return True

    def set_aside(self, claim: Claim) -> None:
        """Have a claim that had begun wait before all others; so the last that began comes first."""
        self._waiting[claim[:3]] = Waiting(claim, is_paid=True, has_begun=True)
        self._waiting.move_to_end(claim[:3], last=False)
        self._most += 1

    def leave(self, claim: Claim) -> None:
        """Have a claim wait no more, if it does."""
        self._waiting.pop(claim[:3], None)

    def take(self, at_most: int) -> list[Waiting]:
        """Take out those that have waited longest; as many fewer may wait from then on, so that it comes to an end."""
        taken = [self._waiting.popitem(last=False)[1] for _ in range(min(at_most, len(self._waiting)))]
        self._most -= len(taken)
        return taken

    def announced(self) -> list[Claim]:
        """Give those that wait and whose address may be announced: nothing but they may claim it."""
        waiting = self._waiting.values()
        return [one.claim for one in waiting if one.has_begun or self.is_known(one.claim.address)]

    def unpaid(self) -> list[Claim]:
        """Give those that wait because it wasn't known whether they need a token."""
        return [waiting.claim for waiting in self._waiting.values() if not waiting.is_paid]

    def take_last_begun(self, at_most: int) -> list[Row]:
        """Take out those that are held and began last, the last first."""
        return [self.rows.popitem()[0] for _ in range(min(at_most, len(self.rows)))]


def latest(one: Claim, other: Claim) -> Claim:
    """Make one claim of two of the same name, of which the file may give the earlier one behind the later."""
    return (other if other.seen >= one.seen else one)._replace(first=min(one.first, other.first))

"""Token bucket that shares a rate among owners: whoever takes little is served while others take all they can get.

A plain bucket serves who comes first: an owner that asks for ten times the rate takes each token as it is made, and of
the others' newcomers nine in ten are refused. So every owner is held to a share that follows the bucket's level: it may
take a token while it took at most `_SHARE` times as many in the last second as the bucket would still hold (dynamic
thresholds, Choudhury and Hahne 1998). The cases:

    one owner alone        gets the whole rate, in a burst or evenly; a fifth of the bucket is left
    one greedy, some small the greedy one gets what the small ones leave, for it lives off a bucket that is part full
    n greedy owners        each gets an n-th of the rate, and the bucket's level settles lower
    the bucket is empty    everybody is refused, which takes as many owners at work at once as the rate has tokens

What an owner took is kept in a sketch of fixed size, as `OwnerCounts` keeps its addresses: owners are as many as the
sellers of domains like.
"""

import math
from array import array

from dnstap_bgp.core.routes.claim_columns import OwnerKey

_SHARE = 4
"""An owner alone leaves the bucket at a fifth of its size, and gets its whole rate from it."""

_BURST = (_SHARE + 1) / _SHARE
"""Size of the bucket in seconds of the rate: so that one owner alone can take as much at once as the rate allows."""

_SLOTS = 1 << 12
"""4 x 32 KB. While 400 owners are at work, one shares both of its slots with others in 100 times."""


class FairTokenBucket:
    """Token bucket whose tokens are shared among owners."""

    __slots__ = ("_at", "_high", "_high_at", "_low", "_low_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at = -math.inf  # so long ago that the bucket is full, whatever it holds
        # Of each slot: tokens taken in the last second, decaying by e in a second, and when that was reckoned.
        self._low, self._low_at, self._high, self._high_at = (array("d", bytes(8 * _SLOTS)) for _ in range(4))

    def take(self, owner: OwnerKey, rate: float, now: float) -> bool:
        """Take a token for an owner, if there is one and the owner didn't have its share already.

        Args:
            owner: Key of 32 bits that nobody outside can choose.
            rate: Tokens added a second, above 0.
            now: Seconds, never going back.
        """
        self._tokens = min(max(1.0, rate) * _BURST, self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1:
            return False
        low, high = owner % _SLOTS, (owner >> 16) % _SLOTS
        taken_low = self._low[low] * math.exp(self._low_at[low] - now)
        taken_high = self._high[high] * math.exp(self._high_at[high] - now)
        if min(taken_low, taken_high) > _SHARE * (self._tokens - 1):
            return False
        self._tokens -= 1
        self._low[low], self._low_at[low] = taken_low + 1, now
        self._high[high], self._high_at[high] = taken_high + 1, now
        return True

"""Offset of another machine's wall clock, by its bounds: an instant there in the time of here, and back.

Strategy: whatever a clock's offset is estimated from has an error, so a sighting that goes round could come back a
little younger each time. It can't where each hop takes the *earliest* instant that is possible: then nobody ever learns
that something was seen later than it was, and what comes back to where it was seen is never news.

Our own stream asks with each request: the answer's first frame was stamped between the request and its arrival. Of the
Go program's wall clock its HTTP answers tell, in whole seconds (`Date`). Where both clocks may agree, they count as
equal, so that times pass through unchanged.
"""

from email.utils import parsedate_to_datetime
from typing import NamedTuple

SKEW_TOLD_S = 30.0
"""More than that, and somebody should look after NTP on one of the two."""

SKEW_MAX_S = 100 * 366 * 86_400.0
"""What starts without a battery begins in 1970. A date further off is no clock's, and times by it could not be
written."""


class Offset(NamedTuple):
    """The time by which another wall clock is ahead of ours, in seconds: at least and at most."""

    low_s: float = 0.0
    high_s: float = 0.0

    def here(self, theirs_s: float) -> float:
        """Convert an instant of theirs to our clock: the earliest that it may be."""
        return theirs_s - self.high_s

    def there(self, ours_s: float) -> float:
        """Convert an instant of ours to their clock: the earliest that it may be."""
        return ours_s + self.low_s


def offset_by_date(date: str | None, asked_s: float, answered_s: float) -> Offset:
    """Estimate the offset of a wall clock by the `Date` of an HTTP answer (RFC 9110, 6.6.1), which has whole seconds.

    Args:
        date: The header `Date`; None: there was none.
        asked_s: Our wall clock before the request.
        answered_s: Our wall clock when the answer began.
    """
    try:
        theirs_s = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return Offset()
    low_s, high_s = theirs_s - answered_s, theirs_s + 1 - asked_s
    if low_s <= 0 <= high_s or abs(low_s) > SKEW_MAX_S:
        return Offset()
    return Offset(low_s, high_s)

"""How much of something may come a second."""


class Allowance:
    """A bucket that fills at some rate, and holds a second's worth."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = 1.0
        self._at: float | None = None

    def take(self, rate: float, now: float) -> bool:
        """Take one, if there is one.

        Args:
            rate: How many may be taken a second; above 0.
            now: Seconds, never going back.
        """
        most = max(1.0, rate)
        self._left = most if self._at is None else min(most, self._left + (now - self._at) * rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

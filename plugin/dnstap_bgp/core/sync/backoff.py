"""When to try again after a failure."""


class Backoff:
    """Delays that double up to a limit, each shortened by chance, so that a fleet doesn't come back in step."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s, self._max_s = first_s, max_s
        self._delay_s = first_s

    def next(self, chance: float) -> float:
        """The delay before the next try.

        Args:
            chance: 0 up to 1, at random.
        """
        delay_s = self._delay_s * (1 - chance / 2)
        self._delay_s = min(2 * self._delay_s, self._max_s)
        return delay_s

    def reset(self) -> None:
        """Begin again: something worked."""
        self._delay_s = self._first_s

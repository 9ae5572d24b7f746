"""Who was turned away, counted; no thread."""

from collections import Counter


class Refused:
    """For the loop's thread.

    Attributes:
        counts: Reason -> requests and connections: `host`, `allow`, `limit`, `slow`, `flood`, `origin`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        """One more."""
        self.counts[reason] += 1

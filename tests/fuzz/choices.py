"""Choices that come from bytes, so that whatever draws from a `random.Random` can be driven by a fuzzer."""

import random


class Choices(random.Random):
    """Random numbers out of given bytes, one or two for a choice; always the same ones once these are used up.

    A fuzzer that changes one byte changes one choice, and the choices after it stay as they were.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        """Tell whether bytes are left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """Take so many bytes, fewer at the end."""
        found = self._data[self._at : self._at + count]
        self._at += len(found)
        return found

    def chunk(self, size_max: int = 255) -> bytes:
        """Take bytes with their length, one byte, in front."""
        return self.take(min(int.from_bytes(self.take(1), "big"), size_max))

    def random(self) -> float:
        """Give a number in [0, 1) with 256 steps."""
        found = self.take(1)
        return found[0] / 256 if found else super().random()

    def getrandbits(self, k: int) -> int:
        """Give a number of so many bits."""
        found = self.take((k + 7) // 8)
        return int.from_bytes(found, "big") & ((1 << k) - 1) if found else super().getrandbits(k)

    def randbytes(self, n: int) -> bytes:
        """Give so many bytes, zeros where none are left."""
        return self.take(n).ljust(n, b"\0")

    def _randbelow(self, n: int) -> int:
        """Draw below n; all of `choice`, `randrange`, `sample` and `shuffle` go through this."""
        found = self.take(max(1, ((n - 1).bit_length() + 7) // 8))
        return int.from_bytes(found, "big") % n if found else int(super().random() * n)

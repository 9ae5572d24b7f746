"""Pattern proofs: that neither a rule nor a pattern speaks for a name, where the lists have patterns.

Any name may have a keyword, so the tail table alone proves nothing there. What it says of the rules is still true, and
the patterns are asked for the rest, of many names at once where that is possible. A flood of names that nothing is near
so costs less than twice what it costs without patterns, and leaves the memo alone.
"""

from collections.abc import Callable, Sequence
from typing import final

from dnstap_bgp.core.dns.labels import NAME_MAX_BYTES, to_name
from dnstap_bgp.core.lists.patterns import PatternSet

PARENTS_MAX = 4096
"""Domains whose presentation form is remembered, in 6 MB at most: under an attack on one, all names are below it."""

_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_"


@final
class PatternProofs:
    """Proofs for one rule set."""

    def __init__(self, rules_out: Callable[[bytes], bool], patterns: PatternSet) -> None:
        """Make the proofs.

        Args:
            rules_out: Proves of a name's labels, lower-cased, that no rule does, and that they are a whole name; or of
                any bytes, which it doesn't rule out.
            patterns: Of all lists.
        """
        self._rules_out = rules_out
        self._patterns = patterns
        self._ends: dict[bytes, bytes] = {}  # labels but the first -> what stands behind that in presentation form

    def rules_out(self, labels: bytes) -> bool:
        """Prove of a name that nothing speaks for it; False: it has to be looked up."""
        return self._rules_out(labels) and not self.doubtful([labels])

    def doubtful(self, names: Sequence[bytes]) -> list[int]:
        """Tell by their places which of some names may have a pattern; the others surely have none.

        Args:
            names: Their labels, lower-cased, which are surely whole names.
        """
        known = self._ends.get
        firsts: list[bytes] = []
        texts: list[bytes] = []
        for labels in names:
            below = labels[0] + 1
            first, end = labels[1:below], known(labels[below:])
            firsts.append(first)
            texts.append(first + (self._end(labels[below:]) if end is None else end))
        if b"".join(firsts).translate(None, _PLAIN):
            return self._doubtful_one_by_one(firsts, texts)
        return self._patterns.which(texts)

    def _doubtful_one_by_one(self, firsts: Sequence[bytes], texts: Sequence[bytes]) -> list[int]:
        """Tell the same where a label has other characters, which are escaped in the form that patterns are for."""
        odd = {place for place, first in enumerate(firsts) if first.translate(None, _PLAIN)}
        plain = [place for place in range(len(texts)) if place not in odd]
        found = self._patterns.which([texts[place] for place in plain])
        return sorted(odd.union(plain[place] for place in found))

    def _end(self, parent: bytes) -> bytes:
        """Make the presentation form of what stands behind a name's first label; of what is no name, something."""
        # Too long: the exact parser refuses it, whatever patterns say. It may fill a frame, so it is not remembered.
        if len(parent) >= NAME_MAX_BYTES:
            return b""
        if len(self._ends) >= PARENTS_MAX:
            self._ends.clear()
        end = self._ends[parent] = b"." + to_name(parent) if parent else b""
        return end

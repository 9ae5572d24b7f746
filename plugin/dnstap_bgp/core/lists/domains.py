"""Which lists a name is on: the rules of all lists in one trie, so that five lists cost the lookup of one.

A key is a domain spelled backwards behind a dot: `example.com` is `moc.elpmaxe.`. Then a domain's key is a prefix
of the key of each name below it, on label boundaries only, and one walk of the trie finds all. (Backwards by bytes,
not by labels: the same matches, and turning a name round costs 0.1 us instead of 0.3.)

What decides, list by list:
  - a rule speaks for its domain (exact), for what lies below (subdomains) or for both (suffix);
  - of the rules that speak for a name the one with the longest domain decides;
  - for the same domain: exception before exact before subdomains before suffix.

All this is settled when the set is built: each domain carries the answer for itself and for the names below it, with
what it inherits from shorter domains. So the longest domain found is the only one that is looked at.
"""

import enum
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import marisa_trie

from dnstap_bgp.core.model import Name

FAST_TRIE_MAX_BYTES = 12 << 20
"""A trie without nested tries answers 1.5 times as fast and takes up to twice the space. Up to here the space is no
matter; a million random names would pass it, and get the small form."""

_ROW_CODES = "BHI"  # array codes: the smallest that holds all row numbers is used


class RuleKind(enum.IntEnum):
    """Which names a rule speaks for."""

    SUFFIX = 0
    EXACT = 1
    SUBDOMAINS = 2


_PREFIXES = {RuleKind.SUFFIX: "", RuleKind.EXACT: "=", RuleKind.SUBDOMAINS: "*."}

_ORDER = (RuleKind.EXACT, RuleKind.SUBDOMAINS, RuleKind.SUFFIX)  # who decides, among rules for one domain
_SELF = 1 << RuleKind.SUFFIX | 1 << RuleKind.EXACT  # the kinds that speak for the domain itself
_BELOW = 1 << RuleKind.SUFFIX | 1 << RuleKind.SUBDOMAINS  # the kinds that speak for the names below it
_KINDS = len(RuleKind)
_BITS = 2 * _KINDS  # of each list in a row's `rules`: one for each kind, then one for each as an exception


class Rule(NamedTuple):
    """One line of a list; a plain tuple, as a list makes a million.

    Attributes:
        domain: As `Name`; never empty.
        kind: Which names it speaks for.
        exception: Those names are not on the list, where the others are.
    """

    domain: Name
    kind: RuleKind = RuleKind.SUFFIX
    exception: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.exception else ''}{_PREFIXES[self.kind]}{self.domain.decode('ascii')}"


class Row(NamedTuple):
    """What a domain in the trie answers. Few rows differ, so they are shared. Bit n of a mask is list n.

    Attributes:
        self_mask: The lists that the domain itself is on.
        below_mask: The lists that a name below it is on, unless a longer domain says otherwise.
        rules: The rules of just this domain, `_BITS` bits a list.
    """

    self_mask: int
    below_mask: int
    rules: int


class RuleSet:
    """Several lists, ready to be asked; immutable.

    Attributes:
        list_names: In the order of the configuration.
        counts: List name -> number of different rules.
    """

    __slots__ = (
        "_below",
        "_buffer",
        "_key_id",
        "_prefixes",
        "_row_ids",
        "_self",
        "counts",
        "list_names",
        "rows",
        "trie",
    )

    def __init__(
        self,
        counts: dict[str, int],
        rows: Sequence[Row],
        row_ids: memoryview | None,
        trie: marisa_trie.BinaryTrie,
        buffer: object = None,
    ) -> None:
        """Put the parts together; see `build`, and `compiled.py` for a set that is mapped.

        Args:
            counts: List name -> number of rules, in list order.
            rows: The different answers.
            row_ids: Trie key id -> index into `rows`; None: there is only one row.
            trie: The keys.
            buffer: What the trie is mapped from. The trie doesn't keep it, and reading after it is gone is a crash.
        """
        self.list_names = tuple(counts)
        self.counts = counts
        self.rows = tuple(rows)
        self.trie = trie
        self._buffer = buffer
        self._row_ids = row_ids
        self._prefixes = trie.prefixes
        self._key_id = trie.key_id
        self._self = [self._names(row.self_mask) for row in rows]
        self._below = [self._names(row.below_mask) for row in rows]

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def row_ids(self) -> memoryview | None:
        """Trie key id -> index into `rows`; None where there is only one row."""
        return self._row_ids

    @classmethod
    def build(cls, lists: Sequence[tuple[str, Iterable[Rule]]]) -> "RuleSet":
        """Build from rules: seconds and 250 MB for a million, much of it in one hold of the GIL: for a child process.

        Args:
            lists: (list name, its rules) in order; names are unique. Repeated rules count once.
        """
        counts, rules_of = _collect(lists)
        keys = sorted(rules_of)
        trie = marisa_trie.BinaryTrie(keys, num_tries=1)
        if len(trie.tobytes()) > FAST_TRIE_MAX_BYTES:
            trie = marisa_trie.BinaryTrie(keys)
        rows, row_of_key = _settle(keys, rules_of, len(counts))
        if len(rows) <= 1:
            return cls(counts, rows, None, trie)
        code = next(code for code in _ROW_CODES if len(rows) <= 256 ** array(code).itemsize)
        row_ids = array(code, bytes(len(keys) * array(code).itemsize))
        for key, row in zip(keys, row_of_key, strict=True):
            row_ids[trie.key_id(key)] = row
        return cls(counts, rows, memoryview(row_ids), trie)

    def lists(self, name: Name) -> tuple[str, ...]:
        """The lists that the name is on, in list order; mostly ()."""
        key = (b"." + name)[::-1]
        found = self._prefixes(key)
        if not found:
            return ()
        longest = found[-1]
        # One list with suffix rules only, the most common case, has a single row: that saves the second lookup, 0.7 us.
        row = 0 if self._row_ids is None else self._row_ids[self._key_id(longest)]
        return self._self[row] if len(longest) == len(key) else self._below[row]

    def silent(self, domain: Name) -> bool:
        """Whether neither the domain nor any name below it is on a list, nor has a rule."""
        key = (b"." + domain)[::-1] if domain else b""  # below the root is everything
        return not self.lists(domain) and not any(True for _ in self.trie.iterkeys(key))

    def explain(self, name: Name) -> list[tuple[str, Rule]]:
        """For people: the rule that decides in each list that has one for the name, exceptions included."""
        key = (b"." + name)[::-1]
        deciding: dict[int, Rule] = {}
        for found in reversed(self._prefixes(key)):
            row = self.rows[0 if self._row_ids is None else self._row_ids[self._key_id(found)]]
            speaks = _SELF if len(found) == len(key) else _BELOW
            for number in range(len(self.list_names)):
                rule = _deciding(row.rules >> number * _BITS, speaks)
                if rule is not None:
                    deciding.setdefault(number, Rule(found[::-1][1:], *rule))
        return [(self.list_names[number], deciding[number]) for number in sorted(deciding)]

    def _names(self, mask: int) -> tuple[str, ...]:
        return tuple(name for number, name in enumerate(self.list_names) if mask >> number & 1)


def _collect(lists: Sequence[tuple[str, Iterable[Rule]]]) -> tuple[dict[str, int], dict[bytes, int]]:
    """Merge the lists: (list name -> number of different rules, key -> the rules of that domain as bits)."""
    counts: dict[str, int] = {}
    rules_of: dict[bytes, int] = {}
    for number, (list_name, rules) in enumerate(lists):
        count = 0
        for domain, kind, exception in rules:
            key = (b"." + domain)[::-1]
            bit = 1 << number * _BITS + kind + (_KINDS if exception else 0)
            known = rules_of.get(key, 0)
            if not known & bit:
                rules_of[key] = known | bit
                count += 1
        counts[list_name] = count
    return counts, rules_of


def _settle(keys: Sequence[bytes], rules_of: dict[bytes, int], lists: int) -> tuple[list[Row], list[int]]:
    """Work out each domain's answer; sorted keys have a domain right before the names below it."""
    kinds = set(rules_of.values())
    if len(kinds) == 1:  # all rules are of one kind in the same lists, as in most lists: saves 0.8 s a million
        row = _row(kinds.pop(), 0, lists)
        if row == _row(row.rules, row.below_mask, lists):  # also for domains below others
            return [row], [0] * len(keys)
    numbers: dict[Row, int] = {}
    seen: dict[tuple[int, int], tuple[int, int]] = {}  # (rules, inherited) -> (row number, its below_mask)
    row_of_key: list[int] = []
    above: list[tuple[bytes, int]] = []  # the domains that the current one lies below, at most one for each label
    for key in keys:
        while above and not key.startswith(above[-1][0]):
            above.pop()
        rules, inherited = rules_of[key], above[-1][1] if above else 0
        answer = seen.get((rules, inherited))
        if answer is None:
            row = _row(rules, inherited, lists)
            answer = seen[rules, inherited] = (numbers.setdefault(row, len(numbers)), row.below_mask)
        row_of_key.append(answer[0])
        above.append((key, answer[1]))
    return list(numbers), row_of_key


def _row(rules: int, inherited: int, lists: int) -> Row:
    return Row(_masked(rules, inherited, _SELF, lists), _masked(rules, inherited, _BELOW, lists), rules)


def _masked(rules: int, inherited: int, speaks: int, lists: int) -> int:
    """The lists that say yes, given a domain's rules and what it inherits from shorter domains."""
    mask = inherited
    for number in range(lists):
        rule = _deciding(rules >> number * _BITS, speaks)
        if rule is not None:
            mask = mask & ~(1 << number) if rule[1] else mask | 1 << number
    return mask


def _deciding(rules: int, speaks: int) -> tuple[RuleKind, bool] | None:
    """Which of one domain's rules in one list decides, of the kinds in `speaks`; None: none of them."""
    for exception in (True, False):
        for kind in _ORDER:
            if rules >> (kind + _KINDS * exception) & speaks >> kind & 1:
                return kind, exception
    return None

"""Rule sets with patterns: what decides over a name that no rule on a domain speaks for.

Of one list, the first of these that speaks for a name decides:

    an exception on a domain          the name is not on the list; the longest domain's rule counts, as in rules.py
    a name alone (exact)              it is
    a domain and what is below        it is
    a keyword                         it is
    an expression                     it is

So rules on domains are asked as ever, and the patterns only add names: those that the list's rules are silent about.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import marisa_trie

from dnstap_bgp.core.lists.patterns import Pattern, PatternSet
from dnstap_bgp.core.lists.rules import PublicSuffixes, Rule, RuleSet, TrieRow, all_suffixes
from dnstap_bgp.core.lists.tail_table import TailTable
from dnstap_bgp.core.model import Name


def with_patterns(
    rules: RuleSet, patterns: Sequence[tuple[int, Pattern]], public_suffixes: PublicSuffixes | None = None
) -> RuleSet:
    """Put patterns beside the rules of a set.

    Args:
        rules: Of all lists.
        patterns: (number of the list, pattern), in order.
        public_suffixes: Known for `owner`; None: no domain is one.

    Raises:
        ListError: There are too many of them, or they take too much memory.
    """
    if not patterns:
        return rules
    made = PatternSet(patterns)
    counts = dict(rules.counts)
    for number, _ in made.patterns:
        counts[rules.list_names[number]] += 1
    suffixes = rules.suffixes if public_suffixes is None else all_suffixes(public_suffixes)
    return PatternRuleSet(counts, rules.rows, rules.row_ids, rules.trie, None, rules.tails, suffixes, made)


class PatternRuleSet(RuleSet):
    """The rules and the patterns of several lists; `tails` is None, as any name may have a keyword."""

    __slots__ = ("_by_mask", "_domain_tails", "_patterns")

    def __init__(  # noqa: PLR0917 - as for its base
        self,
        counts: dict[str, int],
        rows: Sequence[TrieRow],
        row_ids: memoryview | None,
        trie: marisa_trie.BinaryTrie,
        buffer: object,
        tails: TailTable | None,
        suffixes: AbstractSet[bytes],
        patterns: PatternSet,
        off: AbstractSet[str] = frozenset(),
    ) -> None:
        """Make a rule set of its parts; see `RuleSet`.

        Args:
            counts: List name -> number of rules and patterns, in list order.
            rows: The different answers.
            row_ids: Trie key id -> index into `rows`; None: there is only one row.
            trie: The keys.
            buffer: What the trie is mapped from.
            tails: Of the rules.
            suffixes: All entries of the Public Suffix List.
            patterns: Beside the rules.
            off: Lists that match nothing.
        """
        super().__init__(counts, rows, row_ids, trie, buffer, None, suffixes, off)
        self._domain_tails = tails
        self._patterns = patterns
        self._by_mask: dict[int, tuple[str, ...]] = {}

    @property
    def domain_tails(self) -> TailTable | None:
        """The tail table of the rules alone."""
        return self._domain_tails

    @property
    def patterns(self) -> PatternSet:
        """The patterns beside the rules."""
        return self._patterns

    def lists(self, name: Name) -> tuple[str, ...]:
        """Tell the lists that a name is on, in list order; 1 to 4 us.

        Raises:
            PatternsFailedError: It is not known.
        """
        found = super().lists(name)
        mask = self._patterns.match(name)
        if not mask:
            return found
        for number, list_name in enumerate(self.list_names):
            if list_name in found:
                mask |= 1 << number
            elif mask >> number & 1 and self.deciding(number, name) is not None:
                mask &= ~(1 << number)  # an exception
        if mask not in self._by_mask:
            self._by_mask[mask] = self._names(mask)
        return self._by_mask[mask]

    def without(self, list_names: AbstractSet[str]) -> RuleSet:
        """Return this rule set, of which some lists match nothing; the two share what is large."""
        if list_names.isdisjoint(self.list_names):
            return self
        parts = self.counts, self.rows, self._row_ids, self.trie, self._buffer, self._domain_tails, self.suffixes
        return PatternRuleSet(*parts, self._patterns, list_names)

    def owner(self, list_name: str, name: Name) -> Name:
        """Give the domain whose owner chooses the addresses of a name on a list, as for rules on domains.

        A name that a pattern put on the list belongs to who registered it: the longest public suffix of the name and
        one label more.
        """
        number = self._numbers.get(list_name)
        if number is None or self.deciding(number, name) is not None or not self._patterns.match(name) >> number & 1:
            return super().owner(list_name, name)
        key = (b"." + name)[::-1]
        top = key.index(b".") + 1
        return key[: self._owner_end(key, top)][::-1] if top < len(key) else name

    def silent(self, domain: Name) -> bool:  # noqa: ARG002 - as for rules on domains
        """Tell that any domain may have a name that a pattern is for."""
        return False

    def explain(self, name: Name) -> list[tuple[str, Rule | Pattern]]:
        """Find the rule or pattern that decides over a name in each list that has one, for people."""
        found: list[tuple[str, Rule | Pattern]] = []
        for number, list_name in enumerate(self.list_names):
            decides = self.deciding(number, name) or self._patterns.deciding(number, name)
            if decides is not None:
                found.append((list_name, decides))
        return found

"""Difference that a reload would make: rules and routes that would come, go and change, list by list."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from dnstap_bgp.core.lists.rules import LIST_BITS, Rule, RuleKind, RuleSet
from dnstap_bgp.core.model import BY_HAND, Attributes, Audience, Claim, Name, PerView, Prefix
from dnstap_bgp.core.routes.policy import Policies
from dnstap_bgp.core.text import prefix_text

EXAMPLES_MAX = 5
"""Of each kind and list: enough to see what it is about."""


@dataclass(slots=True)
class Difference:
    """Counts of rules or routes that would come, go or change, with the first of them as people write them."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("+", "-", "~"), 0))
    examples: dict[str, list[str]] = field(default_factory=lambda: {"+": [], "-": [], "~": []})

    def add(self, kind: str, example: Callable[[], str]) -> None:
        """Count one more that comes (`+`), goes (`-`) or stays with other attributes (`~`)."""
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES_MAX:
            self.examples[kind].append(example())

    def __bool__(self) -> bool:
        return any(self.counts.values())


class ReloadDiff:
    """The differences between what is in force and what would be.

    Attributes:
        rules: List name -> its rules.
        routes: List name -> the prefixes that it decides about: after the reload or, for what goes, before.
    """

    def __init__(self, before: Policies, after: Policies, unknown: AbstractSet[str] = frozenset()) -> None:
        """Start; next come `take_rules`, `take_claims` for each address, and last `take_statics`.

        Args:
            before: What is in force.
            after: What would be.
            unknown: Lists whose new rules are not known yet: their claims would stay.
        """
        self.rules: defaultdict[str, Difference] = defaultdict(Difference)
        self.routes: defaultdict[str, Difference] = defaultdict(Difference)
        self._before, self._after, self._unknown = before, after, unknown
        self._statics = dict.fromkeys((*before.statics.announced, *after.statics.announced))
        self._held = 0  # addresses that would be claimed
        self._of_lists: Counter[str] = Counter()
        self._places = _WantedOfBudgets(before), _WantedOfBudgets(after)
        lowered = after.caps.name_routes_max < before.caps.name_routes_max
        self._of_names: Counter[tuple[str, Name]] | None = Counter() if lowered else None  # 100 MB for a million

    def take_rules(self, before: RuleSet, after: RuleSet) -> Iterator[None]:
        """Compare all rules, in steps: some seconds for a million."""
        if before is after:
            return
        for number, key in enumerate(before.trie.iterkeys()):
            self._compare_rules(key, _rules_at(before, key), _rules_at(after, key))
            if not number % 1000:
                yield
        for number, key in enumerate(after.trie.iterkeys()):
            if key not in before.trie:
                self._compare_rules(key, {}, _rules_at(after, key))
            if not number % 1000:
                yield
        for name in dict.fromkeys((*before.list_names, *after.list_names)):
            self._compare_patterns(name, before, after)

    def take_claims(self, claims: Sequence[Claim], lists: Callable[[Name], Sequence[str]], now: float) -> None:
        """Compare what is wanted of one address.

        Args:
            claims: All of its claims.
            lists: The lists that a name would be on.
            now: Process clock.
        """
        address = claims[0].address
        self._statics.pop(address, None)
        held = [claim.list for claim in claims]
        before = self._before.wanted(address, held)
        pairs = {(found, claim.name): None for claim in claims for found in self._lists_after(claim, lists, now)}
        found = dict.fromkeys(list_name for list_name, _ in pairs)
        self._held += bool(found)
        self._of_lists.update(found.keys())
        if self._of_names is not None:
            self._of_names.update(pairs.keys())
        after = self._after.wanted(address, found) if found else self._after.statics.announced.get(address)
        first_before, first_after = self._before.first(held), self._after.first(found) if found else None
        self._compare(
            address,
            before,
            after,
            first_before.list if first_before is not None else "",
            first_after.list if first_after is not None else "",
        )

    def take_statics(self) -> None:
        """Compare the static prefixes that nothing claims besides."""
        before, after = self._before.statics.announced, self._after.statics.announced
        owner_before, owner_after = self._before.static_owners(), self._after.static_owners()
        for prefix in self._statics:
            owners = owner_before.get(prefix, ""), owner_after.get(prefix, "")
            self._compare(prefix, before.get(prefix), after.get(prefix), *owners)

    def lines(self) -> list[str]:
        """Write the differences for people, a line for each list and its examples below."""
        lines = []
        names = dict.fromkeys((*self._before.by_list, *self._after.by_list, *self.rules, *self.routes))
        for name in names:
            parts = [
                f"{what}: {difference.counts['+']} added, {difference.counts['-']} withdrawn"
                + (f", {difference.counts['~']} changed" if difference.counts["~"] else "")
                for what, difference in (("rules", self.rules[name]), ("routes", self.routes[name]))
                if difference
            ]
            lines.append(f"list {name}: {'; '.join(parts) or 'no change'}")
            for difference in (self.rules[name], self.routes[name]):
                for kind, examples in difference.examples.items():
                    lines += [f"  {kind} {example}" for example in examples]
                    if difference.counts[kind] > len(examples):
                        lines.append(f"  {kind} ... {difference.counts[kind]} in all")
        return [*lines, *self._over_caps()]

    def _over_caps(self) -> Iterator[str]:
        """Say what would have to go for caps that are lower than what is held."""
        caps = self._after.caps
        for name, policy in self._after.by_list.items():
            if policy.routes_max is not None and self._of_lists[name] > policy.routes_max:
                over = self._of_lists[name] - policy.routes_max
                yield f"list {name}: {over} over max_routes = {policy.routes_max}: the least recently seen go"
        if self._held > caps.routes_max:
            over = self._held - caps.routes_max
            yield f"guard: {over} over max_routes = {caps.routes_max}: the least recently seen go"
        most = caps.name_routes_max
        over = sum(count - most for count in (self._of_names or {}).values() if count > most)
        if over:
            yield f"guard: {over} over max_routes_per_name = {most}: the least recently seen of each name go"
        was, would_be = (places.left_out() for places in self._places)
        for neighbor, over in would_be.items():
            if over != was.get(neighbor, 0):
                told = f"neighbor {neighbor}: {over} over max_prefixes = {self._after.budgets[neighbor]}"
                yield f"{told}, {was.get(neighbor, 0)} now: the least recently seen are not announced there"

    def _lists_after(self, claim: Claim, lists: Callable[[Name], Sequence[str]], now: float) -> Iterator[str]:
        """Give the lists that would claim an address because its name was seen."""
        candidates: Iterable[str] = (claim.list,) if claim.name == BY_HAND else lists(claim.name)
        if claim.list in self._unknown:
            candidates = (*candidates, claim.list)
        for list_name in candidates:
            policy = self._after.by_list.get(list_name)
            if policy is None or self._after.refusal(claim.address, list_name) is not None:
                continue
            ttl_s = claim.ttl_s if claim.name == BY_HAND else policy.held_s(claim.ttl_s)
            if claim.seen + ttl_s > now:
                yield list_name

    def _compare(
        self, prefix: Prefix, before: Attributes | None, after: Attributes | None, owner_before: str, owner_after: str
    ) -> None:
        for places, wanted in zip(self._places, (before, after), strict=True):
            places.add(wanted)
        if self._before.is_same(before, self._after, after):
            return
        kind = "+" if before is None else "-" if after is None else "~"
        self.routes[owner_before if after is None else owner_after].add(kind, partial(prefix_text, prefix))

    def _compare_patterns(self, name: str, before: RuleSet, after: RuleSet) -> None:
        """Compare the patterns of a list."""
        had = dict.fromkeys(before.patterns_of(name)) if name in before.list_names else {}
        has = dict.fromkeys(after.patterns_of(name)) if name in after.list_names else {}
        for kind, these, others in (("+", has, had), ("-", had, has)):
            for pattern in these:
                if pattern not in others:
                    self.rules[name].add(kind, partial(str, pattern))

    def _compare_rules(self, key: bytes, before: dict[str, int], after: dict[str, int]) -> None:
        if before == after:
            return
        for list_name in before.keys() | after.keys():
            had, has = before.get(list_name, 0), after.get(list_name, 0)
            for kind, bits in (("+", has & ~had), ("-", had & ~has)):
                for rule in _rules(key, bits):
                    self.rules[list_name].add(kind, partial(str, rule))


class _WantedOfBudgets:
    """Numbers of prefixes that are wanted at each neighbor with a budget."""

    __slots__ = ("_counts", "_limits", "_views")

    def __init__(self, policies: Policies) -> None:
        self._limits = policies.budgets
        self._views = [(policies.audiences.index(Audience((address,))), address) for address in policies.budgets]
        self._counts: Counter[str] = Counter()

    def add(self, wanted: Attributes | None) -> None:
        """Count one prefix, with what is wanted of it."""
        if isinstance(wanted, PerView):
            for number, address in self._views:
                self._counts[address] += wanted.by_view[number] is not None

    def left_out(self) -> dict[str, int]:
        """Give how many prefixes have no room at each neighbor."""
        return {address: max(0, self._counts[address] - limit) for address, limit in self._limits.items()}


def _rules_at(rules: RuleSet, key: bytes) -> dict[str, int]:
    """Give the rules of just this domain, as bits, by list name."""
    if key not in rules.trie:
        return {}
    row = rules.rows[0 if rules.row_ids is None else rules.row_ids[rules.trie.key_id(key)]]
    mask = (1 << LIST_BITS) - 1
    bits = ((name, row.rules >> number * LIST_BITS & mask) for number, name in enumerate(rules.list_names))
    return {name: found for name, found in bits if found}


def _rules(key: bytes, bits: int) -> Iterator[Rule]:
    for number in range(LIST_BITS):
        if bits >> number & 1:
            yield Rule(key[::-1][1:], RuleKind(number % len(RuleKind)), number >= len(RuleKind))

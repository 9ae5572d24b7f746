"""Rule sets: the rules of all lists in one trie that tells the lists of a name; five lists cost the lookup of one.

A key is a domain spelled backwards behind a dot: `example.com` is `moc.elpmaxe.`. Then a domain's key is a prefix
of the key of each name below it, on label boundaries only, and one walk of the trie finds all. (Backwards by bytes,
not by labels: the same matches, and turning a name round costs 0.1 us instead of 0.3.)

What decides, list by list:
  - a rule speaks for its domain (exact), for names one label below (children), for all names below (subdomains) or for
    the domain and all below (suffix);
  - of the rules that speak for a name the one with the longest domain decides;
  - for the same domain: exception before exact before children before subdomains before suffix.

All this is settled when the set is built: each domain carries the answer for itself, for the names one label below and
for those further below, with what it inherits from shorter domains. So only the longest domain found is looked at.

Where no rule on a domain speaks for a name, neither to put it on the list nor as an exception, the list's patterns do:
keywords before expressions. See pattern_rules.py for a set that has any.
"""

import enum
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple, cast

import marisa_trie

from dnstap_bgp.core.lists import tail_table
from dnstap_bgp.core.lists.patterns import Pattern, PatternSet
from dnstap_bgp.core.lists.tail_table import TailTable
from dnstap_bgp.core.model import Name
from dnstap_bgp.core.text import count_text

FAST_TRIE_MAX_BYTES = 12 << 20
"""A trie without nested tries answers 1.5 times as fast and takes up to twice the space. Up to here the space is no
matter; a million random names would pass it, and get the small form."""

_FAST_TRIE_KEY_BYTES = 7
"""Bytes that a key takes there at least; published lists have 8 to 10. Where so many can't fit, none is tried."""

_ROW_CODES = "BHI"  # array codes: the smallest that holds all row numbers is used


class RuleKind(enum.IntEnum):
    """Kinds of rules, by the names that they speak for."""

    SUFFIX = 0
    EXACT = 1
    SUBDOMAINS = 2
    CHILDREN = 3


_SIGNS = {RuleKind.SUFFIX: "", RuleKind.EXACT: "=", RuleKind.SUBDOMAINS: "*.", RuleKind.CHILDREN: "=*."}

_ORDER = (RuleKind.EXACT, RuleKind.CHILDREN, RuleKind.SUBDOMAINS, RuleKind.SUFFIX)  # who decides for one domain
_SELF = 1 << RuleKind.SUFFIX | 1 << RuleKind.EXACT  # the kinds that speak for the domain itself
_BELOW = 1 << RuleKind.SUFFIX | 1 << RuleKind.SUBDOMAINS  # the kinds that speak for all names below it
_CHILD = _BELOW | 1 << RuleKind.CHILDREN  # the kinds that speak for the names one label below it
_KINDS = len(RuleKind)
LIST_BITS = 2 * _KINDS  # of each list in a row's `rules`: one for each kind, then one for each as an exception
_OF_ONE = (1 << LIST_BITS) - 1


class Rule(NamedTuple):
    """A rule, mostly one line of a list; a plain tuple, as a list makes a million.

    Attributes:
        domain: As `Name`; never empty.
        kind: Which names it speaks for.
        exception: Those names are not on the list, where the others are.
    """

    domain: Name
    kind: RuleKind = RuleKind.SUFFIX
    exception: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.exception else ''}{_SIGNS[self.kind]}{self.domain.decode('ascii')}"


@dataclass(frozen=True, slots=True)
class RuleBatch:
    """Many rules of one kind; a file of a million lines makes some thousands, and no object for each line.

    Attributes:
        domains: Of the rules, each as `Name`; made of letters, digits, `-`, `_` and dots alone.
        kind: Which names they speak for.
        exception: Those names are not on the list, where the others are.
    """

    domains: Sequence[Name]
    kind: RuleKind = RuleKind.SUFFIX
    exception: bool = False


class TrieRow(NamedTuple):
    """The answer of a domain in the trie. Few rows differ, so they are shared. Bit n of a mask is list n.

    Attributes:
        self_mask: The lists that the domain itself is on.
        child_mask: The lists that a name one label below it is on, unless a longer domain says otherwise.
        below_mask: The lists that a name further below is on, alike.
        rules: The rules of just this domain, `LIST_BITS` bits a list.
        public_suffix: Anybody can register a name right below the domain (publicsuffix.org), as below `co.uk`.
    """

    self_mask: int
    child_mask: int
    below_mask: int
    rules: int
    public_suffix: bool = False


class PublicSuffixes(NamedTuple):
    """The Public Suffix List (publicsuffix.org), for `RuleSet.owner`.

    Attributes:
        is_public: Tells of a domain as text whether anybody can register right below it; 3 s for a million.
        entries: Its lines in ASCII: `co.uk`; `*.ck`, for each domain right below `ck`; `!www.ck`, for none there.
    """

    is_public: Callable[[str], bool]
    entries: Iterable[str] = ()


class RuleSet:
    """The rules of several lists, ready to be asked; immutable.

    Attributes:
        list_names: In the order of the configuration.
        counts: List name -> number of different rules.
        tails: Rules out most names without the trie; None in a set that 0.1.0 compiled.
        suffixes: Entries of the Public Suffix List below the rules' domains that are public suffixes themselves, with
            the domain of each `*.` as one of its own. Thousands for `com`; none for most sets.
    """

    __slots__ = (
        "_below",
        "_buffer",
        "_child",
        "_key_id",
        "_numbers",
        "_off",
        "_prefixes",
        "_row_ids",
        "_self",
        "_suffix_labels",
        "counts",
        "list_names",
        "rows",
        "suffixes",
        "tails",
        "trie",
    )

    def __init__(  # noqa: PLR0917 - the parts of one whole, which only `build` and `unpack` put together
        self,
        counts: dict[str, int],
        rows: Sequence[TrieRow],
        row_ids: memoryview | None,
        trie: marisa_trie.BinaryTrie,
        buffer: object = None,
        tails: TailTable | None = None,
        suffixes: AbstractSet[bytes] = frozenset(),
        off: AbstractSet[str] = frozenset(),
    ) -> None:
        """Make a rule set of its parts; see `build`, and `compiled.py` for a set that is mapped.

        Args:
            counts: List name -> number of rules, in list order.
            rows: The different answers.
            row_ids: Trie key id -> index into `rows`; None: there is only one row.
            trie: The keys.
            buffer: What the trie is mapped from. The trie doesn't keep it, and reading after it is gone is a crash.
            tails: Rules out most names without the trie; None: there is none.
            suffixes: Public suffixes below rules' domains; see the class.
            off: Lists that match nothing; see `without`.
        """
        self.list_names = tuple(counts)
        self.counts = counts
        self._numbers = {name: number for number, name in enumerate(counts)}
        self.rows = tuple(rows)
        self.trie = trie
        self.tails = tails
        self.suffixes = suffixes
        self._off = off
        self._suffix_labels = max((entry.count(b".") + 1 for entry in suffixes), default=0)
        self._buffer = buffer
        self._row_ids = row_ids
        self._prefixes = trie.prefixes
        self._key_id = trie.key_id
        self._self = [self._names(row.self_mask) for row in rows]
        self._below = [self._names(row.below_mask) for row in rows]
        # None where no rule is of the kind CHILDREN, as in nearly all sets: their lookup counts no labels.
        apart = any(row.child_mask != row.below_mask for row in rows)
        self._child = [self._names(row.child_mask) for row in rows] if apart else None

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def has_exceptions(self) -> bool:
        """True where any rule of any list is an exception."""
        exceptions = sum((1 << _KINDS) - 1 << LIST_BITS * number + _KINDS for number in range(len(self.list_names)))
        return any(row.rules & exceptions for row in self.rows)

    @property
    def domain_tails(self) -> TailTable | None:
        """The tail table of the rules alone, where there are patterns, which `tails` would have to tell of as well."""
        return self.tails

    @property
    def patterns(self) -> PatternSet | None:
        """The patterns beside the rules; None: there are none."""
        return None

    @property
    def row_ids(self) -> memoryview | None:
        """Trie key id -> index into `rows`; None where there is only one row."""
        return self._row_ids

    @classmethod
    def build(
        cls, lists: Sequence[tuple[str, Iterable[Rule | RuleBatch]]], public_suffixes: PublicSuffixes | None = None
    ) -> "RuleSet":
        """Build from rules: seconds and 200 MB for a million, much of it in one hold of the GIL: for a child process.

        Args:
            lists: (list name, its rules) in order; names are unique. Repeated rules count once.
            public_suffixes: Known for `owner`; None: no domain is one.
        """
        counts, rules_of = _collect(lists)
        keys = sorted(rules_of)
        rows, row_of_key = _settle(keys, rules_of, len(counts))
        del rules_of  # 100 MB a million, and the trie takes its own
        tails = tail_table.build(keys)
        trie = _trie(keys)
        suffixes: AbstractSet[bytes] = frozenset()
        if public_suffixes is not None:
            marked = _mark_public_suffixes(keys, rows, row_of_key, public_suffixes)
            suffixes = _suffixes_below(marked, public_suffixes.entries)
        if len(rows) <= 1:
            return cls(counts, rows, None, trie, tails=tails, suffixes=suffixes)
        code = next(code for code in _ROW_CODES if len(rows) <= 256 ** array(code).itemsize)
        usual = Counter(row_of_key).most_common(1)[0][0]  # to ask for a key's number takes 1 us
        row_ids = array(code, [usual]) * len(keys)
        for key, row in zip(keys, row_of_key, strict=True):
            if row != usual:
                row_ids[trie.key_id(key)] = row
        return cls(counts, rows, memoryview(row_ids), trie, tails=tails, suffixes=suffixes)

    def lists(self, name: Name) -> tuple[str, ...]:
        """Tell the lists that a name is on, in list order; mostly ()."""
        key = (b"." + name)[::-1]
        found = self._prefixes(key)
        if not found:
            return ()
        longest = found[-1]
        # One list with suffix rules only, the most common case, has a single row: that saves the second lookup, 0.7 us.
        row = 0 if self._row_ids is None else self._row_ids[self._key_id(longest)]
        if len(longest) == len(key):
            return self._self[row]
        if self._child is not None and key.count(b".", len(longest)) == 1:
            return self._child[row]
        return self._below[row]

    def without(self, list_names: AbstractSet[str]) -> "RuleSet":
        """Return this rule set, of which some lists match nothing; the two share what is large.

        `owner`, `explain` and `of_list` still speak of all lists: what a list would say is no secret.

        Args:
            list_names: Lists that are switched off; names of others don't matter.
        """
        if list_names.isdisjoint(self.list_names):
            return self
        parts = self.counts, self.rows, self._row_ids, self.trie, self._buffer, self.tails, self.suffixes
        return RuleSet(*parts, list_names)

    def of_list(self, list_name: str) -> Iterator[Rule]:
        """Give back the rules of a list; some seconds for a million."""
        return chain.from_iterable(self.of_list_in_steps(list_name, 1_000))

    def of_list_in_steps(self, list_name: str, keys: int) -> Iterator[list[Rule]]:
        """Give back the rules of a list in steps, so that others have their turn meanwhile.

        Args:
            list_name: The list.
            keys: Domains of all lists that a step looks at; it gives none where no rule of the list is among them.
        """
        place = self.list_names.index(list_name) * LIST_BITS
        items = self.trie.iteritems()
        while step := list(islice(items, keys)):
            found = []
            for key, number in step:
                rules = self.rows[0 if self._row_ids is None else self._row_ids[number]].rules >> place
                if not rules & _OF_ONE:
                    continue
                domain = key[::-1][1:]
                found += [
                    Rule(domain, kind, exception)
                    for kind in RuleKind
                    for exception in (False, True)
                    if rules >> (kind + _KINDS * exception) & 1
                ]
            yield found

    def patterns_of(self, list_name: str) -> Sequence[Pattern]:
        """Give the patterns of a list."""
        return tuple(self.patterns.of_list(self._numbers[list_name])) if self.patterns is not None else ()

    def deciding(self, number: int, name: Name) -> Rule | None:
        """Find the rule of a list that decides over a name, exceptions included; None: no rule speaks for it.

        Args:
            number: Of the list.
            name: The name.
        """
        key = (b"." + name)[::-1]
        for found in reversed(self._prefixes(key)):
            row = self.rows[0 if self._row_ids is None else self._row_ids[self._key_id(found)]]
            labels = key.count(b".", len(found))
            speaks = _BELOW if labels > 1 else _CHILD if labels else _SELF
            rule = _deciding(row.rules >> number * LIST_BITS, speaks)
            if rule is not None:
                return Rule(found[::-1][1:], *rule)
        return None

    def owner(self, list_name: str, name: Name) -> Name:
        """Give the domain whose owner chooses the addresses of a name on a list: the unit of fairness among routes.

        The owner is the domain of the rule that decides. Where anybody can register below that domain, it is the
        longest public suffix of the name and one label more: `user.github.io` for the rule `github.io`, `foo.co.uk`
        for the rule `uk`. Subdomains cost nothing, so they are nobody.

        Args:
            list_name: A list that the name is on.
            name: The name; it is its own owner if no rule of the list speaks for it.
        """
        key = (b"." + name)[::-1]
        number = self._numbers.get(list_name)
        if number is None:
            return name
        for found in reversed(self._prefixes(key)):
            row = self.rows[0 if self._row_ids is None else self._row_ids[self._key_id(found)]]
            labels = key.count(b".", len(found))
            speaks = _BELOW if labels > 1 else _CHILD if labels else _SELF
            if _deciding(row.rules >> number * LIST_BITS, speaks) is None:
                continue
            end = len(found) - 1
            if row.public_suffix and labels:
                end = self._owner_end(key, len(found))
            return key[:end][::-1]
        return name

    def _owner_end(self, key: bytes, below: int) -> int:
        """Find where a key's owner ends: one label more than its longest public suffix.

        Args:
            key: Of a name, which has a label at `below`.
            below: The length of the key of a public suffix that the name is below.
        """
        end = at = key.index(b".", below)
        wild = b"*." + key[: below - 1][::-1]
        # No entry has more labels, so a name with a hundred costs no more.
        for _ in range(key.count(b".", 0, at), self._suffix_labels):
            domain = key[:at][::-1]
            longer = key.find(b".", at + 1)
            if self._is_suffix(domain, wild):
                end = longer if longer >= 0 else at  # a name that is a public suffix is its own owner
            if longer < 0:
                break
            at, wild = longer, b"*." + domain
        return end

    def _is_suffix(self, domain: Name, wild: bytes) -> bool:
        return domain in self.suffixes or (wild in self.suffixes and b"!" + domain not in self.suffixes)

    def silent(self, domain: Name) -> bool:
        """Tell whether neither the domain nor any name below it is on a list, nor has a rule.

        Where no rule's domain is the domain or below it, the answer for all names below, at any depth, is the same: all
        are more than one label below the longest domain above that has rules. The domain itself may be right below
        that, which has another answer (CHILDREN), so both are asked for.
        """
        key = (b"." + domain)[::-1] if domain else b""  # below the root is everything
        if self.lists(domain) or self.lists(b"x." + domain if domain else b"x"):
            return False
        return not any(True for _ in self.trie.iterkeys(key))

    def explain(self, name: Name) -> list[tuple[str, Rule | Pattern]]:
        """Find what decides over a name in each list that has a rule for it, exceptions included; for people."""
        deciding = ((list_name, self.deciding(number, name)) for number, list_name in enumerate(self.list_names))
        return [(list_name, rule) for list_name, rule in deciding if rule is not None]

    def is_excepted(self, name: Name) -> bool:
        """Tell whether an exception keeps a name off a list; of few names it has to be asked, at 5 us each."""
        return any(rule.exception and found not in self._off for found, rule in self.explain(name))

    def _names(self, mask: int) -> tuple[str, ...]:
        return tuple(
            name for number, name in enumerate(self.list_names) if mask >> number & 1 and name not in self._off
        )


def _collect(lists: Sequence[tuple[str, Iterable[Rule | RuleBatch]]]) -> tuple[dict[str, int], dict[bytes, int]]:
    """Merge the lists: (list name -> number of different rules, key -> the rules of that domain as bits)."""
    counts: dict[str, int] = {}
    rules_of: dict[bytes, int] = {}
    for number, (list_name, rules) in enumerate(lists):
        # One number for all domains with the same rules: each of its own would take 30 bytes.
        bits = [1 << number * LIST_BITS + place for place in range(LIST_BITS)]
        count = 0
        for each in rules:
            if type(each) is RuleBatch:
                bit = bits[each.kind + (_KINDS if each.exception else 0)]
                count += _add(rules_of, dict.fromkeys(_keys(each.domains), bit), bit)
                continue
            domain, kind, exception = cast("Rule", each)
            bit = bits[kind + (_KINDS if exception else 0)]
            key = (b"." + domain)[::-1]
            known = rules_of.get(key, 0)
            if not known & bit:
                rules_of[key] = known | bit if known else bit
                count += 1
        counts[list_name] = count
    return counts, rules_of


def _keys(domains: Sequence[Name]) -> list[bytes]:
    """Turn domains into keys: all at once, as one text spelled backwards."""
    return [] if not domains else (b"." + b"\n.".join(domains))[::-1].split(b"\n")


def _add(rules_of: dict[bytes, int], new: dict[bytes, int], bit: int) -> int:
    """Add rules of one kind to those of their domains, and count how many were not there."""
    if rules_of.keys().isdisjoint(new):
        rules_of.update(new)
        return len(new)
    count = 0
    for key in new:
        known = rules_of.get(key, 0)
        if not known & bit:
            rules_of[key] = known | bit if known else bit
            count += 1
    return count


def _settle(keys: Sequence[bytes], rules_of: dict[bytes, int], lists: int) -> tuple[list[TrieRow], list[int]]:
    """Work out each domain's answer; sorted keys have a domain right before the names below it."""
    kinds = set(rules_of.values())
    if len(kinds) == 1:  # all rules are of one kind in the same lists, as in most lists: saves 0.8 s a million
        row = _row(next(iter(kinds)), 0, 0, lists)
        if row == _row(row.rules, row.child_mask, row.below_mask, lists):  # also for domains below others
            return [row], [0] * len(keys)
    numbers: dict[TrieRow, int] = {}
    seen: dict[tuple[int, int, int], tuple[int, TrieRow]] = {}  # (rules, inherited masks) -> (row number, row)

    def settle(*asked: int) -> tuple[int, TrieRow]:
        answer = seen.get(asked)  # type: ignore[arg-type]
        if answer is None:
            row = _row(*asked, lists)  # type: ignore[call-arg]
            answer = seen[asked] = (numbers.setdefault(row, len(numbers)), row)  # type: ignore[index]
        return answer

    # Most domains are neither above nor below another one: these are settled by what they are alone.
    alone = {rules: settle(rules, 0, 0)[0] for rules in kinds}
    row_of_key = list(map(alone.__getitem__, map(rules_of.__getitem__, keys)))
    is_below_next = bytes(map(bytes.startswith, islice(keys, 1, None), keys))  # the domain behind each one is below it
    above: list[tuple[bytes, TrieRow]] = []  # the domains that the current one lies below, at most one for each label
    begin = is_below_next.find(1)
    while begin >= 0:
        top = keys[begin]
        above = [(top, settle(rules_of[top], 0, 0)[1])]
        at = begin + 1
        while at < len(keys) and keys[at].startswith(top):
            key = keys[at]
            while not key.startswith(above[-1][0]):
                above.pop()
            # The domain itself may be a child of the one above; names below it are never children of that.
            parent, answer_above = above[-1]
            for_below = answer_above.below_mask
            for_self = answer_above.child_mask if key.count(b".", len(parent)) == 1 else for_below
            row_of_key[at], answer = settle(rules_of[key], for_self, for_below)
            above.append((key, answer))
            at += 1
        begin = is_below_next.find(1, at)
    return list(numbers), row_of_key


def _trie(keys: Sequence[bytes]) -> marisa_trie.BinaryTrie:
    if len(keys) * _FAST_TRIE_KEY_BYTES <= FAST_TRIE_MAX_BYTES:
        trie = marisa_trie.BinaryTrie(keys, num_tries=1)
        if len(trie.tobytes()) <= FAST_TRIE_MAX_BYTES:
            return trie
        del trie  # one at a time
    return marisa_trie.BinaryTrie(keys)


def _mark_public_suffixes(
    keys: Sequence[bytes], rows: list[TrieRow], row_of_key: list[int], public_suffixes: PublicSuffixes
) -> set[str]:
    """Give the keys of public suffixes, of which there are few, rows of their own; give back their domains."""
    numbers = {row: number for number, row in enumerate(rows)}
    marked: set[str] = set()
    for at in _may_be_public(keys, public_suffixes.entries):
        domain = keys[at][-2::-1].decode("ascii")
        if public_suffixes.is_public(domain):
            marked.add(domain)
            row = rows[row_of_key[at]]._replace(public_suffix=True)
            if row not in numbers:
                numbers[row] = len(rows)
                rows.append(row)
            row_of_key[at] = numbers[row]
    return marked


def _may_be_public(keys: Sequence[bytes], entries: Iterable[str]) -> Iterable[int]:
    """Give the places of sorted keys that may be public suffixes; to ask of each is 3 s for a million.

    These are entries themselves, what an entry with `*` is below, what is right below that, and names of one label, of
    which the list has not all. Without entries nothing is known, so that all may be.
    """
    spelled = {_backwards(entry.removeprefix("!")) for entry in entries}
    if not spelled:
        return range(len(keys))
    above = tuple(key.removesuffix(b"*.") for key in spelled if key.endswith(b".*."))
    spelled.update(above)
    found = set(_places(keys, spelled))
    at = 0
    while at < len(keys):
        label = keys[at][: keys[at].index(b".") + 1]
        if keys[at] == label:
            found.add(at)
        at = bisect_left(keys, label[:-1] + b"/", at)  # "/" follows the dot
    for beginning in above:
        at = bisect_left(keys, beginning)
        while at < len(keys) and keys[at].startswith(beginning):
            if keys[at].count(b".") == beginning.count(b".") + 1:
                found.add(at)
            at += 1
    return sorted(found)


def _places(keys: Sequence[bytes], wanted: Iterable[bytes]) -> Iterator[int]:
    """Find the places of some among sorted keys."""
    for key in wanted:
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            yield at


def _backwards(domain: str) -> bytes:
    return f".{domain}".encode("ascii")[::-1]


def _suffixes_below(marked: AbstractSet[str], entries: Iterable[str]) -> frozenset[bytes]:
    """Select the entries of the Public Suffix List that are below one of the domains; see `RuleSet.suffixes`."""
    if not marked:
        return frozenset()
    below: list[str] = []
    for entry in entries:
        labels = entry.removeprefix("!").split(".")
        if any(".".join(labels[at:]) in marked for at in range(1, len(labels))):
            below.append(entry)
    return _suffixes(below)


def all_suffixes(public_suffixes: PublicSuffixes) -> frozenset[bytes]:
    """Give all entries of the Public Suffix List below top-level domains, for names that any rule may put on a list."""
    return _suffixes(entry for entry in public_suffixes.entries if "." in entry)


def _suffixes(entries: Iterable[str]) -> frozenset[bytes]:
    """Make entries what `RuleSet.suffixes` has: the domain of each `*.` is one of its own."""
    found: set[str] = set()
    for entry in entries:
        found.add(entry)
        if entry.startswith("*."):
            found.add(entry[2:])
    return frozenset(entry.encode("ascii") for entry in found)


def _row(rules: int, for_self: int, for_below: int, lists: int) -> TrieRow:
    """Work out a domain's answer from its rules and the masks that it and the names below it inherit."""
    return TrieRow(
        _masked(rules, for_self, _SELF, lists),
        _masked(rules, for_below, _CHILD, lists),
        _masked(rules, for_below, _BELOW, lists),
        rules,
    )


def _masked(rules: int, inherited: int, speaks: int, lists: int) -> int:
    """Work out the lists that say yes, given a domain's rules and what it inherits from shorter domains."""
    mask = inherited
    for number in range(lists):
        rule = _deciding(rules >> number * LIST_BITS, speaks)
        if rule is not None:
            mask = mask & ~(1 << number) if rule[1] else mask | 1 << number
    return mask


def _deciding(rules: int, speaks: int) -> tuple[RuleKind, bool] | None:
    """Find the deciding one of a domain's rules in one list, among the kinds in `speaks`; None: none of them."""
    for exception in (True, False):
        for kind in _ORDER:
            if rules >> (kind + _KINDS * exception) & speaks >> kind & 1:
                return kind, exception
    return None


def size_text(rules: int, prefixes: int) -> str:
    """Tell the size of a list or source: `3 rules, 1 static prefix`."""
    told = count_text(rules, "rule")
    return f"{told}, {count_text(prefixes, 'static prefix', 'static prefixes')}" if prefixes else told


def skipped_text(counts: Mapping[str, int]) -> str:
    """Tell skipped lines by kind, `keywords 3`; empty where there are none. Kinds are plural, so the number follows."""
    return ", ".join(f"{kind} {count}" for kind, count in counts.items() if count > 0)

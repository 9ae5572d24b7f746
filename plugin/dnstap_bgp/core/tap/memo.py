"""The memo of names: what was found out about a name that a question asked for, kept while the name is asked often.

Most names that a resolver is asked for are asked once. They would sweep out the others, and an entry more costs twice
what most names cost to judge again. So a name gets in with its second question of late: those that were asked once are
noted in a set, which begins anew when it is full. What the entries don't take of the memory is the set's, so that it
reaches back far while the memo fills, and to a part of the memory when it is full. Then room for an entry comes from
those that are in for the longest time. Which of them are asked often nobody notes, so that a question whose name is in
costs nothing more; but such a name is back with two questions.

The memory of an entry is estimated (measured with tracemalloc in CPython 3.11, its share of the dictionary included);
a flood of names, whatever it brings, takes no more than the limit.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias, final

from dnstap_bgp.core.model import Name
from dnstap_bgp.core.tap.answer_templates import AnswerTemplate, CnameTemplate

NAME_MAX_BYTES = 100
"""Longer names are looked up each time: they are rare, and a flood of them would fill the memo with three times the
memory."""
TEMPLATES_MAX = 4
"""Templates kept for one name: what is behind a name may rotate."""

ONCE_SHARE = 8
"""The part of the memory that names asked once have at least: 8,000 of them. With no more than that while the memo
fills, 500,000 names cost a tenth of the floor more, and 50,000 names as much (bench, names): 58 in place of 66 % and
85 in place of 95 % of the questions are remembered in its second pass."""
FORGOTTEN_SHARE = 64
"""One in so many of the entries is forgotten at a time, in 0.5 ms."""

_ONCE_BYTES = 96  # beside the name itself
_ENTRY_BYTES = 80  # beside the name itself
_PIECE_BYTES = 48
_PIECES_BYTES = 16  # the first piece is mostly shared
_LISTED_BYTES = 130
_TEMPLATE_BYTES = 300  # beside its pieces and its claims
_FIXED_BYTES = 100  # a piece of it, beside its bytes
_CLAIM_BYTES = 110  # beside the name


@final
class ListedName:
    """An entry of the memo for a name that is on a list, or that has led to one that is.

    Attributes:
        lists: The lists that the name is on.
        name: The name; the claims that come of it share this object.
        templates: Learnt of its answers, the newest first.
        misses: Answers that were neither plain nor fitted a template; of an excepted name all of them.
        is_excepted: The name is on no list, for an exception, and read now and then to know where it lives.
    """

    __slots__ = ("is_excepted", "lists", "misses", "name", "templates")

    def __init__(self, lists: tuple[str, ...], name: Name, *, is_excepted: bool = False) -> None:
        self.lists = lists
        self.name = name
        self.templates: tuple[AnswerTemplate, ...] = ()
        self.misses = 0
        self.is_excepted = is_excepted


UnlistedName: TypeAlias = CnameTemplate
"""An entry of the memo for a name that is on no list: its CNAME records, as they came last; empty: none are known."""
MemoEntry: TypeAlias = UnlistedName | ListedName


@final
class Memo:
    """The entries of names, by their labels in lower case, within a limit of memory.

    Attributes:
        entries: What is known of names; the first one is the next to be forgotten. To be read, and `put` into.
        max_bytes: The limit, for the entries and the names that were asked once.
    """

    __slots__ = ("_bytes", "_once", "_once_bytes", "entries", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.entries: dict[bytes, MemoEntry] = {}
        self._once: set[bytes] = set()
        self._bytes = self._once_bytes = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.entries)

    @property
    def used_bytes(self) -> int:
        """Estimate the memory in use."""
        return self._bytes + self._once_bytes

    def asked_again(self, names: Sequence[bytes]) -> set[bytes]:
        """Tell which names were asked of late already, and so are worth an entry; take note of the others.

        Args:
            names: Names without an entry, or any bytes; 0.1 us each.
        """
        again = self._once.intersection(names)
        if self._bytes + self._once_bytes >= self.max_bytes:
            self._once, self._once_bytes = set(), 0
        self._once.update(names)
        self._once_bytes += _ONCE_BYTES * len(names) + sum(map(len, names))
        return again

    def put(self, labels: bytes, known: MemoEntry) -> None:
        """Keep an entry for a name, in place of the one that it has.

        Args:
            labels: The name, surely a whole number of labels: what a zero byte inside a label cuts short is another
                name in the next message.
            known: The entry.
        """
        if len(labels) > NAME_MAX_BYTES:
            return
        before = self.entries.get(labels)
        if before is not None:
            self._bytes -= _size_of(labels, before)
        self.entries[labels] = known
        self._bytes += _size_of(labels, known)
        self._make_room()

    def keep_template(self, labels: bytes, known: ListedName, template: AnswerTemplate) -> None:
        """Keep a template of a listed name's answers, in place of its oldest one if it has enough of them.

        Args:
            labels: The name.
            known: Its entry; if it is no longer in the memo, it keeps the template all the same.
            template: The newest one.
        """
        before = _size_of(labels, known)
        known.templates = (template, *known.templates[: TEMPLATES_MAX - 1])
        if self.entries.get(labels) is known:
            self._bytes += _size_of(labels, known) - before
            self._make_room()

    def _make_room(self) -> None:
        while self._bytes > self.max_bytes - self.max_bytes // ONCE_SHARE:
            self._forget()

    def _forget(self) -> None:
        """Make room: forget the first entries."""
        for labels in list(islice(self.entries, 1 + len(self.entries) // FORGOTTEN_SHARE)):
            self._bytes -= _size_of(labels, self.entries.pop(labels))


def _size_of(labels: bytes, known: MemoEntry) -> int:
    """Estimate the memory of an entry."""
    if isinstance(known, ListedName):
        return _ENTRY_BYTES + len(labels) + _LISTED_BYTES + sum(map(_size_of_template, known.templates))
    if not known:
        return _ENTRY_BYTES + len(labels)
    return _ENTRY_BYTES + len(labels) + _PIECES_BYTES + _PIECE_BYTES * len(known) + sum(map(len, known))


def _size_of_template(template: AnswerTemplate) -> int:
    """Estimate the memory of a template: one of many long names takes twenty times as much as a usual one."""
    _, fixed, _, _, claims = template
    pieces = _FIXED_BYTES * len(fixed) + sum(map(len, fixed))
    return _TEMPLATE_BYTES + pieces + sum(_CLAIM_BYTES + len(name) for _, name, _ in claims)

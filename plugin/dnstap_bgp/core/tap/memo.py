"""The memo of names: what was found out about a name that a question asked for, kept while the name is asked often.

The memo has a young and an old generation, a dictionary each. When the young one has most of the memory, its entries
become old ones. Once both together have all of it, room for an entry comes from the old one, whose first entries are
forgotten. A name of the old one that is asked for comes back into the young one. So what is asked for again stays, at
no cost for a question whose name is young.

Most names that a resolver is asked for are asked once. They would sweep out the others, so once the memo is full, a
name gets in by chance: one question in so many, the more the cheaper the name is to judge again (prefilter.py). A name
that is asked often is in soon.

The memory of an entry is estimated (measured with tracemalloc in CPython 3.11, its share of the dictionary included);
a flood of names, whatever it brings, takes no more than the limit.
"""

from itertools import islice
from typing import TypeAlias, final

from dnstap_bgp.core.model import Name
from dnstap_bgp.core.tap.answer_templates import AnswerTemplate, CnameTemplate

NAME_MAX_BYTES = 100
"""Longer names are looked up each time: they are rare, and a flood of them would fill the memo with three times the
memory."""
TEMPLATES_MAX = 4
"""Templates kept for one name: what is behind a name may rotate."""

FORGOTTEN_SHARE = 64
"""One in so many of the old generation's entries is forgotten at a time, in 0.2 ms."""

_ENTRY_BYTES = 80  # beside the name itself
_UNLISTED_TEMPLATE_BYTES = 320
_LISTED_BYTES = 130
_TEMPLATE_BYTES = 500


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


UnlistedName: TypeAlias = tuple[CnameTemplate, ...]
"""An entry of the memo for a name that is on no list: its templates, the newest first."""
MemoEntry: TypeAlias = UnlistedName | ListedName


@final
class Memo:
    """The entries of names, by their labels in lower case, within a limit of memory.

    Attributes:
        young: The younger generation, another dictionary after a `get` or a `put`. Whoever only wants to look looks
            here.
        max_bytes: The limit for both generations.
        has_forgotten: Something was forgotten: there is no room for all names.
    """

    __slots__ = ("_bytes", "_old", "_old_bytes", "has_forgotten", "max_bytes", "young")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.has_forgotten = False
        self.young: dict[bytes, MemoEntry] = {}
        self._old: dict[bytes, MemoEntry] = {}
        self._bytes = self._old_bytes = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.young) + len(self._old)

    @property
    def used_bytes(self) -> int:
        """Estimate the memory in use."""
        return self._bytes + self._old_bytes

    def get(self, labels: bytes) -> MemoEntry | None:
        """Look a name up in both generations; it comes back from the old one."""
        known = self.young.get(labels)
        if known is None:
            known = self._old.pop(labels, None)
            if known is not None:
                self._old_bytes -= _size_of(labels, known)
                self.put(labels, known)
        return known

    def put(self, labels: bytes, known: MemoEntry) -> None:
        """Keep an entry for a name, in place of the one that it has.

        Args:
            labels: The name, surely a whole number of labels: what a zero byte inside a label cuts short is another
                name in the next message.
            known: The entry.
        """
        if len(labels) > NAME_MAX_BYTES:
            return
        if self._bytes * 8 >= self.max_bytes * 7:
            # What is left of the old generation is forgotten first: so long the others may be asked for, and come back.
            self._old.update(self.young)  # no name is in both
            self._old_bytes += self._bytes
            self.young, self._bytes = {}, 0
        while self._bytes + self._old_bytes >= self.max_bytes and self._old:
            self._forget()
        former = self._old.pop(labels, None)  # `get` may have brought it back before it became old again just now
        if former is not None:
            self._old_bytes -= _size_of(labels, former)
        before = self.young.get(labels)
        self.young[labels] = known
        self._bytes += _size_of(labels, known) - (0 if before is None else _size_of(labels, before))

    def has_grown(self, labels: bytes, known: ListedName) -> None:
        """Take into account that a listed name has got a template, if it is still in the memo."""
        if self.young.get(labels) is known:
            self._bytes += _TEMPLATE_BYTES
        elif self._old.get(labels) is known:
            self._old_bytes += _TEMPLATE_BYTES

    def _forget(self) -> None:
        """Make room: forget the old generation's first entries."""
        self.has_forgotten = True
        for labels in list(islice(self._old, 1 + len(self._old) // FORGOTTEN_SHARE)):
            self._old_bytes -= _size_of(labels, self._old.pop(labels))


def _size_of(labels: bytes, known: MemoEntry) -> int:
    """Estimate the memory of an entry."""
    if isinstance(known, ListedName):
        return _ENTRY_BYTES + len(labels) + _LISTED_BYTES + _TEMPLATE_BYTES * len(known.templates)
    return _ENTRY_BYTES + len(labels) + _UNLISTED_TEMPLATE_BYTES * len(known)

"""The fast path for DNS messages: most names are on no list, and to prove that takes a fraction of a decode.

What may give a sighting is read: by forms.py if it looks as usual, else by the exact parser (answer.py). What can't is
passed over by `Screen.scan`, which proves that it can't:

  - Every name of a chain is the question or the target of a CNAME record of class IN in the message. If none of these
    is on a list, nothing else in the message matters: not its flags, nor its types, nor whether it is well-formed.
  - The question: its bytes up to the first zero byte are looked up in a memo. Only what was walked label by label gets
    into the memo, so a zero byte inside a label can't pass for the end of the name: what it cuts off is no whole number
    of labels.
  - No CNAMEs: each brings the bytes 00 05 00 01 (type, class). Where these don't follow the question, there is none.
    A search for the byte 5 alone comes first: it takes 15 ns instead of 160, and nine times in ten it is enough.
  - CNAMEs whose targets are on no list: where the bytes do occur, each occurrence is read as if it were a CNAME, and
    the targets go through the same memo. When a name comes with such records again, their skeleton (the bytes but for
    the TTLs, see forms.py) is remembered: then one struct and one comparison prove the same.

The memo belongs to one rule set and dies with it, so that a reload can't keep a stale no.
"""

import struct
from typing import TypeAlias, final

from dnstap_bgp.core.dns.answer import HEADER_BYTES, NAMES_MAX, RECORD, Answer, parse
from dnstap_bgp.core.dns.labels import LABEL_MAX_BYTES, read_name, to_name
from dnstap_bgp.core.lists.domains import RuleSet
from dnstap_bgp.core.model import Name, Sighting
from dnstap_bgp.core.tap.forms import CNAME_IN, Form, Skeleton, learn, learn_links, read
from dnstap_bgp.errors import DnsError

MEMO_MAX = 1 << 15
"""Places in one of the memo's two generations, one for each name: a resolver's busy names, in 5 to 10 MB for both.
When the young one is full it becomes the old one, whose names come back if they are asked for: a flood of new names
sweeps idle ones out."""
LISTED_PLACES = 2
"""A listed name takes the places of so many others: few names are on a list, and where all are, the memo would take
11 MB beside the table that they fill. With 4, traffic of which 30 % is listed cost 1.6 times as much (tests.bench)."""
MEMO_NAME_MAX_BYTES = 100
"""Longer names are looked up each time: they are rare, and a flood of them would fill the memo with three times the
memory."""
SAMPLE = 8
"""One in so many new names is counted for its parent domain: to count each would cost a tenth of judging it."""
CHILDREN_MAX = 32
"""A domain with so many new names is asked about as a whole. A water-torture attack (random names below one domain)
then costs a quarter, and no longer touches the memo."""
SILENT_MAX = 4096
"""Such domains that are remembered."""
FORMS_MAX = 4
"""Forms and skeletons kept for one name: what is behind a name may rotate."""

_END = b"\0"
_CNAME_BYTE = 5


@final
class Listed:
    """What the memo has for a name that is on a list, or that has led to one that is.

    Attributes:
        lists: Those that the name is on.
        name: The name; the claims that come of it share it.
        forms: Learnt of its answers, the newest first.
        misses: How many answers were neither plain nor had one of them.
    """

    __slots__ = ("forms", "lists", "misses", "name")

    def __init__(self, lists: tuple[str, ...], name: Name) -> None:
        self.lists = lists
        self.name = name
        self.forms: tuple[Form, ...] = ()
        self.misses = 0


Unlisted: TypeAlias = tuple[Skeleton, ...]
"""What the memo has for a name that is on no list: its skeletons, the newest first."""
Known: TypeAlias = Unlisted | Listed

Hit: TypeAlias = tuple[int, bytes, bytes, Listed | None]
"""(index of the message, the message, what follows its question's name, what the memo has for that name)."""

_ONCE: Unlisted = ((lambda _: (), (b"",), 0),)
"""In place of skeletons when a name came with CNAMEs for the first time: it fits nothing. Most names of a flood never
come again, so only the second time is worth a skeleton."""
_UNREADABLE = Listed((), b"")  # the exact parser says why


class Screen:
    """Finds the messages that give sightings, for one rule set."""

    def __init__(self, rules: RuleSet) -> None:
        self._lists = rules.lists
        self._is_silent = rules.silent
        self._children: dict[bytes, int] = {}  # how many new names a domain had
        self._silent: set[bytes] = set()
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}
        self._taken = 0  # of the young generation's places

    def scan(self, messages: list[bytes]) -> list[Hit]:  # noqa: C901 - a call more for each message costs a tenth
        """Find the messages that may give a sighting; no other can."""
        hits: list[Hit] = []
        recall = self._young.get
        for index, wire in enumerate(messages):
            name, _, rest = wire[HEADER_BYTES:].partition(_END)
            known = recall(name)
            if known is None:
                known = self._judge(name)
                recall = self._young.get  # it may be another generation now
            if not known:
                if _CNAME_BYTE not in rest or CNAME_IN not in rest:
                    continue
            elif isinstance(known, Listed):
                hits.append((index, wire, rest, None if known is _UNREADABLE else known))
                continue
            else:
                unpack, fixed, size = known[0]
                try:
                    if unpack(rest) == fixed:
                        tail = rest[size:]
                        if _CNAME_BYTE not in tail or CNAME_IN not in tail:
                            continue
                except struct.error:  # shorter than the skeleton
                    pass
                if CNAME_IN not in rest:
                    continue
            if not self._targets_unlisted(wire, name, rest, known):
                hits.append((index, wire, rest, None))
        return hits

    def read(self, hit: Hit) -> list[Sighting] | None:
        """The sightings of one message; None: it is truncated.

        Raises:
            DnsError: It is cut, lying or looping.
        """
        _, wire, rest, known = hit
        if known is not None:
            sightings = read(known.forms, known.lists, known.name, wire, rest)
            if sightings is not None:
                return sightings
        answer = parse(wire)
        if answer.truncated:
            return None
        sightings = answer.sightings(self._lists)
        if sightings and known is not None:
            self._learn(known, wire, len(wire) - len(rest), answer)
        return sightings

    def _learn(self, known: Listed, wire: bytes, behind: int, answer: Answer) -> None:
        """Remember the form of an answer, if it is not the first unknown one: that may never come again."""
        known.misses += 1
        if known.misses % 2:
            return
        claims = tuple((list_name, name, at) for at, name in enumerate(answer.names) for list_name in self._lists(name))
        form = learn(wire, behind, answer, claims)
        if form is not None:
            known.forms = (form, *known.forms[: FORMS_MAX - 1])

    def _judge(self, raw: bytes) -> Known:
        """Say whether a name is on a list; raw: its labels, or what a zero byte inside a label left of them."""
        if not raw:
            return _UNREADABLE  # the root, or a message too short for a question
        labels = raw.lower()
        parent = labels[labels[0] + 1 :]
        if parent in self._silent and labels[0] <= LABEL_MAX_BYTES:
            return ()
        known = self._young.get(labels)
        if known is not None:
            return known  # another spelling of a known name adds nothing to the memo
        known = self._old.get(labels)
        if known is None:
            try:
                name = to_name(labels)
            except DnsError:
                return _UNREADABLE
            lists = self._lists(name)
            known = Listed(lists, name) if lists else ()
            if not len(self._young) % SAMPLE:
                self._count_child(parent)
        if len(labels) <= MEMO_NAME_MAX_BYTES:
            if self._taken >= MEMO_MAX:
                self._old, self._young, self._taken = self._young, {}, 0
            self._young[labels] = known
            self._taken += LISTED_PLACES if isinstance(known, Listed) else 1
        return known

    def _count_child(self, parent: bytes) -> None:
        """Notice domains with many names: where no rule is near, the names below need not be remembered one by one."""
        if not parent:
            return  # what a zero byte inside a label cut short seems to lie below the root as well
        if len(self._children) >= MEMO_MAX // SAMPLE:
            self._children.clear()
        count = self._children[parent] = self._children.get(parent, 0) + 1
        if count == CHILDREN_MAX // SAMPLE and self._is_silent(to_name(parent)):
            if len(self._silent) >= SILENT_MAX:
                self._silent.clear()
            self._silent.add(parent)

    def _targets_unlisted(self, wire: bytes, raw: bytes, rest: bytes, known: Unlisted) -> bool:
        """Whether all that may be CNAMEs behind an unlisted question lead to names on no list."""
        if len(known) > 1 and any(_fits(skeleton, rest) for skeleton in known[1:]):
            return True
        behind = len(wire) - len(rest)
        marks = 0
        at = rest.find(CNAME_IN)
        while at >= 0:
            marks += 1
            try:
                target, _ = read_name(wire, behind + at + RECORD.size)
            except DnsError:
                return False
            if marks == NAMES_MAX:
                return False
            if isinstance(self._judge(target), Listed):
                labels = raw.lower()
                if labels in self._young:
                    self._young[labels] = Listed((), b"")
                    self._taken += LISTED_PLACES - 1
                return False
            at = rest.find(CNAME_IN, at + 1)
        labels = raw.lower()
        if labels in self._young:
            self._young[labels] = _grown(known, wire, behind)
        return True


def _fits(skeleton: Skeleton, rest: bytes) -> bool:
    unpack, fixed, size = skeleton
    try:
        return unpack(rest) == fixed and CNAME_IN not in rest[size:]
    except struct.error:  # shorter than the skeleton
        return False


def _grown(known: Unlisted, wire: bytes, behind: int) -> Unlisted:
    """What the memo has from now on for an unlisted name whose message brought CNAMEs to no list."""
    if not known:
        return _ONCE
    skeleton = learn_links(wire, behind)
    if skeleton is None:
        return known
    return (skeleton,) if known is _ONCE else (skeleton, *known[: FORMS_MAX - 1])

"""The prefilter for DNS messages: most names are on no list, and to prove that takes a fraction of a decode.

A message that may give a sighting is a *candidate* and read: by answer_templates.py if it looks as usual, else by the
exact parser (core/dns/answer.py). `Prefilter.scan` passes over the others, and proves of each that it can't give one:

  - Every name of a chain is the question or the target of a CNAME record of class IN in the message. If none of these
    is on a list, nothing else in the message matters: not its flags, nor its types, nor whether it is well-formed.
  - The question: its bytes up to the first zero byte are looked up in a memo (memo.py). Only what was walked label by
    label gets into the memo, so a zero byte inside a label can't pass for the end of the name: what it cuts off is no
    whole number of labels.
  - A name that the memo doesn't have: mostly no rule is near, which its last two labels prove (tail_proofs.py), once
    all are known to be whole. Else the name is looked up in the trie of rules.
  - No CNAMEs: each brings the bytes 00 05 00 01 (type, class). Where these don't follow the question, there is none.
  - CNAMEs whose targets are on no list: where the bytes do occur, each occurrence is read as if it were a CNAME, and
    the target's last two labels prove it, or the target goes through the same memo. Of a name that is in the memo, the
    template of such records (the bytes but for the TTLs, see answer_templates.py) is remembered: then comparisons prove
    the same, in 0.4 us where the targets of a chunk take 0.7 us each.

Where a proof would take long (an odd byte, many occurrences), the message becomes a candidate: the exact parser walks
it by its records' bounds, and reads addresses only for names on a list. That, and all else whose cost somebody outside
chooses, is charged to the budget of work for the chunk. A candidate that finds it spent is skipped and counted, and
nothing is remembered of it.

Keywords and expressions of lists speak for more than a domain and the names below it: with them, a proof from the last
labels is half of one, and they are asked for the other half (pattern_proofs.py).

The memo belongs to one rule set and dies with it, so that a reload can't keep a stale no.
"""

from itertools import chain, compress, islice, repeat
from operator import itemgetter, not_
from typing import TypeAlias, final

from dnstap_bgp.core.dns.answer import HEADER_BYTES, NAMES_MAX, QUESTION, Answer, parse
from dnstap_bgp.core.dns.labels import LABEL_MAX_BYTES, WorkBudget, read_name, to_name
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.tap.answer_templates import CNAME_IN, TTL_BYTES, learn_cnames, learn_template, read, read_targets
from dnstap_bgp.core.tap.memo import ListedName, Memo, MemoEntry
from dnstap_bgp.core.tap.pattern_proofs import PatternProofs
from dnstap_bgp.core.tap.tail_proofs import TailProofs
from dnstap_bgp.errors import DnsError, WorkExceededError

MEMO_MAX_BYTES = 8_000_000
"""The memory that the memo may take by default: 30,000 to 70,000 names, a resolver's busy ones."""
KEPT_SHARE = 8
"""One in so many questions of a chunk, at most, gets its name into the memo, which takes 1 to 2 us: a flood that asks
for each name twice costs so much and no more."""
LOOKED_UP_SHARE = 2
"""One in so many names that were looked up gets into the memo at once: the rules take 3 us."""
SAMPLE = 8
"""One in so many names that are looked up is counted for its parent domain: to count each would cost a tenth of it."""
CHILDREN_MAX = 32
"""A domain with so many new names is asked about as a whole. A water-torture attack (random names below one domain)
then costs less, and no longer touches the memo."""
DOMAINS_MAX = 4096
"""Domains whose new names are counted, and domains that are known to have no rule below."""
WORK_UNITS_MAX = 64_000
"""The budget of work for a chunk (64 KiB): some 20 ms. The most that traffic of the benchmark needs is a third of that:
every name on a list, new, and behind a CNAME."""
SPARED_SIGHTINGS = 8
"""A usual answer for a name on a list, recognised by its template, is read even where the budget is spent, as long as
it gives no more sightings than this: somebody else's costly answers in the same chunk don't cost the good ones."""

EXCEPTED = ""
"""In place of a list in the sightings of names that an exception keeps off a list: no list has this name."""
EXCEPTED_SAMPLE = 16
"""One in so many answers for an excepted name is read: who wants to know where it lives needs no more."""

_END = b"\0"
_behind_header = itemgetter(slice(HEADER_BYTES, None))
_EXCEPTED_ONLY = (EXCEPTED,)
_CNAME_BYTE = 5  # of CNAME_IN the one that is seldom in other places
_TARGET = 6  # where a CNAME's target begins behind the record's class: behind TTL and length
_TARGET_UNITS = 3  # a CNAME's target that is ruled out with all others of the chunk, beside its bytes
_TARGET_BYTES = 4  # so many bytes of targets are a unit: two labels of a byte each, walked twice
_JUDGE_UNITS = 12  # of work: a name that is new, looked up in the trie
_PARSE_UNITS = 40  # a message that is read exactly, beside its names and records
_SIGHTING_UNITS = 10  # one sighting, made and observed

Candidate: TypeAlias = tuple[int, bytes, bytes, ListedName | None]
"""(index of the message, the message, the bytes behind its question's name, the memo's entry for that name)."""

_UNREADABLE = ListedName((), b"")  # the exact parser says why


@final
class Prefilter:
    """Finds the messages that give sightings, for one rule set, and reads them.

    Attributes:
        work: The budget for the chunk at hand.
        memo: What is known of names.
        asked: Messages so far.
        recalled: Of these, those whose question was just remembered.
        ruled_out: Those whose question the last labels ruled out.
        looked_up: Names that the rules were asked for, CNAMEs' targets among them.
    """

    def __init__(self, rules: RuleSet, memo_max_bytes: int = MEMO_MAX_BYTES, *, reads_excepted: bool = False) -> None:
        """Start with an empty memo.

        Args:
            rules: The rules that names are matched with.
            memo_max_bytes: Of what is remembered of names.
            reads_excepted: Give sightings with the list `EXCEPTED`, too: of some answers for names that an exception
                keeps off a list. Without an exception in any list that costs nothing.
        """
        self.work = WorkBudget(WORK_UNITS_MAX)
        self.memo = Memo(memo_max_bytes)
        self.asked = self.recalled = self.ruled_out = self.looked_up = 0
        self._lists = rules.lists
        self._is_excepted = rules.is_excepted if reads_excepted and rules.has_exceptions else None
        self._is_silent = rules.silent
        # Without a tail table nothing is proved, and every new name looked up.
        self._tail_proofs = TailProofs(rules.domain_tails)
        proof = self._tail_proofs.rules_out
        self._pattern_proofs = PatternProofs(proof, rules.patterns) if rules.patterns is not None else None
        self._rules_out = proof if self._pattern_proofs is None else self._pattern_proofs.rules_out
        self._children: dict[bytes, int] = {}  # how many new names a domain had
        self._silent: set[bytes] = set()

    def scan(self, messages: list[bytes]) -> list[Candidate]:  # noqa: C901, PLR0912 - a call more costs a tenth
        """Find the messages of one chunk that may give a sighting; no other can. The budget of work is full again.

        By what is known of the question's name, a message is

            listed                      a candidate
            unlisted, no template       passed over, unless it has what may be a CNAME
            unlisted, with a template   passed over if it fits and has nothing behind that may be a CNAME
        """
        self.work.left = WORK_UNITS_MAX
        candidates: list[Candidate] = []
        new: list[tuple[int, bytes]] = []  # the questions whose names were not just remembered
        chained: list[tuple[int, bytes, bytes]] = []  # those of them that have what may be a CNAME
        changed: list[tuple[int, bytes, bytes]] = []  # others that have, and no template says where to
        recall = self.memo.entries.get
        parted = map(bytes.partition, map(_behind_header, messages), repeat(_END))  # a seventh faster than in the loop
        for index, (name, _, rest) in enumerate(parted):
            known = recall(name)
            if known is None:
                new.append((index, name))
                # One byte is found in 15 ns, four in 60; two times in three the one is enough.
                if _CNAME_BYTE in rest and rest.find(CNAME_IN) >= 0:
                    chained.append((index, name, rest))
                continue
            if not known:
                if _CNAME_BYTE not in rest or rest.find(CNAME_IN) < 0:
                    continue
            elif isinstance(known, ListedName):
                candidates.append((index, messages[index], rest, None if known is _UNREADABLE else known))
                continue
            else:
                at = QUESTION.size
                for piece in known:
                    end = at + len(piece)
                    if rest[at:end] != piece:  # a slice takes less than `startswith`, here and below
                        end = 0
                        break
                    at = end + TTL_BYTES
                tail = rest[end:]
                if _CNAME_BYTE not in tail or tail.find(CNAME_IN) < 0:
                    continue
            changed.append((index, name, rest))
        if new:
            chained = self._scan_new(messages, new, chained, changed, candidates)
        if chained or changed:
            self._scan_targets(messages, chained, changed, candidates)
        if new or changed:
            candidates.sort(key=itemgetter(0))
        self.asked += len(messages)
        self.recalled += len(messages) - len(new)
        return candidates

    def _scan_new(
        self,
        messages: list[bytes],
        new: list[tuple[int, bytes]],
        chained: list[tuple[int, bytes, bytes]],
        changed: list[tuple[int, bytes, bytes]],
        candidates: list[Candidate],
    ) -> list[tuple[int, bytes, bytes]]:
        """Judge the questions' names that were not just remembered, all of a chunk at once, and remember some.

        Args:
            messages: Of the chunk.
            new: (place of a message, its question's name as it is spelled, or what a zero byte left of it).
            chained: Those of them that have what may be a CNAME, with what stands behind the name.
            changed: Gets those of these that are to be remembered.
            candidates: Gets those that are on a list.

        Returns:
            The others of `chained` that are on no list.
        """
        spelled = [name for _, name in new]
        names = _lower(spelled, _END.join(spelled))
        judged: dict[int, MemoEntry] = {}
        doubtful = self._doubtful(names)
        for place in doubtful:
            index = new[place][0]
            known = judged[index] = self._judge(names[place])
            if isinstance(known, ListedName):
                wire = messages[index]
                rest = wire[HEADER_BYTES + len(names[place]) + 1 :]
                candidates.append((index, wire, rest, None if known is _UNREADABLE else known))
        self.ruled_out += len(new) - len(judged)
        again = self.memo.asked_again(names)
        if judged:
            again.difference_update([names[place] for place in doubtful])
            chained = [message for message in chained if not isinstance(judged.get(message[0]), ListedName)]
        if not again:
            return chained
        for labels in islice(again, 1 + len(messages) // KEPT_SHARE):
            if self.memo.entries.get(labels) is None:
                self.memo.put(labels, ())
        changed += [message for message in chained if message[1] in again]
        return [message for message in chained if message[1] not in again]

    def _scan_targets(
        self,
        messages: list[bytes],
        chained: list[tuple[int, bytes, bytes]],
        changed: list[tuple[int, bytes, bytes]],
        candidates: list[Candidate],
    ) -> None:
        """Judge the targets of what may be CNAMEs behind unlisted names, all of a chunk at once.

        Args:
            messages: Of the chunk.
            chained: (place of a message, its question's name, what stands behind that).
            changed: Alike; their CNAME records are remembered, if the name is.
            candidates: Gets those that may lead to a list.
        """
        both = [*chained, *changed]
        found = [read_targets(name, rest) for _, name, rest in both]
        targets = list(chain.from_iterable(found))
        joined = _END.join(targets)
        # A few bytes spell a long target, by a pointer into another one: all together, their bytes are bounded by this.
        self.work.left -= _TARGET_UNITS * len(targets) + len(joined) // _TARGET_BYTES
        is_spent = self.work.left < 0
        single = {message[0]: message for message in (both if is_spent else compress(both, map(not_, found)))}
        if not is_spent and (places := self._doubtful(_lower(targets, joined))):
            owners = [message for message, some in zip(both, found, strict=True) for _ in some]
            single.update((owners[place][0], owners[place]) for place in places)
        doubtful: set[int] = set()
        for index, name, rest in single.values():
            if not self._targets_unlisted(messages[index], name, rest):
                candidates.append((index, messages[index], rest, None))
                doubtful.add(index)
        for (index, name, rest), some in zip(changed, found[len(chained) :], strict=True):
            if index not in doubtful:
                self._learn_cnames(name, rest, some)

    def _learn_cnames(self, name: bytes, rest: bytes, targets: list[bytes]) -> None:
        """Remember the CNAME records behind an unlisted question, if the name is in the memo and the budget not spent.

        Args:
            name: The labels of the question's name, as they are spelled.
            rest: The bytes behind that name.
            targets: What `read_targets` gives of them.
        """
        labels = name.lower()
        known = self.memo.entries.get(labels)
        if known is None or isinstance(known, ListedName):
            return
        self.work.left -= sum(map(len, targets)) // _TARGET_BYTES
        if self.work.left < 0:
            return
        template = learn_cnames(name, rest, targets)
        if template is not None:
            self.memo.put(labels, template)

    def _doubtful(self, labels: list[bytes]) -> list[int]:
        """Tell by their places which names nothing rules out, neither of the rules nor of the patterns.

        Args:
            labels: The names', lower-cased.
        """
        doubtful = self._tail_proofs.doubtful(labels)
        if self._pattern_proofs is None or len(doubtful) == len(labels):
            return doubtful
        apart = set(doubtful)
        proved = [place for place in range(len(labels)) if place not in apart]
        more = self._pattern_proofs.doubtful([labels[place] for place in proved])
        return sorted(apart.union(proved[place] for place in more)) if more else doubtful

    def read(self, candidate: Candidate) -> list[Sighting] | None:
        """Read the sightings of one message; None: it is truncated, and no address for a listed name came whole.

        Raises:
            WorkExceededError: The budget is spent; nothing is known of the message.
            DnsError: The message is cut, lying or looping.
        """
        work = self.work
        _, wire, rest, known = candidate
        if known is not None and known.is_excepted:
            return self._read_excepted(known, wire, rest)
        if known is not None:
            sightings = read(known.templates, known.lists, known.name, wire, rest)
            if sightings is not None:
                work.left -= _SIGHTING_UNITS * len(sightings)
                if work.left < 0 and len(sightings) > SPARED_SIGHTINGS:
                    work.check()
                return sightings
        work.check()
        work.left -= _PARSE_UNITS
        answer = parse(wire, self._lists, work)
        # Each claim of a chain of 17 names makes a sighting with each of 256 addresses: charged before they are made.
        work.left -= _SIGHTING_UNITS * len(answer.claims) * len(answer.addresses)
        work.check()
        sightings = answer.sightings()
        if answer.truncated:
            return sightings or (None if answer.claims else [])
        if sightings and known is not None:
            self._learn(known, wire, len(wire) - len(rest), answer)
        return sightings

    def _read_excepted(self, known: ListedName, wire: bytes, rest: bytes) -> list[Sighting]:
        """Read some answers for an excepted name: the first, each with CNAMEs, which may lead to a list, and samples.

        Raises:
            WorkExceededError: The budget is spent.
            DnsError: The message is cut, lying or looping.
        """
        known.misses += 1
        if known.misses % EXCEPTED_SAMPLE != 1 and rest.find(CNAME_IN) < 0:
            return []
        self.work.check()
        self.work.left -= _PARSE_UNITS
        name, lists = known.name, self._lists
        answer = parse(wire, lambda each: _EXCEPTED_ONLY if each == name else lists(each), self.work)
        self.work.left -= _SIGHTING_UNITS * len(answer.claims) * len(answer.addresses)
        self.work.check()
        return answer.sightings()

    def _learn(self, known: ListedName, wire: bytes, behind: int, answer: Answer) -> None:
        """Remember the template of an answer, if it is not the first unknown one: that may never come again."""
        known.misses += 1
        if known.misses % 2:
            return
        template = learn_template(wire, behind, answer, self.work)
        if template is not None:
            self.memo.keep_template(wire[HEADER_BYTES : behind - 1].lower(), known, template)

    def _judge(self, labels: bytes) -> MemoEntry:
        """Say whether a name is on a list that its last two labels don't rule out; some are remembered.

        Args:
            labels: The name's labels in lower case, or what a zero byte inside a label left of them.
        """
        if not labels:
            return _UNREADABLE  # the root, or a message too short for a question
        parent = labels[labels[0] + 1 :]
        if parent in self._silent and labels[0] <= LABEL_MAX_BYTES:
            return ()
        known = self.memo.entries.get(labels)  # by another spelling, or in the old generation
        if known is not None:
            return known
        try:
            name = to_name(labels)
        except DnsError:
            return _UNREADABLE
        try:
            lists = self._lists(name)
        except WorkExceededError:  # nothing is known of it, and so nothing remembered
            return _UNREADABLE
        self.looked_up += 1
        if not self.looked_up % SAMPLE:
            self._count_child(parent)
        known = ListedName(lists, name) if lists else ()
        if not lists and self._is_excepted is not None and self._is_excepted(name):
            known = ListedName((), name, is_excepted=True)
        if known or not self.looked_up % LOOKED_UP_SHARE:
            self.memo.put(labels, known)
        return known

    def _count_child(self, parent: bytes) -> None:
        """Notice a domain with many names: where no rule is near, the names below need not be looked up one by one."""
        if not parent:
            return  # what a zero byte inside a label cut short seems to lie below the root as well
        if len(self._children) >= DOMAINS_MAX:
            self._children.clear()
        count = self._children[parent] = self._children.get(parent, 0) + 1
        if count == CHILDREN_MAX // SAMPLE and self._is_silent(to_name(parent)):
            if len(self._silent) >= DOMAINS_MAX:
                self._silent.clear()
            self._silent.add(parent)

    def _targets_unlisted(self, wire: bytes, raw: bytes, rest: bytes) -> bool:
        """Check that all that may be CNAMEs behind an unlisted question lead to names on no list, one by one.

        False is always safe: the message becomes a candidate. Cases, in the order of the code:

            the budget is spent                  False, and the candidate will be skipped
            the question has led to a list       False
            a target is no name, or a 17th mark  False: the bytes are no CNAME's, or the chain is too long
            a target is on a list                False, and the question counts as listed from now on
            else                                 True
        """
        if self.work.left < 0:
            return False
        labels = raw.lower()
        if isinstance(self.memo.entries.get(labels), ListedName):
            return False
        first, *records = rest.split(CNAME_IN, NAMES_MAX)
        if len(records) == NAMES_MAX:
            return False
        self.work.left -= _JUDGE_UNITS * len(records)
        at = len(wire) - len(rest) + len(first)
        for record in records:
            at += len(CNAME_IN)
            if not self._target_unlisted(wire, at + _TARGET, labels):
                return False
            at += len(record)
        return True

    def _target_unlisted(self, wire: bytes, at: int, question: bytes) -> bool:
        """Check that a CNAME's target can be read and is on no list; if it is on one, the question counts as listed."""
        try:
            target, _ = read_name(wire, at, self.work)
        except DnsError:
            return False
        if self._rules_out(target):
            return True
        known = self._judge(target)
        if isinstance(known, ListedName) and not known.is_excepted:
            self.memo.put(question, ListedName((), b""))
            return False
        return True


def _lower(names: list[bytes], joined: bytes) -> list[bytes]:
    """Turn names into lower case, mostly all are already; what has a zero byte, and so is none, becomes nothing.

    Args:
        names: The names' labels.
        joined: The same with a zero byte in between.
    """
    if not names:
        return names
    if joined.count(_END) >= len(names):
        return [b"" if _END in name else name.lower() for name in names]
    return names if joined.islower() else joined.lower().split(_END)

"""Answers of hooks, read by the rules of now: a question gives the sightings that a DNSTap frame would give.

One reader belongs to one rule set, as `core.tap.ingest.Ingest` does, and to the thread of the hold service.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from dnstap_bgp.core.hold.message import Question
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.refresh.asked_names import AskedNames
from dnstap_bgp.core.tap.prefilter import MEMO_MAX_BYTES, Prefilter
from dnstap_bgp.errors import DnsError, WorkExceededError

WORK_UNITS_MAX = 16_000
"""The budget of work for one answer that may be for a listed name, some 5 ms: others wait behind it. The longest chain
of names on a list with all addresses that fit into a usual message takes a third."""


@dataclass(slots=True)
class HookAnswerCounters:
    """Counters of the answers that hooks have brought, since the start.

    Attributes:
        sightings: Sightings that were made of them.
        malformed: Answers that are cut, lying or looping.
        costly: Answers that were not read to their end: they are made to cost much.
        foreign: Answers that didn't count, because `identities` of `[dnstap]` has not their hook.
        rewritten: Answers that didn't count, because a policy of the resolver's made them.
    """

    sightings: int = 0
    malformed: int = 0
    costly: int = 0
    foreign: int = 0
    rewritten: int = 0


MEMO_SHARE = 8
"""The memo of names takes this part of what `memo` of `[dnstap]` gives the tap's, beside it: a hook asks only for what
its resolver's cache does not have, so names come again far more seldom."""


class HookAnswers:
    """Reader of hooks' answers for one rule set.

    Attributes:
        rules: The rules that names are matched with.
        counters: Of all answers; a successor goes on with them.
    """

    def __init__(
        self,
        rules: RuleSet,
        counters: HookAnswerCounters | None = None,
        *,
        identities: AbstractSet[str] = frozenset(),
        rewritten: bool = False,
        memo_bytes: int = MEMO_MAX_BYTES,
        asked_names: AskedNames | None = None,
    ) -> None:
        """Start with an empty memo of names.

        Args:
            rules: The rules that names are matched with.
            counters: Those of the reader that this one replaces.
            identities: The hooks whose answers count; empty: all.
            rewritten: Answers that a policy rewrote count, too.
            memo_bytes: Of the tap's memo; the reader takes one MEMO_SHARE-th of that for its own.
            asked_names: Takes note of names for the active refresh; None: no list is refreshed.
        """
        self.rules = rules
        self.counters = counters or HookAnswerCounters()
        self._identities = identities
        self._rewritten = rewritten
        self._prefilter = Prefilter(rules, memo_bytes // MEMO_SHARE)
        self._asked_names = asked_names

    def read(self, question: Question) -> list[Sighting] | None:
        """Read the sightings of a question's answer.

        Returns:
            Empty: the answer is for no name on a list, or can't be read; None: it is, and doesn't count.
        """
        sightings = self._read(question.response)
        if not sightings:
            return []
        if self._identities and question.hook not in self._identities:
            self.counters.foreign += 1
            return None
        if question.is_rewritten and not self._rewritten:
            self.counters.rewritten += 1
            return None
        self.counters.sightings += len(sightings)
        if self._asked_names is not None:
            self._asked_names.note(question.response, sightings)
        return sightings

    def _read(self, response: bytes) -> list[Sighting]:
        candidates = self._prefilter.scan([response])
        if not candidates:
            return []
        self._prefilter.work.left = min(self._prefilter.work.left, WORK_UNITS_MAX)
        try:
            return self._prefilter.read(candidates[0]) or []
        except WorkExceededError:
            self.counters.costly += 1
        except DnsError:
            self.counters.malformed += 1
        return []

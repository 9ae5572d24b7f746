"""Questions that wait for their routes, bounded in number and in time; no clock in here.

A question waits for prefixes, each until it is acknowledged. Its states:

    awaiting     some prefix is not acknowledged       until the last one is, or the bound
    installing   all are                               until the slowest margin after the last one, or the bound
    answered     installed, given up, refused, displaced

What was refused meanwhile is not waited for. A question that has to wait beyond its bound is given up at the bound,
whatever is known by then: nothing here can make an answer late.
"""

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from dnstap_bgp.core.hold.message import Verdict
from dnstap_bgp.core.model import Prefix

WAITING_MAX = 4096
"""Questions that wait: a resolver with 1,000 new names a second has some ten. 2 MB."""

T = TypeVar("T")


class HeldQuestion(Generic[T]):
    """One question that waits.

    Attributes:
        what: Whatever the caller needs for the reply.
        owner: Who has asked.
        asked_at: When, process clock.
        due_at: The bound, process clock.
        margin_s: From an acknowledgment until the route stands.
        ready_at: When what is acknowledged is installed, process clock.
        awaited: Prefixes that are not acknowledged yet.
        is_acknowledged: Whether any of its prefixes was acknowledged, and not refused.
        is_answered: It waits no more.
    """

    __slots__ = (
        "asked_at",
        "awaited",
        "due_at",
        "is_acknowledged",
        "is_answered",
        "margin_s",
        "owner",
        "ready_at",
        "what",
    )

    def __init__(
        self, what: T, owner: Hashable, awaited: set[Prefix], *, times: tuple[float, float, float], margin_s: float
    ) -> None:
        self.what = what
        self.owner = owner
        self.awaited = awaited
        self.asked_at, self.due_at, self.ready_at = times
        self.margin_s = margin_s
        self.is_acknowledged = self.ready_at > 0
        self.is_answered = False


class Answered(NamedTuple, Generic[T]):
    """A question that waits no more.

    Attributes:
        question: The question.
        verdict: INSTALLED, GAVE_UP, REFUSED, TOO_MANY or OFF.
        late_s: How long after its time it is answered.
    """

    question: HeldQuestion[T]
    verdict: Verdict
    late_s: float = 0.0


class HeldQuestions(Generic[T]):
    """All questions that wait.

    Attributes:
        by_prefix: The questions that await each prefix; others may look whether a prefix is in it.
    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self.by_prefix: dict[Prefix, list[HeldQuestion[T]]] = {}
        self._waiting_max = waiting_max
        self._order: dict[HeldQuestion[T], None] = {}  # oldest first
        self._owners: Counter[Hashable] = Counter()
        self._times: list[tuple[float, int, HeldQuestion[T]]] = []  # a heap; a question may stand twice
        self._number = 0

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[HeldQuestion[T]]:
        return iter(self._order)

    @property
    def next_at(self) -> float | None:
        """The time of the next reply, process clock; None: nobody waits."""
        times = self._times
        while times and times[0][2].is_answered:
            heapq.heappop(times)
        return times[0][0] if times else None

    def make_room(self, owner: Hashable) -> list[Answered[T]] | None:
        """Have a place for another question.

        At the limit the oldest question of the owner with the most gives way, if that has two more than the newcomer's
        owner at least: so one hook can't keep others from being held.

        Returns:
            The question that gave way, if any; None: there is no place.
        """
        if len(self._order) < self._waiting_max:
            return []
        crowding, most = self._owners.most_common(1)[0]
        if most < self._owners[owner] + 2:
            return None
        displaced = next(question for question in self._order if question.owner == crowding)
        return [self._answer(displaced, Verdict.TOO_MANY)]

    def hold(self, question: HeldQuestion[T]) -> None:
        """Have a question wait."""
        self._order[question] = None
        self._owners[question.owner] += 1
        for prefix in question.awaited:
            self.by_prefix.setdefault(prefix, []).append(question)
        self._set_time(question)

    def acknowledged(self, prefix: Prefix, at: float) -> None:
        """Take that ExaBGP has carried out the line of a prefix."""
        for question in self.by_prefix.pop(prefix, ()):
            question.awaited.discard(prefix)
            question.is_acknowledged = True
            question.ready_at = max(question.ready_at, at + question.margin_s)
            if not question.awaited:
                self._set_time(question)

    def refused(self, prefix: Prefix) -> None:
        """Take that a prefix is no route: nobody waits for it any more."""
        for question in self.by_prefix.pop(prefix, ()):
            question.awaited.discard(prefix)
            if not question.awaited:
                self._set_time(question)

    def due(self, now: float) -> list[Answered[T]]:
        """Take the questions that are to be answered by now, earliest first."""
        found: list[Answered[T]] = []
        while (at := self.next_at) is not None and at <= now:
            question = heapq.heappop(self._times)[2]
            if question.awaited or question.ready_at > question.due_at:
                verdict = Verdict.GAVE_UP
            else:
                verdict = Verdict.INSTALLED if question.is_acknowledged else Verdict.REFUSED
            found.append(self._answer(question, verdict, now - at))
        return found

    def release(self, questions: Iterable[HeldQuestion[T]] | None = None) -> list[Answered[T]]:
        """Take all questions, or these, because nothing is waited for any more."""
        chosen: Sequence[HeldQuestion[T]] = list(self._order if questions is None else questions)
        return [self._answer(question, Verdict.OFF) for question in chosen if not question.is_answered]

    def _set_time(self, question: HeldQuestion[T]) -> None:
        at = question.due_at if question.awaited else min(question.due_at, question.ready_at)
        self._number += 1
        heapq.heappush(self._times, (at, self._number, question))

    def _answer(self, question: HeldQuestion[T], verdict: Verdict, late_s: float = 0.0) -> Answered[T]:
        question.is_answered = True
        del self._order[question]
        self._owners[question.owner] -= 1
        if not self._owners[question.owner]:
            del self._owners[question.owner]
        for prefix in question.awaited:
            waiting = self.by_prefix.get(prefix)
            if waiting is not None:
                waiting.remove(question)
                if not waiting:
                    del self.by_prefix[prefix]
        return Answered(question, verdict, late_s)

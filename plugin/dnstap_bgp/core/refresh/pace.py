"""Pace of active refresh: how many questions leave, and when none should.

usual     at most so many a second, and so many without an answer
silent    the resolver has not answered the last ones: one question after a growing pause, until it answers
blind     the resolver answers, and the tap shows none of these answers: one question in `BLIND_S`
"""

from dnstap_bgp.core.timing import Backoff, TokenBucket

OUTSTANDING_MAX = 32
"""Questions without an answer: a resolver that needs 3 s for each is still asked 10 a second."""

SILENT_AFTER = 4
"""Questions without an answer, one after the other: one name's servers may be dead, but not those of two."""

SILENT_FIRST_S, SILENT_MAX_S = 5.0, 300.0

BLIND_AFTER, BLIND_AFTER_S = 20, 30.0
"""Answers with an address that the tap has not shown, and for how long: a resolver that starts anew sends its tap again
within seconds."""

BLIND_S = 10.0
"""Between two questions then: enough to see that the tap is back."""


class RefreshPace:
    """Decides whether a question may leave; for one thread.

    Attributes:
        answered: Questions that were answered, ever.
        unanswered: Questions that were not, ever.
        problem: What the last one came to; empty: it was answered.
    """

    def __init__(self) -> None:
        self.answered = self.unanswered = 0
        self.problem = ""
        self._tokens = TokenBucket()
        self._backoff = Backoff(SILENT_FIRST_S, SILENT_MAX_S)
        self._failures = 0
        self._pause_until = 0.0
        self._returned = 0
        self._unseen = 0  # answers with an address since the tap has last shown one
        self._unseen_since = 0.0

    @property
    def is_silent(self) -> bool:
        """True where the resolver has not answered the last questions."""
        return self._failures >= SILENT_AFTER

    def is_blind(self, now: float) -> bool:
        """Tell whether the answers don't come by the tap.

        Args:
            now: Process clock.
        """
        return self._unseen >= BLIND_AFTER and now - self._unseen_since >= BLIND_AFTER_S

    @property
    def knows_own(self) -> bool:
        """True where the tap has shown answers for our own questions, and not just a few are missing."""
        return self._returned > 0 and self._unseen < BLIND_AFTER

    def may_ask(self, rate: float, outstanding: int, now: float) -> bool:
        """Decide whether a question may leave, and count it.

        Args:
            rate: Questions a second.
            outstanding: Questions that have no answer yet.
            now: Process clock.
        """
        if now < self._pause_until or outstanding >= (1 if self.is_silent else OUTSTANDING_MAX):
            return False
        if not self._tokens.take(rate, now):
            return False
        if self.is_blind(now):
            self._pause_until = now + BLIND_S
        return True

    def take_answer(self, *, has_address: bool, now: float) -> None:
        """Take note of an answer.

        Args:
            has_address: Whether the tap should show an address by it.
            now: Process clock.
        """
        self.answered += 1
        self.problem = ""
        if self.is_silent:
            self._pause_until = 0.0
        self._failures = 0
        self._backoff.reset()
        if has_address:
            if not self._unseen:
                self._unseen_since = now
            self._unseen += 1

    def take_failure(self, problem: str, now: float) -> None:
        """Take note of a question that was not answered.

        Args:
            problem: Why, as far as known.
            now: Process clock.
        """
        self.unanswered += 1
        self._failures += 1
        self.problem = problem
        if self.is_silent and now >= self._pause_until:  # of many that were on their way the first alone
            self._pause_until = now + self._backoff.next()

    def take_returned(self, returned: int) -> None:
        """Take note of the answers for our questions that the tap has shown, ever.

        Args:
            returned: Their number.
        """
        if returned != self._returned:
            self._returned, self._unseen = returned, 0

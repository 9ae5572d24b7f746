"""The hold service; owns the thread "hold".

A thread of its own, since a question has to be answered within its bound whatever lists, peers or a page ask of the
loop, and since the way through asyncio costs more than all the work of an unlisted question. One selector, no lock:
that thread alone touches connections and waiting questions. Others leave a message and wake it up, or replace one
reference (`answers`).

The way of a question:

    hold thread    recv -> answers.read: nothing for a list: replied to at once
                   keeper.ask, one lock: sightings -> table -> reconciler; the reckoning; the line to ExaBGP
                   replied to, or held until ...
    bgp reader     ExaBGP's `done` -> acknowledgments.news, and a wake-up; nothing for prefixes that nobody waits for
    hold thread    ... the slowest neighbor's margin after that, or the bound: an alarm with microseconds

The bound holds in any case: the keeper's lock is waited for only until the next question is due, and what could not be
observed by then is observed later.
"""

import logging
import math
import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple, TypeVar

from dnstap_bgp.config import Config, HoldConfig
from dnstap_bgp.core.exabgp.neighbors import NeighborTasks
from dnstap_bgp.core.hold.held_questions import WAITING_MAX, Answered, HeldQuestion, HeldQuestions
from dnstap_bgp.core.hold.hook_answers import HookAnswerCounters, HookAnswers
from dnstap_bgp.core.hold.margins import Margins
from dnstap_bgp.core.hold.message import Question, Verdict, id_of, read_question, reply
from dnstap_bgp.core.hold.reckoning import Reckoning, prefixes_of, reckon
from dnstap_bgp.core.hold.statistics import HoldStatistics
from dnstap_bgp.core.lists.rules import RuleSet
from dnstap_bgp.core.model import Sighting
from dnstap_bgp.core.status.report import HoldStatus
from dnstap_bgp.errors import HoldMessageError
from dnstap_bgp.workers.hold.carriers import Asker
from dnstap_bgp.workers.hold.datagrams import RETRY_S
from dnstap_bgp.workers.hold.endpoints import Endpoints
from dnstap_bgp.workers.net.listeners import Listener
from dnstap_bgp.workers.net.wakeup import Alarm, Wakeup
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.process.thread import CrashHandler, worker_thread
from dnstap_bgp.workers.routes.keeper import Keeper

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK_S = 0.25
"""How often listeners and what was left for later are looked at."""
LATER_MAX = 4096
"""Answers whose sightings wait because the keeper's lock was not to be had in time."""


class _Waiter(NamedTuple):
    question: Question
    asker: Asker


class HoldService:
    """Answers hooks' questions, when the routes are there.

    Attributes:
        answers: The reader of answers; replaced as a whole by a reload. None: nothing is read for now.
    """

    def __init__(
        self, config: Config, keeper: Keeper, tasks: Callable[[], NeighborTasks | None], on_crash: CrashHandler
    ) -> None:
        """Make it; nothing is open before `start`, and no thread runs where there is no `[hold]`.

        Args:
            config: What is in force.
            keeper: Table and reconcilers.
            tasks: Gives what is known of the neighbors, to the holder of the keeper's lock.
            on_crash: See `worker_thread`.
        """
        self.answers: HookAnswers | None = None
        self.counters = HookAnswerCounters()
        self.is_on = True
        self._keeper = keeper
        self._tasks = tasks
        self._config: HoldConfig | None = None
        self._margins = Margins()
        self._statistics = HoldStatistics()
        self._held: HeldQuestions[_Waiter] = HeldQuestions(WAITING_MAX)
        self._later: deque[tuple[Sequence[Sighting], RuleSet]] = deque(maxlen=LATER_MAX)
        self._refused: Counter[str] = Counter()
        self._late_max_s = 0.0
        self._generation = 0
        self._generation_of: HookAnswers | None = None
        self._selector = selectors.DefaultSelector()
        self._log = RateLimitedLog(logger, process_clock)
        self._endpoints = Endpoints(self._selector, self._ask, self._forget, self._refused, self._log)
        self._wakeup, self._alarm = Wakeup(), Alarm()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        self._selector.register(self._alarm, selectors.EVENT_READ, self._alarm.clear)
        self._tick_due = 0.0
        self._stopping = False
        self._reconfigured: tuple[Config, list[Listener]] | None = None
        self._thread = worker_thread("hold", self._run, on_crash, prompt=True)
        self._started = threading.Event()
        self.configure(config)

    # -- any thread

    def configure(self, config: Config) -> None:
        """Put a configuration in force; may take seconds where a host name must be resolved."""
        self._reconfigured = config, self._endpoints.listeners_of(config)
        if self._started.is_set():
            self.start()
        self._wakeup.set()

    def start(self) -> None:
        """Start the thread, where anything is configured; otherwise `configure` does, when there is."""
        self._started.set()
        reconfigured = self._reconfigured
        if self._thread.ident is None and reconfigured is not None and reconfigured[1]:
            self._thread.start()

    def switch(self, *, on: bool) -> None:
        """Hold answers, or reply to everything at once until switched back."""
        self.is_on = on
        self._wakeup.set()

    def status(self) -> HoldStatus | None:
        """Copy how things stand; None: there is no `[hold]`."""
        if self._config is None:
            return None
        return HoldStatus(
            is_on=self.is_on,
            bound_s=self._margins.bound_s,
            waiting=len(self._held),
            late_max_s=round(self._late_max_s, 6),
            listeners=self._endpoints.status(),
            connections=len(self._endpoints),
            refused=dict(self._refused),
            counters=asdict(self.counters),
            hooks=self._statistics.status(),
        )

    def shutdown(self) -> None:
        """Ask the thread to reply to everybody who waits, and to end; returns at once."""
        self._stopping = True
        self._wakeup.set()

    def join(self, deadline_s: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(deadline_s)

    def close(self) -> None:
        """Give back what the service holds without its thread: after `join`, or where it was never started."""
        if not self._thread.is_alive():
            self._selector.close()
            self._wakeup.close()
            self._alarm.close()

    # -- the thread

    def _run(self) -> None:
        try:
            self._tick()
            while not self._stopping:
                endpoints = self._endpoints
                pause_s = 0.0 if endpoints.has_more else RETRY_S if endpoints.has_unsent else TICK_S
                for key, _ in self._selector.select(pause_s):
                    key.data()
                    self._answer_due()
                endpoints.take_more()
                if endpoints.shake_hands():
                    self._answer_due()
                if endpoints.has_unsent:
                    endpoints.retry(process_clock())
                if process_clock() >= self._tick_due:
                    self._tick()
        finally:
            self._keeper.views.acknowledgments.keep_s = None
            self._release()
            self._endpoints.close()

    def _woken(self) -> None:
        self._wakeup.clear()
        if self._reconfigured is not None or self._stopping:
            self._tick_due = 0.0
        if not self.is_on:
            self._release()

    def _forget(self, asker: Asker) -> None:
        """Have nobody wait for whoever is gone."""
        for answered in self._held.release([one for one in self._held if one.what.asker is asker]):
            self._finish(answered, process_clock())

    def _release(self) -> None:
        for answered in self._held.release():
            self._finish(answered, process_clock())

    def _tick(self) -> None:
        now = process_clock()
        self._tick_due = now + TICK_S
        reconfigured, self._reconfigured = self._reconfigured, None  # no call between, so no other thread's turn
        if reconfigured is not None:
            config, listeners = reconfigured
            self._config, self._margins = config.hold, config.margins
            acknowledgments = self._keeper.views.acknowledgments
            acknowledgments.awaited, acknowledgments.wake = self._held.by_prefix, self._wakeup.set
            acknowledgments.keep_s = self._margins.largest_s if config.hold is not None else None
            self._endpoints.apply(config, listeners)
        self._endpoints.attend(now)
        while self._later:
            sightings, rules = self._later[0]
            if self._keeper.ask(sightings, rules, lambda _: True, wait_s=0) is None:
                break
            self._later.popleft()
        self._answer_due()

    def _answer_due(self) -> None:
        """Take the news of acknowledgments, reply to whoever's time has come, and set the alarm for the next one."""
        held, news = self._held, self._keeper.views.acknowledgments.news
        while news:
            prefix, at, stage = news.popleft()
            if stage == "announced":
                held.acknowledged(prefix, at)
            elif stage in ("refused", "none", "left-out"):
                held.refused(prefix)
        next_at = held.next_at
        if next_at is not None and next_at <= (now := process_clock()):
            for answered in held.due(now):
                self._finish(answered, now)
            next_at = held.next_at
        self._alarm.set(next_at)

    # -- questions

    def _ask(self, data: bytes, asker: Asker) -> None:
        """Take one message of a hook, and keep nobody waiting by it."""
        self._take(data, asker, process_clock())
        self._answer_due()

    def _take(self, data: bytes, asker: Asker, asked_at: float) -> None:
        try:
            question = read_question(data)
        except HoldMessageError as error:
            self._refused["not understood"] += 1
            self._log.log(logging.WARNING, "message", "a hook's message can't be read: %s", error)
            question_id = id_of(data)
            if question_id is not None:
                asker.reply(self._reply(Verdict.NOT_UNDERSTOOD, question_id))
            return
        # Without the DNS response: of thousands that wait each may have 64 KiB.
        waiter = _Waiter(question._replace(response=b""), asker)
        answers = self.answers
        if answers is None:
            self._send(waiter, Verdict.OFF)
            return
        sightings = answers.read(question)
        if not sightings:
            self._send(waiter, Verdict.NOT_OURS if sightings is not None else Verdict.REFUSED)
        elif self.is_on and question.wants_reply:
            self._ask_keeper(waiter, sightings, answers.rules, asked_at)
        else:
            self._send(waiter, Verdict.OFF)
            if self._reckoned(sightings, answers.rules, lambda _: True, asked_at + self._margins.bound_s) is None:
                self._later.append((sightings, answers.rules))

    def _ask_keeper(self, waiter: _Waiter, sightings: Sequence[Sighting], rules: RuleSet, asked_at: float) -> None:
        """Have the sightings of a question observed; reply, or have it wait."""
        keeper, held, margins = self._keeper, self._held, self._margins
        due_at = asked_at + margins.bound_s
        displaced: list[Answered[_Waiter]] = []

        def hold(now: float) -> Reckoning:
            prefixes = prefixes_of((sighting[0] for sighting in sightings), keeper.table)
            found = reckon(prefixes, keeper.views, self._tasks(), margins, now)
            if found.verdict is not None:
                return found
            room = held.make_room(waiter.asker.owner)
            if room is None:
                return Reckoning(Verdict.TOO_MANY)
            displaced.extend(room)
            times = asked_at, due_at, found.ready_at
            # before the lock is released, or the acknowledgment might come before anybody waits for it
            held.hold(
                HeldQuestion(waiter, waiter.asker.owner, set(found.awaited), times=times, margin_s=found.margin_s)
            )
            return found

        found = self._reckoned(sightings, rules, hold, due_at)
        for answered in displaced:
            self._finish(answered, process_clock())
        if found is None:
            self._later.append((sightings, rules))
            self._send(waiter, Verdict.GAVE_UP)
        elif found.verdict is not None:
            self._send(waiter, found.verdict)

    def _reckoned(
        self, sightings: Sequence[Sighting], rules: RuleSet, reckon_now: Callable[[float], T], by: float
    ) -> T | None:
        """Ask the keeper, keeping nobody waiting beyond the bound; None: its lock was not to be had by then."""
        while True:
            now = process_clock()
            next_at = self._held.next_at
            until = by if next_at is None else min(by, next_at)
            found = self._keeper.ask(sightings, rules, reckon_now, wait_s=max(0.0, until - now))
            if found is not None or now >= by:
                return found
            self._answer_due()

    def _finish(self, answered: Answered[_Waiter], now: float) -> None:
        self._late_max_s = max(self._late_max_s, answered.late_s)
        self._send(answered.question.what, answered.verdict, now - answered.question.asked_at)

    def _send(self, waiter: _Waiter, verdict: Verdict, waited_s: float | None = None) -> None:
        question, asker = waiter
        statistics = self._statistics.of(question.hook)
        if not question.wants_reply:
            statistics.told += 1
            return
        statistics.add(verdict, waited_s)
        if not asker.reply(self._reply(verdict, question.id)):
            statistics.drop(verdict)
        if verdict is Verdict.GAVE_UP:
            text = "an answer of %s left before its route was there: %.0f ms were not enough"
            self._log.log(logging.WARNING, "gave up", text, question.hook, self._margins.bound_s * 1000)

    def _reply(self, verdict: Verdict, question_id: bytes) -> bytes:
        answers = self.answers
        if answers is not self._generation_of:
            self._generation_of = answers
            # of this process or an earlier one, another rule set has another number
            self._generation = max(self._generation + 1, int(time.time())) & 0xFFFFFFFF
        return reply(verdict, question_id, math.ceil(self._margins.bound_s * 1000), self._generation)

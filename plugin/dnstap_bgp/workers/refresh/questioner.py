"""Questions of active refresh to the tapped resolver, in the thread "loop".

What the resolver answers makes no route by itself: the answer comes by the tap, or by a hook, like any other. Of the
message that comes back here only that it came matters, and whether it has an address, which the tap should show.
"""

import asyncio
import logging
import operator
import random

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from dnstap_bgp.config.settings import RefreshConfig
from dnstap_bgp.core.lists.rules import RuleKind, RuleSet
from dnstap_bgp.core.model import Name
from dnstap_bgp.core.refresh.asked_names import AskedNames, question_id
from dnstap_bgp.core.refresh.pace import RefreshPace
from dnstap_bgp.core.refresh.schedule import RefreshSchedule
from dnstap_bgp.core.status.report import RefreshStatus
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.logs import RateLimitedLog
from dnstap_bgp.workers.routes.keeper import Keeper

logger = logging.getLogger(__name__)

TICK_S = 0.25
ANSWER_S = 5.0
"""A resolver that has not answered by then has given up itself, or is not there."""

DOMAINS_AT_ONCE = 1_000
"""Domains of all lists that are looked at for exact names in one step: some milliseconds."""

PAYLOAD_BYTES = 1232
"""Of an answer over UDP, as resolvers themselves say it (DNS Flag Day 2020)."""

_TYPES = (dns.rdatatype.A, dns.rdatatype.AAAA)


class Questioner:
    """Service that asks for the names that are due."""

    def __init__(self, config: RefreshConfig, names: AskedNames, keeper: Keeper) -> None:
        """Make the service; `run` is what the loop runs.

        Args:
            config: What is in force.
            names: Has the notes of those who read answers.
            keeper: Knows rules and policies.
        """
        self._keeper = keeper
        self._schedule = RefreshSchedule(config.max_names, random.random)
        self._pace = RefreshPace()
        self._log = RateLimitedLog(logger, process_clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._read: tuple[RuleSet | None, RefreshConfig, AskedNames] = None, config, names  # what the names are from
        self._asked = 0
        self._late_s = 0.0
        self.configure(config, names)

    def configure(self, config: RefreshConfig, names: AskedNames) -> None:
        """Put a configuration in force; the main thread's.

        Args:
            config: Replaces what was in force.
            names: As before.
        """
        # Each is one reference; the loop sees that it is another one, also while it reads the rules.
        self._config, self._names = config, names

    def status(self, now: float) -> RefreshStatus:
        """Copy how the refresh stands; any thread may ask.

        Args:
            now: Process clock.
        """
        schedule, pace = self._schedule, self._pace
        return RefreshStatus(
            resolver=self._config.resolver,
            names=len(schedule),
            exact=schedule.exact,
            left_out=schedule.left_out,
            asked=self._asked,
            answered=pace.answered,
            unanswered=pace.unanswered,
            returned=self._names.returned,
            late_s=round(self._late_s, 3),
            silent=pace.is_silent,
            blind=pace.is_blind(now),
            problem=pace.problem,
        )

    async def run(self) -> None:
        """Ask until it is cancelled."""
        try:
            while True:
                if any(map(operator.is_not, self._read, (self._keeper.rules, self._config, self._names))):
                    await self._read_rules()
                self._turn(process_clock())
                await asyncio.sleep(TICK_S)
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def _read_rules(self) -> None:
        """Take the exact names of the rules of now, in steps."""
        rules, config, names = self._keeper.rules, self._config, self._names
        lists, left_out = names.lists, 0
        exact: dict[Name, str] = {}
        for list_name in filter(lists.__contains__, rules.list_names):
            for step in rules.of_list_in_steps(list_name, DOMAINS_AT_ONCE):
                await asyncio.sleep(0)
                for rule in step:
                    name = rule.domain
                    if rule.kind is not RuleKind.EXACT or name in exact or list_name not in rules.lists(name):
                        continue
                    if len(exact) < config.max_names:
                        exact[name] = list_name
                    else:
                        left_out += 1

        def list_of(name: Name) -> str | None:
            return next(filter(lists.__contains__, rules.lists(name)), None)

        self._schedule.names_max = config.max_names
        self._schedule.owner_of = rules.owner
        self._schedule.replace_exact(exact, list_of, process_clock(), left_out)
        self._read = rules, config, names
        if self._schedule.left_out:
            text = "refresh: %d exact names are left out: there are more than refresh.max_names = %d"
            self._log.log(logging.WARNING, "left out", text, self._schedule.left_out, config.max_names)

    def _turn(self, now: float) -> None:
        """Take what was seen, and ask for what is due."""
        schedule, pace, names = self._schedule, self._pace, self._names
        by_list = self._keeper.table.policies.by_list
        pace.take_returned(names.returned)
        schedule.knows_own = pace.knows_own
        for name, noted in names.take():
            policy = by_list.get(noted.list)
            if policy is not None:
                schedule.take(name, noted, policy.lifetime_s(noted.dns_ttl_s), now)
        rate = self._config.queries_per_second / len(_TYPES)  # of names
        while schedule.late_s(now) is not None and pace.may_ask(rate, len(self._tasks), now):
            due = schedule.next(now)
            if due is not None:
                self._ask(due)
        self._late_s = schedule.late_s(now) or 0.0

    def _ask(self, name: Name) -> None:
        """Ask for the addresses of the families in which the name's list announces routes."""
        policy = self._keeper.table.policies.by_list.get(self._schedule.list_of(name) or "")
        if policy is None:
            return
        for record_type, attributes in zip(_TYPES, (policy.ipv4, policy.ipv6), strict=True):
            if attributes is not None:
                self._asked += 1
                task = asyncio.create_task(self._question(name, record_type))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _question(self, name: Name, record_type: dns.rdatatype.RdataType) -> None:
        """Ask one question, and take note of what became of it."""
        question = dns.message.make_query(
            dns.name.from_text(name.decode("ascii") + "."), record_type, use_edns=0, payload=PAYLOAD_BYTES
        )
        question.id = question_id(question.to_wire())
        config = self._config
        try:
            answer, _ = await dns.asyncquery.udp_with_fallback(
                question, str(config.resolver_ip), timeout=ANSWER_S, port=config.resolver_port, ignore_unexpected=True
            )
        except dns.exception.Timeout:
            self._fail(name, f"no answer within {ANSWER_S:g} s")
        except (dns.exception.DNSException, OSError, EOFError) as error:
            self._fail(name, str(error) or type(error).__name__)
        else:
            has_address = any(found.rdtype == record_type for found in answer.answer)
            self._pace.take_answer(has_address=has_address, now=process_clock())

    def _fail(self, name: Name, problem: str) -> None:
        """Take note of a question that was not answered; that the resolver is silent is logged once."""
        now, was_silent = process_clock(), self._pace.is_silent
        self._pace.take_failure(problem, now)
        self._schedule.put_back(name, now)
        if self._pace.is_silent and not was_silent:
            text = "refresh: %s doesn't answer (%s); it is asked again now and then"
            self._log.log(logging.WARNING, "silent", text, self._config.resolver, problem)

"""Questions of the active refresh, to a name server on loopback, in a real loop."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dnstap_bgp.config.settings import RefreshConfig
from dnstap_bgp.core.exabgp.views import Views
from dnstap_bgp.core.lists.rules import Rule, RuleKind, RuleSet
from dnstap_bgp.core.refresh.asked_names import AskedNames
from dnstap_bgp.core.refresh.schedule import RefreshSchedule
from dnstap_bgp.core.tap.ingest import Ingest
from dnstap_bgp.workers.process.clocks import process_clock
from dnstap_bgp.workers.process.loop import Loop
from dnstap_bgp.workers.refresh import questioner
from dnstap_bgp.workers.refresh.questioner import Questioner
from dnstap_bgp.workers.routes.keeper import Keeper
from tests.core.routes.tables import POLICY, SECOND, capped
from tests.integration.lab import becomes, eventually, stays
from tests.workers.refresh.name_server import NameServer

EXACT = [Rule(b"a.example", RuleKind.EXACT), Rule(b"b.example", RuleKind.EXACT), Rule(b"suffix.example")]
EXACT += [Rule(b"not.example", RuleKind.EXACT, exception=True)]
LISTED = RuleSet.build([("default", EXACT), ("second", [Rule(b"other.example", RuleKind.EXACT)])])


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer() as started:
        yield started


@pytest.fixture
def loop() -> Iterator[Loop]:
    crashed = threading.Event()
    loop = Loop(lambda *_: crashed.set())
    yield loop
    loop.shutdown()
    loop.join(30)
    assert not crashed.is_set()


def started(loop: Loop, server: NameServer, rules: RuleSet = LISTED, max_names: int = 100) -> Questioner:
    keeper = Keeper(capped(POLICY, SECOND), Views(), rules)
    asking = RefreshConfig(resolver=server.at, queries_per_second=1000.0, max_names=max_names)
    made = Questioner(asking, AskedNames({"default"}), keeper)
    loop.run("refresh", made.run)
    return made


def test_exact_names_of_refreshed_lists_are_asked_once_at_the_start(loop: Loop, server: NameServer):
    made = started(loop, server)
    becomes(server.names, {"a.example", "b.example"}, 10, "asked")
    eventually(lambda: made.status(process_clock()).answered == 4, 10, "answered")
    stays(lambda: len(server.questions) == 4, 0.5, "A and AAAA of each, once")
    status = made.status(process_clock())
    assert (status.names, status.exact, status.asked, status.unanswered) == (2, 2, 4, 0)
    assert not status.silent


def test_only_families_that_become_routes_are_asked_for(loop: Loop, server: NameServer):
    made = started(loop, server)
    made.configure(made._config, AskedNames({"second"}))
    eventually(lambda: "other.example" in server.names(), 10, "asked")
    stays(lambda: {kind for name, kind, _ in server.questions if name == "other.example"} == {"A"}, 0.5)


def test_answers_are_known_as_ours_by_those_who_read_the_tap(loop: Loop, server: NameServer):
    made = started(loop, server)
    eventually(lambda: len(server.sent) == 4, 10, "answered")
    ingest = Ingest(made._keeper.rules, frozenset({6}), asked_names=made._names)
    for wire in server.sent:
        [*candidates] = ingest._prefilter.scan([wire])
        ingest._read(candidates, lambda _: True, ingest.counters)
    assert made._names.returned == 2  # those with an address
    eventually(lambda: made._schedule.knows_own, 5, "and the schedule learns that")


def test_a_name_that_a_client_asked_for_is_asked_when_its_ttl_is_over(
    loop: Loop, server: NameServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dnstap_bgp.core.refresh.schedule.INTERVAL_MIN_S", 0.1)
    made = started(loop, server, RuleSet.build([("default", [Rule(b"suffix.example")])]))
    stays(lambda: not server.questions, 0.5, "nothing is asked by itself")
    client = bytes.fromhex("000181800001000100000000") + b"\3www\6suffix\7example\0\0\1\0\1"
    made._names.note(client, [(bytes((11, 0, 0, 1)), "default", b"www.suffix.example", 0)])
    eventually(lambda: server.names() == {"www.suffix.example"}, 10, "asked")


def test_other_rules_bring_other_exact_names(loop: Loop, server: NameServer):
    made = started(loop, server)
    becomes(server.names, {"a.example", "b.example"}, 10, "asked")
    made._keeper.rules = RuleSet.build([("default", [Rule(b"new.example", RuleKind.EXACT)])])
    eventually(lambda: "new.example" in server.names(), 10, "the new one")
    assert made.status(process_clock()).exact == 1
    made._keeper.rules = made._keeper.rules.without({"default"})  # switched off
    eventually(lambda: made.status(process_clock()).exact == 0, 10, "nothing is left")


def test_names_beyond_the_bound_are_told(loop: Loop, server: NameServer):
    made = started(loop, server, max_names=1)
    eventually(lambda: made.status(process_clock()).left_out == 1, 10, "told")
    assert made.status(process_clock()).names == 1


def test_only_as_many_names_are_collected_as_there_is_room_for(
    loop: Loop, server: NameServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(questioner, "DOMAINS_AT_ONCE", 7)
    collected: list[int] = []
    replace_exact = RefreshSchedule.replace_exact

    def replaced(self: RefreshSchedule, names: dict[bytes, str], *more: Any) -> None:
        collected.append(len(names))
        replace_exact(self, names, *more)

    monkeypatch.setattr(RefreshSchedule, "replace_exact", replaced)
    many = [Rule(b"%d.example" % number, RuleKind.EXACT) for number in range(50)]
    made = started(loop, server, RuleSet.build([("default", many)]), max_names=20)
    eventually(lambda: made.status(process_clock()).left_out == 30, 10, "the rest is counted")
    assert collected == [20]


def test_a_configuration_that_comes_while_rules_are_read_is_read_too(server: NameServer):
    """Between two steps the main thread puts another one in force."""

    async def run() -> None:
        keeper = Keeper(capped(POLICY, SECOND), Views(), LISTED)
        made = Questioner(RefreshConfig(resolver=server.at), AskedNames({"default"}), keeper)
        reading = asyncio.create_task(made._read_rules())
        await asyncio.sleep(0)  # it is at its first pause
        made.configure(RefreshConfig(resolver=server.at), AskedNames({"second"}))
        await reading
        assert made._schedule.list_of(b"a.example") == "default", "the old one was read"
        task = asyncio.create_task(made.run())
        await asyncio.to_thread(eventually, lambda: made._schedule.list_of(b"other.example"), 10, "the new one, too")
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(run())


def test_a_silent_resolver_is_left_alone_and_told(loop: Loop, server: NameServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(questioner, "ANSWER_S", 0.2)
    monkeypatch.setattr("dnstap_bgp.core.refresh.pace.SILENT_FIRST_S", 0.5)
    server.answers = False
    many = RuleSet.build([("default", [Rule(b"%d.example" % number, RuleKind.EXACT) for number in range(60)])])
    made = started(loop, server, many)
    eventually(lambda: made.status(process_clock()).silent, 10, "silent")
    assert "no answer" in made.status(process_clock()).problem
    assert len(server.questions) <= 40  # what was on its way: 32 and their families
    server.answers = True
    eventually(lambda: len(server.names()) == 60, 30, "it is asked again once it answers")
    eventually(lambda: not made.status(process_clock()).silent, 10, "and heard")


def test_a_resolver_that_is_not_there_is_told(loop: Loop, server: NameServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(questioner, "ANSWER_S", 0.2)
    made = started(loop, server)
    with NameServer() as gone:
        pass
    made.configure(replace(made._config, resolver=gone.at), made._names)
    many = [Rule(b"%d.example" % number, RuleKind.EXACT) for number in range(9)]
    made._keeper.rules = RuleSet.build([("default", many)])
    eventually(lambda: made.status(process_clock()).silent, 10, "silent")
    assert made.status(process_clock()).problem


def test_questions_end_with_the_service(server: NameServer):
    server.answers = False

    async def run() -> int:
        keeper = Keeper(capped(POLICY), Views(), LISTED)
        made = Questioner(RefreshConfig(resolver=server.at), AskedNames({"default"}), keeper)
        task = asyncio.create_task(made.run())
        await asyncio.to_thread(eventually, lambda: len(server.questions) == 4, 10, "asked")
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(run()) == 0

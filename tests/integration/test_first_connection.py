"""Through each hook of `deploy/resolvers`, the first packet to a name's address takes the right way, and none is lost.

Counts, and no times: what the race measures is told by `python -m tests.bench first_connection`.
"""

import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.integration.hooks import HOOKED, Hooked, HookedDnsdist13, HookedKnot, HookedRecursor, HookedUnbound
from tests.integration.lab import eventually
from tests.integration.race import DOMAIN, Race, Result
from tests.integration.resolvers import ask

pytestmark = [
    pytest.mark.netns,
    pytest.mark.timeout(300),
    pytest.mark.real("named", "bird", "birdc", "unbound", "kresd", "pdns_recursor", "apt-get", "dpkg-deb"),
]
SINGLE = 100
BURST, BURSTS = 30, 4
RIGHT_OF_BURSTS = 0.97
TRIES = 3
CONNECTIONS_MAX = 32
"""As in dnsdist-hook.lua."""
BOUND_S, RECURSOR_BOUND_S = 0.12, 1.5
"""The longest that a hook waits, whatever becomes of the plugin: its own time-out before it has heard a bound, and the
recursor's `network-timeout`."""
STALL_S = 1.0
"""What this machine may take beside it, on which ExaBGP and the plugin start again and again."""


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    """One router and one plugin for all resolvers of this file."""
    made = Race(tmp_path_factory.mktemp("r"))
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def lab(race: Race) -> object:
    """Under the name by which a failed test's report finds the daemons' logs."""
    return race.track


def run_race(race: Race, resolver: Hooked) -> tuple[Result, Result]:
    """Ask one by one and in bursts; again where a stall of this machine has cost a packet, three times in all."""
    for _ in range(TRIES):
        single = race.track.one_by_one(resolver.port, race.track.fresh(SINGLE), gap_s=0)
        bursts = race.track.bursts(resolver.port, race.track.fresh(BURST * BURSTS), BURST)
        assert single.unanswered == bursts.unanswered == []
        if single.right == SINGLE and bursts.right >= RIGHT_OF_BURSTS * bursts.asked:
            break
    return single, bursts


def asked(race: Race) -> dict[str, int]:
    """How many questions each hook has asked."""
    status = json.loads(race.speaker.run("status", "--json"))
    return {one["hook"]: one["asked"] for one in status["hold"]["hooks"]}


@pytest.mark.usefixtures("lab")
def test_without_a_hook_the_first_packets_take_the_old_way(race: Race):
    """The race can be lost: else the other tests would show nothing."""
    resolver = HookedUnbound(race.track, race.hold, is_hooked=False)
    resolver.start()
    try:
        found = race.track.one_by_one(resolver.port, race.track.fresh(20))
    finally:
        resolver.stop()
    assert found.unanswered == []
    assert found.right == 0


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("kind", HOOKED, ids=lambda kind: kind.name)
def test_the_first_packet_takes_the_right_way(race: Race, kind: type[Hooked]):
    resolver = kind(race.track, race.hold)
    resolver.start()
    try:
        race.warm(resolver)
        single, bursts = run_race(race, resolver)
    finally:
        resolver.stop()
    assert single.right == SINGLE, f"{single}: {single.wrong}"
    assert bursts.right >= RIGHT_OF_BURSTS * bursts.asked, f"{bursts}: {bursts.wrong}"


@pytest.mark.usefixtures("lab")
def test_dnsdist_s_filter_rules_out_the_same_names_once_it_is_compiled(race: Race):
    """LuaJIT compiles what has run some 60 times; it reads bytes of dnsdist's own, by an address and a size."""
    resolver = HookedDnsdist13(race.track, race.hold)
    resolver.start()
    try:
        race.warm(resolver)
        before = asked(race)["dnsdist"]
        for number in range(200):
            assert ask(race.track, resolver.port, f"c{number}.other.example") == ["11.9.0.1"]
        assert asked(race)["dnsdist"] == before
        assert race.track.one_by_one(resolver.port, race.track.fresh(10), gap_s=0).right == 10
        assert asked(race)["dnsdist"] == before + 10
    finally:
        resolver.stop()


class ForwardingKnot(HookedKnot):
    """It asks for the target of a CNAME record itself, which a stub does not."""

    def _configure(self) -> None:
        super()._configure()
        text = self._config.read_text()
        self._config.write_text(text.replace("policy.STUB(", "policy.FORWARD("))


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    "kind",
    [ForwardingKnot, *(pytest.param(kind, marks=pytest.mark.long) for kind in (HookedUnbound, HookedRecursor))],
    ids=lambda kind: kind.name,
)
def test_a_new_name_is_asked_for_though_its_target_is_in_the_cache(race: Race, kind: type[Hooked]):
    """As with hosts of many names' pages: the name on a list is new, and what it is an alias of is not."""
    resolver = kind(race.track, race.hold)
    resolver.start()
    try:
        race.warm(resolver)
        assert ask(race.track, resolver.port, "shared.other.example") == ["11.9.0.1"]
        before = sum(asked(race).values())
        for number in range(5):
            name = f"{kind.name}{number}.alias.race.example"
            assert ask(race.track, resolver.port, name) == ["shared.other.example.", "11.9.0.1"]
        assert sum(asked(race).values()) == before + 5
        name = f"{kind.name}0.alias.race.example"
        assert ask(race.track, resolver.port, name) == ["shared.other.example.", "11.9.0.1"]
        assert sum(asked(race).values()) == before + 5
    finally:
        resolver.stop()


@pytest.mark.long
@pytest.mark.usefixtures("lab")
def test_a_hook_asks_for_what_is_near_a_rule_alone_and_follows_a_reload(race: Race):
    """The filter's file: names on no list cost no question, and those of a new rule do within moments."""
    kinds = HookedUnbound, HookedKnot, HookedRecursor, HookedDnsdist13
    resolvers = [kind(race.track, race.hold) for kind in kinds]
    numbers = iter(range(10_000))

    def fresh(resolver: Hooked) -> str:
        name = f"f{next(numbers)}.other.example"
        assert ask(race.track, resolver.port, name) == ["11.9.0.1"]
        return name

    def is_learnt(resolver: Hooked) -> bool:
        return "11.9.0.1" in race.speaker.run("routes", "--name", fresh(resolver))

    try:
        for resolver in resolvers:
            resolver.start()
            race.warm(resolver)
        before = asked(race)
        for resolver in resolvers:
            for _ in range(10):
                fresh(resolver)
        assert asked(race) == before
        race.speaker.write([DOMAIN, "other.example"])
        race.speaker.run("reload")
        for resolver in resolvers:
            eventually(partial(is_learnt, resolver))
    finally:
        for resolver in resolvers:
            resolver.stop()
        race.speaker.write([DOMAIN])
        race.speaker.run("reload")


@pytest.mark.long
@pytest.mark.usefixtures("lab")
def test_dnsdist_keeps_few_connections_open_when_the_queue_is_full_again_and_again(race: Race):
    """Each answer that finds it full makes a connection, and only Lua's collector closes the one before."""
    resolver = HookedDnsdist13(race.track, race.hold)
    resolver.start()
    open_files = Path(f"/proc/{resolver.daemon.pid}/fd")
    most = 0
    try:
        race.warm(resolver)
        before = len(list(open_files.iterdir()))
        for _ in range(20):
            plugin = race.speaker.plugin_pid()
            os.kill(plugin, signal.SIGSTOP)
            try:
                assert race.track.bursts(resolver.port, race.track.fresh(BURST)).unanswered == []
            finally:
                os.kill(plugin, signal.SIGCONT)
            most = max(most, len(list(open_files.iterdir())))
            race.warm(resolver)
    finally:
        resolver.stop()
    assert most <= before + 2 * CONNECTIONS_MAX


class RecursorWithoutPacketCache(HookedRecursor):
    """Its hook sees each answer, those too that need no question to an authority."""

    def _settings(self, script: Path) -> str:
        return f"{super()._settings(script)}disable-packetcache=yes\n"


@pytest.mark.long
@pytest.mark.usefixtures("lab")
def test_the_recursor_s_hook_holds_again_after_a_shortage_of_files(race: Race):
    """Without a socket for the hook's question, the recursor drops the answer, and never calls the hook back."""
    resolver = RecursorWithoutPacketCache(race.track, race.hold)
    resolver.start()
    try:
        race.warm(resolver)
        cached = race.track.fresh(BURST)
        assert race.track.bursts(resolver.port, cached).unanswered == []
        limits = resource.prlimit(resolver.daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(resolver.daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        dropped = race.track.bursts(resolver.port, cached).unanswered
        resource.prlimit(resolver.daemon.pid, resource.RLIMIT_NOFILE, limits)
        assert dropped
        race.warm(resolver)
    finally:
        resolver.stop()


@pytest.mark.real("vtysh", "/usr/lib/frr/bgpd", "/usr/lib/frr/staticd", "/usr/lib/frr/zebra")
@pytest.mark.parametrize(
    "kind", [HookedDnsdist13, pytest.param(HookedRecursor, marks=pytest.mark.long)], ids=lambda kind: kind.name
)
def test_the_first_packet_takes_the_right_way_behind_frr(tmp_path: Path, kind: type[Hooked]):
    """A router that takes 70 ms, behind resolvers that wait for many answers at once."""
    race = Race(tmp_path, "frr")
    try:
        race.start()
        resolver = kind(race.track, race.hold)
        resolver.start()
        race.warm(resolver)
        single, bursts = run_race(race, resolver)
    finally:
        race.close()
    assert single.right == SINGLE, f"{single}: {single.wrong}"
    assert bursts.right >= RIGHT_OF_BURSTS * bursts.asked, f"{bursts}: {bursts.wrong}"


def test_every_answer_comes_whatever_happens_to_the_plugin(tmp_path: Path):
    """All resolvers are asked all the time, while it is killed, stopped, started again; then they hold as before."""
    race = Race(tmp_path)
    try:
        race.start()
        resolvers = [kind(race.track, race.hold) for kind in HOOKED]
        for resolver in resolvers:
            resolver.start()
            race.warm(resolver)
        with ExitStack() as stack:
            streams = [stack.enter_context(race.track.stream(resolver.port, 0.05)) for resolver in resolvers]

            def asked(count: int) -> None:
                ends = [stream.result.asked + count for stream in streams]
                eventually(
                    lambda: all(stream.result.asked >= end for stream, end in zip(streams, ends, strict=True)), 60
                )

            asked(10)
            killed = race.speaker.plugin_pid()
            os.kill(race.speaker.plugin_pid(), signal.SIGKILL)
            eventually(lambda: race.speaker.plugin_pid() != killed, 30, "another plugin is there")
            asked(40)
            os.kill(race.speaker.plugin_pid(), signal.SIGSTOP)
            asked(60)
            os.kill(race.speaker.plugin_pid(), signal.SIGCONT)
            asked(20)
            race.speaker.stop()
            asked(40)
            race.speaker.start()
            asked(40)
        for resolver in resolvers:
            race.warm(resolver)
    finally:
        race.close()
    for resolver, stream in zip(resolvers, streams, strict=True):
        assert stream.result.unanswered == [], resolver.name
        assert len(stream.result.latencies_s) == stream.result.asked >= 210, resolver.name


@pytest.mark.long
def test_every_answer_comes_while_the_plugin_dies_each_second(tmp_path: Path):
    """For a minute: ExaBGP itself gives up at the sixth death, and starts anew by `up`."""
    race = Race(tmp_path)
    try:
        race.start()
        resolvers = [kind(race.track, race.hold) for kind in HOOKED]
        for resolver in resolvers:
            resolver.start()
            race.warm(resolver)
        with ExitStack() as stack:
            streams = [stack.enter_context(race.track.stream(resolver.port, 0.1)) for resolver in resolvers]
            for _ in range(60):
                with suppress(AssertionError, FileNotFoundError, ProcessLookupError):  # there is none at the moment
                    os.kill(race.speaker.plugin_pid(), signal.SIGKILL)
                time.sleep(1)
    finally:
        race.close()
    for resolver, stream in zip(resolvers, streams, strict=True):
        assert stream.result.unanswered == [], resolver.name
        assert stream.result.asked >= 400, resolver.name
        bound_s = RECURSOR_BOUND_S if isinstance(resolver, HookedRecursor) else BOUND_S
        assert max(stream.result.latencies_s) <= bound_s + STALL_S, resolver.name

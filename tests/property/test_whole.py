"""Rule-based model test of the whole core: rules in any order, invariants after each, and at the end all is equal.

What each rule promises by itself is asserted in it; `Whole.check` holds after every rule, and the equality (what should
be, what the routers have, what is recorded) at the end, after which the process is stopped and started once more.
"""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dnstap_bgp.core.model import BY_HAND, Claim
from tests.property import whole_world as world_module
from tests.property.exabgp_world import ADDRESSES as NEIGHBORS
from tests.property.exabgp_world import text
from tests.property.whole_world import (
    ADDRESSES,
    LISTS,
    NAMES,
    PREFIXES,
    Configuration,
    Whole,
    answer,
    data_frame,
    draw_configuration,
    question,
)

configurations = st.integers(0, 1 << 30).map(lambda seed: draw_configuration(random.Random(seed)))
some_addresses = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True)
names = st.sampled_from(NAMES)
aliases = st.sampled_from([None, None, b"alias.example", b"x.b.example"])
ttls = st.sampled_from([0, 8, 100])


class Machine(RuleBasedStateMachine):
    """Rules over `Whole`."""

    @initialize(configuration=configurations, seed=st.integers(0, 1 << 16), watched=st.booleans())
    def begin(self, configuration: Configuration, seed: int, watched: bool) -> None:
        self.world = Whole(random.Random(seed), configuration, watched=watched)
        self.patched = self.world.clock()
        self.patched.start()
        self.off: dict[str, int] = {}
        self.full = configuration

    # -- answers

    @rule(name=names, addresses=some_addresses, ttl_s=ttls, alias=aliases, pieces=st.sampled_from([1 << 20, 5]))
    def answers(self, name: bytes, addresses: list[bytes], ttl_s: int, alias: bytes | None, pieces: int) -> None:
        before = self.claims()
        self.world.tap(data_frame(answer(name, addresses, ttl_s, alias=alias)), pieces)
        self.are_claimed(alias or name, addresses, before)

    @rule(name=names, addresses=some_addresses)
    def is_asked(self, name: bytes, addresses: list[bytes]) -> None:
        before = self.claims()
        self.world.ask(question(answer(name, addresses, 60)))
        self.are_claimed(name, addresses, before)

    def are_claimed(self, name: bytes, addresses: list[bytes], before: set[Claim]) -> None:
        """Without caps, each list that may have an address claims it; with them, nothing goes while there is room."""
        configuration, after = self.world.configuration, self.claims()
        size = len(addresses[0])
        given = [address for address in addresses if len(address) == size]
        keys = {(claim.address, claim.list, claim.name) for claim in after}
        ended = {(claim.address, claim.list, claim.name) for claim in before} - keys
        if configuration.is_capped:
            held = {claim.address for claim in before} | set(given)
            if configuration.caps.evicts and len(held) <= configuration.caps.routes_max and len(after) < 6:
                roomy = all(policy.routes_max is None for policy in configuration.policies)
                assert not ended or not roomy, "something went although there was room"
            return
        assert not ended
        for number, policy in enumerate(configuration.policies):
            listed = policy.list in self.world.keeper.rules.lists(name)
            for address in given if listed else ():
                if policy.attributes(address) is not None and configuration.may(number, address):
                    assert (address, policy.list, name) in keys

    def claims(self) -> set[Claim]:
        return set(self.world.claims())

    # -- time, peers, people

    @rule(seconds=st.sampled_from([0.2, 1.0, 4.0, 7.0, 30.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.tick(seconds)
        for claim in self.world.claims():
            assert claim.seen + claim.ttl_s > self.world.now - 1.01, "a claim outlived its deadline"

    @rule(name=names, address=st.sampled_from(ADDRESSES), age_s=st.sampled_from([0.0, 0.3, 3.0, 600.0, -5.0]))
    def a_peer_tells(self, name: bytes, address: bytes, age_s: float) -> None:
        seen = self.world.now - age_s
        self.world.merge([Claim(address, "strange", name, seen, seen, 0.0)])

    @rule(address=st.sampled_from(ADDRESSES), list_name=st.sampled_from(LISTS), ttl_s=st.sampled_from([3.0, 600.0]))
    def is_added_by_hand(self, address: bytes, list_name: str, ttl_s: float) -> None:
        self.world.add_by_hand(address, list_name, ttl_s)

    @rule(address=st.sampled_from(ADDRESSES))
    def an_address_is_forgotten(self, address: bytes) -> None:
        self.world.forget(address, is_name=False)
        assert all(claim.address != address for claim in self.world.claims())

    @rule(name=names)
    def a_name_is_forgotten(self, name: bytes) -> None:
        self.world.forget(name, is_name=True)
        assert all(claim.name != name for claim in self.world.claims())

    # -- configuration

    @rule(configuration=configurations)
    def is_reloaded(self, configuration: Configuration) -> None:
        self.full = configuration
        self.off.clear()
        self.put(configuration)

    @precondition(lambda self: len(self.world.configuration.policies) > 1)
    @rule(number=st.integers(0, 2))
    def a_list_is_switched_off(self, number: int) -> None:
        """Its claims end, and what other lists claim stays."""
        configuration = self.world.configuration
        at = number % len(configuration.policies)
        gone = configuration.policies[at].list
        self.world.end_restore()
        kept = {claim for claim in self.claims() if claim.list != gone}
        others = [index for index in range(len(configuration.policies)) if index != at]
        self.put(
            replace(
                configuration,
                policies=tuple(configuration.policies[index] for index in others),
                names=tuple(configuration.names[index] for index in others),
                prefixes=tuple(configuration.prefixes[index] for index in others),
                denied=tuple(configuration.denied[index] for index in others),
            )
        )
        left = {(claim.address, claim.list, claim.name) for claim in self.claims()}
        assert all(list_name != gone for _, list_name, _ in left)
        assert configuration.is_capped or {(one.address, one.list, one.name) for one in kept} <= left

    @rule()
    def all_lists_are_switched_on(self) -> None:
        self.put(self.full)

    @rule(number=st.integers(0, 2), name=names)
    def a_managed_list_is_edited(self, number: int, name: bytes) -> None:
        """A name is put on a list or taken off it: it is claimed where it was seen for another one, or ends there."""
        configuration = self.world.configuration
        at = number % len(configuration.policies)
        edited = tuple(found ^ {name} if index == at else found for index, found in enumerate(configuration.names))
        self.put(replace(configuration, names=edited))

    def put(self, configuration: Configuration) -> None:
        self.world.reload(configuration)
        lists = {policy.list: number for number, policy in enumerate(configuration.policies)}
        for claim in self.world.claims():
            assert claim.list in lists
            assert claim.name == BY_HAND or claim.list in self.world.keeper.rules.lists(claim.name)
            assert configuration.may(lists[claim.list], claim.address)

    @rule()
    def dry_run_is_switched(self) -> None:
        self.world.pause(paused=not self.world.is_paused)

    # -- ExaBGP and its neighbors

    @rule(count=st.sampled_from([1, 2, 5, 30]))
    def exabgp_turns(self, count: int) -> None:
        self.world.turn(count)

    @rule(number=st.integers(0, 2), up=st.booleans())
    def a_neighbor_comes_or_goes(self, number: int, up: bool) -> None:
        there = list(self.world.exabgp.neighbors)
        (self.world.exabgp.up if up else self.world.exabgp.down)(there[number % len(there)])

    @rule(seed=st.integers(0, 255), event=st.sampled_from([world_module.is_removed, world_module.is_added]))
    def exabgp_is_reloaded(self, seed: int, event) -> None:
        event(self.world, random.Random(seed))

    @rule(prefix=st.sampled_from([*ADDRESSES, *PREFIXES]))
    def exabgp_refuses(self, prefix: bytes) -> None:
        self.world.was_hostile = True
        self.world.exabgp.refuses.add(text(prefix))

    @rule()
    def exabgp_relents(self) -> None:
        self.world.exabgp.refuses = set()

    @rule(ours=st.sets(st.sampled_from(NEIGHBORS)))
    def exabgp_serves_another_process(self, ours: set[str]) -> None:
        self.world.was_hostile = True
        self.world.exabgp.assign({address: address in ours for address in self.world.exabgp.neighbors})

    @rule(address=st.sampled_from(NEIGHBORS), key=st.sampled_from(["", "families", "messages", "peer"]))
    def a_row_is_garbled(self, address: str, key: str) -> None:
        self.world.exabgp.unreadable = {address: key}

    # -- ends and beginnings

    @rule()
    def is_restored_further(self) -> None:
        self.world.go_on_restoring()

    @rule()
    def is_killed(self) -> None:
        self.world.respawn()

    @rule()
    def is_stopped_and_started(self) -> None:
        self.world.stop()

    @rule(downtime_s=st.sampled_from([0.0, 10.0, 1000.0]), error_s=st.sampled_from([0.0, 1e9, -1e9]))
    def the_machine_starts_again(self, downtime_s: float, error_s: float) -> None:
        self.world.reboot(downtime_s, error_s)

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.end_and_start_again()
            finally:
                self.patched.stop()


def test_any_order_of_everything():
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=10, stateful_step_count=25, suppress_health_check=list(HealthCheck))
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_any_order_of_everything_for_long():
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=800, stateful_step_count=60, suppress_health_check=list(HealthCheck))
    )

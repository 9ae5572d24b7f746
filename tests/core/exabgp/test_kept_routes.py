"""Routes that a neighbor kept: the difference between a copy and now, a line at a time."""

import pytest

from dnstap_bgp.core.exabgp.kept_routes import LOOKED_AT_ONCE, NO_SHARDS, KeptRoutes, RibCopy
from dnstap_bgp.core.model import Attributes, Prefix
from dnstap_bgp.core.prefix_map import SHARDS

ONE, TWO = (Attributes(bytes([192, 0, 2, number])) for number in (1, 2))
OF_OTHERS = Attributes(ONE.next_hop, neighbors=("192.0.2.8",))
B = "192.0.2.7"


def copy_of(routes: dict[Prefix, Attributes]) -> RibCopy:
    shards: list[dict[Prefix, Attributes]] = [{} for _ in range(SHARDS)]
    for prefix, attributes in routes.items():
        shards[prefix[-1]][prefix] = attributes
    return tuple(shards)


def walked(kept: KeptRoutes, now: dict[Prefix, Attributes]) -> dict[Prefix, Attributes]:
    found: dict[Prefix, Attributes] = {}
    announced = copy_of(now)
    assert not kept.ended
    while (batch := kept.next(announced)) is not None:
        assert kept.next(announced) is batch, "until it is answered"
        assert not kept.ended
        assert batch.transition.wanted is None
        assert len(batch.prefixes) <= 49
        found.update(dict.fromkeys(batch.prefixes, batch.transition.attributes))
        kept.answered()
    assert kept.ended
    return found


def test_what_is_announced_otherwise_or_not_at_all_is_withdrawn_as_it_was():
    same, changed, gone, foreign = (bytes([10, 0, 0, number]) for number in range(4))
    copy = copy_of({same: ONE, changed: ONE, gone: TWO, foreign: OF_OTHERS})
    now = {same: Attributes(ONE.next_hop, neighbors=(B,)), changed: TWO}
    assert walked(KeptRoutes(B, [copy]), now) == {changed: ONE, gone: TWO}


def test_the_oldest_of_several_copies_counts():
    first, second = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    copies = [copy_of({first: ONE}), copy_of({first: TWO, second: TWO})]
    assert walked(KeptRoutes(B, copies), {}) == {first: ONE, second: TWO}


def test_a_copy_that_has_a_route_for_others_alone_says_nothing_of_it():
    prefix = bytes([10, 0, 0, 1])
    copies = [copy_of({prefix: OF_OTHERS}), copy_of({prefix: TWO})]
    assert walked(KeptRoutes(B, copies), {}) == {prefix: TWO}


def test_lines_have_their_size_and_families():
    ipv4 = {bytes([10, 0, number, 7]): ONE for number in range(100)}
    ipv6 = {bytes([0x20, 1, *[0] * 12, number, 7]): TWO for number in range(50)}
    kept = KeptRoutes(B, [copy_of({**ipv4, **ipv6})])
    sizes = []
    while (batch := kept.next(NO_SHARDS)) is not None:
        sizes.append((batch.transition.family, len(batch.prefixes)))
        kept.answered()
    expected = [("ipv4 unicast", 2), ("ipv4 unicast", 49), ("ipv4 unicast", 49)]
    assert sorted(sizes) == [*expected, ("ipv6 unicast", 2), ("ipv6 unicast", 24), ("ipv6 unicast", 24)]


@pytest.mark.parametrize("count", [2, 3])
def test_prefixes_of_a_refused_line_go_alone_and_then_are_left(count):
    kept = KeptRoutes(B, [copy_of({bytes([10, 0, number, 7]): ONE for number in range(count)})])
    batch = kept.next(NO_SHARDS)
    assert batch is not None
    assert len(batch.prefixes) == count
    kept.refused()
    alone = set()
    while (batch := kept.next(NO_SHARDS)) is not None:
        (prefix,) = batch.prefixes
        alone.add(prefix)
        kept.refused()
    assert len(alone) == count


def test_a_walk_that_finds_nothing_goes_in_steps():
    routes = {number.to_bytes(3) + bytes([number % SHARDS]): ONE for number in range(3 * LOOKED_AT_ONCE)}
    late = b"\xff\xff\xff\xff"  # in the last shard
    kept = KeptRoutes(B, [copy_of({**routes, late: ONE})])
    now = copy_of(routes)
    steps = 0
    while (batch := kept.next(now)) is None and not kept.ended:
        steps += 1
    assert batch is not None
    assert batch.prefixes == (late,)
    assert 2 <= steps <= 3


def test_equal_attributes_of_another_reading_are_the_same():
    prefix, other = bytes([10, 0, 0, 1]), bytes([10, 0, 1, 1])
    twin = Attributes(bytes(list(ONE.next_hop)))
    assert twin is not ONE
    assert walked(KeptRoutes(B, [copy_of({prefix: ONE})]), {prefix: twin, other: TWO}) == {}


def test_what_is_announced_to_others_only_is_withdrawn():
    prefix = bytes([10, 0, 0, 1])
    assert walked(KeptRoutes(B, [copy_of({prefix: ONE})]), {prefix: OF_OTHERS}) == {prefix: ONE}

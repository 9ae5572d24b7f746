"""The maps from prefixes: they agree with a dict, whatever is put in and taken out."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from dnstap_bgp.core.prefix_map import NumberMap, PrefixMap

PREFIXES = [bytes((198, 51, third, last)) for third in range(4) for last in (1, 2)]
steps = st.lists(st.tuples(st.sampled_from(PREFIXES), st.one_of(st.none(), st.integers(1, 2**32 - 1))), max_size=60)


@given(steps)
def test_values_agree_with_a_dict_and_lie_in_the_shard_of_their_last_byte(plan):
    values: PrefixMap[int] = PrefixMap()
    expected: dict[bytes, int] = {}
    for prefix, value in plan:
        if value is not None:
            values[prefix] = expected[prefix] = value
        elif prefix in expected:
            assert values[prefix] == values.get(prefix) == expected[prefix]
            if len(expected) % 2:
                assert values.pop(prefix, "none") == expected.pop(prefix)
            else:
                del values[prefix], expected[prefix]
            assert values.pop(prefix, "none") == "none"
        assert len(values) == len(expected)
        assert {one: values.get(one) for one in PREFIXES} == {one: expected.get(one) for one in PREFIXES}
        assert {one for one in PREFIXES if one in values} == set(expected)
    assert all(prefix[-1] == shard for shard, held in enumerate(values.shards) for prefix in held)
    assert {prefix: value for held in values.shards for prefix, value in held.items()} == expected


@given(steps)
def test_numbers_agree_with_a_dict(plan):
    numbers, expected = NumberMap(), {}
    for prefix, number in plan:
        if number is not None:
            numbers[prefix] = expected[prefix] = number
        elif prefix in expected:
            del numbers[prefix], expected[prefix]
        assert {one: numbers.get(one) for one in PREFIXES} == {one: expected.get(one, 0) for one in PREFIXES}
        assert {one for one in PREFIXES if one in numbers} == set(expected)
    assert {one: numbers[one] for place in numbers.places for one in place} == expected


def test_places_are_used_again_and_shared_by_all_shards():
    numbers = NumberMap()
    for _ in range(3):
        for number in range(2000):
            numbers[bytes((11, 0, number >> 8, 1))] = numbers[bytes((11, 0, number >> 8, 2))] = number + 1
            numbers[bytes((11, 1, number & 255, 1))] = 7
        for shard in (1, 2):
            for prefix in list(numbers.places[shard]):
                del numbers[prefix]
    assert len(numbers.numbers[1]) == 8 + 256
    numbers[bytes((11, 0, 0, 1))] = numbers[bytes((11, 0, 0, 2))] = 1
    (one,), (other,) = numbers.places[1].values(), numbers.places[2].values()
    assert sys.getsizeof(one) >= 28
    assert one != other or one is other

"""A neighbor's budget: who has a place, who gives way, and at what cost."""

import math
import random

import pytest

from dnstap_bgp.core.exabgp.budget import (
    GIVE_WAY_S,
    LASTING_LOOKS,
    LOOKS_MAX,
    STALE_MAX,
    Budget,
    _Ranking,
)
from dnstap_bgp.core.model import Attributes, Change

ONE, OTHER = (Attributes(bytes((192, 0, 2, host))) for host in (1, 2))


def prefix(number: int) -> bytes:
    return bytes((11, 0, number >> 8, number & 255))


class Scene:
    """A budget between a table and an ExaBGP that takes everything at once."""

    def __init__(self, limit):
        self.seen: dict[bytes, float] = {}
        self.announced: dict[bytes, Attributes] = {}
        self.looks = 0
        self.budget = Budget(limit, self.last_seen, self.announced.__contains__)

    def last_seen(self, one):
        self.looks += 1
        return self.seen[one]

    def take(self, changes):
        for one, wanted in changes:
            if wanted is None:
                self.announced.pop(one, None)
            else:
                self.announced[one] = wanted
                assert len(self.announced) <= self.budget.limit, "who gives way comes first"
        return changes

    def want(self, *numbers, at, wanted=ONE, bulk=False):
        for number in numbers:
            self.seen[prefix(number)] = at
        return self.take(self.budget.decide([Change(prefix(number), wanted) for number in numbers], bulk=bulk))

    def see(self, number, at):
        self.seen[prefix(number)] = at
        return self.take(self.budget.seen(prefix(number)))

    def drop(self, *numbers):
        return self.take(self.budget.decide([Change(prefix(number), None) for number in numbers]))

    @property
    def numbers(self):
        return sorted(one[2] << 8 | one[3] for one in self.announced)


def test_below_the_limit_all_is_announced():
    scene = Scene(3)
    assert scene.want(1, 2, 3, at=0.0) == [Change(prefix(number), ONE) for number in (1, 2, 3)]
    assert scene.want(2, at=1.0, wanted=OTHER) == [Change(prefix(2), OTHER)], "other attributes take no place"
    assert scene.drop(1) == [Change(prefix(1), None)]
    assert (scene.numbers, len(scene.budget), len(scene.budget.left_out)) == ([2, 3], 2, 0)


def test_the_least_recently_seen_gives_way():
    scene = Scene(3)
    scene.want(1, 2, 3, at=0.0)
    scene.seen[prefix(1)] = 50.0  # a refresh is no change
    now = 10.0 + GIVE_WAY_S
    assert scene.want(4, at=now) in ([Change(prefix(gone), None), Change(prefix(4), ONE)] for gone in (2, 3))
    scene.want(5, at=now)
    assert scene.numbers == [1, 4, 5]
    assert scene.budget.displaced == 2
    assert set(scene.budget.left_out) == {prefix(2), prefix(3)}


def test_a_newcomer_that_is_the_least_recent_is_left_out():
    scene = Scene(2)
    scene.want(1, 2, at=100.0)
    assert scene.want(3, at=50.0) == [Change(prefix(3), None)], "as peers tell it, or the state file"
    assert scene.want(4, at=400.0) == [Change(prefix(4), None)], "not so much later that it counts"
    assert scene.numbers == [1, 2]
    assert scene.see(3, at=400.0) == []
    assert len(scene.see(3, at=400.1)) == 2, "seen again, it tries again"
    assert 3 in scene.numbers


def test_what_is_not_announced_yet_gives_way_at_once():
    scene = Scene(2)
    scene.want(1, 2, at=100.0)
    scene.announced.clear()  # the neighbor is away
    assert [change.prefix for change in scene.want(3, at=100.5) if change.attributes] == [prefix(3)]


def test_a_free_place_goes_to_the_last_seen():
    scene = Scene(2)
    scene.want(1, 2, at=100.0)
    scene.want(3, at=101.0)
    scene.want(4, at=102.0)
    scene.see(3, at=103.0)
    assert scene.drop(1) == [Change(prefix(1), None), Change(prefix(3), ONE)]
    assert scene.drop(2, 3)[2:] == [Change(prefix(4), ONE)]
    assert not scene.budget.left_out


def test_a_working_set_beyond_the_limit_is_no_thrash():
    """Each of 150 prefixes is seen once a minute; 100 have room: nobody gives way, for as long as that goes on."""
    scene, dice = Scene(100), random.Random(1)
    now = 0.0
    for _ in range(60):
        numbers = list(range(150))
        dice.shuffle(numbers)
        for number in numbers:
            now += 0.4
            if prefix(number) in scene.announced or prefix(number) in scene.budget.left_out:
                scene.see(number, at=now)
            else:
                scene.want(number, at=now)
    assert (scene.budget.displaced, len(scene.announced)) == (0, 100)


@pytest.mark.parametrize("seed", range(5))
def test_as_a_plain_reckoning_has_it(seed):
    """Against the rule itself, looked up among all: the least ranked gives way to a newcomer that ranks above it."""
    dice, scene = random.Random(seed), Scene(20)
    now = 0.0
    for _ in range(2_000):
        now += dice.choice((0.1, 1.0, 60.0))
        number = int(dice.paretovariate(0.7)) % 60
        one = prefix(number)
        before = dict(scene.announced)
        ranks = {held: scene.seen[held] + GIVE_WAY_S for held in before}
        if one in before and dice.random() < 0.1:
            scene.drop(number)
            continue
        if one in before:
            scene.seen[one] = now  # no change, and the budget isn't told
            continue
        changes = scene.see(number, at=now) if one in scene.budget.left_out else scene.want(number, at=now)
        if len(before) == 20 and one in scene.announced:
            gone = changes[0].prefix
            assert ranks[gone] == min(ranks.values()) < now
        elif one not in scene.announced:
            assert len(before) == 20
            assert min(ranks.values()) >= now


def test_statics_and_what_is_added_by_hand_never_give_way():
    scene = Scene(2)
    scene.want(1, at=0.0)
    scene.want(2, at=math.inf)
    assert [change.prefix for change in scene.want(3, at=math.inf)] == [prefix(1), prefix(3)], "at once"
    assert scene.want(4, at=10 * GIVE_WAY_S) == [Change(prefix(4), None)]
    assert scene.want(5, at=math.inf) == [Change(prefix(5), None)], "the limit is the limit"
    assert scene.drop(2) == [Change(prefix(2), None), Change(prefix(5), ONE)], "before what was seen later"


def test_a_route_that_is_left_out_is_added_by_hand():
    scene = Scene(1)
    scene.want(1, at=100.0)
    scene.want(2, at=100.0)
    assert scene.see(2, at=math.inf) == [Change(prefix(1), None), Change(prefix(2), ONE)]


def test_a_static_prefix_gets_its_place_however_many_are_fresh():
    """Its looks are bounded as all are: then whoever is at the top gives way."""
    scene = Scene(10 * LOOKS_MAX)
    scene.want(*range(10 * LOOKS_MAX), at=0.0)
    for number in range(10 * LOOKS_MAX):
        scene.seen[prefix(number)] = 1000.0
    scene.looks = 0
    scene.want(5000, at=math.inf)
    assert prefix(5000) in scene.announced
    assert scene.looks <= LOOKS_MAX + 4


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_a_smaller_limit_keeps_the_last_seen_and_a_larger_one_brings_them_back(limit):
    scene = Scene(10)
    for number in range(10):
        scene.want(number, at=float(number))
    scene.want(20, at=math.inf)
    scene.budget.limit = limit
    steps, more = 0, True
    while more:
        changes, more = scene.budget.adjust(2)
        assert len(changes) <= 2
        for one, wanted in changes:
            assert wanted is None
            del scene.announced[one]
        steps += 1
    assert steps >= (10 - limit) // 2
    assert scene.numbers == [*range(10 - limit + 1, 10), 20]
    scene.budget.limit, more = 10, True
    while more:
        changes, more = scene.budget.adjust(3)
        scene.take(changes)
    assert scene.numbers == [*range(1, 10), 20]


def test_looks_are_few_while_all_is_in_use():
    """In one `GIVE_WAY_S` each of 1,000 is looked at once, whatever is refused for want of room."""
    scene = Scene(1_000)
    scene.want(*range(1_000), at=0.0)
    now = 0.0
    for number in range(1_000, 6_000):
        now += 2 * GIVE_WAY_S / 5_000
        for refreshed in random.Random(number).sample(range(1_000), 5):
            scene.seen[prefix(refreshed)] = now
        if number == 1_000:
            for refreshed in range(1_000):
                scene.seen[prefix(refreshed)] = now
            scene.looks = 0
        scene.want(number, at=now)
    # 5,000 newcomers ask for their own time (twice, left out); the others are looks at who holds a place
    assert scene.looks - 2 * 5_000 < 3 * 1_000


def test_the_heap_is_bounded_by_what_is_held():
    scene = Scene(10)
    for turn in range(5_000):
        scene.want(turn % 7, at=float(turn))
        scene.drop(turn % 7)
        scene.want(7, 8, 9, 10, 11, 12, 13, at=float(turn))
        scene.see(7 + turn % 7, at=float(turn))
    for ranking in (scene.budget._ranks, scene.budget._waiting):
        assert ranking.size <= 9 * (2 * 14 + STALE_MAX) // 8 + 1


def test_a_ranking_is_as_a_plain_sort_has_it_while_heaps_change():
    dice, ranking = random.Random(1), _Ranking()
    plain: dict[bytes, float] = {}
    begun = 0
    for turn in range(40_000):
        one = prefix(dice.randrange(1 + turn % 10_000 // 20))
        if one in plain and dice.random() < 0.3:
            ranking.discard(one)
            del plain[one]
        else:
            plain[one] = dice.choice((-math.inf, math.inf, float(dice.randrange(50))))
            ranking.put(one, plain[one])
        begun += len(ranking._old) > len(ranking._heap)
        if dice.random() < 0.2:
            assert ranking.first() == min(plain, key=lambda held: (plain[held], held), default=None)
        if plain:
            some = dice.choice(list(plain))
            assert ranking.number(some) == plain[some]
        assert len(plain) <= ranking.size <= 9 * (2 * 501 + STALE_MAX) // 8 + 1
    assert begun
    for one in list(plain):
        ranking.discard(one)
    assert ranking.first() is None
    assert ranking.size == 0


def test_no_change_of_a_ranking_moves_many_entries():
    """The heap of what is left out may be of a million: a new one is never made at once."""
    ranking, moved = _Ranking(), 0
    for turn in range(3):
        for number in range(2_000):
            before = len(ranking._old)
            ranking.put(prefix(number), float(turn))
            gone = before - len(ranking._old)
            assert gone <= 8
            moved += max(0, gone)
    assert moved
    size = ranking.size
    for number in range(2_000):
        ranking.put(prefix(number), 2.0)
    assert ranking.size == size, "the same number is no change"


def test_prefixes_that_come_and_go_with_one_number_take_no_room():
    dice, ranking = random.Random(1), _Ranking()
    held: set[bytes] = set()
    for _ in range(20_000):
        one = prefix(dice.randrange(20))
        if one in held:
            ranking.discard(one)
            held.discard(one)
        if dice.random() < 0.9:
            ranking.put(one, math.inf)
            held.add(one)
        assert ranking.size <= 9 * (2 * 20 + STALE_MAX) // 8 + 1


def test_what_is_static_no_more_after_a_reload_gives_way_to_the_first_newcomer():
    scene = Scene(100)
    scene.want(*range(100), at=math.inf)
    assert scene.want(300, at=1000.0) == [Change(prefix(300), None)]
    scene.want(77, at=0.0, wanted=OTHER)
    assert scene.see(300, at=1001.0) == [Change(prefix(77), None), Change(prefix(300), ONE)]


def test_what_a_reload_makes_static_is_known_as_that_at_once():
    scene = Scene(1)
    scene.want(1, at=0.0)
    scene.want(1, at=math.inf, wanted=OTHER)
    assert scene.budget._ranks.number(prefix(1)) == math.inf
    assert scene.want(2, at=math.inf) == [Change(prefix(2), None)]


def test_what_is_static_and_gone_is_not_looked_at_again():
    scene = Scene(2)
    scene.want(1, 2, at=math.inf)
    scene.drop(1)
    scene.seen[prefix(1)] = -math.inf
    scene.want(3, at=100.0)
    assert scene.want(4, at=1000.0) == [Change(prefix(3), None), Change(prefix(4), ONE)]
    assert scene.numbers == [2, 4]


@pytest.mark.parametrize("by_hand", [1, 50, 300])
def test_what_was_added_by_hand_gives_way_once_only_a_name_claims_it(by_hand):
    """The table says nothing of that: the route is the same. Newcomers find it out between them."""
    scene = Scene(by_hand)
    scene.want(*range(by_hand), at=math.inf)
    assert scene.want(1000, at=1000.0) == [Change(prefix(1000), None)]
    gone = by_hand // 2
    scene.seen[prefix(gone)] = 0.0
    for number in range(1001, 1002 + by_hand // LASTING_LOOKS):
        scene.looks = 0
        scene.want(number, at=1000.0)
        assert scene.looks <= LASTING_LOOKS + LOOKS_MAX
    assert prefix(gone) in scene.budget.left_out
    assert scene.budget.displaced == 1


def test_what_was_added_by_hand_meanwhile_does_not_give_way_while_an_ordinary_one_is_left():
    scene = Scene(3 * LOOKS_MAX)
    scene.want(*range(3 * LOOKS_MAX), at=0.0)
    last = 3 * LOOKS_MAX - 1
    for number in range(last):
        scene.seen[prefix(number)] = math.inf
    scene.seen[prefix(last)] = 1e6
    assert scene.want(5000, at=math.inf) == [Change(prefix(last), None), Change(prefix(5000), ONE)]
    assert scene.want(5001, at=math.inf) == [Change(prefix(5001), None)], "all are alike"


def test_a_smaller_limit_spares_what_was_added_by_hand_meanwhile():
    scene = Scene(3 * LOOKS_MAX)
    scene.want(*range(3 * LOOKS_MAX), at=0.0)
    for number in range(2 * LOOKS_MAX):
        scene.seen[prefix(number)] = math.inf
    scene.budget.limit, more = 2 * LOOKS_MAX, True
    while more:
        changes, more = scene.budget.adjust(100)
        for one, _ in changes:
            del scene.announced[one]
    assert scene.numbers == list(range(2 * LOOKS_MAX))


def test_a_free_place_goes_to_the_last_seen_by_what_claims_it_now():
    scene = Scene(1)
    scene.want(1, at=100.0)
    scene.want(2, at=90.0)
    scene.want(3, at=80.0)
    scene.seen[prefix(2)] = 10.0  # the later of two claims has ended: no change of its route
    assert scene.drop(1) == [Change(prefix(1), None), Change(prefix(3), ONE)]
    assert scene.drop(3)[1:] == [Change(prefix(2), ONE)]


def test_one_sighting_is_one_try():
    """The keeper first puts what is new of a chunk, and then tells what was seen in it."""
    scene = Scene(10 * LOOKS_MAX)
    scene.want(*range(10 * LOOKS_MAX), at=0.0)
    for number in range(10 * LOOKS_MAX):
        scene.seen[prefix(number)] = 1000.0
    assert scene.want(5000, at=1000.0) == [Change(prefix(5000), None)]
    scene.looks = 0
    assert scene.see(5000, at=1000.0) == []
    assert scene.looks == 1
    scene.see(5000, at=1000.1)
    assert scene.looks > LOOKS_MAX, "seen again, it tries again"


def test_a_call_of_adjust_has_few_looks():
    """After a reload all may have been refreshed: then each look is in vain."""
    scene = Scene(2_000)
    scene.want(*range(2_000), at=0.0)
    for number in range(2_000):
        scene.seen[prefix(number)] = 1000.0 + number
    scene.budget.limit, more = 500, True
    while more:
        scene.looks = 0
        changes, more = scene.budget.adjust(100)
        for one, _ in changes:
            del scene.announced[one]
        assert scene.looks <= 2 * (100 + LOOKS_MAX)
    assert len(scene.announced) == 500


def test_what_somebody_may_wait_for_gets_a_place_during_a_restore_too():
    scene = Scene(1)
    scene.budget.is_restoring = True
    scene.want(1, at=0.0, bulk=True)
    scene.seen[prefix(2)] = GIVE_WAY_S + 1
    assert scene.budget.decide([Change(prefix(2), ONE)], bulk=True) == [Change(prefix(2), None)]
    assert scene.budget.decide([Change(prefix(2), ONE)]) == [Change(prefix(1), None), Change(prefix(2), ONE)]


def test_after_a_restart_what_was_announced_stays():
    scene = Scene(4)
    scene.announced = {prefix(number): ONE for number in (1, 2)}
    scene.budget = Budget(4, scene.last_seen, scene.announced.__contains__)
    scene.seen = {prefix(number): float(number) * 1e4 for number in range(1, 9)} | {prefix(9): math.inf}
    order = sorted(scene.seen, key=scene.budget.priority, reverse=True)
    assert order == [prefix(number) for number in (9, 2, 1, 8, 7, 6, 5, 4, 3)]
    scene.budget.is_restoring = True
    scene.take(scene.budget.decide([Change(one, ONE) for one in order], bulk=True))
    assert scene.numbers == [1, 2, 8, 9]
    scene.take(scene.budget.decide([Change(prefix(7), ONE)], bulk=True))
    assert scene.numbers == [1, 2, 8, 9], "put again with all the others"
    scene.see(3, at=1e6)
    assert scene.numbers == [2, 3, 8, 9], "what is seen now counts as always"
    scene.budget.is_restoring = False
    scene.drop(9)
    assert scene.numbers == [2, 3, 7, 8], "the last seen of those that are left out"


def test_one_that_lasts_no_longer_takes_no_looks_from_those_that_do():
    scene = Scene(2)
    scene.want(1, at=math.inf)
    scene.want(2, at=0.0)
    assert list(scene.budget._lasting) == [prefix(1)]
    scene.want(1, at=5.0, wanted=OTHER)
    scene.want(3, at=10.0)  # looks at those that last
    assert list(scene.budget._lasting) == []

"""Schedule: when names are due, whose questions keep them, and that there are never too many."""

import math
import random
from itertools import pairwise

import pytest

from dnstap_bgp.core.refresh.asked_names import NotedName
from dnstap_bgp.core.refresh.schedule import RefreshSchedule

DAY_S = 86_400.0
WWW = b"www.example"


def client(dns_ttl_s: int = 60) -> NotedName:
    return NotedName("tunnel", dns_ttl_s, by_client=True)


def ours(dns_ttl_s: int = 60) -> NotedName:
    return NotedName("tunnel", dns_ttl_s, by_client=False)


def schedule(names_max: int = 100, chance: float = 0.0) -> RefreshSchedule:
    made = RefreshSchedule(names_max, lambda: chance)
    made.knows_own = True
    return made


def due_at(made: RefreshSchedule, start: float) -> tuple[bytes, float]:
    """The next name and the second in which it is due; looks a year ahead."""
    now = start
    while now < start + 366 * DAY_S:
        name = made.next(now)
        if name is not None:
            return name, now
        now += 1.0
    raise AssertionError("never due")


def test_a_seen_name_is_due_when_its_ttl_is_over():
    made = schedule()
    made.take(WWW, client(60), DAY_S, 1000.0)
    assert made.next(1060.0) is None
    assert due_at(made, 1060.0) == (WWW, 1061.0)


@pytest.mark.parametrize(("dns_ttl_s", "at", "due"), [(60, 0.5, 61.0), (59, 0.0, 61.0), (58, 0.0, 59.0)])
def test_an_answer_with_a_second_less_changes_nothing(dns_ttl_s: int, at: float, due: float):
    """Resolvers round: of the same answer each copy may say another second."""
    made = schedule()
    made.take(WWW, client(60), DAY_S, 0.0)
    made.take(WWW, client(dns_ttl_s), DAY_S, at)
    assert due_at(made, 1.0) == (WWW, due)


def test_a_claim_that_ends_before_the_ttl_is_refreshed_before_it_ends():
    made = schedule()
    made.take(WWW, client(3600), 100.0, 1000.0)
    assert due_at(made, 1000.0) == (WWW, 1090.0)


@pytest.mark.parametrize("dns_ttl_s", [60, 299, 600, 3600])
def test_a_name_is_asked_once_in_each_ttl_however_long(dns_ttl_s: int):
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    times: list[float] = []
    for _ in range(4):
        _, now = due_at(made, times[-1] if times else 0.0)
        times.append(now)
        made.take(WWW, ours(dns_ttl_s), DAY_S, now)
    assert [after - before for before, after in pairwise(times)] == [dns_ttl_s + 1.0] * 3


@pytest.mark.parametrize("ttls_s", [(30, 3600), (3600, 30)])
def test_the_shorter_ttl_counts_whichever_answer_comes_first(ttls_s: tuple[int, int]):
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    assert made.next(0.0) == WWW
    for dns_ttl_s in ttls_s:
        made.take(WWW, ours(dns_ttl_s), DAY_S, 0.0)
    assert due_at(made, 0.0) == (WWW, 31.0)


def test_a_question_that_is_lost_is_asked_soon_again_though_the_other_family_lives_long():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    assert made.next(0.0) == WWW
    made.take(WWW, ours(3600), DAY_S, 0.0)
    made.put_back(WWW, 5.0)
    assert due_at(made, 5.0) == (WWW, 15.0)


def test_a_ttl_of_nothing_is_no_flood():
    made = schedule()
    made.take(WWW, client(0), DAY_S, 0.0)
    assert due_at(made, 0.0) == (WWW, 5.0)


def test_the_shorter_ttl_of_both_families_counts_and_jitter_only_delays():
    made = schedule(chance=1.0)
    made.take(WWW, client(300), DAY_S, 0.0)
    made.take(WWW, client(30), DAY_S, 0.0)
    assert due_at(made, 0.0) == (WWW, 35.0), "31 s and a tenth, in whole seconds"
    made = schedule(chance=1.0)
    made.take(WWW, client(300), DAY_S, 0.0)
    assert due_at(made, 0.0) == (WWW, 306.0), "never more than 5 s"


def test_a_name_that_only_we_ask_for_ends():
    made = schedule()
    made.take(WWW, client(60), 1000.0, 0.0)
    now, questions = 0.0, 0
    while len(made):
        now += 1.0
        assert now < 3000.0, "it is kept alive"
        if made.next(now) is not None:
            questions += 1
            made.take(WWW, ours(60), 1000.0, now)
    assert questions == 16  # one each 61 s, until 1000 s after the client


def test_a_client_keeps_its_name():
    made = schedule()
    made.take(WWW, client(60), 100.0, 0.0)
    made.take(WWW, client(60), 100.0, 90.0)
    assert due_at(made, 100.0)[1] <= 190.0
    assert len(made) == 1


def test_while_own_answers_are_not_known_what_comes_soon_after_a_question_is_none_of_a_client():
    made = schedule()
    made.knows_own = False
    made.take(WWW, client(60), 100.0, 0.0)
    _, asked = due_at(made, 0.0)
    made.take(WWW, client(60), 100.0, asked + 10.0)  # by a proxy, our own answer looks like this
    assert made.next(asked + 100.0) is None
    assert not len(made)
    made.take(WWW, client(60), 100.0, 1000.0)
    _, asked = due_at(made, 1000.0)
    made.take(WWW, client(60), 100.0, asked + 10.5)
    assert due_at(made, asked + 100.0) == (WWW, asked + 100.0)


def test_what_tells_no_id_soon_after_a_question_is_none_of_a_client_though_the_tap_knows_ours():
    """A hook shows our own answer without its ID, beside a tap that knows it: the name must end all the same."""
    unknown = NotedName("tunnel", 60, by_client=False, by_unknown=True)
    made = schedule()
    made.take(WWW, unknown, 1000.0, 0.0)
    now = 0.0
    while len(made):
        now += 1.0
        assert now < 3000.0, "it extends itself for ever"
        if made.next(now) is not None:
            made.take(WWW, unknown, 1000.0, now)
            made.take(WWW, ours(60), 1000.0, now)
    made.take(WWW, unknown, 100.0, 3000.0)
    _, asked = due_at(made, 3000.0)
    made.take(WWW, unknown, 100.0, asked + 10.5)
    assert due_at(made, asked + 100.0) == (WWW, asked + 100.0), "a client's by a hook counts"


def test_exact_names_are_asked_before_seen_ones_that_are_due_for_longer():
    made = schedule()
    for number in range(5):
        made.take(b"%d.seen" % number, client(5), DAY_S, 0.0)
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 50.0)
    assert made.late_s(60.0) == 54.0
    assert made.next(60.0) == WWW
    assert made.next(60.0) == b"0.seen"
    assert made.late_s(60.0) == 54.0


def test_an_owner_with_more_than_its_share_makes_room_itself():
    made = schedule(names_max=10)
    made.owner_of = lambda _list, name: name.rpartition(b".")[2]
    others = [b"%d.small%d" % (number, number) for number in range(4)]
    for name in others:
        made.take(name, client(), DAY_S, 0.0)
    for number in range(100):
        made.take(b"%d.large" % number, client(), DAY_S, 1.0 + number)
    assert all(made.list_of(name) for name in others)
    assert [number for number in range(100) if made.list_of(b"%d.large" % number)] == [*range(94, 100)]
    made.take(b"new.newcomer", client(), DAY_S, 200.0)
    assert made.list_of(b"new.newcomer")
    assert len(made) == 10


def test_an_answer_for_another_instance_makes_no_name():
    made = schedule()
    made.take(WWW, ours(), DAY_S, 0.0)
    assert not len(made)


def test_exact_names_are_due_at_once_and_for_good():
    made = schedule()
    made.replace_exact({b"a.example": "tunnel", b"b.example": "tunnel"}, lambda _: "tunnel", 5.0)
    assert {made.next(5.0), made.next(5.0)} == {b"a.example", b"b.example"}
    assert made.next(5.0) is None
    made.take(b"a.example", ours(60), 100.0, 5.0)
    for _ in range(50):
        name, at = due_at(made, 5.0)
        made.take(name, ours(60), 100.0, at)
    assert made.exact == len(made) == 2


def test_without_an_address_questions_grow_seldom():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    times = [due_at(made, 0.0)[1]]
    for _ in range(6):
        times.append(due_at(made, times[-1] + 1)[1])
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses == [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]


def test_a_lost_question_is_asked_soon_again():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    for number in range(5):
        assert made.next(number * 10.0) == WWW
        made.put_back(WWW, number * 10.0)
        made.put_back(WWW, number * 10.0)  # of both families
        assert made.next(number * 10.0 + 9.5) is None
    made.put_back(b"gone.example", 0.0)


def test_a_reload_drops_what_is_listed_no_more_and_asks_for_what_is_new():
    made = schedule()
    made.replace_exact({b"a.example": "tunnel", b"b.example": "tunnel"}, lambda _: "tunnel", 0.0)
    made.next(0.0), made.next(0.0)
    made.take(WWW, client(), DAY_S, 0.0)
    made.take(b"gone.example", client(), DAY_S, 0.0)
    lists = {WWW: "other", b"b.example": "tunnel", b"c.example": "tunnel"}
    made.replace_exact({b"b.example": "tunnel", b"c.example": "tunnel"}, lists.get, 1.0)
    assert made.next(1.0) == b"c.example"
    assert made.next(1.0) is None
    assert (len(made), made.exact) == (3, 2)
    assert made.list_of(WWW) == "other"
    assert made.list_of(b"gone.example") is None


def test_exact_names_have_the_room_first_and_then_the_latest_clients():
    made = schedule(names_max=4)
    for number in range(5):
        made.take(b"%d.seen" % number, client(), DAY_S, float(number))
    made.take(b"1.seen", client(), DAY_S, 9.0)
    assert [made.list_of(b"%d.seen" % number) for number in range(5)] == [None, *["tunnel"] * 4]
    assert made.left_out == 0
    made.replace_exact({b"%d.exact" % number: "tunnel" for number in range(2)}, lambda _: "tunnel", 10.0)
    assert [made.list_of(b"%d.seen" % number) for number in range(5)] == [None, "tunnel", None, None, "tunnel"]
    made.replace_exact({b"%d.exact" % number: "tunnel" for number in range(7)}, lambda _: "tunnel", 10.0)
    assert (len(made), made.exact, made.left_out) == (4, 4, 3)
    made.take(b"new.seen", client(), DAY_S, 11.0)
    assert len(made) == 4
    made.replace_exact({b"%d.exact" % number: "tunnel" for number in range(4)}, lambda _: "tunnel", 12.0, left_out=9)
    assert made.left_out == 9


def test_lateness_is_that_of_the_longest_due():
    made = schedule()
    assert made.late_s(0.0) is None
    made.take(WWW, client(60), DAY_S, 0.0)
    assert made.late_s(60.0) is None
    assert made.late_s(71.0) == 10.0


@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_memory_is_bounded_and_no_name_is_asked_too_often(seed):
    chance = random.Random(seed)
    made = RefreshSchedule(20, chance.random)
    made.knows_own = True
    last: dict[bytes, float] = {}
    now = 0.0
    for _ in range(5000):
        now += chance.expovariate(2.0)
        name = b"%d.example" % chance.randrange(60)
        roll = chance.random()
        if roll < 0.5:
            made.take(name, client(chance.choice((0, 1, 30, 300))), chance.choice((30.0, 600.0)), now)
        elif roll < 0.52:
            exact = {b"%d.example" % chance.randrange(60): "tunnel" for _ in range(chance.randrange(30))}
            made.replace_exact(exact, lambda _: "tunnel", now)
            last.clear()
        elif (asked := made.next(now)) is not None:
            assert now - last.get(asked, -math.inf) >= 5.0 - 1e-6
            last[asked] = now
            if chance.random() < 0.8:
                made.take(asked, ours(chance.choice((0, 30, 300))), 600.0, now)
        for gone in set(last) - {one for one in last if made.list_of(one)}:
            del last[gone]
        assert len(made) <= 20
        assert sorted(made._seen) == sorted(name for names in made._by_owner.values() for name in names)
        assert all(len(heap) <= 4 * 40 + 1 for heap in made._heaps)  # twice the names, while new rules are taken


def test_an_owner_with_just_its_share_makes_room_itself():
    made = schedule(names_max=4)
    made.owner_of = lambda _list, name: name.rpartition(b".")[2]
    for number, name in enumerate((b"1.a", b"1.b", b"2.a", b"2.b", b"3.b")):
        made.take(name, client(), DAY_S, float(number))
    assert [name for name in (b"1.a", b"1.b", b"2.a", b"2.b", b"3.b") if made.list_of(name)] == [
        b"1.a",
        b"2.a",
        b"2.b",
        b"3.b",
    ]


def test_an_owner_s_share_is_one_name_where_there_are_as_many_owners():
    made = schedule(names_max=2)
    made.owner_of = lambda _list, name: name.rpartition(b".")[2]
    for number, name in enumerate((b"1.a", b"1.b", b"2.b")):
        made.take(name, client(), DAY_S, float(number))
    assert [name for name in (b"1.a", b"1.b", b"2.b") if made.list_of(name)] == [b"1.a", b"2.b"]


def test_a_question_that_is_lost_counts_as_none():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    assert made.next(0.0) == WWW
    for number in range(3):
        made.put_back(WWW, number * 10.0)
        assert made.next((number + 1) * 10.0) == WWW
    assert due_at(made, 31.0) == (WWW, 330.0), "as after the first question without an address"
    assert due_at(made, 331.0) == (WWW, 930.0)
    made.put_back(WWW, 930.0)
    assert made.next(940.0) == WWW
    assert due_at(made, 941.0) == (WWW, 2140.0), "as after the third"


def test_what_is_due_soon_enough_is_not_put_back():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    made.next(0.0)
    made.take(WWW, ours(14), DAY_S, 0.0)  # the answer for the other family
    made.put_back(WWW, 0.0)
    assert due_at(made, 0.0) == (WWW, 15.0)


def test_a_seen_name_is_asked_until_its_claim_ends_and_not_after():
    for late, asked in ((100.0, WWW), (100.5, None)):
        made = schedule()
        made.take(WWW, client(60), 100.0, 0.0)
        assert made.next(late) == asked
        assert len(made) == (asked is not None)


def test_what_was_exact_and_is_not_any_more_is_seen_by_a_client_first():
    made = schedule()
    made.replace_exact({WWW: "tunnel"}, lambda _: "tunnel", 0.0)
    made.replace_exact({}, lambda _: "tunnel", 1.0)
    assert len(made) == 0
    made.take(WWW, ours(), DAY_S, 2.0)
    assert len(made) == 0
    made.take(WWW, client(), DAY_S, 3.0)
    assert (len(made), made.exact) == (1, 0)


def test_without_a_name_nothing_is_late_or_due():
    made = schedule(names_max=0)
    made.take(WWW, client(), DAY_S, 0.0)
    assert (len(made), made.next(DAY_S), made.late_s(DAY_S), made.list_of(WWW)) == (0, None, None, None)


def test_what_is_forgotten_or_exact_by_now_is_not_due_as_it_was():
    made = schedule()
    made.take(b"gone.example", client(60), DAY_S, 0.0)
    made.take(WWW, client(60), DAY_S, 0.0)
    made.replace_exact({WWW: "tunnel"}, {WWW: "tunnel"}.get, 10.0)
    assert made.late_s(15.0) == 5.0
    assert made.next(15.0) == WWW
    assert made.late_s(100.0) is None
    assert made.next(100.0) is None
    made.take(b"other.example", client(60), DAY_S, 100.0)
    assert made.late_s(162.0) == 1.0


def test_one_that_waits_in_the_heap_twice_is_asked_once():
    made = schedule()
    made.take(WWW, client(60), DAY_S, 0.0)
    made.take(WWW, client(20), DAY_S, 0.0)
    assert made.next(70.0) == WWW
    made.take(WWW, ours(200), DAY_S, 70.0)
    assert made.next(80.0) is None
    assert made.late_s(80.0) is None
    assert due_at(made, 80.0) == (WWW, 271.0)


def test_what_has_ended_or_is_forgotten_keeps_no_other_waiting():
    made = schedule()
    made.take(b"ends.example", client(20), 30.0, 0.0)
    made.take(b"gone.example", client(30), DAY_S, 0.0)
    made.take(WWW, client(60), DAY_S, 0.0)
    made.replace_exact({}, {b"ends.example": "tunnel", WWW: "tunnel"}.get, 1.0)
    assert made.next(100.0) == WWW
    assert len(made) == 1


def test_before_the_tap_has_shown_any_own_answers_are_not_known_from_others():
    assert not RefreshSchedule(1, lambda: 0.0).knows_own

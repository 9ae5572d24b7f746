"""Newcomers of a restore: who waits, in which order, and that it is bounded."""

import pytest

from dnstap_bgp.core.model import BY_HAND, Change, Claim
from dnstap_bgp.core.prefix_map import SHARDS
from dnstap_bgp.core.routes import admission
from dnstap_bgp.core.routes import newcomers as module
from dnstap_bgp.core.routes.guard import Guard
from dnstap_bgp.core.routes.newcomers import Newcomers
from dnstap_bgp.core.routes.policy import Caps, Policies
from tests.core.routes.tables import FOUR_ATTRIBUTES, POLICY, A, B, capped, host, sighting


def claim(number, seen=1.0):
    return Claim(host(number), "default", b"a.example", seen, seen, 100.0)


def restoring(**caps):
    table = capped(**caps)
    table.begin_restore(lambda address: address == A)
    return table


def judged(table, now=1.0):
    while table.set_aside(1):
        pass
    changes, more = [], True
    while more:
        some, more = table.judge(now, 1)
        changes += some
    return changes


def test_a_claim_keeps_its_place_and_its_first_sighting():
    found = Newcomers(lambda _: False)
    assert found.wait(claim(1), is_paid=True)
    assert found.wait(claim(2), is_paid=False)
    assert found.wait(claim(1, seen=5.0), is_paid=False)
    assert found.unpaid() == [claim(2)]
    found.set_aside(claim(3))
    first, second, third = found.take(5)
    assert [one.claim.address for one in (first, second, third)] == [host(3), host(1), host(2)]
    assert (second.claim.first, second.claim.seen, second.is_paid) == (1.0, 5.0, True)
    assert (first.has_begun, second.has_begun) == (True, False)


def test_a_claim_that_comes_again_from_the_file_is_as_it_was_seen_last():
    found = Newcomers(lambda _: False)
    assert found.wait(claim(1, seen=50.0), is_paid=True)
    assert found.wait(claim(1, seen=20.0), is_paid=True)
    (only,) = found.take(5)
    assert (only.claim.first, only.claim.seen) == (20.0, 50.0)


def test_only_so_many_wait_and_taking_them_out_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    found = Newcomers(lambda _: False)
    assert [found.wait(claim(number), is_paid=True) for number in range(3)] == [True, True, False]
    found.set_aside(claim(9))
    rounds = 0
    while found.take(1):
        rounds += 1
        found.wait(claim(10 + rounds), is_paid=True)
    assert rounds <= 3


def test_what_waits_in_vain_is_counted_as_refused(monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 1)
    table = restoring(routes_max=1, evicts=True)
    table.observe([sighting(host(1)), sighting(host(2)), sighting(host(3))], 1.0)
    assert table.admission.refusals.refused == {"restore": 1}
    assert len(table) == 1


def test_a_flood_while_newcomers_are_judged_is_refused_for_what_it_is(monkeypatch):
    """There is room in the table: nothing but the limit of those that wait is in the way."""
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    table = restoring(routes_max=100, evicts=True)
    table.observe([sighting(host(number)) for number in range(1, 4)], 1.0)
    table.admission.newcomers.is_over = True  # as by another cap
    assert not table.set_aside(100)
    table.observe([sighting(host(number)) for number in range(10, 20)], 1.0)
    assert table.admission.refusals.refused == {"restore": 7}
    assert table.admission.refusals.take()[0].reason == "restore"


def test_too_many_that_wait_for_their_token_are_refused_for_what_it_is(monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 1)
    table = capped(new_routes_per_s=1000.0)
    table.begin_restore(lambda _: None)
    table.observe([sighting(host(number)) for number in range(3)], 1.0)
    assert table.admission.refusals.refused == {"restore": 2}


def test_new_routes_have_their_rate_meanwhile_and_what_was_announced_needs_no_token():
    table = restoring(new_routes_per_s=2.0)
    table.observe([sighting(host(number)) for number in range(1, 6)], 1.0)
    assert (len(table), table.admission.refusals.refused) == (2, {"rate": 3})
    assert table.observe([sighting(A)], 1.0) == [Change(A, FOUR_ATTRIBUTES)]


def test_a_name_of_an_address_that_is_back_needs_no_token():
    table = capped(new_routes_per_s=2.0)
    table.begin_restore(lambda _: None)
    table.observe([sighting(host(number), b"b.example") for number in range(1, 6)], 1.0)
    table.adopt([claim(1, 0.0), claim(2, 0.0)], 1.0)
    judged(table)
    assert [len(table.claims.of_address(host(number))) for number in range(1, 6)] == [2, 2, 1, 1, 0]
    assert table.admission.refusals.refused == {"rate": 1}


def test_what_was_held_has_its_place_beside_newcomers_until_they_are_judged():
    table = restoring(routes_max=2, evicts=False)
    table.observe([sighting(host(1)), sighting(host(2))], 1.0)
    table.adopt([claim(3, 0.0), claim(4, 0.0)], 1.0)
    assert len(table) == 4
    changes = judged(table)
    assert {*changes} == {Change(host(1), None), Change(host(2), None)}
    assert {host(3), host(4)} == {one for shard in range(SHARDS) for one in table.claims.addresses(shard)}
    assert table.claims.ended == 2


def test_without_a_cap_in_the_way_newcomers_stay_as_they_are():
    table = restoring()
    table.observe([sighting(host(1))], 1.0)
    table.adopt([claim(2, 0.0)], 1.0)
    assert judged(table) == []
    assert len(table) == 2
    assert table.admission.newcomers is None


def test_what_a_peer_tells_meanwhile_is_news():
    table = restoring(new_routes_per_s=1.0)
    assert table.merge([claim(1)], 1.0, 0.0) == ([Change(host(1), FOUR_ATTRIBUTES)], [claim(1)], 0)


@pytest.mark.parametrize("how", ["forgotten", "expired", "refused"])
def test_what_ended_while_it_waited_does_not_begin(how):
    table = restoring(routes_max=1, evicts=True)
    table.adopt([claim(1, 0.0)], 1.0)
    table.observe([sighting(host(2))], 1.0)
    if how == "forgotten":
        table.forget_address(host(2), 1.0)
    elif how == "refused":
        table.configure(Policies([POLICY], Guard([host(2)]), Caps(routes_max=1, evicts=True)))
    assert judged(table, 101.5 if how == "expired" else 1.0) == [Change(host(2), None)]
    assert table.claims.by_address.get(host(1))
    assert table.admission.refusals.refused == ({"protected": 1} if how == "refused" else {})


def test_what_is_back_of_a_claim_that_waited_is_refreshed():
    table = restoring(routes_max=1, evicts=False)
    table.observe([sighting(B)], 1.0)
    table.observe([sighting(A)], 9.0)  # known, but there is no room
    table.forget_address(B, 9.0)
    table.adopt([Claim(A, "default", b"a.example", 2.0, 2.0, 100.0)], 10.0)
    assert judged(table, 10.0) == [Change(A, FOUR_ATTRIBUTES)]
    [found] = table.claims.of_address(A)
    assert (found.first, found.seen) == (2.0, 9.0)


def test_what_is_added_by_hand_has_its_place_at_once():
    table = restoring(routes_max=1, evicts=True)
    table.observe([sighting(host(1))], 1.0)
    changes, refused = table.add(Claim(host(2), "default", BY_HAND, 1.0, 1.0, 50.0), 1.0)
    assert (changes, refused) == ([Change(host(2), FOUR_ATTRIBUTES)], None)
    assert len(table) == 2
    assert Change(host(1), None) in judged(table)
    assert table.claims.by_address.get(host(2))
    assert table.admission.refusals.refused == {"routes": 1}


@pytest.mark.parametrize("is_newcomer_there", [False, True])
def test_an_address_that_is_full_without_newcomers_has_none_wait(monkeypatch, is_newcomer_there):
    monkeypatch.setattr(admission, "CLAIMS_PER_ROUTE", 3)
    table = restoring()
    table.observe([sighting(host(1)), *[sighting(host(9))] * is_newcomer_there], 1.0)
    table.adopt([claim(9, 0.0)._replace(name=b"%d.example" % number) for number in range(5)], 1.0)
    assert table.admission.newcomers.is_over == is_newcomer_there


def test_what_is_back_of_a_name_keeps_its_cap_beside_newcomers_of_others():
    table = restoring(name_routes_max=2, evicts=True)
    table.observe([sighting(host(number), b"%d.example" % number) for number in range(20, 30)], 1.0)
    table.observe([sighting(host(30))], 1.0)
    table.adopt([claim(number, number / 10) for number in range(6)], 1.0)
    assert len(table) == 10 + 1 + 2
    judged(table)
    assert len(table) == 10 + 2


def test_what_was_seen_behind_its_forgetting_begins():
    table = restoring(routes_max=1, evicts=True)
    table.forget_address(host(1), 1.0)
    table.observe([sighting(host(1))], 2.0)
    table.admission.newcomers.is_over = True
    judged(table, 3.0)
    assert table.wanted(host(1)) == FOUR_ATTRIBUTES


@pytest.mark.parametrize("is_seen_again", [False, True])
def test_what_waits_for_its_token_and_is_forgotten_does_not_begin(is_seen_again):
    table = capped(new_routes_per_s=10.0)
    table.begin_restore(lambda _: None)
    table.observe([sighting(host(1))], 1.0)
    table.forget_address(host(1), 2.0)
    if is_seen_again:
        table.observe([sighting(host(1))], 3.0)
    table.admission.newcomers.is_known = lambda _: False
    table.offer(table.unpaid(), 4.0)
    assert len(table) == is_seen_again
    assert not table.unpaid()


def test_what_is_added_by_hand_while_newcomers_are_judged_keeps_within_the_caps():
    table = restoring(routes_max=1, evicts=True)
    table.adopt([claim(1, 0.0)], 1.0)
    table.observe([sighting(host(2)), sighting(host(3))], 1.0)
    assert table.judge(1.0, 1)[1]
    assert table.add(Claim(host(4), "default", BY_HAND, 1.0, 1.0, 50.0), 1.0)[1] is None
    assert len(table) == 1
    assert table.claims.by_address.get(host(4))


def test_what_the_cap_of_its_rule_refuses_does_not_wait():
    table = restoring(rule_routes_max=1, evicts=True)
    table.observe([sighting(host(1)), sighting(host(2))], 1.0)
    assert table.admission.refusals.refused == {"rule-routes": 1}
    assert table.admission.newcomers.find(claim(2)) is None


def test_what_waits_is_begun_as_it_was_seen_last_and_recorded_where_the_file_has_it_from_before():
    table = restoring(routes_max=1, evicts=True)
    table.observe([sighting(host(1), b"1.example")], 40.0)
    table.observe([sighting(host(2), b"2.example")], 50.0)
    assert len(table.admission.newcomers) == 1
    table.forget_address(host(1), 51.0)
    table.claims.dirty()
    early = claim(2, seen=20.0)._replace(name=b"2.example", ttl_s=POLICY.ttl_s)
    table.adopt([early], 52.0, are_newcomers=True)
    assert [(one.seen, one.first) for one in table.claims.of_address(host(2))] == [(50.0, 20.0)]
    assert [one.seen for one in table.claims.dirty()] == [50.0]


def test_newcomers_of_a_restore_that_was_killed_are_not_recorded_again():
    table = restoring(routes_max=10, evicts=True)
    table.adopt([claim(1, seen=20.0)], 30.0, are_newcomers=True)
    assert len(table) == 1
    assert not table.claims.dirty()


def test_what_is_set_aside_to_be_judged_and_may_be_announced_is_known_to_the_last_save():
    table = restoring(routes_max=2, evicts=True)
    table.observe([sighting(host(1)), sighting(host(2))], 1.0)
    table.observe([sighting(A), sighting(B)], 2.0)
    table.adopt([claim(5), claim(6)], 3.0)
    while table.set_aside(1):
        pass
    assert {one.address for one in table.undecided(3.0)} == {host(1), host(2), A}
    table.forget_address(host(1), 3.0)
    assert {one.address for one in table.undecided(3.0)} == {host(2), A}
    judged(table, 3.0)
    assert not table.undecided(3.0)


def test_more_newcomers_in_the_file_than_may_wait_come_back_as_what_was_held(monkeypatch):
    """No snapshot could be written for long: the newcomers in the file are what the table held."""
    monkeypatch.setattr(module, "WAITING_MAX", 5)
    table = restoring(routes_max=20, evicts=True)
    table.adopt([claim(number, seen=1.0)._replace(name=b"%d.example" % number) for number in range(20)], 30.0)
    new = [claim(number, seen=9.0)._replace(name=b"%d.example" % number) for number in range(100, 115)]
    table.adopt(new, 30.0, are_newcomers=True)
    judged(table, 30.0)
    assert len(table) == 20
    assert {one.address for one in new} <= {
        address for shard in range(SHARDS) for address in table.claims.addresses(shard)
    }


def test_more_newcomers_in_the_file_than_may_wait_do_not_let_a_rule_grow_past_its_cap(monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 5)
    table = restoring(rule_routes_max=20)
    table.begin_restore(lambda _: True)
    table.owner_of = lambda _list, _name: b"example"
    table.adopt([claim(number)._replace(name=b"%d.example" % number) for number in range(20)], 30.0)
    new = [claim(number)._replace(name=b"%d.example" % number) for number in range(100, 115)]
    table.adopt(new, 30.0, are_newcomers=True)
    judged(table, 30.0)
    assert len(table) == 20


def test_what_is_back_of_a_full_address_has_its_place_beside_newcomers(monkeypatch):
    """As many as may be, whatever was seen meanwhile; of what is back itself the least recently seen gives way."""
    monkeypatch.setattr(admission, "CLAIMS_PER_ROUTE", 3)
    table = restoring()
    table.observe([sighting(host(9), b"new%d.example" % number) for number in range(3)], 1.0)
    old = [claim(9, seen=number / 10)._replace(name=b"old%d.example" % number) for number in range(4)]
    table.adopt(old, 1.0)
    names = {one.name for one in table.claims.of_address(host(9))}
    assert names == {
        b"new0.example",
        b"new1.example",
        b"new2.example",
        b"old1.example",
        b"old2.example",
        b"old3.example",
    }
    judged(table)
    assert {one.name for one in table.claims.of_address(host(9))} == {one for one in names if one[:3] == b"new"}

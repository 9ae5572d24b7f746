"""Resolvers' hooks: what is told of them, and that a service at work is no finding."""

from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor.evidence import Evidence, HoldEvidence, Recent
from dnstap_bgp.core.status.report import HoldStatus, HookStatus, ListenerStatus
from tests.core.doctor.cases import HOST, found, only

HOOK = HookStatus("unbound", 1_000, 0, 0, {"not_ours": 900, "installed": 100}, 0.006, 0.012, 1.0)
HOLD = HoldStatus(True, 0.05, 0, 0.0, (ListenerStatus("/run/hold.sock", None),), 1, {}, {}, (HOOK,))
FAST_HOST = replace(HOST, patches={"no-delay": ""})
SEEN = HoldEvidence(replies={"not_ours": 90, "installed": 40}, ttl_s=86_400.0)


def hold(**changes):
    return replace(HOLD, **changes)


def seen(**changes):
    return Evidence(recent=Recent(sightings=50, claims=5), hold=replace(SEEN, **changes))


def test_a_service_at_work_is_no_finding():
    assert found(seen(), hold=HOLD, exabgp=FAST_HOST) == ()
    assert found(seen(), exabgp=HOST) == (), "without [hold] nothing is said of it"
    opening = replace(HOST, stage="opening", patches={})
    for host in (opening, None):
        assert found(seen(), hold=HOLD, exabgp=host) == (), "of one that isn't there yet nobody knows the patches"


@pytest.mark.parametrize(("patches", "words"), [({}, "without our patches"), ({"no-delay": "not tried"}, "not tried")])
def test_an_exabgp_that_waits_for_acknowledgments(patches, words):
    finding = only(seen(), hold=HOLD, exabgp=replace(HOST, patches=patches))
    assert finding.kind == "hold-delay"
    assert words in finding.text


def test_a_listener_that_is_closed():
    closed = (ListenerStatus("/run/hold.sock", "its folder does not exist"),)
    assert only(seen(), hold=hold(listeners=closed), exabgp=FAST_HOST).kind == "hold-listener"
    opening = (ListenerStatus("/run/hold.sock", "not open yet"),)
    assert found(seen(), hold=hold(listeners=opening), exabgp=FAST_HOST) == ()


def test_switched_off_is_a_note():
    finding = only(seen(), hold=hold(is_on=False), exabgp=HOST)
    assert (finding.level, finding.kind) == ("note", "hold-off")


@pytest.mark.parametrize(("hooks", "words"), [((), "no hook has ever asked"), ((HOOK,), "no hook has asked of late")])
def test_the_tap_shows_addresses_and_nobody_asks(hooks, words):
    finding = only(seen(replies={}), hold=hold(hooks=hooks), exabgp=FAST_HOST)
    assert finding.kind == "hold-silent"
    assert words in finding.text
    once = replace(seen(replies={}), recent=Recent(sightings=1, claims=1))
    assert only(once, hold=hold(hooks=hooks), exabgp=FAST_HOST).kind == "hold-silent"
    quiet = Evidence(hold=replace(SEEN, replies={}))
    assert found(quiet, hold=hold(hooks=hooks), exabgp=FAST_HOST) == (), "the tap shows none either"
    cached = replace(quiet, recent=Recent(sightings=50))
    assert found(cached, hold=hold(hooks=hooks), exabgp=FAST_HOST) == (), "the tap shows answers from the cache"
    assert found(seen(replies={}, told=3), hold=hold(hooks=hooks), exabgp=FAST_HOST) == ()


def test_answers_that_are_given_up():
    finding = only(seen(replies={"installed": 40, "gave_up": 10}), hold=HOLD, exabgp=FAST_HOST)
    assert finding.kind == "hold-gave-up"
    assert finding.text == ("10 of 50 answers with new routes left before these were there: 50 ms were not enough")
    assert found(seen(replies={"installed": 400, "gave_up": 10}), hold=HOLD, exabgp=FAST_HOST) == ()
    assert found(seen(replies={"installed": 4, "gave_up": 10}), hold=HOLD, exabgp=FAST_HOST) == (), "too few to judge"
    assert found(seen(replies={"gave_up": 19}), hold=HOLD, exabgp=FAST_HOST) == (), "too few to judge"
    assert "20 of 20" in only(seen(replies={"gave_up": 20}), hold=HOLD, exabgp=FAST_HOST).text
    assert found(seen(replies={"installed": 38, "gave_up": 2}), hold=HOLD, exabgp=FAST_HOST) == (), "one in twenty"
    assert only(seen(replies={"installed": 37, "gave_up": 2}), hold=HOLD, exabgp=FAST_HOST).kind == "hold-gave-up"


def test_a_short_queue_of_datagrams():
    assert only(seen(datagram_queue=10), hold=HOLD, exabgp=FAST_HOST).kind == "hold-datagram-queue"
    assert only(seen(datagram_queue=63), hold=HOLD, exabgp=FAST_HOST).kind == "hold-datagram-queue"
    assert found(seen(datagram_queue=64), hold=HOLD, exabgp=FAST_HOST) == ()


def test_routes_that_end_before_the_resolver_asks_again():
    assert only(seen(ttl_s=3600.0), hold=HOLD, exabgp=FAST_HOST).kind == "hold-cache"
    assert found(seen(ttl_s=3600.0, cache_ttl_max_s=3600.0), hold=HOLD, exabgp=FAST_HOST) == ()
    assert only(seen(ttl_s=3600.0, cache_ttl_max_s=3601.0), hold=HOLD, exabgp=FAST_HOST).kind == "hold-cache"
    assert only(seen(ttl_s=86_399.0), hold=HOLD, exabgp=FAST_HOST).kind == "hold-cache", "resolvers keep it a day"
    assert found(seen(ttl_s=None), hold=HOLD, exabgp=FAST_HOST) == (), "routes follow the DNS"
    silent = hold(hooks=())
    assert "hold-cache" not in {one.kind for one in found(seen(ttl_s=3600.0), hold=silent, exabgp=FAST_HOST)}

"""Answers that don't become routes."""

from dataclasses import replace

from dnstap_bgp.core.doctor.evidence import Evidence, Recent
from dnstap_bgp.core.status.report import RoutesStatus
from tests.core.doctor.cases import LIST, found, only, tap


def test_no_rules():
    empty = (replace(LIST, rules=0),)
    assert (only(lists=empty).kind, only(lists=empty).level) == ("no-rules", "error")
    assert not found(lists=(replace(LIST, rules=0, prefixes=1),))


def test_nothing_matches():
    counters = dict.fromkeys(tap().counters, 0) | {"messages": 1_000}
    assert only(tap=tap(counters=counters)).kind == "nothing-matches"
    assert not found(tap=tap(counters=counters | {"matched": 1}))
    assert not found(tap=tap(counters=counters | {"messages": 999}))


def test_all_answers_of_late_are_somebody_elses_or_rewritten():
    assert only(Evidence(recent=Recent(foreign=3))).kind == "all-foreign"
    assert only(Evidence(recent=Recent(rewritten=3))).kind == "all-rewritten"
    assert not found(Evidence(recent=Recent(sightings=1, foreign=3, rewritten=3)))


def test_all_is_refused():
    finding = only(Evidence(recent=Recent(sightings=50, refused={"private": 45, "loopback": 5})))
    assert finding.kind == "all-refused"
    assert "private 45, loopback 5" in finding.text
    assert "guard.allow" in finding.advice
    assert "max_routes" in only(Evidence(recent=Recent(sightings=50, refused={"routes": 50}))).advice
    assert not found(Evidence(recent=Recent(sightings=51, refused={"private": 45})))
    assert only(Evidence(recent=Recent(sightings=10, refused={"private": 10}))).kind == "all-refused"
    assert not found(Evidence(recent=Recent(sightings=9, refused={"private": 9})))


def test_nearly_all_is_refused():
    assert only(Evidence(recent=Recent(sightings=100, refused={"private": 99}))).kind == "all-refused"
    assert not found(Evidence(recent=Recent(sightings=100, refused={"private": 98})))
    both = found(Evidence(recent=Recent(sightings=100, refused={"private": 50, "family": 50})))
    assert [one.kind for one in both] == ["all-refused", "ipv6-leak"], "what lacks a next-hop is no route either"
    assert "refused: private 50" in both[0].text, "and is told by itself"


def test_of_many_reasons_the_most_frequent_are_told():
    refused = {reason: count for count, reason in enumerate(("rate", "private", "multicast", "own", "routes", "x"), 1)}
    finding = only(Evidence(recent=Recent(sightings=21, refused=refused)))
    assert finding.text.endswith("refused: x 6, routes 5, own 4, multicast 3, private 2")


def test_no_next_hop():
    recent = Recent(sightings=50, refused={"family": 25})
    finding = only(Evidence(recent=recent, no_next_hop=("IPv6",)))
    assert (finding.kind, finding.level, finding.subject) == ("no-next-hop", "note", "IPv6")
    assert "go around the IPv4 routes" in finding.text
    assert "resolver-conf" in finding.advice
    assert only(Evidence(recent=recent, no_next_hop=("IPv4",))).level == "warning"
    assert not found(Evidence(no_next_hop=("IPv4", "IPv6")))  # none was wanted


def test_caps():
    assert only(routes=RoutesStatus(75, 75, 0, 75, 0, 100, 0, {}, {})).subject == "the table"
    assert not found(routes=RoutesStatus(74, 74, 0, 74, 0, 100, 0, {}, {}))
    assert only(lists=(replace(LIST, max=2),)).subject == "list default"
    finding = only(Evidence(crowded_rules=[("list default, rule cdn.example", 3_500, 4_096)]))
    assert (finding.kind, finding.subject) == ("nearly-full", "list default, rule cdn.example")
    assert finding.text == "list default, rule cdn.example holds 3500 of at most 4096 routes"
    assert "guard.max_routes_per_rule" in finding.advice


def test_static_prefixes():
    assert only(Evidence(static_refused=2)).kind == "static-refused"


def test_aaaa_answers_that_no_list_can_route():
    """IPv6 was switched off, or some lists have no IPv6 way: no next-hop was forgotten, and it leaks all the same."""
    finding = only(Evidence(recent=Recent(sightings=100, refused={"family": 50})))
    assert (finding.kind, finding.level) == ("ipv6-leak", "note")
    assert "resolver-conf" in finding.advice
    assert not found(Evidence(recent=Recent(sightings=100)))

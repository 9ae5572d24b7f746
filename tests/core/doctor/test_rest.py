"""Sockets that can't be reached, answers that don't become routes, ExaBGP, and what is kept."""

import stat
from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor import FINDINGS_MAX
from dnstap_bgp.core.doctor.access import obstacle
from dnstap_bgp.core.doctor.answers import MESSAGES_MIN
from dnstap_bgp.core.doctor.clues import Access, Account, Clues, Recent, Step
from dnstap_bgp.core.doctor.host import BUSY_S, DOWN_S, OPENING_S
from dnstap_bgp.core.status.status import Listener, Peer, Routes, Web
from tests.core.doctor.cases import LIST, NEIGHBOR, SOURCE, STATE, found, host, only, tap

UNBOUND = Account("unbound", 110, frozenset({110, 120}))
ROOT = Account("root", 0, frozenset())


def steps(folder, folder_gid, socket, socket_gid):
    return (
        Step("/", stat.S_IFDIR | 0o755, 0, 0),
        Step("/run/x", stat.S_IFDIR | folder, 500, folder_gid),
        Step("/run/x/tap.sock", stat.S_IFSOCK | socket, 500, socket_gid),
    )


@pytest.mark.parametrize(
    ("folder", "folder_gid", "socket", "socket_gid", "blocked"),
    [
        (0o711, 500, 0o660, 120, None),
        (0o711, 500, 0o666, 500, None),
        (0o710, 120, 0o660, 110, None),
        (0o711, 500, 0o660, 500, "/run/x/tap.sock"),
        (0o710, 500, 0o666, 500, "/run/x"),
        (0o701, 120, 0o660, 120, "/run/x"),  # its group decides, though all others might pass
        (0o711, 500, 0o606, 120, "/run/x/tap.sock"),
        (0o700, 500, 0o600, 500, "/run/x"),
    ],
)
def test_who_can_reach_a_socket(folder, folder_gid, socket, socket_gid, blocked):
    way = steps(folder, folder_gid, socket, socket_gid)
    step = obstacle(UNBOUND, way)
    assert (step.path if step else None) == blocked
    assert obstacle(ROOT, way) is None


def test_a_socket_that_no_resolver_can_reach():
    nobody = tap(connections=(), accepted=0)
    clues = Clues(access=Access((steps(0o711, 500, 0o660, 500),), (UNBOUND,)))
    finding = only(clues, tap=nobody)
    assert (finding.kind, finding.subject) == ("socket-permissions", "/run/x/tap.sock")
    assert "dnstap.group" in finding.advice
    assert "0660, uid 500, gid 500" in finding.text
    folder = Clues(access=Access((steps(0o700, 500, 0o666, 500),), (UNBOUND,)))
    assert "chmod o+x /run/x" in only(folder, tap=nobody).advice
    assert not found(clues)  # somebody has come, by another way
    other = Account("bind", 111, frozenset({500}))
    assert not found(replace(clues, access=Access(clues.access.paths, (UNBOUND, other))), tap=nobody)


def test_no_rules():
    empty = (replace(LIST, rules=0),)
    assert (only(lists=empty).kind, only(lists=empty).level) == ("no-rules", "error")
    assert not found(lists=(replace(LIST, rules=0, prefixes=1),))


def test_nothing_matches():
    counters = dict.fromkeys(tap().counters, 0) | {"messages": MESSAGES_MIN}
    assert only(tap=tap(counters=counters)).kind == "nothing-matches"
    assert not found(tap=tap(counters=counters | {"matched": 1}))
    assert not found(tap=tap(counters=counters | {"messages": MESSAGES_MIN - 1}))


def test_all_answers_of_late_are_somebody_elses_or_rewritten():
    assert only(Clues(recent=Recent(foreign=3))).kind == "all-foreign"
    assert only(Clues(recent=Recent(rewritten=3))).kind == "all-rewritten"
    assert not found(Clues(recent=Recent(sightings=1, foreign=3, rewritten=3)))


def test_all_is_refused():
    finding = only(Clues(recent=Recent(sightings=50, refused={"private": 45, "loopback": 5})))
    assert finding.kind == "all-refused"
    assert "private 45, loopback 5" in finding.text
    assert "guard.allow" in finding.advice
    assert "max_routes" in only(Clues(recent=Recent(sightings=50, refused={"routes": 50}))).advice
    assert not found(Clues(recent=Recent(sightings=51, refused={"private": 45})))
    assert not found(Clues(recent=Recent(sightings=9, refused={"private": 9})))


def test_no_next_hop():
    recent = Recent(sightings=50, refused={"family": 25})
    finding = only(Clues(recent=recent, no_next_hop=("IPv6",)))
    assert (finding.kind, finding.level, finding.subject) == ("no-next-hop", "note", "IPv6")
    assert only(Clues(recent=recent, no_next_hop=("IPv4",))).level == "warning"
    assert not found(Clues(recent=recent))  # switched off on purpose
    assert not found(Clues(no_next_hop=("IPv4", "IPv6")))  # none was wanted


def test_caps():
    assert only(routes=Routes(75, 75, 0, 75, 0, 100, 0, {}, {})).subject == "the table"
    assert only(lists=(replace(LIST, max=2),)).subject == "list default"


def test_static_prefixes():
    assert only(Clues(static_refused=2)).kind == "static-refused"


@pytest.mark.parametrize(
    ("clues", "changes", "kind", "level"),
    [
        (Clues(), {"stage": "refused", "version": "4.2.25"}, "exabgp-version", "error"),
        (Clues(opening_s=OPENING_S + 1), {"stage": "barrier"}, "exabgp-silent", "error"),
        (Clues(), {"silent_s": BUSY_S + 1}, "exabgp-stalled", "warning"),
        (Clues(), {"stalled_s": BUSY_S + 1}, "exabgp-stalled", "warning"),
        (Clues(), {"neighbors": ()}, "no-neighbor", "error"),
        (Clues(), {"backlog": {"refused": 2}}, "routes-refused", "warning"),
        (Clues(down_s={"192.0.2.1": DOWN_S + 1}), {}, "neighbor-down", "warning"),
        (Clues(), {"neighbors": (replace(NEIGHBOR, foreign=True, up=False),)}, "neighbor-foreign", "note"),
        (Clues(), {"neighbors": (replace(NEIGHBOR, lacking=("ipv6 unicast",)),)}, "neighbor-lacks-family", "warning"),
    ],
)
def test_exabgp(clues, changes, kind, level):
    finding = only(clues, exabgp=host(**changes))
    assert (finding.kind, finding.level) == (kind, level)


def test_exabgp_has_a_moment():
    assert not found(Clues(opening_s=OPENING_S), exabgp=None)
    assert only(Clues(opening_s=OPENING_S + 1), exabgp=None).kind == "exabgp-silent"
    assert not found(Clues(down_s={"192.0.2.1": DOWN_S}))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"tap": tap(listeners=(Listener("/tap", "its folder does not exist"),))}, "tap-listener"),
        ({"web": Web((Listener("127.0.0.1:80", "in use"),), 0, 0, {})}, "web-listener"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="stale", why="HTTP 500"),)),)}, "list-stale"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="held", why="lost half"),)),)}, "list-held"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="pending"),)),)}, "list-pending"),
        ({"lists": (replace(LIST, sources=(replace(SOURCE, state="error", why="x"),)),)}, "list-error"),
        ({"lists_refused": "half-written"}, "lists-refused"),
        ({"state": None}, "no-state-file"),
        ({"state": replace(STATE, error="No space left on device")}, "state-file"),
        ({"state": replace(STATE, durable=False)}, "state-late"),
        ({"peers": (Peer("192.0.2.9:8080", "down", "refused"),)}, "peer"),
        ({"dry_run": True}, "dry-run"),
    ],
)
def test_what_is_kept(changes, kind):
    assert only(**changes).kind == kind


def test_the_worst_comes_first_and_there_is_an_end():
    down = {f"192.0.2.{number}": 100.0 for number in range(200)}
    neighbors = tuple(replace(NEIGHBOR, address=address) for address in down)
    many = found(Clues(down_s=down), exabgp=host(neighbors=neighbors), dry_run=True, lists=(replace(LIST, rules=0),))
    assert len(many) == FINDINGS_MAX
    assert many[0].kind == "no-rules"

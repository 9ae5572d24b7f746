"""Sockets that no resolver can reach."""

import stat
from dataclasses import replace

import pytest

from dnstap_bgp.core.doctor.evidence import Account, Evidence, PathStep, SocketAccess
from dnstap_bgp.core.doctor.socket_access import obstacle
from tests.core.doctor.cases import found, only, tap

UNBOUND = Account("unbound", 110, frozenset({110, 120}))
ROOT = Account("root", 0, frozenset())


def steps(folder, folder_gid, socket, socket_gid):
    return (
        PathStep("/", stat.S_IFDIR | 0o755, 0, 0),
        PathStep("/run/x", stat.S_IFDIR | folder, 500, folder_gid),
        PathStep("/run/x/tap.sock", stat.S_IFSOCK | socket, 500, socket_gid),
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
        (0o711, 500, 0o665, 500, "/run/x/tap.sock"),  # to pass or to read it is not to connect
        (0o716, 500, 0o666, 500, "/run/x"),
        (0o700, 500, 0o600, 500, "/run/x"),
    ],
)
def test_who_can_reach_a_socket(folder, folder_gid, socket, socket_gid, blocked):
    way = steps(folder, folder_gid, socket, socket_gid)
    step = obstacle(UNBOUND, way)
    assert (step.path if step else None) == blocked
    assert obstacle(ROOT, way) is None


@pytest.mark.parametrize(
    ("folder", "socket", "blocked"),
    [
        (0o100, 0o200, None),
        (0o611, 0o666, "/run/x"),  # the owner's part decides, though all others might pass
        (0o711, 0o466, "/run/x/tap.sock"),
    ],
)
def test_what_is_one_s_own_is_as_the_owner_s_part_says(folder, socket, blocked):
    owner = Account("tap", 500, frozenset({500}))
    step = obstacle(owner, steps(folder, 500, socket, 500))
    assert (step.path if step else None) == blocked


def test_a_socket_that_no_resolver_can_reach():
    nobody = tap(connections=(), accepted=0)
    evidence = Evidence(access=SocketAccess((steps(0o711, 500, 0o660, 500),), (UNBOUND,)))
    finding = only(evidence, tap=nobody)
    assert (finding.kind, finding.subject) == ("socket-permissions", "/run/x/tap.sock")
    assert "dnstap.group" in finding.advice
    assert "0660, uid 500, gid 500" in finding.text
    folder = Evidence(access=SocketAccess((steps(0o700, 500, 0o666, 500),), (UNBOUND,)))
    assert "chmod o+x /run/x" in only(folder, tap=nobody).advice
    assert not found(evidence)  # somebody has come, by another way
    other = Account("bind", 111, frozenset({500}))
    assert not found(replace(evidence, access=SocketAccess(evidence.access.paths, (UNBOUND, other))), tap=nobody)

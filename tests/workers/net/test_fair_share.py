"""Fair shares: who gives way at a limit, and who connections belong to."""

import contextlib
import ipaddress
import os
import socket

import pytest

from dnstap_bgp.workers.net.fair_share import crowding, most_of, owner_of, peer_uid


@pytest.mark.parametrize(
    ("owners", "newcomer", "gives"),
    [
        ("", "a", None),
        ("aaaa", "a", None),
        ("aaaa", "b", "a"),
        ("aa", "b", "a"),
        ("a", "b", None),
        ("abcd", "e", None),
        ("aabb", "a", None),
        ("aaab", "b", "a"),
        ("aab", "b", None),
        ("aaabbb", "c", "ab"),
    ],
)
def test_only_who_has_two_more_than_the_newcomer_gives_way(owners: str, newcomer: str, gives: str | None):
    found = crowding(owners, newcomer)
    assert (found is None) == (gives is None)
    assert found is None or found in (gives or "")


@pytest.mark.parametrize(("owners", "most"), [("a", "a"), ("abb", "b"), ("ba", "b"), ("abab", "a")])
def test_of_those_with_the_most_the_first_one_counts(owners: str, most: str):
    assert most_of(owners) == most


def test_newcomers_end_up_with_equal_shares_and_stay_so():
    places = ["flood"] * 128
    for _ in range(1000):
        for name in ("one", "two", "flood"):
            gone = crowding(places, name)
            if gone is not None:
                places[places.index(gone)] = name
    counts = sorted(places.count(name) for name in ("one", "two", "flood"))
    assert counts[0] >= 42
    before = list(places)
    for name in ("one", "two", "flood"):
        gone = crowding(places, name)
        assert gone is None or places.count(gone) - places.count(name) >= 2
    assert places == before


@contextlib.contextmanager
def connected(family: socket.AddressFamily, address: tuple[str, int]):
    with socket.create_server(address, family=family) as server, socket.socket(family) as client:
        client.connect(server.getsockname())
        with server.accept()[0] as sock:
            yield sock


def test_an_ipv4_address_is_an_owner():
    with connected(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        assert owner_of(sock) == ipaddress.ip_address("127.0.0.1")


def test_all_of_an_ipv6_network_is_one_owner():
    with connected(socket.AF_INET6, ("::1", 0)) as sock:
        assert owner_of(sock) == 0


def test_a_user_is_an_owner():
    one, other = socket.socketpair()
    with one, other:
        assert owner_of(one) == ("uid", os.geteuid())
        assert peer_uid(other) == os.geteuid()


def test_who_is_gone_is_nobody():
    with connected(socket.AF_INET, ("127.0.0.1", 0)) as sock:
        sock.close()
        with pytest.raises(OSError, match="Bad file"):
            owner_of(sock)
